"""A cache of arrays in an uncompressed `.npz` file, valid as long as the original files do not change."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

log = logging.getLogger("convzoo")

_STAT_FIELDS = ("st_size", "st_mtime_ns")
# They change when another file takes the place of one, or when it is renamed. They mean nothing on another machine.
INODE_FIELDS = ("st_ino", "st_ctime_ns")


def compute_fingerprint(paths: Iterable[Path | str], extra_fields: Sequence[str] = ()) -> str:
    """Writes name, size and time of change of files as text.

    Args:
        paths: of the files.
        extra_fields: further fields of their `stat`.
    """
    files = sorted(paths)
    fields = (*_STAT_FIELDS, *extra_fields)
    stats = [os.stat(file) for file in files]
    return json.dumps(
        [
            [os.path.basename(file), *(getattr(stat, field) for field in fields)]
            for file, stat in zip(files, stats, strict=True)
        ]
    )


def data_folder(directory: str | Path | None = None) -> Path:
    """The data folder of TensorFlow Datasets: `directory`, else `$TFDS_DATA_DIR`, else `~/tensorflow_datasets`."""
    return Path(directory or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser().absolute()


def copies_folder(directory: str | Path | None = None) -> Path:
    """The folder of the copies in the data folder of TensorFlow Datasets."""
    return data_folder(directory) / "convzoo"


def load_arrays(path: Path, fingerprint: str, names: Iterable[str] | None = None) -> dict[str, np.ndarray] | None:
    """Returns the arrays in a file if they have this fingerprint, otherwise None.

    The zip format carries a checksum of every array, and reading verifies it. No pickle is opened.

    Args:
        path: of the file.
        fingerprint: text that changes with the original files.
        names: of the arrays to read; None is all.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            if stored["fingerprint"].item() == fingerprint:
                return {name: stored[name] for name in names or stored.files if name != "fingerprint"}
    except (FileNotFoundError, NotADirectoryError):
        pass
    except Exception as error:  # a flipped bit may show as almost anything
        warn_damaged(path, error)
    return None


def warn_damaged(path: Path, error: Exception) -> None:
    """Logs that a file is damaged."""
    log.warning("%s is damaged and is made again (%s)", path, type(error).__name__)


def save_arrays(path: Path, fingerprint: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays and their fingerprint to a file in one step; logs a warning if it cannot."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            np.savez(file, fingerprint=fingerprint, **arrays)  # type: ignore[arg-type]  # any name is an array
        os.replace(temporary, path)
    except OSError as error:
        log.warning("No quick copy in %s, so the next start is slow too: %s", path.parent, error.strerror)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
