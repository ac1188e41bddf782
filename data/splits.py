"""Checks of a data config and of what was read, and the stratified cuts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .. import UserError

KEYS = [
    "name",
    "source",
    "tfds",
    "image_shape",
    "classes",
    "class_names",
    "validation",
    "split_seed",
    "fraction",
    "epochs",
    "augment",
    "directory",
]


def _is_int(value):
    return isinstance(value, int) and not isinstance(value, bool)


def _are_names(names):
    """Words that may name folders and be printed; a set of strangers names its own."""
    return (
        isinstance(names, list | tuple)
        and all(isinstance(name, str) and name.isprintable() for name in names)
        and len(set(names)) == len(names)
        and not any(name.strip() in ("", ".", "..") or {"/", "\\"} & set(name) for name in names)
    )


def check_config(config):
    """Refuses a config that cannot be read, before anything is read.

    Raises:
        UserError: with the key, the rule and the value that came.
    """
    if not isinstance(config, Mapping):
        raise UserError(f"`data` must be one of its configs or a mapping. Received: data={config!r}")
    if unknown := [key for key in config if key not in KEYS]:
        raise UserError(f"`data.{unknown[0]}`: there is no such key; there are: {', '.join(KEYS)}")
    missing = [key for key in KEYS if key not in config]
    if missing:
        raise UserError(f"A data config has every key of {', '.join(KEYS)}. Missing: {', '.join(missing)}")
    shape, names, fraction = config["image_shape"], config["class_names"], config["fraction"]
    validation, seed = config["validation"], config["split_seed"]
    rules = {
        "source": (config["source"] in ("tfds", "digits", "files"), 'be "tfds", "digits" or "files"'),
        "image_shape": (
            isinstance(shape, list | tuple) and len(shape) == 3 and all(_is_int(size) and size > 0 for size in shape),
            "be [height, width, channels], positive integers",
        ),
        "augment": (
            isinstance(config["augment"], Mapping)
            and set(config["augment"]) == {"flip", "shift"}
            and all(isinstance(allowed, bool) for allowed in config["augment"].values()),
            "say true or false for flip and shift",
        ),
        "classes": (_is_int(config["classes"]) and config["classes"] > 1, "be an integer of at least 2"),
        "class_names": (
            _are_names(names) and len(names) == config["classes"],
            f"be {config['classes']} different names, as `data.classes`",
        ),
        "validation": (
            (_is_int(validation) and validation >= 0) or (isinstance(validation, float) and 0 < validation < 1),
            "be a number of images, a fraction in (0, 1), or 0 for none",
        ),
        "split_seed": (_is_int(seed) and seed >= 0, "be an integer of at least 0"),
        "fraction": (
            (_is_int(fraction) or isinstance(fraction, float)) and 0 < fraction <= 1,
            "be in (0, 1]",
        ),
    }
    for key, (holds, rule) in rules.items():
        if not holds:
            raise UserError(f"`data.{key}` must {rule}. Received: {config[key]}")


def zero_pad(x, image_shape):
    """Centres smaller images in a border of zeros; returns `x` itself where no even border fits."""
    height, width = (wanted - size for wanted, size in zip(image_shape, x.shape[1:3], strict=False))
    if (height, width) == (0, 0) or min(height, width) < 0 or height % 2 or width % 2:
        return x
    return np.pad(x, [(0, 0), (height // 2, height // 2), (width // 2, width // 2), (0, 0)])


def check_arrays(where, x, y, image_shape, classes):
    """Refuses arrays that are not what the config says.

    Raises:
        UserError: starts with `where`, which names the set and the part.
    """
    if x.shape[1:] != image_shape or x.dtype != np.uint8:
        raise UserError(
            f"{where}: images are {x.dtype} {x.shape[1:]}, by `data.image_shape` they are uint8 {image_shape}"
        )
    if not len(x) == len(y) > 0:
        raise UserError(f"{where}: {len(x)} images, {len(y)} labels")
    if y.min() < 0 or y.max() >= classes:
        raise UserError(f"{where}: labels from {y.min()} to {y.max()}, `data.classes` is {classes}")
    absent = np.setdiff1d(np.arange(classes), y)
    if absent.size:
        raise UserError(f"{where}: no image of class {', '.join(map(str, absent))}")


def stratified(labels, count, seed):
    """Takes `count` images, from every class in proportion to its size.

    Args:
        labels: integers of shape `(n,)`.
        count: how many to take, from 0 to n.
        seed: decides which ones.

    Returns:
        Two sorted index arrays: the `count` taken, and the rest.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    depth = np.concatenate([(np.arange(size) + 0.5) / size for size in np.bincount(labels)])
    order = order[np.argsort(depth, kind="stable")]
    return np.sort(order[:count]), np.sort(order[count:])


def cut(labels, validation, fraction, seed):
    """Returns the sorted indices of the train and of the validation part.

    Raises:
        UserError: a part would be left without some class.
    """
    classes = len(np.unique(labels))
    count = round(validation * len(labels)) if isinstance(validation, float) else validation
    held_out, rest = stratified(labels, min(count, len(labels)), seed)
    if count and not classes == len(np.unique(labels[held_out])) == len(np.unique(labels[rest])):
        raise UserError(
            f"`data.validation` must leave each of {classes} classes in both parts of {len(labels)} images. "
            f"Received: {validation}"
        )
    kept, _ = stratified(labels[rest], round(fraction * len(rest)), seed)
    if len(np.unique(labels[rest[kept]])) < classes:
        raise UserError(
            f"`data.fraction` must leave an image of each of {classes} classes. "
            f"Received: {fraction}, which is {len(kept)} of {len(rest)} images"
        )
    return rest[kept], held_out
