"""Command line of the benchmarks. Bad arguments are refused at once, not after minutes of measuring."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..tracking import environment

TRAIN = Path(__file__).parents[1] / "train.py"


def make_parser(name: str, description: str | None, turns: int | None = None) -> argparse.ArgumentParser:
    """Return a parser with `--output` and perhaps `--turns`.

    Args:
        name: name of the module, with its dot; "" is the package.
        description: the module's docstring.
        turns: default of `--turns`; None (default) leaves the option out.
    """
    parser = argparse.ArgumentParser(prog=f"python -m convzoo.benchmarks{name}", description=description)
    if turns:
        parser.add_argument("--turns", type=positive_int, default=turns, help=f"number of turns (default: {turns})")
    parser.add_argument("--output", type=writable_file, help="JSON file for all numbers")
    return parser


def positive_int(text: str) -> int:
    """Convert an argument to an integer of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number, at least 1. Received: {text}")
    return int(text)


def writable_file(text: str) -> Path:
    """Convert an argument to the path of a file that can be written."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"must be a file in an existing folder. Received: {text}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"must be a file that can be written. Received: {text}")
    return path


def write_results(path: Path | None, **results: Any) -> None:
    """Write results, machine, code and versions as JSON, if a path is given."""
    if path:
        origin = {
            "machine": environment.describe_machine(),
            "code": environment.code_version(),
            "versions": environment.package_versions(),
        }
        path.write_text(json.dumps({**origin, **results}, indent=1))


def run_sweep(words: Sequence[Any], folder: Path | str) -> None:
    """Run a sweep in a folder; its errors are shown, its output is not.

    Args:
        words: arguments of `train.py -m`.
        folder: where it runs.

    Raises:
        SystemExit: the sweep failed.
    """
    if subprocess.run([sys.executable, TRAIN, "-m", *words], cwd=folder, stdout=subprocess.DEVNULL).returncode:
        raise SystemExit(f"the sweep failed: {' '.join(map(str, words))}")
