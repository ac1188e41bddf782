"""Augmentations that compute new pixels from several old ones: crops that are resized, and rotations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .arguments import check_channels, check_number, check_range
from .base import Augmentation
from .per_image import sample_boxes, transform_images

if TYPE_CHECKING:
    from PIL.Image import Image


class RandomResizedCrop(Augmentation):
    """Crop a random part of each image and resize it to the image's size, bilinearly with antialiasing.

    For data sets that allow shifts (`data.augment.shift`). Of ten crops the first that fits into the image is taken; if
    none does, the image stays as it is.

    Args:
        scale: smallest and largest share of the area that is cropped, within (0, 1]; default (0.08, 1).
        ratio: smallest and largest width of the crop divided by its height; default (0.75, 1.3333).

    Raises:
        ValueError: an argument is out of its range, or the images have other than 1 or 3 channels.

    Reference:
        Szegedy et al. 2014, Going deeper with convolutions (arXiv 1409.4842), section 6.

    Example:
        >>> context = BatchContext(seed=0, epoch=0, step=0, indices=np.arange(4), classes=10)
        >>> images, labels = RandomResizedCrop()(np.zeros((4, 8, 8, 3), np.uint8), np.arange(4), context)
        >>> images.shape
        (4, 8, 8, 3)
    """

    permission = "shift"

    def __init__(self, scale: Sequence[float] = (0.08, 1.0), ratio: Sequence[float] = (3 / 4, 4 / 3)) -> None:
        self.scale = check_range("scale", scale, 1)
        self.ratio = check_range("ratio", ratio)

    def check_image_shape(self, shape: tuple[int, ...]) -> None:
        check_channels(self, shape)

    def augment(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        from PIL.Image import Resampling

        check_channels(self, images.shape)
        boxes = sample_boxes(rng, images.shape, self.scale, self.ratio)
        edges = np.stack([boxes.left, boxes.top, boxes.left + boxes.width, boxes.top + boxes.height], 1).tolist()

        def crop(number: int, image: Image) -> Image:
            return image.crop(tuple(edges[number])).resize(image.size, Resampling.BILINEAR)

        return transform_images(images, crop)


class RandomRotation(Augmentation):
    """Rotate images about their centre, bilinearly; the corners are filled with zeros.

    For data sets that allow shifts (`data.augment.shift`).

    Args:
        degrees: the largest angle, to either side, within [0, 180]; each angle is as likely.

    Raises:
        ValueError: `degrees` is out of its range, or the images have other than 1 or 3 channels.

    Example:
        >>> context = BatchContext(seed=0, epoch=0, step=0, indices=np.arange(4), classes=10)
        >>> images, labels = RandomRotation(degrees=15)(np.zeros((4, 8, 8, 3), np.uint8), np.arange(4), context)
        >>> images.shape
        (4, 8, 8, 3)
    """

    permission = "shift"

    def __init__(self, degrees: float) -> None:
        check_number("degrees", degrees, 0, 180)
        self.degrees = degrees

    def check_image_shape(self, shape: tuple[int, ...]) -> None:
        check_channels(self, shape)

    def augment(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        from PIL.Image import Resampling

        check_channels(self, images.shape)
        angles = rng.uniform(-self.degrees, self.degrees, len(images)).tolist()
        return transform_images(images, lambda number, image: image.rotate(angles[number], Resampling.BILINEAR))
