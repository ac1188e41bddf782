"""Time of a sweep's run besides its epochs, and whether late runs take longer than early ones.

The runs share a process. A cell of a few epochs is followed by one of more, each with several seeds: their difference
gives the time of an epoch. The result is a run's time, from its start to the next one's, without its epochs.
"""

import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from hydra.errors import HydraException
from mlflow import MlflowClient

from .. import UserError
from ..settings.study_file import overrides_by_key
from . import command

SWEEP = ["model=lenet", "data=digits"]
EPOCHS = (2, 7)
SEEDS = 5
RESERVED_KEYS = {"epochs", "learning_rate", "seed", "study", "tracking.uri"}


def measure_seconds(words: Sequence[str], pairs: int) -> np.ndarray:
    """Run a sweep; return the seconds from the start of each run to that of the next, shape (pairs, 2, seeds).

    Args:
        words: overrides that all runs share.
        pairs: number of pairs of cells.
    """
    with tempfile.TemporaryDirectory() as folder:
        uri = f"sqlite:///{folder}/mlflow.db"
        rates = ",".join(f"{0.02 + pair / 1e6:g}" for pair in range(pairs))  # each makes a cell
        axes = [f"learning_rate={rates}", f"epochs={EPOCHS[0]},{EPOCHS[1]}", f"seed=range({SEEDS})"]
        command.run_sweep([*words, *axes, "study=cost", f"tracking.uri={uri}"], folder)
        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name("cost")
        assert experiment
        runs: list[Any] = []
        token = None
        while token != "":
            page = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"], page_token=token)
            runs += page
            token = page.token or ""
    starts = [run.info.start_time / 1000 for run in runs] + [runs[-1].info.end_time / 1000]
    return np.diff(starts).reshape(pairs, 2, SEEDS)


def split_seconds(seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split the time of each pair of cells.

    Args:
        seconds: as returned by `measure_seconds`.

    Returns:
        Seconds besides the epochs of a cell's first run, the same of its next seeds, and seconds of an epoch.
    """
    short, long = np.median(seconds[:, :, 1:], axis=2).T
    epoch = (long - short) / (EPOCHS[1] - EPOCHS[0])
    first = (seconds[:, :, 0] - np.outer(epoch, EPOCHS)).mean(axis=1)
    return first, short - EPOCHS[0] * epoch, epoch


def main() -> None:
    """Run the benchmark of the command line."""
    parser = command.make_parser(".sweep", __doc__)
    parser.add_argument("words", nargs="*", default=SWEEP, help=f"overrides of all runs (default: {' '.join(SWEEP)})")
    runs = 2 * SEEDS
    parser.add_argument(
        "--pairs", type=command.positive_int, default=20, help=f"pairs of cells of {runs} runs (default: 20)"
    )
    arguments = parser.parse_args()
    if arguments.pairs < 4:
        parser.error(f"--pairs must be at least 4. Received: {arguments.pairs}")
    try:
        values_by_key = overrides_by_key(arguments.words)
    except (HydraException, UserError) as error:
        parser.error(str(error).splitlines()[0])
    if any(len(values) != 1 for values in values_by_key.values()):
        parser.error(f"words must have one value for each key. Received: {' '.join(arguments.words)}")
    if reserved := sorted(RESERVED_KEYS.intersection(values_by_key)):
        parser.error(f"the benchmark sets {', '.join(reserved)} by itself. Received: {' '.join(arguments.words)}")
    seconds = measure_seconds(arguments.words, arguments.pairs)
    print(f"seconds besides the epochs, medians of {arguments.pairs // 4} or more pairs of cells")
    for number, part in enumerate(np.array_split(seconds, 4), 1):
        first, next_seeds, epoch = (np.median(values) for values in split_seconds(part))
        print(f"runs {number}/4: first of a cell {first:.2f}, its next seeds {next_seeds:.2f}; an epoch {epoch:.3f}")
    command.write_results(arguments.output, words=arguments.words, seconds=seconds.tolist())


if __name__ == "__main__":
    main()
