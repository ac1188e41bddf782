"""What a network costs and sees, before it has a weight."""

from dataclasses import dataclass, replace
from math import prod

from .. import UserError
from ..layers.composite import Composite
from ..layers.repeat import Repeat
from .geometry import window


@dataclass(frozen=True)
class Row:
    """One layer of a plan.

    Attributes:
        name: the layer's name.
        kind: its class.
        output_shape: shape of its output without the batch axis.
        params: trainable parameters.
        macs: multiplications of one image with convolution and dense weights, padded positions counted.
        other: values read by everything else (pool windows, elementwise layers), one image.
        receptive_field: (height, width) in pixels of what one output value sees, padding included.
        jump: (vertical, horizontal) pixels between neighbouring outputs.
        same_as: another kind that computes the same with these settings, or None.
        inside: rows of the layers that it is made of.
        copies: how many times over they stand there, of which the table shows the first.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    params: int
    macs: int
    other: int
    receptive_field: tuple[int, int]
    jump: tuple[int, int]
    same_as: str | None = None
    inside: tuple = ()
    copies: int = 1


@dataclass(frozen=True)
class Plan:
    """A network's layers in order, one `Row` each. `str(plan)` is the table."""

    name: str
    image_shape: tuple[int, int, int]
    rows: tuple[Row, ...]

    @property
    def params(self):
        """Trainable parameters of all rows."""
        return sum(row.params for row in self.rows)

    @property
    def macs(self):
        """Multiplications of all rows for one image."""
        return sum(row.macs for row in self.rows)

    @property
    def notes(self):
        """A line for every row that computes what another kind would."""
        return [
            f"{r.name}: with these settings {r.kind} computes what {r.same_as} does"
            for r, _ in self.walk()
            if r.same_as
        ]

    def walk(self):
        """All rows, each before those inside it, and how deep they stand, from 0."""

        def deeper(rows, depth):
            for row in rows:
                yield row, depth
                yield from deeper(row.inside, depth + 1)

        yield from deeper(self.rows, 0)

    def __str__(self):
        header = ("name", "kind", "output", "parameters", "MACs", "other", "receptive field")
        lines = [
            (
                "  " * depth + r.name,
                r.kind,
                _times(r.output_shape),
                *_counts(r.params, r.macs, r.other),
                _times(r.receptive_field),
            )
            for r, depth in _folded(self.rows)
        ]
        total = ("total", "", "", *_counts(self.params, self.macs, sum(r.other for r in self.rows)), "")
        widths = [max(map(len, column)) for column in zip(header, *lines, total, strict=True)]
        rule = "─" * (sum(widths) + 2 * (len(widths) - 1))

        def line(cells):
            left = [cell.ljust(width) for cell, width in zip(cells[:2], widths[:2], strict=True)]
            right = [cell.rjust(width) for cell, width in zip(cells[2:], widths[2:], strict=True)]
            return "  ".join(left + right).rstrip()

        title = f"{self.name} on {_times(self.image_shape)}"
        return "\n".join([title, line(header), rule, *map(line, lines), rule, line(total), *self.notes])


def of(model):
    """The `Plan` of a Keras model: of a chain of layers with one input each, as `assemble` makes."""
    image = tuple(model.inputs[0].shape)
    rows, x = [], Signal(image, (1, 1), (1, 1), (0, 0))
    for layer in model.layers[1:]:
        x = _through(layer, x, rows)
    return Plan(model.name, image[1:], tuple(rows))


@dataclass(frozen=True)
class Signal:
    """What is known of a map on its way: its shape with the batch axis, and of each of its two axes the `size` of the
    receptive field, the `jump` between two of them, and the pixel at which the first starts (below 0: in the padding).
    """

    shape: tuple
    size: tuple[int, int]
    jump: tuple[int, int]
    start: tuple[int, int]


def _through(layer, x, rows):
    """The signal that leaves `layer`; its row goes to the end of `rows`."""
    inside = []
    if isinstance(layer, Composite):
        y = layer.flow(x, lambda inner, x: _through(inner, x, inside))
        macs, other = sum(row.macs for row in inside), sum(row.other for row in inside)
    else:
        y, macs, other = _slide(layer, x)
    rows.append(
        Row(
            name=layer.name,
            kind=type(layer).__name__,
            output_shape=y.shape[1:],
            params=sum(prod(v.shape) for v in layer.trainable_weights),
            macs=macs,
            other=other,
            receptive_field=y.size,
            jump=y.jump,
            same_as=getattr(layer, "same_as", None),
            inside=tuple(inside),
            copies=layer.times if isinstance(layer, Repeat) else 1,
        )
    )
    return y


def _slide(layer, x):
    """The signal that leaves a layer without layers inside, its MACs, and the values that it reads otherwise."""
    if isinstance(x, list):
        shape, x = tuple(layer.compute_output_shape([each.shape for each in x])), _join(layer, x)
    else:
        shape = tuple(layer.compute_output_shape(x.shape))
    before, after = x.shape[1:], shape[1:]
    size = strides = (1, 1)
    padded = (0, 0)
    sliding = window(layer)
    if sliding:
        size, strides = sliding.reach, sliding.strides
        padded = sliding.padded_before(_spatial(layer, before))
    elif len(before) == 3 and (len(after) == 1 or type(layer).__name__.startswith("Global")):
        size = _spatial(layer, before)  # every output sees the whole map
    y = Signal(
        shape,
        size=tuple(r + (k - 1) * j for r, k, j in zip(x.size, size, x.jump, strict=True)),
        jump=tuple(j * s for j, s in zip(x.jump, strides, strict=True)),
        start=tuple(a - p * j for a, p, j in zip(x.start, padded, x.jump, strict=True)),
    )
    kernels = [v for v in layer.weights if "kernel" in v.name]
    positions = prod(_spatial(layer, after))
    # A layer that does not use every weight at every position says itself how often it multiplies.
    macs = getattr(layer, "multiplications", sum(prod(kernel.shape) for kernel in kernels) * positions)
    return y, macs, 0 if macs else prod(after) * prod(size)


def _join(layer, signals):
    first = signals[0]
    if any(each.jump != first.jump for each in signals):
        jumps = ", ".join(_times(each.jump) for each in signals)
        raise UserError(f"`{layer.name}` joins branches of different strides: {jumps} pixels")
    ends = [tuple(a + r for a, r in zip(each.start, each.size, strict=True)) for each in signals]
    start = tuple(map(min, zip(*(each.start for each in signals), strict=True)))
    size = tuple(max(end) - a for end, a in zip(zip(*ends, strict=True), start, strict=True))
    return Signal(first.shape, size, first.jump, start)


def _spatial(layer, shape):
    return shape[1:] if getattr(layer, "data_format", None) == "channels_first" else shape[:-1]


def _folded(rows, depth=0):
    """Rows and how deep they stand; of copies the first, and the others as one row."""
    for row in rows:
        yield row, depth
        each = len(row.inside) // row.copies
        yield from _folded(row.inside[:each], depth + 1)
        if others := row.inside[each:]:
            names = dict.fromkeys((others[0].name, others[-each].name))
            sums = {key: sum(getattr(other, key) for other in others) for key in ("params", "macs", "other")}
            kind = f"{row.copies - 1} × {others[0].kind}"
            yield replace(others[-1], name=" … ".join(names), kind=kind, **sums), depth + 1


def _counts(*numbers):
    return tuple(f"{number:,}" for number in numbers)


def _times(shape):
    return "×".join(map(str, shape))
