"""Time of a sweep in one process and in several, which take turns.

A ratio is the time of one process divided by that of the workers: above 1 the workers finish sooner.
"""

import importlib.util
import statistics
import tempfile
import time
from collections.abc import Sequence

from . import command

SWEEP = ["model=lenet", "data=digits", "epochs=40", "seed=range(8)"]


def measure_seconds(words: Sequence[str]) -> float:
    """Return the time of a sweep in a new folder, from its start to its end."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        command.run_sweep(words, folder)
        return time.perf_counter() - start


def main() -> None:
    """Run the benchmark of the command line."""
    parser = command.make_parser(".launchers", __doc__, turns=3)
    parser.add_argument("words", nargs="*", default=SWEEP, help=f"overrides of the sweep (default: {' '.join(SWEEP)})")
    parser.add_argument("--workers", type=command.positive_int, default=2, help="number of processes (default: 2)")
    arguments = parser.parse_args()
    if not _has_launcher():
        parser.error("the workers need a launcher, pip install 'convzoo[parallel]'")
    launcher = ["launcher=parallel", f"launcher.workers={arguments.workers}"]
    turns = []
    for _ in range(arguments.turns):
        one = measure_seconds(arguments.words)
        many = measure_seconds([*arguments.words, *launcher])
        turns.append((one, many))
        print(f"one process {one:.1f} s, {arguments.workers} workers {many:.1f} s: {one / many:.2f}", flush=True)
    ratio = statistics.median(one / many for one, many in turns)
    print(f"median {ratio:.2f}")
    command.write_results(arguments.output, words=arguments.words, turns=turns, median=ratio)


def _has_launcher() -> bool:
    try:
        return bool(importlib.util.find_spec("hydra_plugins.hydra_joblib_launcher"))
    except ModuleNotFoundError:  # no plugin of Hydra is installed
        return False


if __name__ == "__main__":
    main()
