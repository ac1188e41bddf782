"""Receptive fields: sliding windows, read off the attributes that Keras's own layers carry, one after another.

Receptive field, jump and padding are those of Araujo, Norris & Sim, Computing receptive fields of convolutional neural
networks, Distill 2019.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras

from .. import UserError
from ..layers.blocks.composite import output_shape
from ..layers.padding import pad_amounts, per_axis, spatial_axes


class Window(NamedTuple):
    """A window over a map: `size`, `strides`, `dilation` per axis, and `padding` as the layer was given it."""

    size: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: Any

    @property
    def effective_size(self) -> tuple[int, ...]:
        """Cells that the window spans, per axis."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.size, self.dilation, strict=True))

    def padded_before(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Cells added at the top and at the left of a map of `sizes`, per axis."""
        return tuple(
            pad_amounts(padding, *axis)[0]
            for padding, *axis in zip(
                per_axis(self.padding), sizes, self.size, self.strides, self.dilation, strict=True
            )
        )


def window(layer: keras.Layer) -> Window | None:
    """Return the layer's `Window`; None if it is elementwise or sees its whole input."""
    size = getattr(layer, "pool_size", None) or getattr(layer, "kernel_size", None)
    if not isinstance(size, tuple) or len(size) != 2:
        return None
    return Window(
        size,
        _pair(layer.strides),
        _pair(getattr(layer, "dilation_rate", 1)),
        layer.padding,
    )


def _pair(value: int | Sequence[int]) -> tuple[int, ...]:
    return (value, value) if isinstance(value, int) else tuple(value)


class FeatureMap(NamedTuple):
    """The size, receptive field and padding of a feature map.

    Attributes:
        shape: with the batch axis.
        cells: (height, width) of the map; of a vector those of the map whose cells it lists, (1, 1) where each of its
            values has seen all of them.
        size: pixels that one of its values sees, per axis.
        jump: pixels between two neighbouring values.
        start: the pixel at which the first one's begin; below 0 it is in the padding.
        reads: cells of the map before that one value reads, per axis.
        gap: pixels between the centres of what branches see, where they were joined and differ.
        source: which output of which layer it is, by identity.
    """

    shape: tuple[Any, ...]
    cells: tuple[int, ...]
    size: tuple[int, ...] = (1, 1)
    jump: tuple[int, ...] = (1, 1)
    start: tuple[int, ...] = (0, 0)
    reads: tuple[int, ...] = (1, 1)
    gap: float = 0
    source: object = None


def propagate(layer: keras.Layer, x: FeatureMap | list[FeatureMap]) -> FeatureMap:
    """Return the `FeatureMap` that leaves a layer without layers inside.

    Args:
        layer: a built Keras layer.
        x: the feature map that enters, or a list of them.

    Raises:
        UserError: the layer joins branches whose jumps differ.
    """
    if isinstance(x, list):
        shape, x = output_shape(layer, [each.shape for each in x]), _join(layer, x)
    else:
        shape, x = output_shape(layer, x.shape), x._replace(gap=0)
    sliding = window(layer)
    size: tuple[int, ...] = (1, 1)
    strides: tuple[int, ...] = (1, 1)
    padded = _added_before(layer)
    sees_all = not sliding and _sees_all(layer, x, shape)
    if sliding:
        size, strides = getattr(layer, "effective_size", sliding.effective_size), sliding.strides
        padded = sliding.padded_before(x.cells)
    elif sees_all:
        size = x.cells
    axes = spatial_axes(getattr(layer, "data_format", None) or "channels_last")
    vector_cells = (1, 1) if sees_all else x.cells
    return FeatureMap(
        shape,
        tuple(shape[axis] for axis in axes) if len(shape) == 4 else vector_cells,
        size=tuple(r + (k - 1) * j for r, k, j in zip(x.size, size, x.jump, strict=True)),
        jump=tuple(j * s for j, s in zip(x.jump, strides, strict=True)),
        start=tuple(a - p * j for a, p, j in zip(x.start, padded, x.jump, strict=True)),
        reads=size,
        gap=x.gap,
        source=object(),
    )


def _sees_all(layer: keras.Layer, x: FeatureMap, output_shape: Sequence[int | None]) -> bool:
    """Return whether each value of the output depends on every cell of the map, for a layer without a sliding window.

    `Flatten` and `Reshape` only put values elsewhere: what reads their vector by a kernel sees the whole map. What a
    normalization sees for its statistics is not counted.
    """
    if hasattr(layer, "sees_all"):
        return layer.sees_all
    if isinstance(layer, keras.layers.Flatten | keras.layers.Reshape):
        return False
    if len(x.shape) == 2:
        return any("kernel" in weight.name for weight in layer.weights)
    return len(x.shape) > 2 and (len(output_shape) == 2 or type(layer).__name__.startswith("Global"))


def _added_before(layer: keras.Layer) -> tuple[int, ...]:
    """Return the cells that a layer adds at the top and at the left of the map; below 0, it removes them."""
    if isinstance(layer, keras.layers.ZeroPadding2D):
        return tuple(before for before, _ in layer.padding)
    if isinstance(layer, keras.layers.Cropping2D):
        return tuple(-before for before, _ in layer.cropping)
    return (0, 0)


def _join(layer: keras.Layer, feature_maps: Sequence[FeatureMap]) -> FeatureMap:
    first = feature_maps[0]
    if any(each.jump != first.jump for each in feature_maps):
        jumps = ", ".join("×".join(map(str, each.jump)) for each in feature_maps)
        raise UserError(f"`{layer.name}` joins branches of different strides: {jumps} pixels")
    axes = [[(each.start[axis], each.start[axis] + each.size[axis]) for each in feature_maps] for axis in (0, 1)]
    start = tuple(min(a for a, _ in axis) for axis in axes)
    size = tuple(max(b for _, b in axis) - a for axis, a in zip(axes, start, strict=True))
    gap = max(max(a + b for a, b in axis) - min(a + b for a, b in axis) for axis in axes) / 2
    return first._replace(size=size, start=start, gap=gap)
