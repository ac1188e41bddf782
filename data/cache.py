"""Arrays kept in one uncompressed .npz, valid as long as the files they came from are untouched."""

from __future__ import annotations

import contextlib
import json
import logging
import os

import numpy as np

log = logging.getLogger("convzoo")


def fingerprint(paths, more=()):
    """Name, size and time of change of files, as text.

    Args:
        paths: of the files.
        more: further fields of their `stat`.
    """
    stats = [(path.name, path.stat()) for path in sorted(paths)]
    return json.dumps([[name, *(getattr(stat, each) for each in (*_FIELDS, *more))] for name, stat in stats])


_FIELDS = "st_size", "st_mtime_ns"
INODE = "st_ino", "st_ctime_ns"  # what a file that takes another's place, or is renamed, has of its own on this machine


def load(path, expected):
    """Returns the arrays stored under the fingerprint `expected`, or None.

    The zip format carries a checksum of every array, and reading verifies it.
    """
    try:
        with open(path, "rb") as file, np.load(file) as stored:
            if stored["fingerprint"].item() == expected:
                return {name: stored[name] for name in stored.files if name != "fingerprint"}
    except (FileNotFoundError, NotADirectoryError):
        pass
    except Exception as error:  # a flipped bit may show as almost anything
        log.warning("%s is damaged and is made again (%s)", path, type(error).__name__)
    return None


def save(path, expected, arrays):
    """Writes the arrays beside `path` and moves them there; warns where that is not possible."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(unfinished, "wb") as file:
            np.savez(file, fingerprint=expected, **arrays)
        os.replace(unfinished, path)
    except OSError as error:
        log.warning("No quick copy in %s, so the next start is slow too: %s", path.parent, error.strerror)
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink()
