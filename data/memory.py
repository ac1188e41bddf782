"""The memory of this machine, and a check that images fit into it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from .. import UserError

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")  # a line for each hierarchy: number, controllers, path


class _CgroupVersion(NamedTuple):
    """The names of a version of Linux's control groups, which containers and Slurm use."""

    controllers: str
    folder: str
    limit: str
    usage: str
    file_caches: tuple[str, ...]  # lines of `memory.stat`: memory that is freed when a process needs it


_CGROUP_VERSIONS = (
    _CgroupVersion("", ".", "memory.max", "memory.current", ("inactive_file", "active_file")),
    _CgroupVersion(
        "memory",
        "memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        ("total_inactive_file", "total_active_file"),
    ),
)


def total_memory() -> int:
    """Bytes of memory of this machine, or of the container that this process runs in."""
    return min([psutil.virtual_memory().total, *(limit for limit, _ in _container_limits())])


def free_memory() -> int:
    """Bytes that this process may still take: free memory and swap, within the limits of its container.

    Memory that holds copies of files counts as free, because the system drops them when it is needed.
    """
    available = [psutil.virtual_memory().available, *(limit - used for limit, used in _container_limits())]
    return max(min(available), 0) + psutil.swap_memory().free


def process_memory() -> int:
    """Bytes of memory that this process holds."""
    return psutil.Process().memory_info().rss


def _container_limits() -> Iterator[tuple[int, int]]:
    """The limits of this process's control groups and of those around them, each with the bytes in use."""
    for version, folder in _control_groups():
        with contextlib.suppress(OSError, ValueError):  # no control group, or the limit is "max"
            limit, usage = (int((folder / name).read_text()) for name in (version.limit, version.usage))
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            yield limit, usage - sum(int(stat.get(name, 0)) for name in version.file_caches)


def _control_groups() -> Iterator[tuple[_CgroupVersion, Path]]:
    paths: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError):
        for line in _OWN_CGROUPS.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            paths |= dict.fromkeys(controllers.split(","), path.strip("/"))
    for version in _CGROUP_VERSIONS:
        root = _CGROUPS / version.folder
        folder = root / paths.get(version.controllers, "")
        yield version, root
        yield from ((version, each) for each in (folder, *folder.parents) if root in each.parents)


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
