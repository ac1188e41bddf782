"""Speed table: our training, Keras's `fit`, a PyTorch script and the limit of the machine.

Each contestant trains in a process of its own, those of Keras on the backend that `KERAS_BACKEND` names. They take
turns of one epoch while the others wait, and another one starts each turn. Numbers are medians over the turns; ratios
are computed within a turn.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import command
from .contestants import ENVIRONMENT, NAMES, SHARED_ENVIRONMENT, STEPS

RATIOS = {  # title: which speed, and the contestants of which the fastest counts
    "Keras fit": ("rate", ["keras_fit"]),
    "its steps": ("steps", ["keras_fit"]),
    "Keras fit, bfloat16": ("rate", ["keras_fit_bfloat16"]),
    "bfloat16, its steps": ("steps", ["keras_fit_bfloat16"]),
    "PyTorch": ("rate", ["pytorch"]),
    "PyTorch, its best": ("rate", ["pytorch", "pytorch_fast", "pytorch_compiled"]),
    "a bare loop": ("steps", ["bare_loop"]),
    "the matrix product": ("steps", ["ceiling"]),
}
IMAGE_SUFFIXES = (".png", ".svg", ".pdf")

Turn = dict[str, dict[str, Any]]  # results of an epoch by contestant


class Contestant:
    """A process that trains for one epoch at a time, and waits.

    Args:
        name: name of the contestant.
        network: name of the network.
        folder: folder for its files.
        settings: further settings of the contestant, such as `steps`.
    """

    def __init__(self, name: str, network: str, folder: str, **settings: Any):
        self.title = f"{name} on {network}"
        self.error_file = Path(folder, f"{name}.txt")
        words = [sys.executable, "-m", "convzoo.benchmarks.contestants", name, network]
        words += [f"{key}={value}" for key, value in settings.items()]
        environment = {**SHARED_ENVIRONMENT, **os.environ, **ENVIRONMENT.get(name, {})}
        environment["PROCESS_START"] = str(time.time())
        working_folder = Path(folder, name)
        working_folder.mkdir()
        with self.error_file.open("w") as errors:
            self.process = subprocess.Popen(
                words,
                text=True,
                env=environment,
                cwd=working_folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )

    def run_epoch(self, is_first: bool = False) -> dict[str, Any]:
        """Return the results of the next epoch.

        Args:
            is_first: whether it is the first epoch, which starts by itself; default False.

        Raises:
            SystemExit: the process has ended.
        """
        assert self.process.stdin
        assert self.process.stdout
        if not is_first:
            with contextlib.suppress(BrokenPipeError):  # it has ended; its error is reported below
                self.process.stdin.write("\n")
                self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.title}: {find_error_line(self.error_file.read_text())}")
        return json.loads(line)


def find_error_line(output: str) -> str:
    """Return the line of a process's output that names its error, or the last one."""
    lines = output.strip().splitlines() or ["the process ended"]
    return next((line for line in reversed(lines) if re.match(r"error:|[\w.]*(Error|Exception)\b", line)), lines[-1])


def run_turns(network: str, names: Sequence[str], count: int, steps: int) -> list[Turn]:
    """Run contestants in turns; the bare loop runs in the precision of `ours`.

    Args:
        network: name of the network.
        names: names of the contestants.
        count: number of turns.
        steps: number of steps of an epoch.

    Returns:
        A mapping from contestants to results, for each turn.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as processes:
        contestants: dict[str, Contestant] = {}
        first_epochs: Turn = {}
        turns: list[Turn] = []
        for name in names:
            settings = (
                {"precision": first_epochs["ours"]["precision"]}
                if name == "bare_loop" and "ours" in first_epochs
                else {}
            )
            contestants[name] = Contestant(name, network, folder, steps=steps, **settings)
            processes.enter_context(contestants[name].process)  # at the end its input is closed, and it exits
            first_epochs[name] = contestants[name].run_epoch(is_first=True)
            seconds = first_epochs[name]["first"]
            print(f"  {name:20} {f'first step after {seconds:.1f} s' if seconds else 'started'}", flush=True)
        for turn in range(count):
            start = turn % len(names)  # after a matrix product the processor may be slower
            results = {name: contestants[name].run_epoch() for name in [*names[start:], *names[:start]]}
            turns.append({name: results[name] for name in names})
            print("  " + ", ".join(f"{name} {results[name]['rate']:,.0f}" for name in names), flush=True)
        return turns


def compute_ratios(turns: Sequence[Turn]) -> dict[str, list[float]]:
    """Return the speed of `ours` divided by that of each entry of `RATIOS` that took part, for each turn."""
    present = {title: (speed, [name for name in names if name in turns[0]]) for title, (speed, names) in RATIOS.items()}
    return {
        title: [turn["ours"][speed] / max(turn[name][speed] for name in names) for turn in turns]
        for title, (speed, names) in present.items()
        if names
    }


def format_spread(values: Iterable[float], form: str) -> str:
    """Return median, least and most of values, such as "3.00 (2.00–4.00)"."""
    values = list(values)
    median, low, high = (format(value, form) for value in (statistics.median(values), min(values), max(values)))
    return f"{median} ({low}–{high})"


def format_table(results: Mapping[str, Sequence[Turn]]) -> str:
    """Return a Markdown table with a row for each network: medians over the turns, with the least and the most."""
    titles = list(dict.fromkeys(title for turns in results.values() for title in compute_ratios(turns)))
    lines = [
        "| network | ours, images/s | " + " | ".join(titles) + " | start, by Keras's |",
        "|---" * (len(titles) + 3) + "|",
    ]
    for network, turns in results.items():
        ratios = compute_ratios(turns)
        last = turns[-1]
        rate = format_spread([turn["ours"]["rate"] for turn in turns], ",.0f")
        cells = [format_spread(ratios[title], ".2f") if title in ratios else "–" for title in titles]
        start = f"{last['ours']['first'] / last['keras_fit']['first']:.2f}" if "keras_fit" in last else "–"
        lines.append(f"| {network}, {last['ours']['precision']} | {rate} | " + " | ".join([*cells, start]) + " |")
    return "\n".join(lines)


def plot_rates(results: Mapping[str, Sequence[Turn]], file: Path) -> None:
    """Draw bars of images per second, a group for each network, into a file."""
    from matplotlib.figure import Figure

    names = [name for name in NAMES if all(name in turn for turns in results.values() for turn in turns)]
    figure = Figure(figsize=(8, 1 + 0.28 * len(names) * len(results)), layout="constrained")
    axes = figure.subplots(len(results), squeeze=False)[:, 0]
    colors = ["C1" if name == "ours" else "0.6" for name in names]
    for ax, (network, turns) in zip(axes, results.items(), strict=True):
        rates = [[turn[name]["rate"] for turn in turns] for name in names]
        medians = [statistics.median(values) for values in rates]
        errors = [
            [median - min(values) for median, values in zip(medians, rates, strict=True)],
            [max(values) - median for median, values in zip(medians, rates, strict=True)],
        ]
        ax.barh([name.replace("_", " ") for name in names], medians, xerr=errors, color=colors, ecolor="0.3")
        ax.invert_yaxis()
        ax.set_title(network, loc="left")
    axes[-1].set_xlabel("training images per second")
    figure.savefig(file)


def main() -> None:
    """Run the benchmark of the command line."""
    parser = _make_parser()
    arguments = parser.parse_args()
    if unknown := set(arguments.networks) - set(STEPS):
        parser.error(f"networks must be of {', '.join(STEPS)}. Received: {', '.join(sorted(unknown))}")
    if arguments.plot and arguments.plot.suffix not in IMAGE_SUFFIXES:
        parser.error(f"--plot must end in {', '.join(IMAGE_SUFFIXES)}. Received: {arguments.plot}")
    names = [name for name in NAMES if name in arguments.only]  # ours before the bare loop, which has its precision
    if missing := _describe_missing(names):
        parser.error(f"{missing}; or leave it out with --only")
    results: dict[str, list[Turn]] = {}
    try:
        for network in arguments.networks:
            print(f"{network}: images/s in {arguments.turns} turns", flush=True)
            results[network] = run_turns(network, names, arguments.turns, arguments.steps or STEPS[network])
            command.write_results(arguments.output, networks=results)  # a later network may fail
    finally:
        if "ours" in names and results:
            print(f"\nours divided by theirs: above 1 ours is faster\n\n{format_table(results)}")
    if arguments.plot:
        plot_rates(results, arguments.plot)


def _make_parser() -> argparse.ArgumentParser:
    parser = command.make_parser("", __doc__, turns=5)
    parser.add_argument("networks", nargs="*", default=list(STEPS), help=f"networks (default: {' '.join(STEPS)})")
    parser.add_argument("--steps", type=command.positive_int, help="steps of a turn (default: some seconds of them)")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, help="contestants (put it after networks)")
    parser.add_argument("--plot", type=command.writable_file, help=f"file for bars ({', '.join(IMAGE_SUFFIXES)})")
    return parser


def _describe_missing(names: Sequence[str]) -> str | None:
    """Return what contestants need and the machine lacks, or None."""
    scripts = [name for name in names if name.startswith("pytorch")]
    if scripts and not importlib.util.find_spec("torch"):
        return f"`{scripts[0]}` needs torch, pip install 'convzoo[torch]'"
    if "pytorch_compiled" in scripts and not any(map(shutil.which, ("c++", "g++", "clang++"))):
        return "`pytorch_compiled` needs a C++ compiler"
    return None


if __name__ == "__main__":
    main()
