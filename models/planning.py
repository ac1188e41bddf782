"""What a network costs and sees, before it has a weight."""

from dataclasses import dataclass
from math import prod

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
            f"{r.name}: with these settings {r.kind} computes what {r.same_as} does" for r in self.rows if r.same_as
        ]

    def __str__(self):
        header = ("name", "kind", "output", "parameters", "MACs", "other", "receptive field")
        lines = [
            (r.name, r.kind, _times(r.output_shape), *_counts(r.params, r.macs, r.other), _times(r.receptive_field))
            for r in self.rows
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
    rows, sees = [], {model.inputs[0].name: ((1, 1), (1, 1))}
    for layer in model.layers[1:]:
        field, jump = sees[layer.input.name]
        shape_in, shape_out = tuple(layer.input.shape[1:]), tuple(layer.output.shape[1:])
        sliding = window(layer)
        if sliding:
            size = [d * (k - 1) + 1 for k, d in zip(sliding.size, sliding.dilation, strict=True)]
            strides = sliding.strides
        elif len(shape_in) == 3 and (len(shape_out) == 1 or type(layer).__name__.startswith("Global")):
            size, strides = _spatial(layer, shape_in), (1, 1)  # every output sees the whole map
        else:
            size, strides = (1, 1), (1, 1)
        field = tuple(r + (k - 1) * j for r, k, j in zip(field, size, jump, strict=True))
        jump = tuple(j * s for j, s in zip(jump, strides, strict=True))
        sees[layer.output.name] = field, jump
        kernels = [v for v in layer.weights if "kernel" in v.name]
        positions = prod(_spatial(layer, shape_out))
        # A layer that does not use every weight at every position says itself how often it multiplies.
        macs = getattr(layer, "multiplications", sum(prod(kernel.shape) for kernel in kernels) * positions)
        rows.append(
            Row(
                name=layer.name,
                kind=type(layer).__name__,
                output_shape=shape_out,
                params=sum(prod(v.shape) for v in layer.trainable_weights),
                macs=macs,
                other=0 if macs else prod(shape_out) * prod(size),
                receptive_field=field,
                jump=jump,
                same_as=getattr(layer, "same_as", None),
            )
        )
    return Plan(model.name, tuple(model.inputs[0].shape[1:]), tuple(rows))


def _spatial(layer, shape):
    return shape[1:] if getattr(layer, "data_format", None) == "channels_first" else shape[:-1]


def _counts(*numbers):
    return tuple(f"{number:,}" for number in numbers)


def _times(shape):
    return "×".join(map(str, shape))
