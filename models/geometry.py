"""Which pixels a value sees: sliding windows, read off the attributes that Keras's own layers carry, one after another.

Receptive field, jump and padding are those of Araujo, Norris & Sim, Computing receptive fields of convolutional neural
networks, Distill 2019.
"""

from typing import NamedTuple

from .. import UserError
from ..layers.composite import output_shape
from ..layers.padding import pad_amounts, per_axis, spatial_axes


class Window(NamedTuple):
    """A window over a map: `size`, `strides`, `dilation` per axis, and `padding` as the layer was given it."""

    size: tuple[int, int]
    strides: tuple[int, int]
    dilation: tuple[int, int]
    padding: object

    @property
    def reach(self):
        """Cells that the window spans, per axis."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.size, self.dilation, strict=True))

    def padded_before(self, sizes):
        """Cells added at the top and at the left of a map of `sizes`, per axis."""
        return tuple(
            pad_amounts(padding, *axis)[0]
            for padding, *axis in zip(
                per_axis(self.padding), sizes, self.size, self.strides, self.dilation, strict=True
            )
        )


def window(layer):
    """The layer's `Window`; None if it has none: what is elementwise, or sees its whole input."""
    size = getattr(layer, "pool_size", None) or getattr(layer, "kernel_size", None)
    if not isinstance(size, tuple) or len(size) != 2:
        return None
    return Window(
        size,
        _pair(layer.strides),
        _pair(getattr(layer, "dilation_rate", 1)),
        layer.padding,
    )


def _pair(value):
    return (value, value) if isinstance(value, int) else tuple(value)


class Signal(NamedTuple):
    """What is known of a map on its way.

    Attributes:
        shape: with the batch axis.
        cells: (height, width) of the map, or of the last one where it is none any more.
        size: pixels that one of its values sees, per axis.
        jump: pixels between two neighbouring values.
        start: the pixel at which the first one's begin; below 0 it is in the padding.
        reads: cells of the map before that one value reads, per axis.
        gap: pixels between the centres of what branches see, where they were joined and differ.
        source: which output of which layer it is, by identity.
    """

    shape: tuple
    cells: tuple[int, int]
    size: tuple[int, int] = (1, 1)
    jump: tuple[int, int] = (1, 1)
    start: tuple[int, int] = (0, 0)
    reads: tuple[int, int] = (1, 1)
    gap: float = 0
    source: object = None


def through(layer, x):
    """The `Signal` that leaves a layer without layers inside.

    Args:
        layer: a built Keras layer.
        x: the signal that enters, or a list of them.

    Raises:
        UserError: the layer joins branches whose jumps differ.
    """
    if isinstance(x, list):
        shape, x = output_shape(layer, [each.shape for each in x]), _joined(layer, x)
    else:
        shape, x = output_shape(layer, x.shape), x._replace(gap=0)
    sliding = window(layer)
    size, strides, padded = (1, 1), (1, 1), (0, 0)
    if sliding:
        size, strides = getattr(layer, "reach", sliding.reach), sliding.strides
        padded = sliding.padded_before(x.cells)
    elif getattr(layer, "sees_all", len(x.shape) == 4 and (len(shape) == 2 or type(layer).__name__[:6] == "Global")):
        size = x.cells
    axes = spatial_axes(getattr(layer, "data_format", None) or "channels_last")
    return Signal(
        shape,
        tuple(shape[axis] for axis in axes) if len(shape) == 4 else x.cells,
        size=tuple(r + (k - 1) * j for r, k, j in zip(x.size, size, x.jump, strict=True)),
        jump=tuple(j * s for j, s in zip(x.jump, strides, strict=True)),
        start=tuple(a - p * j for a, p, j in zip(x.start, padded, x.jump, strict=True)),
        reads=size,
        gap=x.gap,
        source=object(),
    )


def _joined(layer, signals):
    first = signals[0]
    if any(each.jump != first.jump for each in signals):
        jumps = ", ".join("×".join(map(str, each.jump)) for each in signals)
        raise UserError(f"`{layer.name}` joins branches of different strides: {jumps} pixels")
    axes = [[(each.start[axis], each.start[axis] + each.size[axis]) for each in signals] for axis in (0, 1)]
    start = tuple(min(a for a, _ in axis) for axis in axes)
    size = tuple(max(b for _, b in axis) - a for axis, a in zip(axes, start, strict=True))
    gap = max(max(a + b for a, b in axis) - min(a + b for a, b in axis) for axis in axes) / 2
    return first._replace(size=size, start=start, gap=gap)
