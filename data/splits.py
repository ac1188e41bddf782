"""Checks and stratified cuts of image arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import UserError


def zero_pad(x: Any, image_shape: tuple[int, ...]) -> Any:
    """Centres smaller images in a border of zeros; returns `x` itself where no even border fits."""
    height, width = (target - size for target, size in zip(image_shape, x.shape[1:3], strict=False))
    if (height, width) == (0, 0) or min(height, width) < 0 or height % 2 or width % 2:
        return x
    return np.pad(x, [(0, 0), (height // 2, height // 2), (width // 2, width // 2), (0, 0)])


def check_arrays(where: str, x: Any, y: np.ndarray, image_shape: tuple[int, ...], class_names: Sequence[str]) -> None:
    """Refuses what `check_images_and_labels` refuses, and arrays without an image of a class.

    Args:
        where: names the set and the part, at the start of the message.
        x: images; an array, or files that become one.
        y: labels.
        image_shape: (height, width, channels) by the config.
        class_names: by the config.

    Raises:
        UserError: another shape, type, number or label; a class without an image.
    """
    classes = len(class_names)
    check_images_and_labels(where, x, y, image_shape, classes)
    absent = np.setdiff1d(np.arange(classes), y)
    if absent.size:
        label = absent[0]
        raise UserError(
            f"{where}: class `{class_names[label]}`, whose label is {label}, has no image. Each of {classes} classes "
            "needs images in every part"
        )


def check_images_and_labels(where: str, x: Any, y: np.ndarray, image_shape: tuple[int, ...], classes: int) -> None:
    """Refuses images of another shape or type than the config has, and labels of no class.

    Args:
        where: names the set, at the start of the message.
        x: images; an array, or files that become one.
        y: labels.
        image_shape: (height, width, channels) by the config.
        classes: number of classes.

    Raises:
        UserError: another shape, type, number or label.
    """
    if x.shape[1:] != image_shape or x.dtype != np.uint8:
        raise UserError(
            f"{where}: images are {x.dtype} {x.shape[1:]}, by `data.image_shape` they are uint8 {image_shape}"
        )
    if not len(x) == len(y) > 0:
        raise UserError(f"{where}: {len(x)} images, {len(y)} labels")
    if y.min() < 0 or y.max() >= classes:
        raise UserError(f"{where}: labels from {y.min()} to {y.max()}, `data.classes` is {classes}")


def stratified_split(labels: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
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


def split_test(
    labels: np.ndarray, seed: int, class_names: Sequence[str], where: str, remedy: str
) -> tuple[np.ndarray, np.ndarray]:
    """Sets a stratified fifth aside for the test.

    Args:
        labels: integers of shape `(n,)`.
        seed: decides which ones.
        class_names: for messages.
        where: names the set, at the start of a message.
        remedy: the end of a message.

    Returns:
        The sorted indices of the train and of the test split.

    Raises:
        UserError: a class has too few images to be in both.
    """
    test, train = stratified_split(labels, max(len(labels) // 5, 1), seed)
    if smallest := rarest_missing_class(labels, (train, test), class_names):
        raise UserError(
            f"{where} {smallest}, too few to be in both train and test when a fifth is set aside for the test. {remedy}"
        )
    return train, test


def split_train_validation(
    labels: np.ndarray, validation: float, fraction: float, seed: int, class_names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Cuts the validation split off the training split, and then leaves a fraction of the rest.

    Args:
        labels: integers of shape `(n,)`, each class among them.
        validation: number of images to set aside, or their fraction.
        fraction: of the rest that is trained on.
        seed: decides which ones.
        class_names: for messages.

    Returns:
        The sorted indices of the train and of the validation split.

    Raises:
        UserError: a split would lack a class.
    """
    classes = len(class_names)
    count = round(validation * len(labels)) if isinstance(validation, float) else validation
    held_out, rest = stratified_split(labels, min(count, len(labels)), seed)
    if count and (rare := rarest_missing_class(labels, (held_out, rest), class_names)):
        raise UserError(
            f"`data.validation` must leave each of {classes} classes in both parts of {len(labels)} images. "
            f"Received: {validation}, with {rare}. Choose another number, add images of that class, or set 0"
        )
    train, _ = stratified_split(labels[rest], round(fraction * len(rest)), seed)
    if rare := rarest_missing_class(labels[rest], (train,), class_names):
        raise UserError(
            f"`data.fraction` must leave an image of each of {classes} classes. "
            f"Received: {fraction}, which is {len(train)} of {len(rest)} images, with {rare}"
        )
    return rest[train], held_out


def rarest_missing_class(labels: np.ndarray, parts: Sequence[np.ndarray], class_names: Sequence[str]) -> str | None:
    """Finds the class with the fewest images that is not in all parts.

    Args:
        labels: integers of shape `(n,)`.
        parts: arrays of indices into `labels`.
        class_names: in the order of the labels.

    Returns:
        Its number of images and its name, as text; None where each part has each class.
    """
    classes = len(class_names)
    counts, *shares = (np.bincount(each, minlength=classes)[:classes] for each in (labels, *(labels[p] for p in parts)))
    missing = np.flatnonzero(np.min(shares, axis=0) == 0)
    if not missing.size:
        return None
    label = missing[counts[missing].argmin()]
    return f"{counts[label]} image{'' if counts[label] == 1 else 's'} of class `{class_names[label]}`"
