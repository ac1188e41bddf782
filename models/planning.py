"""The plan: costs and receptive fields of a network that has no weights yet."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import keras

from ..layers.blocks.composite import Composite
from ..layers.blocks.repeat import Repeat
from .geometry import FeatureMap, Window, propagate, window

# Of a row, what adds up over rows.
SUMS = ("params", "macs", "other_reads", "connections", "weight_bytes", "activation_bytes")
WIDTH = 80  # columns of the table


@dataclass(frozen=True)
class PlanRow:
    """One layer of a plan.

    Attributes:
        name: the layer's name.
        kind: its class.
        output_shape: shape of its output without the batch axis.
        params: trainable parameters.
        macs: multiplications of one image with convolution and dense weights, padded positions counted.
        other_reads: values that layers without such weights read for one image: a sliding window all that it covers at
            each position, any other layer each input value once.
        connections: as LeCun et al. count them: for each output of a layer with weights or a window, what it reads, and
            its bias.
        weight_bytes: of all weights, trained or not.
        activation_bytes: of the output for one image, in the precision in force.
        receptive_field: (height, width) in pixels of what one output value sees, padding included.
        jump: (vertical, horizontal) pixels between neighbouring outputs.
        padding: (top, left) pixels by which the first output's receptive field begins outside of the image.
        gap: pixels between the centres of what joined branches see; not 0 is an unaligned join.
        equivalent_pooling: another kind that computes the same with these settings, or None.
        inside: rows of the layers that it is made of.
        copies: how many times over they stand there, of which the table shows the first.
        activation: name of the activation function behind it, or None.
        reads_padding: whether its window is larger than the 1×1 map that it slides over.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    params: int
    macs: int
    other_reads: int
    connections: int
    weight_bytes: int
    activation_bytes: int
    receptive_field: tuple[int, ...]
    jump: tuple[int, ...]
    padding: tuple[int, ...]
    gap: float
    equivalent_pooling: str | None = None
    inside: tuple["PlanRow", ...] = ()
    copies: int = 1
    activation: str | None = None
    reads_padding: bool = False


@dataclass(frozen=True)
class Plan:
    """A network's layers in order, one `PlanRow` each. `str(plan)` is the table.

    Attributes:
        name: the network's.
        image_shape: (height, width, channels).
        rows: the layers.
        precision: name of the dtype policy that bytes are counted in.
        backward_bytes: what one image leaves in memory for the backward pass: each map that a gradient reads, once.
    """

    name: str
    image_shape: tuple[int, int, int]
    rows: tuple[PlanRow, ...]
    precision: str
    backward_bytes: int

    @property
    def params(self) -> int:
        """Trainable parameters of all rows."""
        return sum(row.params for row in self.rows)

    @property
    def macs(self) -> int:
        """Multiplications of all rows for one image."""
        return sum(row.macs for row in self.rows)

    def training_bytes(self, batch_size: int) -> int:
        """Return about how many bytes a step of training needs, without the libraries.

        These are the weights, their gradients and their momentum; what `batch_size` images leave for the backward
        pass; and the largest gradient of a map.
        """
        largest = max(row.activation_bytes for row, _ in self.walk() if not row.inside)
        return sum(r.weight_bytes for r in self.rows) + 8 * self.params + batch_size * (self.backward_bytes + largest)

    @property
    def notes(self) -> list[str]:
        """Lines on rows that compute what another kind would, and on windows that see little but padding."""
        rows = [row for row, _ in self.walk()]
        same = [
            f"{row.name}: with these settings {row.kind} computes what {row.equivalent_pooling} does"
            for row in rows
            if row.equivalent_pooling
        ]
        wasted = {row.name: sum(leaf.reads_padding for leaf in _leaves(row)) for row in self.rows}
        first = next((name for name, count in wasted.items() if count), None)
        if first is None:
            return same
        height, width, _ = self.image_shape
        return [
            *same,
            f"{self.name} is made for larger images than {height}×{width}: from {first} on, {sum(wasted.values())} "
            "windows slide over maps of 1×1 and see padding around one value",
        ]

    def walk(self) -> Iterator[tuple[PlanRow, int]]:
        """Yield all rows, each before those inside it, and their depth, from 0."""

        def deeper(rows: Sequence[PlanRow], depth: int) -> Iterator[tuple[PlanRow, int]]:
            for row in rows:
                yield row, depth
                yield from deeper(row.inside, depth + 1)

        yield from deeper(self.rows, 0)

    def __str__(self) -> str:
        names = ("name", "kind", "output", "params", "MACs", "other", "sees")
        rows = [(2 * depth, row) for row, depth in _fold_copies(self.rows)]
        table = [_cells(row, indent, exact=True) for indent, row in rows]
        if sum(map(max, zip(*[map(len, cells) for cells in (names, *table)], strict=True))) + 2 * 6 > WIDTH:
            table = [_cells(row, indent, exact=False) for indent, row in rows]
        sums = ("total", "", "", *_format_counts(self.params, self.macs, sum(r.other_reads for r in self.rows)), "")
        weights, activations = (sum(getattr(row, key) for row in self.rows) / 1e6 for key in SUMS[-2:])
        header, *lines, total = _lay_out([names, *table, sums])
        rule = "─" * max(len(part) for line in [header, *lines, total] for part in line.split("\n"))
        notes = [
            f"weights {weights:,.2f} MB, all outputs of one image {activations:,.2f} MB in {self.precision}; "
            f"training on 128 images at a time holds about {self.training_bytes(128) / 1e6:,.0f} MB",
            *(
                f"{r.name}: its branches are not aligned, their centres are {r.gap:g} px apart"
                for r, _ in self.walk()
                if r.gap
            ),
            *self.notes,
        ]
        return "\n".join(
            [
                f"{self.name} on {_format_shape(self.image_shape)}",
                header,
                rule,
                *lines,
                rule,
                total,
                *(textwrap.fill(note, WIDTH, break_long_words=False, break_on_hyphens=False) for note in notes),
            ]
        )


def _leaves(row: PlanRow) -> Iterator[PlanRow]:
    """Yield the rows in a row that hold no others."""
    if not row.inside:
        yield row
    for inner in row.inside:
        yield from _leaves(inner)


def plan_model(model: keras.Model) -> Plan:
    """Return the `Plan` of a Keras model: of a chain of layers with one input each, as `assemble` makes."""
    image = tuple(model.inputs[0].shape)
    rows: list[PlanRow] = []
    backward_maps: dict[object, int] = {}
    x = FeatureMap(image, image[1:3])
    for layer in model.layers[1:]:
        x = _plan_layer(layer, x, rows, backward_maps)
    return Plan(model.name, image[1:], tuple(rows), keras.config.dtype_policy().name, sum(backward_maps.values()))


def _plan_layer(
    layer: keras.Layer, x: FeatureMap | list[FeatureMap], rows: list[PlanRow], backward_maps: dict[object, int]
) -> FeatureMap:
    """Return the feature map that leaves `layer`; add its row to `rows` and its gradient's reads to `backward_maps`."""
    inside: list[PlanRow] = []
    if isinstance(layer, Composite):
        y = layer.connect(x, lambda inner, x: _plan_layer(inner, x, inside, backward_maps))._replace(gap=0)
        counts = {key: sum(getattr(row, key) for row in inside) for key in SUMS}
    else:
        y = propagate(layer, x)
        counts = _count(layer, x, y)
        _record_backward_reads(layer, x, y, backward_maps)
    rows.append(
        PlanRow(
            name=layer.name,
            kind=type(layer).__name__,
            output_shape=y.shape[1:],
            **counts,
            receptive_field=y.size,
            jump=y.jump,
            padding=tuple(-start for start in y.start),
            gap=y.gap,
            equivalent_pooling=getattr(layer, "equivalent_pooling", None),
            inside=tuple(inside),
            copies=layer.times if isinstance(layer, Repeat) else 1,
            activation=_activation_of(layer),
            reads_padding=not isinstance(x, list) and x.cells == (1, 1) and _is_larger_than_one(window(layer)),
        )
    )
    return y


def _activation_of(layer: keras.Layer) -> str | None:
    """Return the name of a layer's activation function; None where it has none, or a linear one."""
    activation = getattr(layer, "activation", None)
    if activation is None or activation is keras.activations.linear:
        return None
    return getattr(activation, "__name__", None) or type(activation).__name__


def _is_larger_than_one(sliding: Window | None) -> bool:
    return sliding is not None and max(sliding.effective_size) > 1


def _count(layer: keras.Layer, x: FeatureMap | list[FeatureMap], y: FeatureMap) -> dict[str, int]:
    """Return what `SUMS` names, of a layer without layers inside whose input is `x` and whose output is `y`."""
    values, positions = prod(y.shape[1:]), prod(_spatial(layer, y.shape[1:]))
    kernels = sum(prod(v.shape) for v in layer.weights if "kernel" in v.name)
    # A layer that does not use every weight at every position says itself how often it multiplies.
    macs = getattr(layer, "multiplications", kernels * positions)
    inputs = sum(prod(each.shape[1:]) for each in (x if isinstance(x, list) else [x]))
    read = values * prod(y.reads) if window(layer) else inputs
    other = 0 if macs else read
    biases = sum(prod(v.shape) for v in layer.weights if "bias" in v.name)
    return {
        "params": sum(prod(v.shape) for v in layer.trainable_weights),
        "macs": macs,
        "other_reads": other,
        # A locally connected layer has a bias of its own at every position.
        "connections": macs + (other if prod(y.reads) > 1 else 0) + biases * (positions if biases < values else 1),
        "weight_bytes": sum(prod(v.shape) * 4 for v in layer.weights),
        "activation_bytes": _bytes(layer, y),
    }


def _bytes(layer: keras.Layer, feature_map: FeatureMap) -> int:
    return prod(feature_map.shape[1:]) * (2 if layer.compute_dtype in ("float16", "bfloat16") else 4)


def _record_backward_reads(
    layer: keras.Layer, x: FeatureMap | list[FeatureMap], y: FeatureMap, backward_maps: dict[object, int]
) -> None:
    """Enter into `backward_maps`, by the map, the bytes of those that the layer's gradient reads.

    A layer with weights reads what came in, one that is not linear what it gave out, and a pool may read both. A
    merge reads neither.
    """
    if isinstance(x, list):
        return
    if layer.weights or window(layer):
        # Keras normalizes in float32 and keeps its copy beside what came.
        normalizes = isinstance(layer, keras.layers.BatchNormalization) and _bytes(layer, x) < 4 * prod(x.shape[1:])
        backward_maps[x.source] = max(backward_maps.get(x.source, 0), (3 if normalizes else 1) * _bytes(layer, x))
    if not layer.weights or getattr(layer, "activation", None) not in (None, keras.activations.linear):
        backward_maps[y.source] = _bytes(layer, y)


def _spatial(layer: keras.Layer, shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[1:] if getattr(layer, "data_format", None) == "channels_first" else shape[:-1]


def _fold_copies(rows: Sequence[PlanRow], depth: int = 0) -> Iterator[tuple[PlanRow, int]]:
    """Yield rows and their depth; of copies the first, and the others as one row."""
    for row in rows:
        yield row, depth
        each = len(row.inside) // row.copies
        yield from _fold_copies(row.inside[:each], depth + 1)
        if others := row.inside[each:]:
            names = dict.fromkeys((others[0].name, others[-each].name))
            sums: dict[str, Any] = {key: sum(getattr(other, key) for other in others) for key in SUMS}
            kind = f"{row.copies - 1} × {others[0].kind}"
            yield replace(others[-1], name=" … ".join(names), kind=kind, **sums), depth + 1


def _cells(row: PlanRow, indent: int, exact: bool) -> tuple[str, ...]:
    """Return the table's cells of a row, column by column; if not `exact`, counts have three digits and a letter."""
    kind = f"{row.kind} {row.activation}" if row.activation and not row.inside else row.kind
    numbers = (row.params, row.macs, row.other_reads)
    counts = _format_counts(*numbers) if exact else map(_abbreviate, numbers)
    return " " * indent + row.name, kind, _format_shape(row.output_shape), *counts, _format_shape(row.receptive_field)


def _lay_out(table: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Yield a line for each row of cells, two where it is wider than `WIDTH`; all but name and kind at the right."""
    widths = [max(len(cells[i]) for cells in table[:-1]) for i in range(7)]
    right = [_align_right(cells[2:], widths[2:]) for cells in table]
    width = min(WIDTH, sum(widths) + 2 * (len(widths) - 1))
    room = [width - 2 - len(text.lstrip()) for text in right]

    def text_before(cells: Sequence[str], names: int) -> str:
        return f"{cells[0].ljust(names)}  {cells[1]}".rstrip()

    def overflowing(names: int) -> int:
        return sum(len(text_before(cells, names)) > space for cells, space in zip(table, room, strict=True))

    names = min(range(widths[0], 3, -1), key=overflowing)
    for cells, text, space in zip(table, right, room, strict=True):
        start, text = text_before(cells, names), text.lstrip()
        if len(start) > space:
            yield f"{start}\n{text.rjust(width).rstrip()}"
        else:
            yield f"{start}{text.rjust(width - len(start))}".rstrip()


def _align_right(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Return cells under their columns; one that is too wide moves those before it to the left."""
    text, column_end = "", 0  # counted from the right
    for cell, width in zip(cells[::-1], widths[::-1], strict=True):
        if cell:
            end = max(column_end, len(text) + 2) if text else column_end
            text = f"{cell}{' ' * (end - len(text))}{text}"
        column_end += width + 2
    return text


def _abbreviate(number: int) -> str:
    """Return a count in at most five characters and a letter, as `27.6k`."""
    for factor, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= 0.9995 * factor and number > 9999:
            value = number / factor
            decimals = 2 if value < 9.995 else 1 if value < 99.95 else 0
            return f"{value:,.{decimals}f}{letter}"
    return f"{number:,}"


def _format_counts(*numbers: int) -> tuple[str, ...]:
    return tuple(f"{number:,}" for number in numbers)


def _format_shape(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
