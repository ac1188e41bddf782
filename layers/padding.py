"""The padding vocabulary that all layers share, in the terms of Dumoulin & Visin (arXiv 1603.07285).

With a window of k cells, dilation d and stride s over h cells, and k' = d(k - 1) + 1:

- `"valid"`: none.
- `"half"`: k' // 2 on both sides, the symmetric "same": h is kept at stride 1 when k' is odd.
- `"full"`: k' - 1 on both sides: every window that touches the image counts.
- `"same"`: TensorFlow's: as much as ceil(h / s) windows need, the odd cell at the bottom or right, so
  it depends on h and s.
- `"ceil"`: at the bottom and right, as much as a last partial window needs, which must start inside the
  image (Caffe, cuda-convnet, torch's `ceil_mode`). Pools and what stands in for one only.
- an int, a pair (height, width), or ((top, bottom), (left, right)).

Layers hold one of the names or ((top, bottom), (left, right)); the functions of one axis take a word or
(before, after).
"""

import contextlib

import keras
import numpy as np
from keras import ops

from .checks import is_int, quote_options

PADDINGS = ("valid", "half", "full", "same")
POOL_PADDINGS = (*PADDINGS, "ceil")

# Of each mode, the indices of the cells that stand before and after the image.
_BORDERS = {
    "reflect": lambda before, after: (range(before, 0, -1), range(-2, -2 - after, -1)),
    "circular": lambda before, after: (range(-before, 0), range(after)),
    "replicate": lambda before, after: ([0] * before, [-1] * after),
}
MODES = ("zeros", *_BORDERS)


def check_padding(padding, names=PADDINGS):
    """Returns `padding` as one of `names` or as ((top, bottom), (left, right)).

    Raises:
        ValueError: when it is neither of them, nor an int, nor a pair.
    """
    if isinstance(padding, str):
        if padding.lower() in names:
            return padding.lower()
    else:
        with contextlib.suppress(TypeError):
            axes = (padding, padding) if is_int(padding) else padding
            axes = tuple((axis, axis) if is_int(axis) else tuple(axis) for axis in axes)
            if [len(axis) for axis in axes] == [2, 2] and all(is_int(n) and n >= 0 for n in sum(axes, ())):
                return tuple((int(before), int(after)) for before, after in axes)
    raise ValueError(
        f"`padding` must be {quote_options(names)}, a non-negative integer, a pair (height, width) or "
        f"((top, bottom), (left, right)). Received: padding={padding!r}"
    )


def pad_amounts(padding, size, window, stride, dilation=1):
    """Cells to add before and after one axis.

    Args:
        padding: a word, or (before, after), of this axis.
        size: cells of the image along it; may be None where the amounts do not depend on it.
        window, stride, dilation: ints, along this axis.

    Returns:
        (before, after).

    Raises:
        ValueError: when `size` is None and the amounts depend on it.
    """
    extent = dilation * (window - 1)
    if not isinstance(padding, str):
        return tuple(padding)
    if padding == "valid":
        return 0, 0
    if padding == "half":
        return (extent + 1) // 2, (extent + 1) // 2
    if padding == "full":
        return extent, extent
    if padding == "same" and stride == 1:
        return extent // 2, extent - extent // 2
    if size is None:
        raise ValueError(
            f'`padding="{padding}"` at this stride depends on the size of the image, so height and width '
            f"must be known. Received: size=None, window={window}, stride={stride}"
        )
    missing = (output_size(padding, size, window, stride, dilation) - 1) * stride + extent + 1 - size
    missing = max(missing, 0)
    return (missing // 2, missing - missing // 2) if padding == "same" else (0, missing)


def output_size(padding, size, window, stride, dilation=1):
    """Windows along one axis: floor((h + p1 + p2 - d(k - 1) - 1) / s) + 1, below 1 when none fits.

    Args as for `pad_amounts`; None for a `size` that is None.
    """
    if size is None:
        return None
    extent = dilation * (window - 1)
    if padding == "same":
        return -(-size // stride)
    if padding == "ceil":
        windows = -(-(size - extent - 1) // stride) + 1
        return windows - ((windows - 1) * stride >= size)
    return (size + sum(pad_amounts(padding, size, window, stride, dilation)) - extent - 1) // stride + 1


def per_axis(padding):
    """The paddings of the two axes, from what `check_padding` returned."""
    return (padding, padding) if isinstance(padding, str) else padding


def spatial_axes(data_format):
    return (1, 2) if data_format == "channels_last" else (2, 3)


def pad_amounts_2d(padding, input_shape, window, strides, data_format, dilation=(1, 1)):
    """((top, bottom), (left, right)) for a batch of images of `input_shape`."""
    sizes = [input_shape[axis] for axis in spatial_axes(data_format)]
    return tuple(map(pad_amounts, per_axis(padding), sizes, window, strides, dilation))


def backend_padding(padding, input_shape, window, strides, data_format, dilation=(1, 1)):
    """The backend's own word for this padding by zeros, which costs no copy of the images, or None."""
    if padding in ("valid", "same"):
        return padding
    if max(strides) > 1 and None in [input_shape[axis] for axis in spatial_axes(data_format)]:
        return None
    # "half" and many a number are "same" at stride 1, and "ceil" at others.
    arguments = input_shape, window, strides, data_format, dilation
    return "same" if pad_amounts_2d(padding, *arguments) == pad_amounts_2d("same", *arguments) else None


def output_shape_2d(padding, input_shape, window, strides, data_format, dilation=(1, 1), channels=None):
    """Shape of what a window leaves of a batch of images; `channels` None keeps their number.

    Raises:
        ValueError: when the input has not four axes, or no window fits into the padded image.
    """
    if len(input_shape) != 4:
        layout = "(batch, {})".format(
            "height, width, channels" if data_format == "channels_last" else "channels, height, width"
        )
        raise ValueError(f"The input must have 4 axes, {layout}. Received: input_shape={tuple(input_shape)}")
    shape = list(input_shape)
    for i, axis in enumerate(spatial_axes(data_format)):
        shape[axis] = output_size(per_axis(padding)[i], shape[axis], window[i], strides[i], dilation[i])
        if shape[axis] is not None and shape[axis] < 1:
            raise ValueError(
                "The padded image must be at least as large as the window. "
                f"Received: input_shape={tuple(input_shape)}, window={tuple(window)}, "
                f"padding={padding!r}, strides={tuple(strides)}, dilation={tuple(dilation)}"
            )
    if channels is not None:
        shape[-1 if data_format == "channels_last" else 1] = channels
    return tuple(shape)


def pad_images(images, amounts, data_format, mode="zeros", value=0.0):
    """Images with ((top, bottom), (left, right)) more cells, or themselves when there is nothing to add.

    Args:
        images: a 4D tensor.
        amounts: ((top, bottom), (left, right)).
        data_format: `"channels_last"` or `"channels_first"`.
        mode: `"zeros"` (or rather `value`), `"reflect"` (the border cell is not repeated), `"circular"`
            or `"replicate"`.
        value: number that fills the cells of `"zeros"`.

    Raises:
        ValueError: when the image is too small to be reflected or wrapped that far.
    """
    if not any(map(any, amounts)):
        return images
    axes = spatial_axes(data_format)
    # Within `tf.vectorized_map` TensorFlow pads by zeros, whatever the value.
    by_cells = value != 0 and keras.backend.backend() == "tensorflow"
    if mode == "zeros" and not by_cells:
        widths = [(0, 0)] * 4
        widths[axes[0]], widths[axes[1]] = amounts
        return ops.pad(images, widths, constant_values=value)
    check_border(images.shape, amounts, data_format, mode)
    for axis, (before, after) in zip(axes, amounts, strict=True):
        if mode == "zeros":
            cell = ops.full_like(_cell(images, axis, 0), value)
            images = ops.concatenate([*[cell] * before, images, *[cell] * after], axis)
            continue
        first, last = _BORDERS[mode](before, after)
        size = images.shape[axis]
        if keras.backend.backend() == "jax" and is_int(size):
            # XLA gathers, there and back, several times faster on a CPU than it concatenates.
            images = ops.take(images, np.array([*first, *range(size), *last]) % size, axis)
            continue
        cells = [_cell(images, axis, i) for i in first], [_cell(images, axis, i) for i in last]
        images = ops.concatenate([*cells[0], images, *cells[1]], axis)
    return images


def check_border(input_shape, amounts, data_format, mode):
    """Raises ValueError when an image of this shape cannot be reflected or wrapped by these amounts."""
    spare = {"reflect": 1, "circular": 0}.get(mode)
    sizes = [input_shape[axis] for axis in spatial_axes(data_format)]
    if spare is not None and any(
        size is not None and max(axis) > size - spare for size, axis in zip(sizes, amounts, strict=True)
    ):
        raise ValueError(
            f'`padding_mode="{mode}"` cannot add more cells than the image has'
            f"{' beside the border' if spare else ''}. "
            f"Received: input_shape={tuple(input_shape)}, padding={amounts}"
        )


def _cell(images, axis, index):
    # An index, unlike a slice, fails beyond the border even where sizes are unknown.
    return ops.expand_dims(images[(slice(None),) * axis + (index,)], axis)
