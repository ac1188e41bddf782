"""The memory of this machine, and a check that images fit into it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from .. import UserError

_CONTAINER_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def total_memory() -> int:
    """Bytes of memory of this machine, or of the container that this process runs in."""
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        machine = 2**36
    return min([machine, *_container_limits()])


def _container_limits() -> Iterator[int]:
    for path in _CONTAINER_LIMITS:
        try:
            yield int(Path(path).read_text())
        except (OSError, ValueError):  # no container, or "max"
            continue


def check_fits_memory(where: str, images: int, image_shape: tuple[int, ...]) -> None:
    """Refuses images that do not fit into memory, before any is read.

    Args:
        where: names the images in the message.
        images: how many there are.
        image_shape: (height, width, channels).

    Raises:
        UserError: they do not fit.
    """
    height, width, channels = image_shape
    size, memory = images * height * width * channels, total_memory()
    if size > memory:
        raise UserError(
            f"{where}: {images:,} images of {height}×{width}×{channels} take {size / 1e9:,.1f} GB, more than the "
            f"{memory / 1e9:,.1f} GB of memory here. Use data.fraction or a smaller data.image_shape"
        )
