"""Traces of convolutions: products with a kernel, and their sum."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from ...layers import LocallyConnected2D, PartiallyConnected2D, WhitenedConv2D
from ...layers.padding import pad_amounts_2d, pad_images
from ...settings.text import format_number
from .steps import Part, Step, check_count, check_value, format_operand, sum_products, to_numpy
from .titles import describe_layer, describe_size

# The weights that an output value reads, by its row, column and channel: pairs of an input map and its window.
Kernels = Callable[[int, int, int], Iterator[tuple[int, np.ndarray]]]

CONVOLUTIONS: tuple[type, ...] = (
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.DepthwiseConv2D,
    LocallyConnected2D,
    PartiallyConnected2D,
    WhitenedConv2D,
)


@dataclass(frozen=True)
class Sliding:
    """The windows of a convolution over a padded image, and the weights at each."""

    padded: np.ndarray
    is_added: np.ndarray
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    kernels: Kernels
    arithmetic: str


def slide(layer: keras.Layer, inputs: np.ndarray, outputs: np.ndarray) -> Sliding:
    """Return the windows of a convolution over an image.

    Args:
        layer: of a class in `CONVOLUTIONS`, built.
        inputs: shape (height, width, channels).
        outputs: the layer's, shape (rows, columns, filters).
    """
    dilation = _pair(getattr(layer, "dilation_rate", 1))
    window, strides = _pair(layer.kernel_size), _pair(layer.strides)
    amounts = pad_amounts_2d(layer.padding, (1, *inputs.shape), window, strides, "channels_last", dilation)
    mode = getattr(layer, "padding_mode", "zeros")
    padded = to_numpy(pad_images(inputs[None].astype("float32"), amounts, "channels_last", mode))[0]
    is_added = np.pad(np.zeros(inputs.shape[:2], bool), amounts, constant_values=True)
    arithmetic = describe_size(inputs.shape, amounts, window, strides, dilation, outputs.shape)
    return Sliding(padded, is_added, strides, dilation, _find_kernels(layer, inputs, outputs), arithmetic)


def slide_transposed(layer: keras.Layer, inputs: np.ndarray, outputs: np.ndarray) -> Sliding:
    """Return the windows of a transposed convolution, as those of a convolution.

    Its image has zeros between the cells, its stride is 1, and the kernel is turned by half a turn.

    Args:
        layer: a `keras.layers.Conv2DTranspose`, built.
        inputs: shape (height, width, channels).
        outputs: the layer's, shape (rows, columns, filters).

    Reference:
        Dumoulin & Visin, A guide to convolution arithmetic for deep learning, 2016 (arXiv 1603.07285), chapter 4.
    """
    strides, dilation = _pair(layer.strides), _pair(layer.dilation_rate)
    amounts, texts = [], []
    for size, out, k, s, d in zip(
        inputs.shape, outputs.shape, _pair(layer.kernel_size), strides, dilation, strict=False
    ):
        extent, spread = d * (k - 1), (size - 1) * s + 1
        removed = spread + extent - out  # from what all windows give
        before = extent - (max(removed, 0) // 2 if layer.padding == "same" else 0)
        amounts.append((before, max(out + extent - spread - before, 0)))
        cut = f" − {removed}" if removed > 0 else f" + {-removed}" if removed < 0 else ""
        texts.append(f"({size} − 1) · {s} + {extent + 1}{cut} = {out}")
    height, width, channels = inputs.shape
    spread_image = np.zeros(((height - 1) * strides[0] + 1, (width - 1) * strides[1] + 1, channels))
    spread_image[:: strides[0], :: strides[1]] = inputs
    is_added = np.ones(spread_image.shape[:2], bool)
    is_added[:: strides[0], :: strides[1]] = False
    kernel = to_numpy(layer.kernel)[::-1, ::-1]

    def find(row: int, column: int, filter_: int) -> Iterator[tuple[int, np.ndarray]]:
        for channel in range(channels):
            yield channel, kernel[:, :, filter_, channel]

    padded = np.pad(spread_image, (*amounts, (0, 0)))
    is_added = np.pad(is_added, amounts, constant_values=True)
    arithmetic = texts[0] if len(set(texts)) == 1 else ", ".join(texts)
    return Sliding(padded, is_added, (1, 1), dilation, find, arithmetic)


def trace_convolution(layer: keras.Layer, inputs: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
    """Return the fields of the `Trace` of a convolution.

    Args:
        layer: a convolution, built.
        inputs: shape (height, width, channels).
        outputs: the layer's, shape (rows, columns, filters).

    Raises:
        UserError: the terms do not give the outputs.
    """
    check_count(outputs)
    is_transposed = isinstance(layer, keras.layers.Conv2DTranspose)
    sliding = (slide_transposed if is_transposed else slide)(layer, inputs, outputs)
    bias = None if getattr(layer, "bias", None) is None else to_numpy(layer.bias)
    if bias is not None:
        bias = np.broadcast_to(bias[:, None] if bias.ndim == 2 else bias, outputs.shape)
    steps = tuple(
        _trace_value(layer, sliding, (row, column, channel), outputs, bias)
        for channel in range(outputs.shape[2])
        for row in range(outputs.shape[0])
        for column in range(outputs.shape[1])
    )
    return dict(
        title=describe_layer(layer),
        arithmetic=sliding.arithmetic,
        padded=sliding.padded,
        is_added=sliding.is_added,
        steps=steps,
        terms_name="products",
        weights_name="turned kernel" if is_transposed else "kernel",
        adds_maps=max(len(step.parts) for step in steps) > 1,
        added_name="added zeros" if is_transposed else "padding",
        note="zeros between and around the cells; the window moves by 1" if is_transposed else "",
    )


def _trace_value(
    layer: keras.Layer,
    sliding: Sliding,
    position: tuple[int, int, int],
    outputs: np.ndarray,
    biases: np.ndarray | None,
) -> Step:
    row, column, _ = position
    parts, texts = [], []
    for channel, weights in sliding.kernels(*position):
        rows = row * sliding.strides[0] + np.arange(weights.shape[0]) * sliding.dilation[0]
        columns = column * sliding.strides[1] + np.arange(weights.shape[1]) * sliding.dilation[1]
        values = sliding.padded[np.ix_(rows, columns)][:, :, channel]
        cells = tuple((int(y), int(x)) for y in rows for x in columns)
        parts.append(Part(channel, cells, values * weights, weights))
        texts.append(sum_products(values, weights))
    bias = None if biases is None else float(biases[position])
    total = sum(part.total for part in parts) + (bias or 0)
    value = float(outputs[position])
    terms = texts[0] if len(parts) == 1 else " + ".join(format_operand(part.total) for part in parts)
    formula = terms if bias is None else f"{terms} + bias {format_operand(bias)}"
    activation = getattr(layer, "activation", None) or keras.activations.linear
    if activation is keras.activations.linear:
        check_value(layer, position, total, value)
        formula = f"{formula} = {format_number(value)}"
    else:
        check_value(layer, position, float(to_numpy(activation(keras.ops.convert_to_tensor(total, "float32")))), value)
        name = getattr(activation, "__name__", "activation")
        formula = f"{formula} = {format_number(total)};  {name}({format_number(total)}) = {format_number(value)}"
    return Step(position, tuple(parts), value, formula, bias)


def _find_kernels(layer: keras.Layer, inputs: np.ndarray, outputs: np.ndarray) -> Kernels:
    kernel = to_numpy(layer.kernel)
    channels, filters = inputs.shape[2], outputs.shape[2]
    if isinstance(layer, LocallyConnected2D):
        local = kernel.reshape(*outputs.shape[:2], *layer.kernel_size, channels, filters)

        def find(row: int, column: int, filter_: int) -> Iterator[tuple[int, np.ndarray]]:
            for channel in range(channels):
                yield channel, local[row, column, :, :, channel, filter_]

    elif isinstance(layer, PartiallyConnected2D):
        starts = np.cumsum([0, *map(len, layer.connections)])

        def find(row: int, column: int, filter_: int) -> Iterator[tuple[int, np.ndarray]]:
            for index, channel in enumerate(layer.connections[filter_], starts[filter_]):
                yield channel, kernel[:, :, index]

    elif isinstance(layer, keras.layers.DepthwiseConv2D):

        def find(row: int, column: int, filter_: int) -> Iterator[tuple[int, np.ndarray]]:
            channel, number = divmod(filter_, kernel.shape[3])
            yield channel, kernel[:, :, channel, number]

    else:
        groups = getattr(layer, "groups", 1)

        def find(row: int, column: int, filter_: int) -> Iterator[tuple[int, np.ndarray]]:
            first = filter_ // (filters // groups) * kernel.shape[2]
            for index in range(kernel.shape[2]):
                yield first + index, kernel[:, :, index, filter_]

    return find


def _pair(value: int | Sequence[int]) -> tuple[int, ...]:
    return (value, value) if isinstance(value, int) else tuple(value)
