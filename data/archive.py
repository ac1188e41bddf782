"""Arrays from an `.npz` that may come from a stranger: no pickle is opened, and nothing larger than memory is read."""

from __future__ import annotations

import math
import os
import zipfile

import numpy as np


def load(path):
    """The arrays of an `.npz` file, a mapping from name to array.

    Raises:
        ValueError: it is none, or damaged; it holds Python objects; it says that it is larger than this machine's
            memory.
        OSError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            with zipfile.ZipFile(file) as archive:
                _measure(archive)
            file.seek(0)
            with np.load(file, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
    except (ValueError, OSError):
        raise
    except Exception as error:  # a flipped bit may show as almost anything
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _measure(archive):
    memory, total = _memory(), 0
    for member in archive.infolist():
        with archive.open(member) as stream:
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(stream)
        if dtype.hasobject:
            raise ValueError(f"{member.filename} holds Python objects, and they are not opened")
        wanted = math.prod(shape) * dtype.itemsize
        total += max(wanted, member.file_size)
        if total > memory:
            raise ValueError(f"{member.filename} says that it has {wanted:,} bytes, more than this machine's memory")
        if wanted > member.file_size:
            raise ValueError(f"{member.filename} says that it has {wanted:,} bytes, and holds {member.file_size:,}")


def _memory():
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return 2**36
