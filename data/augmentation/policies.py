"""Random operations from one space, that of AutoAugment: RandAugment and TrivialAugment."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .arguments import check_channels, check_int
from .base import Augmentation
from .per_image import transform_images

if TYPE_CHECKING:
    from PIL import Image

OPERATIONS = (
    "identity",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "color",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "autocontrast",
    "equalize",
)
LEVELS = 31  # magnitudes, from 0 to 30


@dataclass(frozen=True)
class OperationSpace:
    """The strongest form of each operation, at the highest magnitude; weaker ones are in proportion.

    Args:
        shear: pixels by which a row or column moves for each one of distance.
        translation: part of the image's side by which it moves, or a number of pixels if at least 1.
        rotation: angle in degrees.
        enhancement: distance from 1 of the factor of brightness, colour, contrast and sharpness.
        posterization: number of bits that are dropped.
    """

    shear: float
    translation: float
    rotation: float
    enhancement: float
    posterization: int


RANDAUGMENT_SPACE = OperationSpace(0.3, 150 / 331, 30, 0.9, 4)
WIDE_SPACE = OperationSpace(0.99, 32, 135, 0.99, 6)


def apply_operation(image: Image.Image, operation: str, magnitude: float, space: OperationSpace) -> Image.Image:
    """Return an image after an operation. Pixels that come in from outside are zero.

    Args:
        image: of mode L or RGB.
        operation: one of `OPERATIONS`.
        magnitude: part of the strongest form, within [−1, 1]; the sign is a direction, which posterize and solarize
            ignore.
        space: the strongest forms.

    Example:
        >>> from PIL import Image
        >>> image = Image.new("L", (8, 8), 100)
        >>> apply_operation(image, "brightness", 1.0, RANDAUGMENT_SPACE).getpixel((0, 0))
        190
    """
    from PIL import Image, ImageEnhance, ImageOps

    def map_affinely(*coefficients: float) -> Image.Image:
        return image.transform(image.size, Image.Transform.AFFINE, coefficients)

    def pixels(side: int) -> int:
        return int(magnitude * space.translation * (side if space.translation < 1 else 1))

    factor = 1 + magnitude * space.enhancement
    match operation:
        case "shear_x":
            return map_affinely(1, magnitude * space.shear, 0, 0, 1, 0)
        case "shear_y":
            return map_affinely(1, 0, 0, magnitude * space.shear, 1, 0)
        case "translate_x":
            return map_affinely(1, 0, pixels(image.width), 0, 1, 0)
        case "translate_y":
            return map_affinely(1, 0, 0, 0, 1, pixels(image.height))
        case "rotate":
            return image.rotate(magnitude * space.rotation)
        case "brightness":
            return ImageEnhance.Brightness(image).enhance(factor)
        case "color":
            return ImageEnhance.Color(image).enhance(factor)
        case "contrast":
            return ImageEnhance.Contrast(image).enhance(factor)
        case "sharpness":
            return ImageEnhance.Sharpness(image).enhance(factor)
        case "posterize":
            return ImageOps.posterize(image, 8 - round(abs(magnitude) * space.posterization))
        case "solarize":
            threshold = 255 * (1 - abs(magnitude))
            return ImageOps.solarize(image, math.ceil(round(threshold, 6)))
        case "autocontrast":
            return ImageOps.autocontrast(image)
        case "equalize":
            return ImageOps.equalize(image)
    return image


class RandAugment(Augmentation):
    """Apply random operations, all of one magnitude, to each image.

    The 14 operations and their 31 magnitudes are torchvision's: identity, shears, translations, rotation, brightness,
    colour, contrast, sharpness, posterize, solarize, autocontrast and equalize. A translation is a part of the image's
    side. For data sets that allow shifts (`data.augment.shift`).

    Args:
        num_ops: operations an image, at least 1; default 2.
        magnitude: from 0 to 30; default 9.

    Raises:
        ValueError: an argument is out of its range, or the images have other than 1 or 3 channels.

    Reference:
        Cubuk et al. 2019, RandAugment: practical automated data augmentation (arXiv 1909.13719), section 3.

    Example:
        >>> context = BatchContext(seed=0, epoch=0, step=0, indices=np.arange(4), classes=10)
        >>> images, labels = RandAugment()(np.zeros((4, 8, 8, 3), np.uint8), np.arange(4), context)
        >>> images.shape
        (4, 8, 8, 3)
    """

    permission = "shift"

    def __init__(self, num_ops: int = 2, magnitude: int = 9) -> None:
        check_int("num_ops", num_ops, 1)
        check_int("magnitude", magnitude, 0, LEVELS - 1)
        self.num_ops = num_ops
        self.magnitude = magnitude

    def check_image_shape(self, shape: tuple[int, ...]) -> None:
        check_channels(self, shape)

    def augment(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        check_channels(self, images.shape)
        size = (len(images), self.num_ops)
        operations = rng.integers(len(OPERATIONS), size=size)
        signs = rng.choice((-1, 1), size=size)
        return _apply(images, operations, signs * self.magnitude / (LEVELS - 1), RANDAUGMENT_SPACE)


class TrivialAugment(Augmentation):
    """Apply one random operation of a random magnitude to each image.

    The operations are those of `RandAugment`, their magnitudes torchvision's "wide" ones: a translation moves an
    image by up to 32 pixels, whatever its size. For data sets that allow shifts (`data.augment.shift`).

    Raises:
        ValueError: the images have other than 1 or 3 channels.

    Reference:
        Müller & Hutter 2021, TrivialAugment: tuning-free yet state-of-the-art data augmentation (arXiv 2103.10158).

    Example:
        >>> context = BatchContext(seed=0, epoch=0, step=0, indices=np.arange(4), classes=10)
        >>> images, labels = TrivialAugment()(np.zeros((4, 8, 8, 3), np.uint8), np.arange(4), context)
        >>> images.shape
        (4, 8, 8, 3)
    """

    permission = "shift"

    def check_image_shape(self, shape: tuple[int, ...]) -> None:
        check_channels(self, shape)

    def augment(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        check_channels(self, images.shape)
        size = (len(images), 1)
        operations = rng.integers(len(OPERATIONS), size=size)
        levels = rng.integers(LEVELS, size=size) * rng.choice((-1, 1), size=size)
        return _apply(images, operations, levels / (LEVELS - 1), WIDE_SPACE)


def _apply(images: np.ndarray, operations: np.ndarray, magnitudes: np.ndarray, space: OperationSpace) -> np.ndarray:
    """Return images after their operations, given by numbers and magnitudes of shape `(n, operations an image)`."""
    plans = [list(zip(*pair, strict=True)) for pair in zip(operations.tolist(), magnitudes.tolist(), strict=True)]

    def transform(number: int, image: Image.Image) -> Image.Image:
        for operation, magnitude in plans[number]:
            image = apply_operation(image, OPERATIONS[operation], magnitude, space)
        return image

    return transform_images(images, transform)
