"""Transformations of single images with Pillow, and random boxes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

_TRIES = 10


def transform_images(images: np.ndarray, transform: Callable[[int, Image.Image], Image.Image]) -> np.ndarray:
    """Return images, each transformed by Pillow.

    Args:
        images: uint8 of shape `(n, height, width, channels)`, of one or three channels.
        transform: returns an image of the same size and mode, from its number and the image.
    """
    from PIL import Image

    n, height, width, channels = images.shape
    mode, size = ("L" if channels == 1 else "RGB"), (width, height)
    transformed = np.empty(images.shape, np.uint8)
    for number in range(n):
        image = Image.frombytes(mode, size, images[number].tobytes())
        transformed[number] = np.asarray(transform(number, image)).reshape(height, width, channels)
    return transformed


class Boxes(NamedTuple):
    """A box in each image; all arrays have the shape `(n,)`.

    Args:
        top, left: the first row and column.
        height, width: numbers of rows and columns.
        fits: whether a box of the wanted area and shape was drawn; the others cover the whole image.
    """

    top: np.ndarray
    left: np.ndarray
    height: np.ndarray
    width: np.ndarray
    fits: np.ndarray


def sample_boxes(
    rng: np.random.Generator, shape: tuple[int, ...], scale: tuple[float, float], ratio: tuple[float, float]
) -> Boxes:
    """Draw a box for each image: of ten of random area and shape, the first that fits, at a random place.

    Args:
        rng: source of the random numbers.
        shape: of the images, `(n, height, width, channels)`.
        scale: smallest and largest share of the image's area; uniform.
        ratio: smallest and largest width divided by height; uniform in the logarithm.
    """
    n, height, width = shape[:3]
    areas = rng.uniform(*scale, size=(n, _TRIES)) * height * width
    ratios = np.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1]), size=(n, _TRIES)))
    places = rng.random((n, 2))
    widths = np.rint(np.sqrt(areas * ratios)).astype(int)
    heights = np.rint(np.sqrt(areas / ratios)).astype(int)
    fits = (widths >= 1) & (widths <= width) & (heights >= 1) & (heights <= height)
    first = np.arange(n), fits.argmax(1)
    any_fits = np.any(fits, axis=1)
    box_height = np.where(any_fits, heights[first], height)
    box_width = np.where(any_fits, widths[first], width)
    top = (places[:, 0] * (height - box_height + 1)).astype(int)
    left = (places[:, 1] * (width - box_width + 1)).astype(int)
    return Boxes(top, left, box_height, box_width, any_fits)


def box_mask(boxes: Boxes, height: int, width: int) -> np.ndarray:
    """Return True inside the boxes, shape `(n, height, width)`."""
    rows, columns = np.arange(height), np.arange(width)
    top, left = boxes.top[:, None], boxes.left[:, None]
    is_row = (rows >= top) & (rows < top + boxes.height[:, None])
    is_column = (columns >= left) & (columns < left + boxes.width[:, None])
    return is_row[:, :, None] & is_column[:, None, :]
