"""The speed table: our training beside Keras's `fit`, a PyTorch script and what the processor could do.

Each contestant trains in a process of its own, and all take turns; numbers are medians over the turns, ratios are taken
within a turn.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from .contestants import CONTESTANTS, ENVIRONMENT, STEPS

NAMES = [each.__name__ for each in CONTESTANTS]
AGAINST = {  # ours by the best of theirs
    "Keras fit": ("rate", ["keras_fit"]),
    "Keras fit, bfloat16": ("rate", ["keras_fit_bfloat16"]),
    "PyTorch": ("rate", ["pytorch"]),
    "PyTorch, its best": ("rate", ["pytorch", "pytorch_fast", "pytorch_compiled"]),
    "a bare loop": ("steps", ["bare"]),
    "the matrix product": ("steps", ["ceiling"]),
}


def measured(name, network, **settings):
    """What one contestant prints, from a process of its own."""
    words = [sys.executable, "-m", "convzoo.benchmarks.contestants", name, network]
    words += [f"{key}={value}" for key, value in settings.items()]
    environment = {**os.environ, **ENVIRONMENT.get(name, {}), "BEGUN": str(time.time())}
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{name} on {network}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def turn(network, names):
    """Every contestant once, in this order; the bare loop in the precision that ours took."""
    found = {}
    for name in names:
        settings = {"precision": found["ours"]["precision"]} if name == "bare" and "ours" in found else {}
        found[name] = measured(name, network, **settings)
        first = f", first step after {found[name]['first']:.1f} s" if "first" in found[name] else ""
        print(f"  {name:20} {found[name]['rate']:>9,.0f} images/s{first}", flush=True)
    return found


def ratios(turns):
    """By contestant: ours by theirs, a number a turn."""
    return {
        title: [each["ours"][what] / max(each[name]["rate"] for name in names) for each in turns]
        for title, (what, names) in AGAINST.items()
        if all({"ours", *names} <= set(each) for each in turns)
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
    for network, turns in results.items():
        found = ratios(turns)
        rate = spread([each["ours"]["rate"] for each in turns], ",.0f")
        starts = [each["ours"]["first"] / each["keras_fit"]["first"] for each in turns if "keras_fit" in each]
        cells = [spread(found[title], ".2f") if title in found else "–" for title in titles]
        lines.append(
            f"| {network}, {turns[0]['ours']['precision']} | {rate} | "
            + " | ".join([*cells, spread(starts, ".2f") if starts else "–"])
            + " |"
        )
    return "\n".join(lines)


def picture(results, file):
    """Bars of images a second, as parts of ours, a group a network."""
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
    parser = argparse.ArgumentParser(prog="python -m convzoo.benchmarks", description=__doc__)
    parser.add_argument("networks", nargs="*", default=list(STEPS), help=f"default: {' '.join(STEPS)}")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, help="the contestants; default: all")
    parser.add_argument("--output", help="file for all numbers in JSON")
    parser.add_argument("--picture", help="file for bars (.png, .svg, .pdf)")
    arguments = parser.parse_args()
    if unknown := set(arguments.networks) - set(STEPS):
        parser.error(f"networks must be of {', '.join(STEPS)}. Received: {', '.join(sorted(unknown))}")
    results = {}
    for number in range(arguments.turns):
        for network in arguments.networks:
            print(f"{network}, turn {number + 1} of {arguments.turns}", flush=True)
            results.setdefault(network, []).append(turn(network, arguments.only))
    if arguments.output:
        Path(arguments.output).write_text(json.dumps(results, indent=1))
    if "ours" in arguments.only:
        print(f"\nours by theirs: above 1 ours is faster\n\n{table(results)}")
    if arguments.picture:
        picture(results, arguments.picture)


if __name__ == "__main__":
    main()
