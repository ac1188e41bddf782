"""The base class of augmentations."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

Batch = tuple[np.ndarray, np.ndarray]  # images and labels


@dataclass(frozen=True, eq=False)
class BatchContext:
    """All that the random numbers of a batch depend on, and the number of classes.

    Args:
        seed: the seed of the training.
        epoch: number of the epoch, from 0.
        step: number of the step in the epoch, from 0.
        indices: numbers of the batch's images in the training split, shape `(n,)`.
        classes: number of classes.
    """

    seed: int
    epoch: int
    step: int
    indices: np.ndarray
    classes: int


class Augmentation:
    """Base class of augmentations: pure functions of the seed, the epoch, the step and the batch.

    A class of your own implements `augment`. It draws random numbers from `rng` alone, and changes neither its argument
    nor itself.

    Attributes:
        name: name of its row in the recipe. Two augmentations of one class need different names to draw different
            numbers.
        permission: key of `data.augment` that must be true for the data set: "flip", "shift", or None (default) for an
            augmentation that every data set allows.

    Example:
        >>> class Invert(Augmentation):
        ...     def __init__(self, probability: float = 0.5) -> None:
        ...         self.probability = probability
        ...
        ...     def augment(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        ...         is_inverted = rng.random(len(images)) < self.probability
        ...         return np.where(is_inverted[:, None, None, None], 255 - images, images)
        >>> context = BatchContext(seed=0, epoch=0, step=0, indices=np.arange(2), classes=10)
        >>> images, labels = Invert(1.0)(np.full((2, 8, 8, 3), 5, np.uint8), np.array([3, 7]), context)
        >>> images[0, 0, 0], labels
        (array([250, 250, 250], dtype=uint8), array([3, 7]))
    """

    name: str = ""
    permission: ClassVar[Literal["flip", "shift"] | None] = None

    def __call__(self, images: np.ndarray, labels: np.ndarray, context: BatchContext) -> Batch:
        """Return the augmented images and labels of a batch.

        Args:
            images: uint8 of shape `(n, height, width, channels)`.
            labels: integers of shape `(n,)`, or distributions of shape `(n, classes)`.
            context: what the random numbers depend on.

        Returns:
            New images of the same shape and type, and the labels.
        """
        return self.augment(images, self.make_generator(context)), labels

    def augment(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return augmented images.

        Args:
            images: uint8 of shape `(n, height, width, channels)`.
            rng: the random numbers of this augmentation for this batch.

        Returns:
            New images of the same shape and type.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `augment`")

    def check_image_shape(self, shape: tuple[int, ...]) -> None:
        """Refuse images that do not fit.

        Args:
            shape: `(height, width, channels)`.

        Raises:
            ValueError: it names the argument, the rule and the value.
        """

    def make_generator(self, context: BatchContext) -> np.random.Generator:
        """Return a generator that depends on the seed, the epoch, the step, the name and the class alone.

        Augmentations that are added, removed or moved therefore do not change the numbers that this one draws.
        """
        return np.random.default_rng([context.seed, context.epoch, context.step, self.stream])

    @property
    def stream(self) -> int:
        """A number of 32 bits that differs between names and classes."""
        return zlib.crc32(f"{self.name}:{type(self).__name__}".encode())
