"""Further test sets of a run: an `.npz` file, a folder with a folder of images for each class, or a set of TFDS.

The setting `data.extra_tests` lists them. A run is tested on each at its end, beside its own test split.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import UserError
from . import splits, tfds_splits
from .images import resize_images
from .sources import image_files, tfds

KEY = "data.extra_tests"
# Names whose metric, `test_NAME_accuracy`, a run records already.
_RESERVED = ("flip", "shift", "top5", "views")


@dataclass(frozen=True, eq=False)
class ExtraTest:
    """A further test set that is listed and checked, but not decoded.

    Attributes:
        name: of its metric, `test_NAME_accuracy`.
        x: images, a uint8 array or `ImageFiles`.
        y: labels, int32 of shape `(n,)`.
        source: a sentence that says where the images came from.
    """

    name: str
    x: Any
    y: np.ndarray
    source: str

    def decode(self) -> np.ndarray:
        """Return the images as a uint8 array of shape `(n, height, width, channels)`."""
        if isinstance(self.x, image_files.ImageFiles):
            (x,), _ = image_files.decode_files([self.x], self.source)
            return x
        return self.x


def name_extra_tests(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the further test sets of a data config.

    The name is the file's without its suffix, the folder's, or that of the set of TFDS without its version. It is
    written in lower case, with _ for characters other than letters and digits.

    Args:
        config: the keys of a file in `configs/data`.

    Raises:
        UserError: two of one name, or a name whose metric a run records already.
    """
    names: dict[str, str] = {}
    for place in config.get("extra_tests") or ():
        if parsed := _parse_set(place):
            stem = re.sub(r":[\d.]+", "", "_".join(filter(None, parsed)))
        else:
            stem = Path(place).expanduser().absolute().name.removesuffix(".npz")
        name = re.sub(r"\W+", "_", stem.lower(), flags=re.ASCII).strip("_")
        if not name or name in _RESERVED:
            raise UserError(
                f"`{KEY}` must have names other than {', '.join(_RESERVED)}, whose metrics a run has already. "
                f"Received: {place}. Rename it"
            )
        if name in names:
            raise UserError(
                f"`{KEY}` must have different names: {names[name]} and {place} both give `test_{name}_accuracy`. "
                "Rename one of them"
            )
        names[name] = place
    return tuple(names)


def check_extra_tests(config: Mapping[str, Any]) -> None:
    """Refuse further test sets that are not there or do not fit, within seconds; sets of TFDS are not read.

    Args:
        config: the keys of a file in `configs/data`.

    Raises:
        UserError: a set is not there and cannot be fetched, has images of another shape or kind, or a class that the
            data set lacks.
    """
    for name, place in zip(name_extra_tests(config), config.get("extra_tests") or (), strict=True):
        if parsed := _parse_set(place):
            described, choice = _describe_set(place, *parsed, config)
            tfds.check_available(described.tfds, _tfds_folder(config), choice)
        else:
            _list_files(name, place, config)


def list_extra_tests(config: Mapping[str, Any]) -> list[ExtraTest]:
    """List the further test sets of a data config and check them; no image file is decoded.

    Args and errors as those of `check_extra_tests`.
    """
    places = config.get("extra_tests") or ()
    return [
        (_read_set if _parse_set(place) else _list_files)(name, place, config)
        for name, place in zip(name_extra_tests(config), places, strict=True)
    ]


def fingerprint_extra_tests(config: Mapping[str, Any]) -> list[str]:
    """Return texts that change with the files of the further test sets."""
    return [_fingerprint(place, config) for place in config.get("extra_tests") or ()]


def _fingerprint(place: str, config: Mapping[str, Any]) -> str:
    if parsed := _parse_set(place):
        described, _ = _describe_set(place, *parsed, config)
        return tfds.fingerprint(described.tfds, _tfds_folder(config))
    return image_files.fingerprint_test(_resolve_path(place))


def _list_files(name: str, place: str, config: Mapping[str, Any]) -> ExtraTest:
    path = _resolve_path(place)
    x, y = image_files.read_test(path, config["image_shape"], config["class_names"], config.get("resize"))
    return _check(ExtraTest(name, x, y, str(path)), config)


def _read_set(name: str, place: str, config: Mapping[str, Any]) -> ExtraTest:
    set_name, split = _parse_set(place) or ("", "")
    described, choice = _describe_set(place, set_name, split, config)
    parts, source = tfds.read(
        described.tfds, _tfds_folder(config), tuple(config["image_shape"]), choice, method=config.get("resize")
    )
    x, y = parts["test"]
    labels = _match_classes(described, place, config["class_names"])
    if labels is not None:
        if np.any((y < 0) | (y >= len(labels))):  # TFDS writes -1 for no label
            raise UserError(f"`{KEY}`: {source}: labels from {y.min()} to {y.max()}, the set has {len(labels)} classes")
        y = labels[y]
    return _check(ExtraTest(name, x, y, source), config)


def _check(test: ExtraTest, config: Mapping[str, Any]) -> ExtraTest:
    image_shape = tuple(config["image_shape"])
    x = resize_images(test.x, image_shape, config.get("resize"), test.source)
    splits.check_images_and_labels(f"`{KEY}`: {test.source}", x, test.y, image_shape, len(config["class_names"]))
    return replace(test, x=x, y=test.y.astype(np.int32))


def _match_classes(described: tfds.SetDescription, place: str, class_names: Sequence[str]) -> np.ndarray | None:
    """The labels in the data set of a test set's labels, by the names of the classes; None where they are the same.

    Raises:
        UserError: a class that the data set lacks, or, where the classes have no names, another number of them.
    """
    names = described.class_names
    if names == tuple(class_names):
        return None
    if names == tuple(map(str, range(len(names)))):  # a set that does not name its classes
        if len(names) != len(class_names):
            raise UserError(f"`{KEY}`: {place} has {len(names)} classes, `data.classes` is {len(class_names)}")
        return None
    labels = {name: label for label, name in enumerate(class_names)}
    if unknown := [name for name in names if name not in labels]:
        raise UserError(f"`{KEY}`: {place} has a class that is not in `data.class_names`: {unknown[0]}")
    return np.array([labels[name] for name in names], np.int32)


def _describe_set(
    place: str, name: str, split: str, config: Mapping[str, Any]
) -> tuple[tfds.SetDescription, tfds_splits.SingleSplit]:
    try:
        described = tfds.describe_set(name, _tfds_folder(config))
    except UserError as error:
        raise UserError(f"`{KEY}`: {place} is no .npz file and no folder, and as a set of TFDS: {error}") from error
    _match_classes(described, place, config["class_names"])
    return described, tfds_splits.SingleSplit(split or "test")


def _tfds_folder(config: Mapping[str, Any]) -> str | None:
    """The folder of TFDS: the one of the data set, if it is of TFDS."""
    return config["directory"] if config["source"] == "tfds" else None


def _parse_set(place: str) -> tuple[str, str] | None:
    """Name and split of a set of TFDS, such as `cifar10_1/v4` or `svhn_cropped[extra]`; None for a file or a folder."""
    match = re.fullmatch(rf"(?P<name>{tfds.DATASET_NAME_PATTERN})(\[(?P<split>.+)\])?", place)
    if match is None or place.endswith(".npz") or Path(place).expanduser().exists():
        return None
    return match["name"], match["split"] or ""


def _resolve_path(place: str) -> Path:
    path = Path(place).expanduser().absolute()
    if not path.is_dir() and not (path.is_file() and path.suffix == ".npz"):
        raise UserError(
            f"`{KEY}` must list .npz files and folders of class folders that exist, or sets of TFDS. Received: {place}"
        )
    return path
