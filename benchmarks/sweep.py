"""What a run of a sweep takes beside its epochs, and whether the last takes more than the first.

The runs are of one process. A cell of a few epochs is followed by one of more, both with several seeds: the difference
tells what an epoch takes, and a run's time, from its start to the next one's, less its epochs is what is wanted.
"""

import tempfile

import numpy as np
from hydra.errors import HydraException
from mlflow import MlflowClient

from .. import UserError
from ..studies.files import choices
from . import command

SWEEP = ["model=lenet", "data=digits"]
EPOCHS, SEEDS = (2, 7), 5
OWN = {"epochs", "learning_rate", "seed", "study", "tracking.uri"}


def lengths(words, pairs):
    """What the runs of a sweep took from start to start, in seconds, an array (pairs, 2, seeds)."""
    with tempfile.TemporaryDirectory() as folder:
        uri = f"sqlite:///{folder}/mlflow.db"
        rates = ",".join(f"{0.02 + pair / 1e6:g}" for pair in range(pairs))  # each a cell of its own, alike in all else
        axes = [f"learning_rate={rates}", f"epochs={EPOCHS[0]},{EPOCHS[1]}", f"seed=range({SEEDS})"]
        command.sweep([*words, *axes, "study=cost", f"tracking.uri={uri}"], folder)
        client, found, token = MlflowClient(uri), [], None
        experiment = client.get_experiment_by_name("cost").experiment_id
        while token != "":
            page = client.search_runs([experiment], order_by=["attributes.start_time"], page_token=token)
            found, token = [*found, *page], page.token or ""
    starts = [each.info.start_time / 1000 for each in found] + [found[-1].info.end_time / 1000]
    return np.diff(starts).reshape(pairs, 2, SEEDS)


def costs(took):
    """Of each pair of cells: seconds of a first run beside its epochs, of a next seed's, and those of an epoch."""
    short, long = np.median(took[:, :, 1:], axis=2).T
    epoch = (long - short) / (EPOCHS[1] - EPOCHS[0])
    first = (took[:, :, 0] - np.outer(epoch, EPOCHS)).mean(axis=1)
    return first, short - EPOCHS[0] * epoch, epoch


def main():
    parser = command.parser(".sweep", __doc__)
    parser.add_argument("words", nargs="*", default=SWEEP, help=f"what all runs are of; default: {' '.join(SWEEP)}")
    runs = 2 * SEEDS
    parser.add_argument("--pairs", type=command.count, default=20, help=f"of two cells, {runs} runs each; default: 20")
    arguments = parser.parse_args()
    if arguments.pairs < 4:
        parser.error(f"--pairs must be at least 4. Received: {arguments.pairs}")
    try:
        chosen = choices(arguments.words)
    except (HydraException, UserError) as error:
        parser.error(str(error).splitlines()[0])
    if any(len(values) != 1 for values in chosen.values()):
        parser.error(f"words must be those of one run. Received: {' '.join(arguments.words)}")
    if own := sorted(OWN.intersection(chosen)):
        parser.error(f"words must leave {', '.join(own)} to the benchmark. Received: {' '.join(arguments.words)}")
    took = lengths(arguments.words, arguments.pairs)
    print(f"seconds beside the epochs, medians of {arguments.pairs // 4} or more pairs of cells")
    for number, part in enumerate(np.array_split(took, 4), 1):
        first, after, epoch = (np.median(values) for values in costs(part))
        print(f"runs {number}/4: {first:.2f} the first of a cell, {after:.2f} its next seeds; {epoch:.3f} an epoch")
    command.write(arguments.output, words=arguments.words, seconds=took.tolist())


if __name__ == "__main__":
    main()
