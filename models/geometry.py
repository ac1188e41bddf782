"""The sliding window of a layer, read off the attributes that Keras's own layers carry."""

from typing import NamedTuple

from ..layers.padding import pad_amounts, per_axis


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
