"""Augmentations from the rows of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ... import UserError
from ...settings.target_rows import check_target_row, read_arguments
from ...settings.user_classes import find_user_classes
from . import AUGMENTATIONS, Augmentation
from .mixing import MixingAugmentation

_WHERE = "recipe.augmentation"


def make_augmentations(rows: Mapping[str, Any]) -> list[Augmentation]:
    """Return the augmentations of a recipe, in the order of their rows.

    Args:
        rows: mapping from names to rows; a row that is None is left out.

    Raises:
        UserError: a row names no class of `AUGMENTATIONS`, or an argument is missing, unknown or out of its range. The
            message names the key.

    Example:
        >>> [cutout] = make_augmentations({"cutout": {"_target_": "convzoo.data.Cutout", "size": 8}})
        >>> cutout.name, cutout.size
        ('cutout', 8)
    """
    return [_make(name, row) for name, row in rows.items() if row is not None]


def check_augmentation(rows: Any, image_shape: tuple[int, ...]) -> None:
    """Refuse rows that cannot augment such images.

    Args:
        rows: as for `make_augmentations`.
        image_shape: `(height, width, channels)`.

    Raises:
        UserError: as `make_augmentations`, or the images are too small for a row, or have channels that it does not
            take.
    """
    if not isinstance(rows, Mapping):
        raise UserError(f"`{_WHERE}` must be a mapping from names to rows. Received: {rows!r}")
    for augmentation in make_augmentations(rows):
        try:
            augmentation.check_image_shape(image_shape)
        except ValueError as error:
            raise UserError(_locate(error, f"{_WHERE}.{augmentation.name}")) from error


def rows_for_data_set(rows: Mapping[str, Any], augment: Mapping[str, bool]) -> dict[str, Any]:
    """Return the rows that a data set allows.

    Args:
        rows: as for `make_augmentations`.
        augment: `data.augment`: whether images may be mirrored (`flip`) and moved (`shift`).

    Raises:
        UserError: a row names no class of `AUGMENTATIONS`.

    Example:
        >>> rows = {"flip": {"_target_": "convzoo.data.RandomFlip"}, "mixup": {"_target_": "convzoo.data.MixUp"}}
        >>> list(rows_for_data_set(rows, {"flip": False, "shift": True}))
        ['mixup']
    """
    permissions = {name: _find_class(name, row).permission for name, row in rows.items() if row is not None}
    return {name: rows[name] for name, permission in permissions.items() if permission is None or augment[permission]}


def mixing_rows(rows: Mapping[str, Any]) -> list[str]:
    """Return the names of the rows whose labels are distributions over the classes, such as those of `MixUp`.

    Args and errors as those of `make_augmentations`.
    """
    return [each.name for each in make_augmentations(rows) if isinstance(each, MixingAugmentation)]


def _make(name: str, row: Any) -> Augmentation:
    cls = _find_class(name, row)
    where = f"{_WHERE}.{name}"
    try:
        augmentation = cls(**read_arguments(row, cls))
    except (ValueError, TypeError) as error:
        raise UserError(_locate(error, where)) from error
    augmentation.name = name
    return augmentation


def _find_class(name: str, row: Any) -> type[Augmentation]:
    classes = {**AUGMENTATIONS, **find_user_classes(Augmentation)}
    check_target_row(row, f"{_WHERE}.{name}", classes)
    augmentation_class: type[Augmentation] = classes[row["_target_"]]
    return augmentation_class


def _locate(error: Exception, where: str) -> str:
    """Return an error's message with the whole key of the argument that it names, or of its row."""
    text = next(iter(str(error).splitlines()), type(error).__name__)
    return f"`{where}.{text[1:]}" if text.startswith("`") else f"`{where}`: {text}"
