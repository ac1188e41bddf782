"""Image sets as arrays, their splits, and the batches that training takes from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from .. import UserError
from ..settings.data import read_image_size
from ..settings.text import printable
from . import augmentation, splits
from .augmentation import *  # noqa: F403 (a row names them `convzoo.data.NAME`)
from .config import check_config
from .extra_tests import check_extra_tests, fingerprint_extra_tests, list_extra_tests, name_extra_tests
from .images import resize_images
from .sources import Source, find_sources, make_source

__all__ = ["Dataset", "Split", "check_available", "check_config", "infer_settings", "load", "name_extra_tests"]
__all__ += augmentation.__all__

_MAX_LISTED_CLASSES = 10  # the summary of a data set with more gives the smallest and the largest class


@dataclass(frozen=True, eq=False)
class Split:
    """Images and their labels.

    Args:
        x: uint8 of shape `(n, height, width, channels)`.
        y: int32 of shape `(n,)`, from 0 to `classes - 1`.
    """

    x: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: np.ndarray) -> Split:
        """The images at the indices `rows`."""
        return Split(self.x[rows], self.y[rows])

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits that change with the images and labels."""
        return _digest([self])


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set in memory.

    Args:
        name: its name in `configs/data`.
        class_names: one name a class, in the order of the labels.
        train: the training split, without the validation split and cut to `fraction`.
        validation: the validation split, cut off the published training split or published itself, or None.
        test: the published test split, never cut.
        source: a sentence that says where the images came from.
        notes: lines about files that were skipped and images that were resized.
        extra_tests: the further test sets by name.
    """

    name: str
    class_names: tuple[str, ...]
    train: Split
    validation: Split | None
    test: Split
    source: str
    notes: tuple[str, ...] = ()
    extra_tests: Mapping[str, Split] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits that change with the images, labels, splits and further test sets."""
        digest = _digest([self.train, self.validation, self.test])
        if not self.extra_tests:
            return digest
        extra = "".join(f" {name} {split.digest}" for name, split in sorted(self.extra_tests.items()))
        return hashlib.blake2b(f"{digest}{extra}".encode(), digest_size=8).hexdigest()

    @property
    def summary(self) -> str:
        """The sizes of the splits, the number of images of each class in all of them, and the notes, as lines."""
        validation = [] if self.validation is None else [self.validation]
        splits = [self.train, *validation, self.test]
        counts = np.bincount(np.concatenate([split.y for split in splits]), minlength=len(self.class_names))
        names = list(map(printable, self.class_names))
        if len(names) <= _MAX_LISTED_CLASSES:
            by_class = ", ".join(f"{name}: {count:,}" for name, count in zip(names, counts, strict=True))
        else:
            fewest, most = counts.argmin(), counts.argmax()
            by_class = (
                f"{counts[fewest]:,} ({names[fewest]}) to {counts[most]:,} ({names[most]}), {len(names):,} classes"
            )
        sizes = [f"{len(self.train):,} to train on", *(f"{len(part):,} to validate" for part in validation)]
        lines = [f"images: {', '.join(sizes)}, {len(self.test):,} to test", f"by class: {by_class}"]
        if self.extra_tests:
            counts_by_name = [f"{name}: {len(split):,}" for name, split in self.extra_tests.items()]
            lines.append(f"further test images: {', '.join(counts_by_name)}")
        return "\n".join([*lines, *self.notes])


def _digest(parts: Iterable[Split | None]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        for array in (part.x, part.y) if part else ():
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


class _DatasetCache:
    """A cache of the data set that was loaded last."""

    def __init__(self) -> None:
        self._key: str | None = None
        self._dataset: Dataset | None = None

    def get_or_load(self, key: str | None, load: Callable[[], Dataset]) -> Dataset:
        """Returns the cached data set if it has this key. Otherwise drops it, loads another, and caches that.

        Args:
            key: text that changes with the data set; None caches nothing.
            load: loads the data set.
        """
        if self._dataset is not None and key is not None and key == self._key:
            return self._dataset
        self._key, self._dataset = None, None  # before the other is loaded: memory may not hold two
        dataset = load()
        if key is not None:
            self._key, self._dataset = key, dataset
        return dataset


_dataset_cache = _DatasetCache()


def infer_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Reads the settings that a data config may leave out, such as `classes` and `class_names`, off the data set.

    Args:
        config: the keys of a file in `configs/data`, unchecked.

    Returns:
        These keys and their values, or an empty mapping where the config has them.

    Raises:
        UserError: there is no such data set, or it is no image classification.
    """
    name, sources = config.get("source"), find_sources()
    inferred = sources[name](config).infer_settings() if isinstance(name, str) and name in sources else {}
    size = read_image_size(_to_plain(config.get("image_size")))
    shape = _to_plain(inferred.get("image_shape", config.get("image_shape")))
    if size is not None and isinstance(shape, list) and len(shape) == 3:
        inferred["image_shape"] = [*size, shape[2]]
        if config.get("resize") is None:
            inferred["resize"] = "squash"
    return inferred


def _to_plain(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def check_available(config: Mapping[str, Any]) -> None:
    """Refuses a data set that `load` could not load, within seconds and before TensorFlow is imported.

    Of a folder of images it checks all but the content of the files.

    Args and errors as those of `load`.
    """
    source = make_source(config)
    source.check_available()
    if source.can_list_files():
        check_config(config)
        _select_splits(config, source)
    check_extra_tests(config)


def load(config: Mapping[str, Any]) -> Dataset:
    """Reads a data set of `configs/data`, splits it and checks it.

    Runs of a sweep share the data set that the first of them loads, as long as its files do not change: treat it as
    read-only.

    The splits are stratified and depend on `split_seed` alone. Validation is cut before `fraction` is applied, so it is
    the same for every fraction.

    Args:
        config: the keys of a file in `configs/data`. Without `resize`, arrays of images smaller than `image_shape` get
            a border of zeros on all four sides. A set with a validation split of its own keeps it, unless `validation`
            is 0.

    Raises:
        UserError: an invalid value, data that are neither there nor can be fetched, a damaged folder or archive, or
            images that do not match `config`.
    """
    check_config(config)
    source = make_source(config)
    try:
        key = json.dumps([config, source.fingerprint(), *fingerprint_extra_tests(config)], sort_keys=True, default=str)
    except (OSError, UserError):
        key = None  # reading raises the error
    return _dataset_cache.get_or_load(key, lambda: _load(config, source))


def _load(config: Mapping[str, Any], source: Source) -> Dataset:
    (train, validation, test), description, notes = _select_splits(config, source)
    parts = [train, test] if validation is None else [train, validation, test]
    arrays, decoding_notes = source.decode([part.x for part in parts], description)
    parts = [Split(x, part.y) for x, part in zip(arrays, parts, strict=True)]
    extra = list_extra_tests(config)
    return Dataset(
        name=config["name"],
        class_names=tuple(config["class_names"]),
        train=parts[0],
        validation=None if validation is None else parts[1],
        test=parts[-1],
        source=description,
        notes=(*notes, *decoding_notes),
        extra_tests={each.name: Split(each.decode(), each.y) for each in extra},
    )


def _select_splits(
    config: Mapping[str, Any], source: Source
) -> tuple[tuple[Split, Split | None, Split], str, tuple[str, ...]]:
    """Returns train, validation and test split, the source's description, and notes. Decodes no image file."""
    image_shape = tuple(config["image_shape"])
    data = source.read()
    notes = data.notes
    splits_by_part = {}
    for part, (images, y) in data.parts.items():
        x = resize_images(images, image_shape, config.get("resize"), data.description)
        splits.check_arrays(f"{data.description}, {part}", x, y, image_shape, config["class_names"])
        splits_by_part[part] = Split(x, y)
    validation, own_validation = config["validation"], splits_by_part.get("validation")
    if own_validation:
        usage = "is the validation split" if validation else "is not used, because `data.validation` is 0"
        notes = (*notes, f"the validation split of the set {usage}")
    rows, held_out = splits.split_train_validation(
        splits_by_part["train"].y,
        0 if own_validation else validation,
        config["fraction"],
        config["split_seed"],
        config["class_names"],
    )
    validation = splits_by_part["train"].take(held_out) if len(held_out) else own_validation if validation else None
    return (splits_by_part["train"].take(rows), validation, splits_by_part["test"]), data.description, notes
