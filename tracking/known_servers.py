"""The MLflow servers that have answered a command in this folder before, listed in `spool/servers`."""

import contextlib
from pathlib import Path

from .outbox.journal import SPOOL


def has_answered(uri: str) -> bool:
    """Return whether a server has ever answered a command in this folder."""
    with contextlib.suppress(OSError):
        return uri in (Path(SPOOL) / "servers").read_text().splitlines()
    return False


def note_answer(uri: str) -> None:
    """Write down that a server answers."""
    if not has_answered(uri):
        with contextlib.suppress(OSError):
            Path(SPOOL).mkdir(exist_ok=True)
            with (Path(SPOOL) / "servers").open("a") as file:
                file.write(f"{uri}\n")
