"""Traces of pooling over height and width: where the windows lie."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from ...layers import (
    AdaptivePolyphasePooling2D,
    BlurPooling2D,
    FractionalMaxPooling2D,
    MaxBlurPooling2D,
    WeightedAveragePooling2D,
)
from ...layers.padding import pad_amounts_2d
from ...settings.text import format_number
from .pooling_rules import RULES, Pooled, add_products, find_rule, select_maximum
from .steps import Part, Step, check_count, check_value, to_numpy
from .titles import describe_layer, describe_size

POOLS: tuple[type, ...] = (
    *RULES,
    AdaptivePolyphasePooling2D,
    BlurPooling2D,
    FractionalMaxPooling2D,
    MaxBlurPooling2D,
    WeightedAveragePooling2D,
)

# The cells of the window of an output value, by its row and column.
Cells = Callable[[int, int], tuple[range, range]]


class Windows(NamedTuple):
    """The windows of a pool over a padded image."""

    padded: np.ndarray
    is_added: np.ndarray
    cells: Cells
    arithmetic: str = ""
    note: str = ""


def trace_pooling(layer: keras.Layer, inputs: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
    """Return the fields of the `Trace` of a pool.

    Args:
        layer: of a class in `POOLS`, built.
        inputs: shape (height, width, channels).
        outputs: the layer's, shape (rows, columns, channels).

    Raises:
        UserError: the terms do not give the outputs.
    """
    check_count(outputs)
    if isinstance(layer, MaxBlurPooling2D):
        windows, pool = _slide_blurred_maxima(layer, inputs, outputs)
    else:
        windows, pool = _slide(layer, inputs, outputs), _find_pool(layer)
    steps, pooled = [], None
    for channel in range(outputs.shape[2]):
        for row in range(outputs.shape[0]):
            for column in range(outputs.shape[1]):
                position = row, column, channel
                rows, columns = windows.cells(row, column)
                pooled = pool(windows.padded[rows.start : rows.stop, columns.start : columns.stop, channel], position)
                value = float(outputs[position])
                check_value(layer, position, pooled.value, value)
                cells = tuple((y, x) for y in rows for x in columns)
                part = Part(channel, cells, pooled.terms, pooled.weights, pooled.selected)
                text = f"{pooled.formula} = {format_number(value)}"
                steps.append(Step(position, (part,), value, text, pooled.bias))
    return dict(
        title=describe_layer(layer),
        arithmetic=windows.arithmetic,
        padded=windows.padded,
        is_added=windows.is_added,
        steps=tuple(steps),
        terms_name=pooled.terms_name if pooled else "",
        weights_name="weights" if pooled and pooled.weights is not None else "",
        note=windows.note,
    )


def _slide(layer: keras.Layer, inputs: np.ndarray, outputs: np.ndarray) -> Windows:
    height, width, _ = inputs.shape
    if isinstance(layer, FractionalMaxPooling2D):
        return _find_regions(layer, inputs)
    if not hasattr(layer, "pool_size"):  # of the whole map
        return Windows(inputs, np.zeros((height, width), bool), lambda row, column: (range(height), range(width)))
    window, strides = layer.pool_size, layer.strides
    amounts = pad_amounts_2d(layer.padding, (1, *inputs.shape), window, strides, "channels_last")
    arithmetic = describe_size((height, width), amounts, window, strides, (1, 1), outputs.shape)
    if isinstance(layer, AdaptivePolyphasePooling2D):
        return _slide_polyphase(layer, inputs, outputs, amounts)._replace(arithmetic=arithmetic)
    widths = (*amounts, (0, 0))
    if isinstance(layer, BlurPooling2D):
        padded = np.pad(inputs, widths, _blur_border(amounts, (height, width)))
    else:
        padded = np.pad(inputs, widths, constant_values=np.nan)
    is_added = np.pad(np.zeros((height, width), bool), widths[:2], constant_values=True)
    return Windows(padded, is_added, _strided(window, strides), arithmetic)


def _strided(window: Sequence[int], strides: Sequence[int], offset: Sequence[int] = (0, 0)) -> Cells:
    def cells(row: int, column: int) -> tuple[range, range]:
        top, left = row * strides[0] + offset[0], column * strides[1] + offset[1]
        return range(top, top + window[0]), range(left, left + window[1])

    return cells


def _blur_border(amounts: Sequence[tuple[int, int]], sizes: Sequence[int]) -> Any:
    """Return the mode of `np.pad` for a blur: mirrored, or the border cell where the map is too small for it."""
    too_small = any(max(added) >= size for added, size in zip(amounts, sizes, strict=True))
    return "edge" if too_small else "reflect"


def _find_regions(layer: keras.Layer, inputs: np.ndarray) -> Windows:
    """Return the regions that a call draws, from the first and last rows and columns that it selects."""
    rows, columns = np.indices(inputs.shape[:2], dtype="float32")
    edges = np.stack([-rows, rows, -columns, columns], axis=-1)
    drawn = to_numpy(layer(edges[None]))[0]
    tops, bottoms = -drawn[:, 0, 0], drawn[:, 0, 1]
    lefts, rights = -drawn[0, :, 2], drawn[0, :, 3]

    def cells(row: int, column: int) -> tuple[range, range]:
        return range(int(tops[row]), int(bottoms[row]) + 1), range(int(lefts[column]), int(rights[column]) + 1)

    sizes = [
        "+".join(f"{b - a + 1:.0f}" for a, b in zip(*ends, strict=True)) for ends in ((tops, bottoms), (lefts, rights))
    ]
    note = f"drawn regions: rows of {sizes[0]}, columns of {sizes[1]} cells"
    return Windows(inputs, np.zeros(inputs.shape[:2], bool), cells, note=note)


def _slide_polyphase(
    layer: keras.Layer, inputs: np.ndarray, outputs: np.ndarray, amounts: Sequence[tuple[int, int]]
) -> Windows:
    """Return the windows of the grid that an image chooses: the one whose maxima have the largest norm."""
    window, strides = layer.pool_size, layer.strides
    before = [amount[0] for amount in amounts]
    needed = [out * s + k - 1 for out, s, k in zip(outputs.shape, strides, window, strict=False)]
    widths = [(b, max(n - size - b, 0)) for b, n, size in zip(before, needed, inputs.shape, strict=False)]
    padded = np.pad(inputs, (*widths, (0, 0)), "wrap")[: needed[0], : needed[1]]
    is_added = np.pad(np.zeros(inputs.shape[:2], bool), widths, constant_values=True)[: needed[0], : needed[1]]
    views = np.lib.stride_tricks.sliding_window_view(padded, window, (0, 1)).max((-2, -1))
    norms = {
        (y, x): float(np.sqrt(np.sum(views[y :: strides[0], x :: strides[1]] ** 2))) for y, x in np.ndindex(*strides)
    }
    chosen = max(norms, key=lambda grid: norms[grid])  # the first of equal ones, as the layer
    texts = ", ".join(f"{grid}: {format_number(value)}" for grid, value in norms.items())
    note = f"norm of the maxima of each grid: {texts}; chosen: {chosen}"
    return Windows(padded, is_added, _strided(window, strides, chosen), note=note)


def _find_pool(layer: keras.Layer) -> Callable[[np.ndarray, tuple[int, int, int]], Pooled]:
    if isinstance(layer, BlurPooling2D):
        binomial = _binomial(layer.pool_size)
        return lambda values, position: add_products(values, binomial)
    if isinstance(layer, WeightedAveragePooling2D):

        def pool(values: np.ndarray, position: tuple[int, int, int]) -> Pooled:
            weights = np.where(np.isnan(values), np.nan, layer.window)
            return add_products(values, weights / np.nansum(weights))

        return pool
    if isinstance(layer, AdaptivePolyphasePooling2D | FractionalMaxPooling2D):
        return lambda values, position: select_maximum(values)
    rule = find_rule(layer)
    return lambda values, position: rule(layer, values, position[2])


def _binomial(window: Sequence[int]) -> np.ndarray:
    rows = [np.array([math.comb(k - 1, i) for i in range(k)]) / 2 ** (k - 1) for k in window]
    return np.outer(*rows)


def _slide_blurred_maxima(
    layer: MaxBlurPooling2D, inputs: np.ndarray, outputs: np.ndarray
) -> tuple[Windows, Callable[[np.ndarray, tuple[int, int, int]], Pooled]]:
    """Return the cells that the maxima of a blur are of, and a function that blurs them."""
    sizes, window, strides, blur = inputs.shape[:2], layer.pool_size, layer.strides, layer.blur_size
    amounts = pad_amounts_2d(layer.padding, (1, *inputs.shape), window, strides, "channels_last")
    padded = np.pad(inputs, (*amounts, (0, 0)), constant_values=np.nan)
    below = np.where(np.isnan(padded), -np.inf, padded)
    maxima = np.lib.stride_tricks.sliding_window_view(below, window, (0, 1)).max((-2, -1))
    around = [((k - 1) // 2, k // 2) for k in blur]
    mode = _blur_border(around, maxima.shape[:2])
    indices = [np.pad(np.arange(size), added, mode) for size, added in zip(maxima.shape[:2], around, strict=False)]
    weights = _binomial(blur)

    def read(row: int, column: int) -> list[np.ndarray]:
        starts = row * strides[0], column * strides[1]
        return [index[start : start + k] for index, start, k in zip(indices, starts, blur, strict=True)]

    def cells(row: int, column: int) -> tuple[range, range]:
        spans = [(int(each.min()), int(each.max())) for each in read(row, column)]
        rows, columns = (range(low, high + k) for (low, high), k in zip(spans, window, strict=True))
        return rows, columns

    def pool(values: np.ndarray, position: tuple[int, int, int]) -> Pooled:
        row, column, channel = position
        return add_products(maxima[np.ix_(*read(row, column))][:, :, channel], weights, "maxima × weights")

    is_added = np.pad(np.zeros(sizes, bool), amounts, constant_values=True)
    arithmetic = describe_size(sizes, amounts, window, strides, (1, 1), outputs.shape)
    note = f"the maxima of {window[0]}×{window[1]} windows at stride 1 are blurred, mirrored at the border"
    return Windows(padded, is_added, cells, arithmetic, note), pool
