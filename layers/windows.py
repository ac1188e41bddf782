"""What a sliding window reads."""

import math

import keras
import numpy as np
from keras import ops

from .padding import pad_images, spatial_axes


def window_cells(images, window, strides, axes):
    """For each cell of a window over `axes`, row by row, what it holds at every position: height * width tensors."""
    cells = []
    for offsets in np.ndindex(window):
        index = [slice(None)] * 4
        for axis, first, k, s in zip(axes, offsets, window, strides, strict=True):
            index[axis] = slice(first, first + 1 - k or None, s)
        cells.append(images[tuple(index)])
    return cells


def weighted_sum(images, weights, strides, data_format):
    """Sum of the window's cells times `weights`, an array (height, width), of each channel alone."""
    if keras.backend.backend() == "jax":
        # XLA fuses the sum into one pass, where its depthwise convolution is slow on a CPU.
        cells = window_cells(images, weights.shape, strides, spatial_axes(data_format))
        return sum(cell * float(weight) for cell, weight in zip(cells, weights.flat, strict=True))
    channels = images.shape[-1 if data_format == "channels_last" else 1]
    kernel = np.repeat(weights[:, :, None, None], channels, axis=2)
    kernel = ops.convert_to_tensor(kernel, dtype=images.dtype)
    return ops.depthwise_conv(images, kernel, strides, "valid", data_format)


def binomial(window):
    """Weights (height, width) that sum to 1: the outer product of two rows of Pascal's triangle."""
    rows = [np.array([math.comb(k - 1, i) for i in range(k)]) / 2 ** (k - 1) for k in window]
    return np.outer(*rows)


def pad_mirrored(images, amounts, data_format):
    """Images continued by their mirror image, or by their border cell where they are too small for that."""
    sizes = [images.shape[axis] for axis in spatial_axes(data_format)]
    too_small = any(n is not None and max(added) >= n for n, added in zip(sizes, amounts, strict=True))
    return pad_images(images, amounts, data_format, "replicate" if too_small else "reflect")
