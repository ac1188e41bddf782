"""The 1,797 handwritten digits of scikit-learn."""

from __future__ import annotations

import numpy as np

from ... import UserError
from ..splits import stratified_split
from .base import Source, SourceData

TEST_IMAGES = 360


def read(image_shape: tuple[int, ...], split_seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Reads the digits and sets a stratified fifth of them aside for the test.

    The 8x8 images with values 0 to 16 become uint8 of `image_shape`, by bilinear interpolation between pixel centres.

    Args:
        image_shape: (height, width, 1), at least 8x8.
        split_seed: decides which fifth.

    Returns:
        `{"train": (x, y), "test": (x, y)}`.

    Raises:
        UserError: `image_shape` is smaller than 8x8 or not of one channel.

    Reference: Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998.
    """
    height, width, channels = image_shape
    if min(height, width) < 8 or channels != 1:
        raise UserError(
            f"`data.image_shape` of digits must be [height, width, 1] of at least 8. Received: {image_shape}"
        )
    from sklearn.datasets import load_digits

    images, labels = load_digits().images, load_digits().target.astype(np.int32)
    enlarged = _interpolation_matrix(height) @ (images * (255 / 16)) @ _interpolation_matrix(width).T
    x = np.rint(enlarged).astype(np.uint8)[..., None]
    test, train = stratified_split(labels, TEST_IMAGES, split_seed)
    return {"train": (x[train], labels[train]), "test": (x[test], labels[test])}


def _interpolation_matrix(size: int) -> np.ndarray:
    """The `(size, 8)` matrix that interpolates 8 pixels at `size` evenly spread centres."""
    centres = (np.arange(size) + 0.5) * 8 / size - 0.5
    return np.stack([np.interp(centres, np.arange(8), pixel) for pixel in np.eye(8)], axis=1)


class DigitsSource(Source):
    """`data.source=digits`."""

    name = "digits"

    def read(self) -> SourceData:
        """Reads the digits, enlarged to `image_shape`."""
        height, width, channels = self.config["image_shape"]
        description = f"scikit-learn's load_digits, enlarged to {height}×{width}"
        # Square images keep their proportions; the rest of `data.resize` is done for every source.
        if self.config.get("resize") == "crop":
            height = width = max(height, width)
        elif self.config.get("resize") == "pad":
            height = width = min(height, width)
        return SourceData(read((height, width, channels), self.config["split_seed"]), description)
