"""Augmentations that mix each image, and its label, with another one of the batch."""

from __future__ import annotations

import abc
from dataclasses import dataclass

import numpy as np

from .arguments import check_positive
from .base import Augmentation, Batch, BatchContext

_SHARES = 256  # the sums of pixels then fit into 16 bits: eight times faster than floats
_CHUNK = 50_000  # values that are mixed at once: more do not fit into a cache


@dataclass(frozen=True, eq=False)
class Mixture:
    """The way a batch is mixed.

    Args:
        partners: number in the batch of the image that each is mixed with, shape `(n,)`.
        share: part of the image itself, within [0, 1]; one for the batch.
        box: the rectangle of the partner that covers the image, as a slice of rows and one of columns; None mixes all
            pixels.
    """

    partners: np.ndarray
    share: float
    box: tuple[slice, slice] | None = None

    def mix_labels(self, labels: np.ndarray) -> np.ndarray:
        """Return mixed labels.

        Args:
            labels: float32 of shape `(n, classes)`.

        Example:
            >>> Mixture(np.array([1, 0]), 0.75).mix_labels(np.eye(2, dtype=np.float32))
            array([[0.75, 0.25],
                   [0.25, 0.75]], dtype=float32)
        """
        share = np.float32(self.share)
        return share * labels + (1 - share) * labels[self.partners]


class MixingAugmentation(Augmentation, abc.ABC):
    """Base class of augmentations whose labels are distributions over the classes.

    Args:
        alpha: both parameters of the beta distribution of the share, above 0.

    Raises:
        ValueError: `alpha` is out of its range.
    """

    def __init__(self, alpha: float) -> None:
        check_positive("alpha", alpha)
        self.alpha = alpha

    @abc.abstractmethod
    def sample(self, context: BatchContext, height: int, width: int) -> Mixture:
        """Return the mixture of a batch of images of this size."""

    @abc.abstractmethod
    def mix_images(self, images: np.ndarray, mixture: Mixture) -> np.ndarray:
        """Return mixed images, uint8."""

    def __call__(self, images: np.ndarray, labels: np.ndarray, context: BatchContext) -> Batch:
        mixture = self.sample(context, *images.shape[1:3])
        return self.mix_images(images, mixture), mixture.mix_labels(soften(labels, context.classes))


class MixUp(MixingAugmentation):
    """Blend each image with another one of the batch, and their labels alike.

    The share is drawn once a batch, as in the paper's code, and rounded to a multiple of 1/256. The images are
    rounded to whole numbers, as uint8.

    Args:
        alpha: both parameters of the beta distribution of the share, above 0; default 0.2. Small ones mix little.

    Raises:
        ValueError: `alpha` is out of its range.

    Reference:
        Zhang et al. 2017, mixup: beyond empirical risk minimization (arXiv 1710.09412), section 2.

    Example:
        >>> context = BatchContext(seed=0, epoch=0, step=0, indices=np.arange(4), classes=10)
        >>> images, labels = MixUp(alpha=0.2)(np.zeros((4, 8, 8, 3), np.uint8), np.arange(4), context)
        >>> labels.shape, labels.dtype
        ((4, 10), dtype('float32'))
    """

    def __init__(self, alpha: float = 0.2) -> None:
        super().__init__(alpha)

    def sample(self, context: BatchContext, height: int, width: int) -> Mixture:
        rng = self.make_generator(context)
        share = round(rng.beta(self.alpha, self.alpha) * _SHARES) / _SHARES
        return Mixture(rng.permutation(len(context.indices)), share)

    def mix_images(self, images: np.ndarray, mixture: Mixture) -> np.ndarray:
        own = round(mixture.share * _SHARES)
        mixed = np.empty_like(images)
        count = max(1, _CHUNK // images[0].size)
        for start in range(0, len(images), count):
            part = slice(start, start + count)
            sums = np.multiply(images[part], np.uint16(own), dtype=np.uint16)
            sums += np.multiply(images[mixture.partners[part]], np.uint16(_SHARES - own), dtype=np.uint16)
            sums += np.uint16(_SHARES // 2)
            sums >>= np.uint16(8)
            mixed[part] = sums
        return mixed


class CutMix(MixingAugmentation):
    """Cover a rectangle of each image by that of another one of the batch; the labels are mixed by area.

    The rectangle is drawn once a batch, as in the paper's code: its shape is that of the image, its centre any pixel,
    and the part beyond the border is lost.

    Args:
        alpha: both parameters of the beta distribution of the area that stays, above 0; default 1, where each area is
            as likely.

    Raises:
        ValueError: `alpha` is out of its range.

    Reference:
        Yun et al. 2019, CutMix: regularization strategy to train strong classifiers (arXiv 1905.04899), section 3.1.

    Example:
        >>> context = BatchContext(seed=0, epoch=0, step=0, indices=np.arange(4), classes=10)
        >>> images, labels = CutMix()(np.zeros((4, 8, 8, 3), np.uint8), np.arange(4), context)
        >>> labels.shape, labels.dtype
        ((4, 10), dtype('float32'))
    """

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__(alpha)

    def sample(self, context: BatchContext, height: int, width: int) -> Mixture:
        rng = self.make_generator(context)
        part = np.sqrt(1 - rng.beta(self.alpha, self.alpha))
        rows = _cut(int(rng.integers(height)), int(height * part), height)
        columns = _cut(int(rng.integers(width)), int(width * part), width)
        area = (rows.stop - rows.start) * (columns.stop - columns.start)
        return Mixture(rng.permutation(len(context.indices)), 1 - area / (height * width), (rows, columns))

    def mix_images(self, images: np.ndarray, mixture: Mixture) -> np.ndarray:
        assert mixture.box
        rows, columns = mixture.box
        mixed = images.copy()
        mixed[:, rows, columns] = images[mixture.partners, rows, columns]
        return mixed


def soften(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return labels as distributions over the classes.

    Args:
        labels: integers of shape `(n,)`, or distributions of shape `(n, classes)`, which stay as they are.
        classes: number of classes.

    Returns:
        float32 of shape `(n, classes)`.

    Example:
        >>> soften(np.array([1, 0]), 3)
        array([[0., 1., 0.],
               [1., 0., 0.]], dtype=float32)
    """
    if labels.ndim == 2:
        return labels
    one_hot = np.zeros((len(labels), classes), np.float32)
    one_hot[np.arange(len(labels)), labels] = 1
    return one_hot


def _cut(centre: int, length: int, size: int) -> slice:
    """Return the part of a segment about a centre that lies within [0, size)."""
    start = centre - length // 2
    return slice(max(start, 0), min(start + length, size))
