"""What a run of a sweep takes beside its epochs, and whether the last takes more than the first.

Runs of one process, in turns short and long: the time from a run's start to the next's, less what the epochs take by
the difference of the two.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from mlflow import MlflowClient

from .launchers import TRAIN

SWEEP = ["model=lenet", "data=digits"]
EPOCHS = 2, 7


def starts(words, pairs):
    """Seconds since 1970 at which the runs of a sweep were begun, and the last was ended."""
    with tempfile.TemporaryDirectory() as folder:
        uri = f"sqlite:///{folder}/mlflow.db"
        axes = [f"seed=range({pairs})", f"epochs={EPOCHS[0]},{EPOCHS[1]}", "study=cost", f"tracking.uri={uri}"]
        sweep = [sys.executable, TRAIN, "-m", *words, *axes]
        subprocess.run(sweep, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        client, found, token = MlflowClient(uri), [], None
        experiment = client.get_experiment_by_name("cost").experiment_id
        while token != "":
            page = client.search_runs([experiment], order_by=["attributes.start_time"], page_token=token)
            found, token = [*found, *page], page.token or ""
        return [each.info.start_time / 1000 for each in found] + [found[-1].info.end_time / 1000]


def costs(times):
    """Of each pair of runs, the seconds of one that its epochs did not take, and those of an epoch."""
    took = [after - before for before, after in itertools.pairwise(times)]
    short, long = EPOCHS
    pairs = zip(took[::2], took[1::2], strict=True)
    return [(a - short * (b - a) / (long - short), (b - a) / (long - short)) for a, b in pairs]


def main():
    parser = argparse.ArgumentParser(prog="python -m convzoo.benchmarks.sweep", description=__doc__)
    parser.add_argument("words", nargs="*", default=SWEEP, help=f"what all runs are of; default: {' '.join(SWEEP)}")
    parser.add_argument("--pairs", type=int, default=100, help="of a short run and a long one; default: 100")
    parser.add_argument("--output", help="file for all times in JSON")
    arguments = parser.parse_args()
    if arguments.pairs < 4:
        parser.error(f"--pairs must be at least 4. Received: {arguments.pairs}")
    times = starts(arguments.words, arguments.pairs)
    found = costs(times)
    for quarter in range(4):
        part = found[quarter * len(found) // 4 : (quarter + 1) * len(found) // 4]
        beside, epoch = (statistics.median(values) for values in zip(*part, strict=True))
        print(f"runs {quarter + 1}/4: {beside:.2f} s beside the epochs, {epoch:.3f} s an epoch; medians of {len(part)}")
    if arguments.output:
        Path(arguments.output).write_text(json.dumps({"words": arguments.words, "starts": times}))


if __name__ == "__main__":
    main()
