"""Arrays from an untrusted `.npz` file: no pickle is opened, and nothing larger than memory is read."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from .memory import total_memory


def load_arrays(path: str | Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Reads arrays of an `.npz` file.

    Args:
        path: the file.
        names: of the arrays to read. No other member of the file is opened.

    Returns:
        A mapping from name to array, of those names that the file has.

    Raises:
        ValueError: the file is not an `.npz` or is damaged; it holds Python objects; its arrays are larger than this
            machine's memory.
        OSError: it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            files = {f"{name}.npy": name for name in names}
            members = [archive.getinfo(file) for file in files if file in archive.NameToInfo]
            _check_sizes(archive, members)
            return {files[member.filename]: _read(archive, member) for member in members}
    except (ValueError, OSError):
        raise
    except Exception as error:  # a flipped bit may show as almost anything
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as stream:
        array = np.lib.format.read_array(stream, allow_pickle=False)
        stream.read(1)  # the checksum is compared at the end
        return array


def _check_sizes(archive: zipfile.ZipFile, members: Sequence[zipfile.ZipInfo]) -> None:
    memory, total = total_memory(), 0
    for member in members:
        with archive.open(member) as stream:
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(stream)
        if dtype.hasobject:
            raise ValueError(f"{member.filename} holds Python objects, and they are not opened")
        size = math.prod(shape) * dtype.itemsize
        total += max(size, member.file_size)
        if total > memory:
            raise ValueError(f"{member.filename} says that it has {size:,} bytes, more than this machine's memory")
        if size > member.file_size:
            raise ValueError(f"{member.filename} says that it has {size:,} bytes, and holds {member.file_size:,}")
