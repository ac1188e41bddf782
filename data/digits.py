"""The 1,797 handwritten digits that scikit-learn carries."""

from __future__ import annotations

import numpy as np

from .. import UserError
from .splits import stratified

TEST_IMAGES = 360


def read(image_shape, split_seed):
    """Returns `{"train": (x, y), "test": (x, y)}`, the test part a stratified fifth.

    The 8x8 pictures with values 0 to 16 become uint8 of `image_shape`, by bilinear interpolation between
    pixel centres.

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
    enlarged = _weights(height) @ (images * (255 / 16)) @ _weights(width).T
    x = np.rint(enlarged).astype(np.uint8)[..., None]
    test, train = stratified(labels, TEST_IMAGES, split_seed)
    return {"train": (x[train], labels[train]), "test": (x[test], labels[test])}


def _weights(size):
    """The `(size, 8)` matrix that interpolates 8 pixels at `size` evenly spread centres."""
    centres = (np.arange(size) + 0.5) * 8 / size - 0.5
    return np.stack([np.interp(centres, np.arange(8), pixel) for pixel in np.eye(8)], axis=1)
