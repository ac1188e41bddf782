"""The speed table: our training beside Keras's `fit`, a PyTorch script and what the machine could do.

Each contestant trains in a process of its own, those of Keras on the backend that `KERAS_BACKEND` names. They take
turns, one epoch each, while the others wait, and each turn another one begins; numbers are medians over the turns,
ratios are taken within a turn.
"""

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
from pathlib import Path

from . import command
from .contestants import CONTESTANTS, ENVIRONMENT, SHARED, STEPS

NAMES = [each.__name__ for each in CONTESTANTS]
AGAINST = {  # ours by the best of theirs
    "Keras fit": ("rate", ["keras_fit"]),
    "its steps": ("steps", ["keras_fit"]),
    "Keras fit, bfloat16": ("rate", ["keras_fit_bfloat16"]),
    "bfloat16, its steps": ("steps", ["keras_fit_bfloat16"]),
    "PyTorch": ("rate", ["pytorch"]),
    "PyTorch, its best": ("rate", ["pytorch", "pytorch_fast", "pytorch_compiled"]),
    "a bare loop": ("steps", ["bare"]),
    "the matrix product": ("steps", ["ceiling"]),
}
PICTURES = (".png", ".svg", ".pdf")


class Contestant:
    """A process that trains for an epoch when it is asked to, and waits.

    Args:
        name, network: as `contestants` has them; `settings` too.
        folder: for what it writes.
    """

    def __init__(self, name, network, folder, **settings):
        self.what, self.said = f"{name} on {network}", Path(folder, f"{name}.txt")
        words = [sys.executable, "-m", "convzoo.benchmarks.contestants", name, network]
        words += [f"{key}={value}" for key, value in settings.items()]
        environment = {**SHARED, **os.environ, **ENVIRONMENT.get(name, {}), "BEGUN": str(time.time())}
        place = Path(folder, name)
        place.mkdir()
        with self.said.open("w") as said:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": said}
            self.process = subprocess.Popen(words, text=True, env=environment, cwd=place, **pipes)

    def epoch(self, first=False):
        """What it says of its next epoch; it begins the first by itself."""
        if not first:
            with contextlib.suppress(BrokenPipeError):  # it has ended, and what it said is told below
                self.process.stdin.write("\n")
                self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.what}: {_complaint(self.said.read_text())}")
        return json.loads(line)


def _complaint(said):
    """Of what a process said before it ended the line that tells why."""
    lines = said.strip().splitlines() or ["it ended"]
    return next((line for line in reversed(lines) if re.match(r"error:|[\w.]*(Error|Exception)\b", line)), lines[-1])


def turns(network, names, count, steps):
    """By contestant what an epoch of so many steps gave, a mapping a turn; the bare loop in ours' precision."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as ends:
        begun, firsts, found = {}, {}, []
        for name in names:
            settings = {"precision": firsts["ours"]["precision"]} if name == "bare" and "ours" in firsts else {}
            begun[name] = Contestant(name, network, folder, steps=steps, **settings)
            ends.enter_context(begun[name].process)  # in the end its input is closed, and it is waited for
            firsts[name] = begun[name].epoch(first=True)
            first = f"first step after {firsts[name]['first']:.1f} s" if firsts[name]["first"] else "begun"
            print(f"  {name:20} {first}", flush=True)
        for turn in range(count):
            start = turn % len(names)  # who comes after a matrix product may find the processor slower
            order = [*names[start:], *names[:start]]
            told = {name: begun[name].epoch() for name in order}
            found.append({name: told[name] for name in names})
            print("  " + ", ".join(f"{name} {each['rate']:,.0f}" for name, each in found[-1].items()), flush=True)
        return found


def ratios(turns):
    """By contestant, if it took part: ours by the best of theirs, a number a turn."""
    present = {title: (what, [name for name in names if name in turns[0]]) for title, (what, names) in AGAINST.items()}
    return {
        title: [each["ours"][what] / max(each[name][what] for name in names) for each in turns]
        for title, (what, names) in present.items()
        if names
    }


def spread(values, form):
    middle, low, high = (format(value, form) for value in (statistics.median(values), min(values), max(values)))
    return f"{middle} ({low}–{high})"


def table(results):
    """Markdown: a row a network; medians over the turns, in brackets the least and the most."""
    titles = list(dict.fromkeys(title for turns in results.values() for title in ratios(turns)))
    lines = [
        "| network | ours, images/s | " + " | ".join(titles) + " | start, by Keras's |",
        "|---" * (len(titles) + 3) + "|",
    ]
    for network, found in results.items():
        by, last = ratios(found), found[-1]
        rate = spread([each["ours"]["rate"] for each in found], ",.0f")
        cells = [spread(by[title], ".2f") if title in by else "–" for title in titles]
        start = f"{last['ours']['first'] / last['keras_fit']['first']:.2f}" if "keras_fit" in last else "–"
        lines.append(f"| {network}, {last['ours']['precision']} | {rate} | " + " | ".join([*cells, start]) + " |")
    return "\n".join(lines)


def picture(results, file):
    """Bars of images a second, a group a network."""
    from matplotlib.figure import Figure

    names = [name for name in NAMES if all(name in each for turns in results.values() for each in turns)]
    figure = Figure(figsize=(8, 1 + 0.28 * len(names) * len(results)), layout="constrained")
    axes = figure.subplots(len(results), squeeze=False)[:, 0]
    for ax, (network, turns) in zip(axes, results.items(), strict=True):
        rates = [[each[name]["rate"] for each in turns] for name in names]
        middle = [statistics.median(values) for values in rates]
        errors = [
            [m - min(v) for m, v in zip(middle, rates, strict=True)],
            [max(v) - m for m, v in zip(middle, rates, strict=True)],
        ]
        colors = ["C1" if name == "ours" else "0.6" for name in names]
        ax.barh([name.replace("_", " ") for name in names], middle, xerr=errors, color=colors, ecolor="0.3")
        ax.invert_yaxis()
        ax.set_title(network, loc="left")
    axes[-1].set_xlabel("training images a second")
    figure.savefig(file)


def main():
    parser = command.parser("", __doc__, turns=5)
    parser.add_argument("networks", nargs="*", default=list(STEPS), help=f"default: {' '.join(STEPS)}")
    parser.add_argument("--steps", type=command.count, help="of a turn; default: some seconds of them")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, help="the contestants; behind the networks")
    parser.add_argument("--picture", type=command.place, help=f"file for bars ({', '.join(PICTURES)})")
    arguments = parser.parse_args()
    if unknown := set(arguments.networks) - set(STEPS):
        parser.error(f"networks must be of {', '.join(STEPS)}. Received: {', '.join(sorted(unknown))}")
    if arguments.picture and arguments.picture.suffix not in PICTURES:
        parser.error(f"--picture must end in {', '.join(PICTURES)}. Received: {arguments.picture}")
    names = [name for name in NAMES if name in arguments.only]  # ours before the bare loop, which takes its precision
    if lacking := _lacking(names):
        parser.error(f"{lacking}; or leave it out by --only")
    results = {}
    try:
        for network in arguments.networks:
            print(f"{network}: images/s in {arguments.turns} turns", flush=True)
            results[network] = turns(network, names, arguments.turns, arguments.steps or STEPS[network])
            command.write(arguments.output, networks=results)  # what comes after may fail
    finally:
        if "ours" in names and results:
            print(f"\nours by theirs: above 1 ours is faster\n\n{table(results)}")
    if arguments.picture:
        picture(results, arguments.picture)


def _lacking(names):
    """What contestants need and the machine lacks, or None."""
    scripts = [name for name in names if name.startswith("pytorch")]
    if scripts and not importlib.util.find_spec("torch"):
        return f"`{scripts[0]}` needs torch, pip install 'convzoo[torch]'"
    if "pytorch_compiled" in scripts and not any(map(shutil.which, ("c++", "g++", "clang++"))):
        return "`pytorch_compiled` needs a C++ compiler"
    return None


if __name__ == "__main__":
    main()
