"""What a network costs and sees, before it has a weight."""

from dataclasses import dataclass, replace
from math import prod

import keras

from ..layers.composite import Composite
from ..layers.repeat import Repeat
from .geometry import Signal, through, window

# Of a row, what adds up over rows.
SUMS = ("params", "macs", "other", "connections", "weight_bytes", "activation_bytes")


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
        connections: as LeCun et al. count them: for each output of a layer with weights or a window, what it reads, and
            its bias.
        weight_bytes: of all weights, trained or not.
        activation_bytes: of the output for one image, in the precision in force.
        receptive_field: (height, width) in pixels of what one output value sees, padding included.
        jump: (vertical, horizontal) pixels between neighbouring outputs.
        padding: (top, left) pixels by which the first output's receptive field begins outside of the image.
        gap: pixels between the centres of what joined branches see; not 0 is an unaligned join.
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
    connections: int
    weight_bytes: int
    activation_bytes: int
    receptive_field: tuple[int, int]
    jump: tuple[int, int]
    padding: tuple[int, int]
    gap: float
    same_as: str | None = None
    inside: tuple = ()
    copies: int = 1


@dataclass(frozen=True)
class Plan:
    """A network's layers in order, one `Row` each. `str(plan)` is the table.

    Attributes:
        name: the network's.
        image_shape: (height, width, channels).
        rows: the layers.
        precision: name of the dtype policy that bytes are counted in.
        kept_bytes: what one image leaves in memory for the backward pass: each map that a gradient reads, once.
    """

    name: str
    image_shape: tuple[int, int, int]
    rows: tuple[Row, ...]
    precision: str
    kept_bytes: int

    @property
    def params(self):
        """Trainable parameters of all rows."""
        return sum(row.params for row in self.rows)

    @property
    def macs(self):
        """Multiplications of all rows for one image."""
        return sum(row.macs for row in self.rows)

    def training_bytes(self, batch_size):
        """About what a step of training holds beside the libraries: weights, their gradients and their momentum; what
        `batch_size` images leave for the backward pass; and the largest gradient of a map."""
        largest = max(row.activation_bytes for row, _ in self.walk() if not row.inside)
        return sum(r.weight_bytes for r in self.rows) + 8 * self.params + batch_size * (self.kept_bytes + largest)

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
        weights, activations = (sum(getattr(row, key) for row in self.rows) / 1e6 for key in SUMS[-2:])
        return "\n".join(
            [
                title,
                line(header),
                rule,
                *map(line, lines),
                rule,
                line(total),
                f"weights {weights:,.2f} MB, all outputs of one image {activations:,.2f} MB in {self.precision}; "
                f"training on 128 images at a time holds about {self.training_bytes(128) / 1e6:,.0f} MB",
                *(
                    f"{r.name}: its branches are not aligned, their centres are {r.gap:g} px apart"
                    for r, _ in self.walk()
                    if r.gap
                ),
                *self.notes,
            ]
        )


def of(model):
    """The `Plan` of a Keras model: of a chain of layers with one input each, as `assemble` makes."""
    image = tuple(model.inputs[0].shape)
    rows, kept, x = [], {}, Signal(image, image[1:3])
    for layer in model.layers[1:]:
        x = _through(layer, x, rows, kept)
    return Plan(model.name, image[1:], tuple(rows), keras.config.dtype_policy().name, sum(kept.values()))


def _through(layer, x, rows, kept):
    """The signal that leaves `layer`; its row goes to the end of `rows`, what its gradient reads into `kept`."""
    inside = []
    if isinstance(layer, Composite):
        y = layer.flow(x, lambda inner, x: _through(inner, x, inside, kept))._replace(gap=0)
        counts = {key: sum(getattr(row, key) for row in inside) for key in SUMS}
    else:
        y = through(layer, x)
        counts = _counted(layer, y)
        _keep(layer, x, y, kept)
    rows.append(
        Row(
            name=layer.name,
            kind=type(layer).__name__,
            output_shape=y.shape[1:],
            **counts,
            receptive_field=y.size,
            jump=y.jump,
            padding=tuple(-start for start in y.start),
            gap=y.gap,
            same_as=getattr(layer, "same_as", None),
            inside=tuple(inside),
            copies=layer.times if isinstance(layer, Repeat) else 1,
        )
    )
    return y


def _counted(layer, y):
    """What `SUMS` names, of a layer without layers inside whose output is `y`."""
    values, positions = prod(y.shape[1:]), prod(_spatial(layer, y.shape[1:]))
    kernels = sum(prod(v.shape) for v in layer.weights if "kernel" in v.name)
    # A layer that does not use every weight at every position says itself how often it multiplies.
    macs = getattr(layer, "multiplications", kernels * positions)
    window = prod(y.reads)
    other = 0 if macs else values * window
    biases = sum(prod(v.shape) for v in layer.weights if "bias" in v.name)
    return {
        "params": sum(prod(v.shape) for v in layer.trainable_weights),
        "macs": macs,
        "other": other,
        # A locally connected layer has a bias of its own at every position.
        "connections": macs + (other if window > 1 else 0) + biases * (positions if biases < values else 1),
        "weight_bytes": sum(prod(v.shape) * 4 for v in layer.weights),
        "activation_bytes": _bytes(layer, y),
    }


def _bytes(layer, signal):
    return prod(signal.shape[1:]) * (2 if layer.compute_dtype in ("float16", "bfloat16") else 4)


def _keep(layer, x, y, kept):
    """Enters into `kept`, by the map, the bytes of those that the layer's gradient reads.

    A layer with weights reads what came in, one that is not linear what it gave out, and a pool may read both. A
    merge reads neither.
    """
    if isinstance(x, list):
        return
    if layer.weights or window(layer):
        # Keras normalizes in float32 and keeps its copy beside what came.
        normalizes = isinstance(layer, keras.layers.BatchNormalization) and _bytes(layer, x) < 4 * prod(x.shape[1:])
        kept[x.source] = max(kept.get(x.source, 0), (3 if normalizes else 1) * _bytes(layer, x))
    if not layer.weights or getattr(layer, "activation", None) not in (None, keras.activations.linear):
        kept[y.source] = _bytes(layer, y)


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
            sums = {key: sum(getattr(other, key) for other in others) for key in SUMS}
            kind = f"{row.copies - 1} × {others[0].kind}"
            yield replace(others[-1], name=" … ".join(names), kind=kind, **sums), depth + 1


def _counts(*numbers):
    return tuple(f"{number:,}" for number in numbers)


def _times(shape):
    return "×".join(map(str, shape))
