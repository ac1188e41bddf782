"""The terminal that a command prints to: its width, its letters, and its reader, who may leave."""

import codecs
import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TextIO

from .text import fold

_CLOSED = 141  # 128 + SIGPIPE, as of any program whose reader has left
_MINIMUM_WIDTH = 20
_ASCII = {"×": "x", "…": "...", "─": "-", "–": "-", "—": "-", "−": "-", "·": "*", "²": "^2", "’": "'"}


class OutputClosedError(KeyboardInterrupt):
    """Nobody reads what the command prints; like Ctrl-C, it ends a sweep and passes through Hydra."""


@contextlib.contextmanager
def closed_output_interrupts() -> Iterator[None]:
    """Turns a `BrokenPipeError` into an `OutputClosedError`, for where libraries catch every `Exception`."""
    try:
        yield
    except BrokenPipeError as error:
        raise OutputClosedError from error


def terminal_width(stream: TextIO | None = None) -> int | None:
    """Columns of the terminal that a stream writes to.

    Args:
        stream: None is the output stream.

    Returns:
        The environment's `COLUMNS` if it is set, else the terminal's, else None: a file or a pipe has no width.
    """
    stream = stream or sys.stdout
    variable = os.environ.get("COLUMNS", "")
    columns = int(variable) if variable.isdecimal() else 0
    if not columns:
        try:
            columns = os.get_terminal_size(stream.fileno()).columns if stream.isatty() else 0
        except (OSError, ValueError):
            columns = 0
    return max(columns, _MINIMUM_WIDTH) if columns else None


def print_folded(text: str, stream: TextIO | None = None) -> None:
    """Prints text, on a terminal with lines no longer than it is wide."""
    stream = stream or sys.stdout
    print(fold(text, terminal_width(stream) if stream.isatty() else None), file=stream, flush=True)


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_ASCII.get(char, "?") for char in error.object[error.start : error.end]), error.end


@contextlib.contextmanager
def safe_output() -> Iterator[None]:
    """Within it, output ends no command with a traceback.

    A letter that the terminal's encoding lacks is replaced. When the reader has left, as `head` does, the process ends
    without a word.
    """
    codecs.register_error("convzoo.replace", _replace)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure") and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="convzoo.replace")
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except (BrokenPipeError, OutputClosedError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        sys.exit(_CLOSED)
