"""Time of a sweep in several processes beside the same in one, the two taking turns.

A ratio is the time of one process by that of the workers: above 1 the workers are sooner done.
"""

import importlib.util
import statistics
import tempfile
import time

from . import command

SWEEP = ["model=lenet", "data=digits", "epochs=40", "seed=range(8)"]


def seconds(words):
    """Of a command in a folder of its own, from its start to its end."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        command.sweep(words, folder)
        return time.perf_counter() - begun


def main():
    parser = command.parser(".launchers", __doc__, turns=3)
    parser.add_argument("words", nargs="*", default=SWEEP, help=f"the sweep; default: {' '.join(SWEEP)}")
    parser.add_argument("--workers", type=command.count, default=2, help="default: 2")
    arguments = parser.parse_args()
    if not _has_launcher():
        parser.error("the workers need a launcher, pip install 'convzoo[parallel]'")
    workers, turns = ["launcher=parallel", f"launcher.workers={arguments.workers}"], []
    for _ in range(arguments.turns):
        one, many = seconds(arguments.words), seconds([*arguments.words, *workers])
        turns.append((one, many))
        print(f"one process {one:.1f} s, {arguments.workers} workers {many:.1f} s: {one / many:.2f}", flush=True)
    ratio = statistics.median(one / many for one, many in turns)
    print(f"median {ratio:.2f}")
    command.write(arguments.output, words=arguments.words, turns=turns, median=ratio)


def _has_launcher():
    try:
        return bool(importlib.util.find_spec("hydra_plugins.hydra_joblib_launcher"))
    except ModuleNotFoundError:  # none of Hydra's plugins is there
        return False


if __name__ == "__main__":
    main()
