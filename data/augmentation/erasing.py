"""Augmentations that hide a part of each image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .arguments import check_int, check_number, check_range, check_side
from .base import Augmentation
from .per_image import Boxes, box_mask, sample_boxes


class Cutout(Augmentation):
    """Hide a square of each image, which may reach over the border.

    The centre is any pixel of the image, each as likely. The square has the mean colour of the batch, which is near
    zero once the images are normalized, where the paper sets zeros.

    Args:
        size: side of the square in pixels, at least 1 and at most twice the image's smaller side.

    Raises:
        ValueError: `size` is out of its range.

    Reference:
        DeVries & Taylor 2017, Improved regularization of convolutional neural networks with cutout (arXiv 1708.04552).

    Example:
        >>> context = BatchContext(seed=0, epoch=0, step=0, indices=np.arange(1), classes=10)
        >>> image = np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1)
        >>> hidden, labels = Cutout(size=1)(image, np.array([3]), context)
        >>> int((hidden != image).sum()), int(hidden[hidden != image][0])  # the mean of 0 to 63, 31.5, is rounded
        (1, 32)
    """

    def __init__(self, size: int) -> None:
        check_int("size", size, 1)
        self.size = size

    def check_image_shape(self, shape: tuple[int, ...]) -> None:
        check_side("size", self.size, shape, self.size <= 2 * min(shape[:2]))

    def augment(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        n, height, width, _ = images.shape
        corners = rng.integers((height, width), size=(n, 2)) - self.size // 2
        sides = np.full(n, self.size)
        mask = box_mask(Boxes(corners[:, 0], corners[:, 1], sides, sides, np.full(n, True)), height, width)
        pixels = _view_pixels(images).copy()
        np.putmask(pixels, mask.reshape(-1), _view_pixels(_mean_color(images)))
        return pixels.view(np.uint8).reshape(images.shape)


class RandomErasing(Augmentation):
    """Hide a rectangle of some images behind noise, each of whose values is as likely.

    Args:
        probability: share of the images that are changed; default 0.5.
        scale: smallest and largest share of the area that is hidden, within (0, 1]; uniform; default (0.02, 0.4).
        ratio: smallest and largest width divided by height; uniform in the logarithm, where the paper's is uniform;
            default (0.3, 3.3).

    Raises:
        ValueError: an argument is out of its range.

    Reference:
        Zhong et al. 2017, Random erasing data augmentation (arXiv 1708.04896), section 3.

    Example:
        >>> context = BatchContext(seed=0, epoch=0, step=0, indices=np.arange(4), classes=10)
        >>> images, labels = RandomErasing()(np.zeros((4, 8, 8, 3), np.uint8), np.arange(4), context)
        >>> images.shape
        (4, 8, 8, 3)
    """

    def __init__(
        self, probability: float = 0.5, scale: Sequence[float] = (0.02, 0.4), ratio: Sequence[float] = (0.3, 3.3)
    ) -> None:
        check_number("probability", probability, 0, 1)
        self.probability = probability
        self.scale = check_range("scale", scale, 1)
        self.ratio = check_range("ratio", ratio)

    def augment(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        n, height, width, _ = images.shape
        is_changed = rng.random(n) < self.probability
        boxes = sample_boxes(rng, images.shape, self.scale, self.ratio)
        mask = box_mask(boxes, height, width) & (is_changed & boxes.fits)[:, None, None]
        noise = rng.integers(256, size=images.shape, dtype=np.uint8)
        return np.where(mask[..., None], noise, images)


def _mean_color(images: np.ndarray) -> np.ndarray:
    """Return the rounded mean of each channel, uint8 of shape `(channels,)`."""
    count = len(images) * images.shape[1] * images.shape[2]
    sums = images.sum(0, dtype=np.uint64).sum((0, 1))
    return ((2 * sums + count) // (2 * count)).astype(np.uint8)


def _view_pixels(images: np.ndarray) -> np.ndarray:
    """Return uint8 images as one sequence with an item a pixel, whatever its channels."""
    return np.ascontiguousarray(images).reshape(-1).view(f"V{images.shape[-1]}")
