"""Changes of colour."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .arguments import check_channels, check_number
from .base import Augmentation
from .per_image import transform_images

if TYPE_CHECKING:
    from PIL import Image


class ColorJitter(Augmentation):
    """Change brightness, contrast, saturation and hue of each image, in random order.

    Each factor is uniform in [max(0, 1 − x), 1 + x]; hue turns by a part of the circle that is uniform in [−x, x], in
    256 steps. The operations are Pillow's, and so are those of torchvision's class of this name. Images of one channel
    have neither saturation nor hue.

    Args:
        brightness, contrast, saturation: x of the factor, at least 0; default 0 changes nothing.
        hue: x of the turn, within [0, 0.5]; default 0.

    Raises:
        ValueError: an argument is out of its range, or the images have other than 1 or 3 channels.

    Reference:
        Howard 2013, Some improvements on deep convolutional neural network based image classification (arXiv
        1312.5402), section 2.

    Example:
        >>> context = BatchContext(seed=0, epoch=0, step=0, indices=np.arange(4), classes=10)
        >>> images, labels = ColorJitter(brightness=0.4)(np.full((4, 8, 8, 3), 99, np.uint8), np.arange(4), context)
        >>> len(np.unique(images))
        4
    """

    def __init__(
        self, brightness: float = 0.0, contrast: float = 0.0, saturation: float = 0.0, hue: float = 0.0
    ) -> None:
        for name, value in {"brightness": brightness, "contrast": contrast, "saturation": saturation}.items():
            check_number(name, value, 0)
        check_number("hue", hue, 0, 0.5)
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation
        self.hue = hue

    def check_image_shape(self, shape: tuple[int, ...]) -> None:
        check_channels(self, shape)

    def augment(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        check_channels(self, images.shape)
        n = len(images)
        strengths = np.array([self.brightness, self.contrast, self.saturation])
        factors = rng.uniform(np.maximum(0, 1 - strengths), 1 + strengths, (n, 3)).tolist()
        turns = rng.uniform(-self.hue, self.hue, n).tolist()
        orders = rng.permuted(np.tile(np.arange(4), (n, 1)), axis=1).tolist()
        used = [bool(strength) for strength in (*strengths, self.hue)]

        def jitter(number: int, image: Image.Image) -> Image.Image:
            for operation in orders[number]:
                if used[operation]:
                    image = _adjust(image, operation, [*factors[number], turns[number]][operation])
            return image

        return transform_images(images, jitter)


def _adjust(image: Image.Image, operation: int, amount: float) -> Image.Image:
    """Return an image of another brightness (0), contrast (1), saturation (2) or hue (3)."""
    from PIL import ImageEnhance

    if operation == 3:
        return turn_hue(image, amount)
    enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
    return enhancers[operation](image).enhance(amount)


def turn_hue(image: Image.Image, turn: float) -> Image.Image:
    """Return an image whose hue is turned by a part of the circle; one of a single channel stays as it is."""
    from PIL import Image

    if image.mode == "L":
        return image
    hue, saturation, value = image.convert("HSV").split()
    steps = int(turn * 255)
    hue = hue.point([(level + steps) % 256 for level in range(256)])
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")
