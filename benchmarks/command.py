"""What the benchmarks' commands have in common: bad words are refused at once, not after minutes of measuring."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from ..tracking import environment

TRAIN = Path(__file__).parents[1] / "train.py"


def parser(name, description, turns=None):
    """An `ArgumentParser` with `--turns`, if a default is given, and `--output`.

    Args:
        name: of the module, with its point; "" is the package.
        description: the module's docstring.
        turns: default of `--turns`.
    """
    found = argparse.ArgumentParser(prog=f"python -m convzoo.benchmarks{name}", description=description)
    if turns:
        found.add_argument("--turns", type=count, default=turns, help=f"default: {turns}")
    found.add_argument("--output", type=place, help="file for all numbers in JSON")
    return found


def count(text):
    """A whole number, at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number, at least 1. Received: {text}")
    return int(text)


def place(text):
    """The path of a file that may come to be."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"must be a file in a folder that is there. Received: {text}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"must be a file that may be written. Received: {text}")
    return path


def write(path, **found):
    """Writes what was found, and where, as JSON, if a path was given."""
    if path:
        where = {"machine": environment.machine(), "code": environment.code(), "versions": environment.versions()}
        path.write_text(json.dumps({**where, **found}, indent=1))


def sweep(words, folder):
    """Makes the runs of a sweep in a folder; their output is not shown, what they complain of is.

    Raises:
        SystemExit: it failed.
    """
    if subprocess.run([sys.executable, TRAIN, "-m", *words], cwd=folder, stdout=subprocess.DEVNULL).returncode:
        raise SystemExit(f"the sweep failed: {' '.join(map(str, words))}")
