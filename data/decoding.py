"""Image files as one array, with a copy of it for the next start."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from .. import UserError
from . import cache, images
from .images import ResizeMethod, UnreadableImageError
from .memory import check_fits_memory

log = logging.getLogger("convzoo")

_MAX_LISTED_FILES = 20
_FILES_PER_TASK = 64
_LOGGED_IMAGES = 5000  # images, which take seconds to read
_MIN_SECONDS = 2.0  # images that are decoded faster get no copy
_FORMAT = 1  # of a copy


class ImageFiles(Sequence):
    """Image files of one part, which `decode_files` reads once the splits are known.

    Args:
        files: their paths.
        image_shape: (height, width, channels) of the images that they become.
        method: as for `images.resize`.
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self, files: Sequence[str] | np.ndarray, image_shape: Sequence[int], method: ResizeMethod | None = None
    ) -> None:
        self.files, self.image_shape, self.method = np.array(files, object), tuple(image_shape), method

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array that they become."""
        return len(self.files), *self.image_shape

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, rows: Any) -> ImageFiles:
        return ImageFiles(self.files[rows], self.image_shape, self.method)


def decode_files(parts: Sequence[ImageFiles], path: str | Path) -> tuple[list[np.ndarray], int]:
    """Reads image files, as `images.read_image` does, into one array.

    If this takes seconds, a copy of the array is kept in the data folder of TensorFlow Datasets. The next call takes
    the array from there, unless one of the files has changed.

    Args:
        parts: the files, all of one `image_shape` and `method`.
        path: the folder that holds them.

    Returns:
        A uint8 array (n, height, width, channels) for each part, and the number of files that had another size.

    Raises:
        UserError: files that are no images, with their names; more images than memory holds.
    """
    files = [file for part in parts for file in part.files]
    check_fits_memory(str(path), len(files), parts[0].image_shape)
    copy = _Copy(Path(path), parts[0].image_shape, parts[0].method)
    records = _record_files(files, Path(path))
    decoded = copy.load(records)
    if decoded is None:
        start = time.monotonic()
        decoded = _decode(files, parts[0], Path(path))
        if time.monotonic() - start >= _MIN_SECONDS:
            copy.save(records, *decoded)
    array, is_resized = decoded
    return np.split(array, np.cumsum([len(part) for part in parts])[:-1]), int(is_resized.sum())


def _decode(files: Sequence[str], part: ImageFiles, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The images of files, and whether each of them had another size."""
    height, width, channels = part.image_shape
    if len(files) > _LOGGED_IMAGES:
        log.info("Reading %s images of %s; the next start takes them from a copy", f"{len(files):,}", path)
    array = np.empty((len(files), height, width, channels), np.uint8)
    is_resized = np.zeros(len(files), bool)

    def decode_some(start: int) -> dict[Path, str]:
        reasons: dict[Path, str] = {}
        for i in range(start, min(start + _FILES_PER_TASK, len(files))):
            try:
                array[i], is_resized[i] = images.decode_image(files[i], (height, width, channels), part.method)
            except UnreadableImageError as error:
                reasons[Path(files[i]).relative_to(path)] = error.reason
        return reasons

    unreadable: dict[Path, str] = {}
    with images.strict_decoding(), ThreadPoolExecutor() as pool:
        try:
            for reasons in pool.map(decode_some, range(0, len(files), _FILES_PER_TASK)):
                unreadable |= reasons
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if unreadable:
        names = [f"{file} ({reason})" if reason else str(file) for file, reason in sorted(unreadable.items())]
        more = f" and {len(unreadable) - _MAX_LISTED_FILES} more" if len(unreadable) > _MAX_LISTED_FILES else ""
        share = f"{len(unreadable)} of {len(files)} files"
        raise UserError(f"{path}: {share} cannot be read as images: {', '.join(names[:_MAX_LISTED_FILES])}{more}")
    return array, is_resized


_Record = tuple[str, int, int]  # a file's path within its folder, bytes, and time of change in nanoseconds


def _record_files(files: Sequence[str], path: Path) -> list[_Record] | None:
    """The records of files; None if one of them is gone, which decoding reports."""
    start = len(str(path)) + 1
    try:
        stats = [os.stat(file) for file in files]
    except OSError:
        return None
    return [(file[start:], stat.st_size, stat.st_mtime_ns) for file, stat in zip(files, stats, strict=True)]


class _Copy:
    """The copy of the decoded images of a folder, of one size.

    It holds the images of all files that the run before read. A run that reads a part of them uses it too.

    Args:
        path: the folder.
        image_shape: of the images.
        method: as for `images.resize`.
    """

    def __init__(self, path: Path, image_shape: Sequence[int], method: ResizeMethod | None) -> None:
        from PIL import __version__

        self.image_shape = tuple(image_shape)
        what = [str(path.absolute()), list(image_shape), method or "squash"]
        name = hashlib.blake2b(json.dumps(what).encode(), digest_size=8).hexdigest()
        self.file = cache.copies_folder() / f"files-{name}.npz"
        self.fingerprint = json.dumps([_FORMAT, __version__, *what])  # another Pillow may decode otherwise

    def load(self, records: Sequence[_Record] | None) -> tuple[np.ndarray, np.ndarray] | None:
        """The images of files and whether each had another size; None if the copy lacks one of the files."""
        if records is None or not (known := cache.load_arrays(self.file, self.fingerprint, ["records", "is_resized"])):
            return None
        try:
            rows = {tuple(record): row for row, record in enumerate(json.loads(known["records"].tobytes()))}
            if not all(record in rows for record in records):
                return None
            stored = cache.load_arrays(self.file, self.fingerprint, ["x"])
            if stored is None:
                return None
            x, is_resized = stored["x"], known["is_resized"]
            if x.shape != (len(rows), *self.image_shape) or x.dtype != np.uint8 or is_resized.shape != (len(rows),):
                raise ValueError("the arrays do not belong together")
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            cache.warn_damaged(self.file, error)
            return None
        order = np.array([rows[record] for record in records])
        if np.array_equal(order, np.arange(len(rows))):
            return x, is_resized
        return x[order], is_resized[order]

    def save(self, records: Sequence[_Record] | None, x: np.ndarray, is_resized: np.ndarray) -> None:
        """Replaces the copy."""
        if records is None:
            return
        text = np.frombuffer(json.dumps(records).encode(), np.uint8)
        cache.save_arrays(self.file, self.fingerprint, {"records": text, "is_resized": is_resized, "x": x})
