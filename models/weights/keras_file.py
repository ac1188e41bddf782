"""Keras's own files, read without making a single layer: `.keras` and `.weights.h5`."""

import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ... import UserError
from ...settings.text import printable
from ..allowlist import first_line
from ..loading import BYTES, FILES, check_members

MOST_GROUPS = 100_000
DEPTH = 50  # of groups in groups
# What zipfile, h5py and json raise for a damaged file.
_DAMAGE = (
    *(OSError, KeyError, ValueError, RuntimeError, RecursionError, EOFError, MemoryError),
    *(zipfile.BadZipFile, zlib.error),
)


@dataclass(frozen=True)
class KerasFile:
    """The content of a Keras file.

    Attributes:
        layers: mapping from the path of a layer's names to its weights by number.
        config: of the model, as JSON has it; {} in a file of weights alone.
    """

    layers: dict[str, dict[str, np.ndarray]]
    config: dict[str, Any]


def read_keras_file(path: Path) -> KerasFile:
    """Read a `.keras` or `.weights.h5` file of Keras 3. It runs no code, and takes no memory beyond its size.

    Raises:
        UserError: the file is damaged, holds what such a file does not, or was not written by Keras 3.
    """
    with open_h5(path) as content:
        layers = _read_layers(content)
    return KerasFile(layers, _read_config(path) if zipfile.is_zipfile(path) else {})


def read_layer_names(path: Path) -> list[str]:
    """Return the paths of the layers of a Keras file, as `read_keras_file` names them; none for an older `.h5`.

    Raises:
        UserError: as `read_keras_file`.
    """
    with open_h5(path) as content:
        names = _name_groups(content)
        return [_path_of(group, names) for group in names if group.endswith("/vars") and len(content[group])]


@contextmanager
def open_h5(path: Path) -> Iterator[h5py.File]:
    """Open the weights of a `.keras`, `.weights.h5` or `.h5` file, if they all lie in it and do not inflate.

    Raises:
        UserError: the file is damaged, or holds what such a file does not; also for errors inside of the context.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                check_members(archive)
                content = archive.read(FILES[-1])
            file: io.BytesIO | Path = io.BytesIO(content)
            size = len(content)
        else:
            file, size = path, path.stat().st_size
        with h5py.File(file, "r") as opened:
            _check_h5(opened, size)
            yield opened
    except UserError as error:
        raise UserError(f"{printable(path.name)}: {error}") from error
    except _DAMAGE as error:
        raise UserError(f"{printable(path.name)} is no whole file of Keras: {first_line(error)}") from error


def _read_config(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read(FILES[0]))
        return config if isinstance(config, dict) else {}
    except _DAMAGE as error:
        raise UserError(f"{printable(path.name)} is no whole file of Keras: {first_line(error)}") from error


def _read_layers(content: h5py.File) -> dict[str, dict[str, np.ndarray]]:
    names = _name_groups(content)
    layers: dict[str, dict[str, np.ndarray]] = {}
    for group in names:
        if group.endswith("/vars"):
            weights = {number: _read_array(dataset) for number, dataset in _iter_datasets(content[group])}
            if weights:
                layers[_path_of(group, names)] = weights
    if not layers:
        raise UserError("it has no weights as Keras 3 saves them (groups `…/vars`)")
    return layers


def _name_groups(content: h5py.File) -> dict[str, str | None]:
    return {group: _name_of(content, group) for group in _iter_groups(content)}


def _check_h5(content: h5py.File, size: int) -> None:
    """Refuse a file with links, numbers of another file, too many groups, or weights that inflate."""
    most = max(BYTES, 10 * size)
    for group in ["/", *_iter_groups(content)]:
        for _, dataset in _iter_datasets(content[group]):
            if dataset.external or dataset.is_virtual:
                raise UserError(f"{dataset.name} lies in another file; weights must lie in the file itself")
            most -= dataset.nbytes
            if most < 0:
                raise UserError(f"its weights inflate to more than ten times the file's {size:,} bytes")


def _iter_groups(group: h5py.Group, path: str = "") -> Iterator[str]:
    """Yield the paths of all groups. Only what lies in the file itself is followed, so that none is met twice."""
    pending = [(path, group)]
    count = 0
    while pending:
        prefix, parent = pending.pop()
        for key in parent:
            if not isinstance(parent.get(key, getlink=True), h5py.HardLink):
                raise UserError(f"{prefix}/{key} is a link; weights must lie in the file itself")
            if isinstance(child := parent[key], h5py.Group):
                count += 1
                if count > MOST_GROUPS or prefix.count("/") > DEPTH:
                    raise UserError(f"it has more than {MOST_GROUPS:,} groups, or more than {DEPTH} in each other")
                yield f"{prefix}/{key}"
                pending.append((f"{prefix}/{key}", child))


def _iter_datasets(group: h5py.Group) -> Iterator[tuple[str, h5py.Dataset]]:
    for key in sorted(group, key=lambda key: (len(key), key)):
        if isinstance(dataset := group[key], h5py.Dataset):
            yield key, dataset


def _read_array(dataset: h5py.Dataset) -> np.ndarray:
    if dataset.attrs.get("dtype") == "bfloat16" and dataset.dtype.itemsize == 2:
        return (dataset[()].view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    if dataset.dtype.kind not in "fiub":
        raise UserError(f"{dataset.name} must hold numbers. Received: {dataset.dtype}")
    return dataset[()]


def _name_of(content: h5py.File, group: str) -> str | None:
    """Return the name of the layer whose weights a group `…/vars` holds."""
    name = content[group].attrs.get("name") if group.endswith("/vars") else None
    return name if isinstance(name, str) else None


def _path_of(group: str, names: dict[str, str | None]) -> str:
    """Return the path of layer names that leads to a group `…/vars`, the model's own name left out."""
    parts = group.strip("/").split("/")[:-1]
    above = ["/" + "/".join([*parts[:end], "vars"]) for end in range(1, len(parts) + 1)]
    path = [name for each in above if (name := names.get(each)) is not None]
    return "/".join(path) or "/".join(parts)
