"""Image files as one array."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from .. import UserError
from . import images
from .images import ResizeMethod, UnreadableImageError
from .memory import check_fits_memory

log = logging.getLogger("convzoo")

_MAX_LISTED_FILES = 20
_FILES_PER_TASK = 64
_LOGGED_IMAGES = 5000  # images, which take seconds to read


class ImageFiles(Sequence):
    """Image files of one part, which `decode_files` reads once the splits are known.

    Args:
        files: their paths.
        image_shape: (height, width, channels) of the images that they become.
        method: as for `images.resize`.
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self, files: Sequence[Path] | np.ndarray, image_shape: Sequence[int], method: ResizeMethod | None = None
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
    array, is_resized = _decode(files, parts[0], Path(path))
    return np.split(array, np.cumsum([len(part) for part in parts])[:-1]), int(is_resized.sum())


def _decode(files: Sequence[Path], part: ImageFiles, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The images of files, and whether each of them had another size."""
    height, width, channels = part.image_shape
    if len(files) > _LOGGED_IMAGES:
        log.info("Reading %s images of %s", f"{len(files):,}", path)
    array = np.empty((len(files), height, width, channels), np.uint8)
    is_resized = np.zeros(len(files), bool)

    def decode_some(start: int) -> dict[Path, str]:
        reasons: dict[Path, str] = {}
        for i in range(start, min(start + _FILES_PER_TASK, len(files))):
            try:
                array[i], is_resized[i] = images.decode_image(files[i], (height, width, channels), part.method)
            except UnreadableImageError as error:
                reasons[files[i].relative_to(path)] = error.reason
        return reasons

    unreadable: dict[Path, str] = {}
    with images.strict_decoding(), ThreadPoolExecutor(_count_processors()) as pool:
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


def _count_processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1
