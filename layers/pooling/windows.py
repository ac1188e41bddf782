"""The values that a sliding window reads."""

import math

import keras
import numpy as np
from keras import ops

from ..padding import backend_padding, pad_amounts_2d, pad_images, spatial_axes


def window_cells(images, window, strides, axes):
    """For each cell of a window over `axes`, row by row, what it holds at every position: height * width tensors."""
    sizes = [images.shape[axis] for axis in axes]
    if keras.backend.backend() == "tensorflow" and max(strides) > 1 and None not in sizes:
        return _cells_of_parts(images, sizes, window, strides, axes)
    cells = []
    for offsets in np.ndindex(window):
        cuts = [slice(i, i + 1 - k or None, s) for i, k, s in zip(offsets, window, strides, strict=True)]
        cells.append(_cut(images, axes, cuts))
    return cells


def _cells_of_parts(images, sizes, window, strides, axes):
    """The same without slices by a stride, which with their slopes take TensorFlow ten times as long on a CPU."""
    counts = [(n - k) // s + 1 for n, k, s in zip(sizes, window, strides, strict=True)]
    parts = [images]
    for axis, n, k, s, count in zip(axes, sizes, window, strides, counts, strict=True):
        parts = [each for part in parts for each in _split_by_stride(part, s, axis, n, count + (k - 1) // s)]
    cells = []
    for y, x in np.ndindex(window):
        part = parts[y % strides[0] * strides[1] + x % strides[1]]
        starts = y // strides[0], x // strides[1]
        cells.append(_cut(part, axes, [slice(i, i + count) for i, count in zip(starts, counts, strict=True)]))
    return cells


def _split_by_stride(images, stride, axis, size, count):
    """By each start below `stride`, the `count` cells that lie this far apart on the axis, zeros past its end."""
    if stride == 1:
        return [images]
    widths = [(0, 0)] * 4
    widths[axis] = (0, max(count * stride - size, 0))
    images = _cut(ops.pad(images, widths), [axis], [slice(count * stride)])
    sizes = ops.shape(images)
    return ops.unstack(ops.reshape(images, (*sizes[:axis], count, stride, *sizes[axis + 1 :])), stride, axis + 1)


def _cut(images, axes, slices):
    index = [slice(None)] * 4
    for axis, cells in zip(axes, slices, strict=True):
        index[axis] = cells
    return images[tuple(index)]


def weighted_sum(images, weights, strides, padding, data_format):
    """Sum of the window's cells times `weights`, an array (height, width), of each channel alone; zeros around."""
    arguments = images.shape, weights.shape, strides, data_format
    # XLA fuses the sum into one pass, where its depthwise convolution is slow on a CPU.
    fused = keras.backend.backend() == "jax"
    name = None if fused else backend_padding(padding, *arguments)
    if name is None:
        images = pad_images(images, pad_amounts_2d(padding, *arguments), data_format)
    if fused:
        cells = window_cells(images, weights.shape, strides, spatial_axes(data_format))
        return sum(cell * float(weight) for cell, weight in zip(cells, weights.flat, strict=True))
    channels = images.shape[-1 if data_format == "channels_last" else 1]
    kernel = np.repeat(weights[:, :, None, None], channels, axis=2)
    kernel = ops.convert_to_tensor(kernel, dtype=images.dtype)
    return ops.depthwise_conv(images, kernel, strides, name or "valid", data_format)


def blur(images, window, strides, amounts, data_format):
    """Binomial weights over images continued by their mirror image, or by their border cell if too small for it."""
    sizes = [images.shape[axis] for axis in spatial_axes(data_format)]
    too_small = any(n is not None and max(added) >= n for n, added in zip(sizes, amounts, strict=True))
    amounts = [
        (p, q if n is None else max(q - (n + p + q - k) % s, 0))
        for n, (p, q), k, s in zip(sizes, amounts, window, strides, strict=True)
    ]
    images = pad_images(images, amounts, data_format, "replicate" if too_small else "reflect")
    rows = [np.array([math.comb(k - 1, i) for i in range(k)]) / 2 ** (k - 1) for k in window]
    return weighted_sum(images, np.outer(*rows), strides, "valid", data_format)
