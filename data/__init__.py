"""Image sets as arrays, their splits, and the batches that training takes from them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .. import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Dataset", "Split", "check", "found", "load", "look"]


@dataclass(frozen=True, eq=False)
class Split:
    """Pictures and their labels.

    Args:
        x: uint8 of shape `(n, height, width, channels)`.
        y: int32 of shape `(n,)`, from 0 to `classes - 1`.
    """

    x: np.ndarray
    y: np.ndarray

    def __len__(self):
        return len(self.y)

    def take(self, rows) -> Split:
        """The images at the indices `rows`."""
        return Split(self.x[rows], self.y[rows])

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits that are others for other pictures or labels."""
        return _digest([self])


@dataclass(frozen=True, eq=False)
class Dataset:
    """A whole image set in memory.

    Args:
        name: the set's name in `configs/data`.
        class_names: one word a class, in the order of the labels.
        train: what is trained on, after validation and `fraction` were cut.
        validation: the part of the published train split that was set aside, or None.
        test: the published test split, never cut.
        source: a sentence that says where the arrays came from.
    """

    name: str
    class_names: tuple[str, ...]
    train: Split
    validation: Split | None
    test: Split
    source: str

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits that are others for other pictures, labels or cuts."""
        return _digest([self.train, self.validation, self.test])


def _digest(parts):
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        for array in (part.x, part.y) if part else ():
            digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def found(config: Mapping) -> dict:
    """What a data config leaves to be found with the data: `classes` and `class_names` of one's own pictures.

    Raises:
        UserError: there are no pictures.
    """
    if config.get("source") != "files" or config.get("class_names") is not None:
        return {}
    from . import files

    classes, names = files.describe(config.get("directory"))
    return {"classes": classes, "class_names": list(names)}


def check(config: Mapping):
    """Refuses a data config that cannot be read, before anything is read.

    Raises:
        UserError: with the key, the rule and the value that came.
    """
    from . import splits

    splits.check_config(config)


def look(config: Mapping):
    """Refuses a set that `load` could not have, within seconds, before TensorFlow is imported.

    Args and errors as those of `load`.
    """
    if config["source"] == "tfds":
        from . import tfds_source

        tfds_source.look(config["tfds"], config["directory"])
    elif config["source"] == "files":
        from . import files

        files.existing(config["directory"])


_held = {}  # what was loaded last, by its config and the state of its files


def load(config: Mapping) -> Dataset:
    """Reads a set of `configs/data`, cuts its splits and checks them.

    The runs of a sweep share what the first of them read, as long as its files are untouched: treat it as read-only.

    The cuts are stratified and depend on `split_seed` alone. Validation is cut before `fraction`
    is applied, so it is the same for every fraction.

    Args:
        config: the keys of a file in `configs/data`. Images smaller than `image_shape` get a border of
            zeros on all four sides.

    Raises:
        UserError: a value that cannot be, data that are not there and cannot be fetched, a
            damaged folder or archive, or arrays that are not what `config` says.
    """
    check(config)
    state = _state(config)
    key = json.dumps([config, state], sort_keys=True, default=str)
    if state is not None and key in _held:
        return _held[key]
    _held.clear()  # two are never held
    found = _load(config)
    if state is not None:
        _held[key] = found
    return found


def _state(config):
    """Text that changes with the files a set is read from; None where nothing tells."""
    try:
        if config["source"] == "tfds":
            from . import tfds_source

            return tfds_source.state(config["tfds"], config["directory"])
        if config["source"] == "files":
            from . import files

            return files.state(config["directory"])
    except (OSError, UserError):
        return None  # reading says what is wrong
    return ""


def _load(config):
    from . import splits

    image_shape, seed = tuple(config["image_shape"]), config["split_seed"]
    if config["source"] == "digits":
        from . import digits

        arrays, source = (
            digits.read(image_shape, seed),
            f"scikit-learn's load_digits, enlarged to {image_shape[0]}×{image_shape[1]}",
        )
    elif config["source"] == "files":
        from . import files

        arrays, source = files.read(config["directory"], image_shape, config["class_names"], seed)
    else:
        from . import tfds_source

        arrays, source = tfds_source.read(config["tfds"], config["directory"])
    whole = {}
    for part, (x, y) in arrays.items():
        x = splits.zero_pad(x, image_shape)
        splits.check_arrays(f"{source}, {part}", x, y, image_shape, config["classes"])
        whole[part] = Split(x, y)

    train, validation = splits.cut(whole["train"].y, config["validation"], config["fraction"], seed)
    return Dataset(
        name=config["name"],
        class_names=tuple(config["class_names"]),
        train=whole["train"].take(train),
        validation=whole["train"].take(validation) if len(validation) else None,
        test=whole["test"],
        source=source,
    )
