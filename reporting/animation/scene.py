"""The pictures of an animation as boxes and lines of text, which every file format draws alike."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ... import UserError
from ...settings.colors import COLORS
from ...settings.text import format_number

if TYPE_CHECKING:
    from ...evaluation.traces import Part, Step, Trace

_BLUE, _RED, _ORANGE = COLORS[0], COLORS[1], COLORS[4]
_CYAN = "#7FE0E0"


class Style(NamedTuple):
    """Colours of a box, and of the text in it."""

    fill: str = "none"
    stroke: str = "none"
    width: float = 1
    is_dashed: bool = False
    ink: str = "#000000"


STYLES = {
    "input": Style(_BLUE, "#FFFFFF", ink="#FFFFFF"),
    "padding": Style("#EAF3FA", _BLUE, is_dashed=True, ink="#1F4E79"),
    "window": Style(_ORANGE, "#5C4000"),
    "window_padding": Style("#FCE9BF", "#8A6100", is_dashed=True),
    "weight": Style("#FFFFFF", "#555555"),
    "term": Style("#FCE9BF", "#8A6100"),
    "selected": Style(_ORANGE, "#000000", 2),
    "empty": Style("#F2FBFB", "#8CBFBF"),
    "output": Style(_CYAN, "#2A8080"),
    "current": Style(_CYAN, _RED, 3),
    "pending": Style("#F2FBFB", _RED, 3),
    "outline": Style(stroke=_RED, width=3),
    "text": Style(),
    "heading": Style(),  # the one text that is bold
}
_LEGEND = {
    "input": "input",
    "padding": "padding",
    "window": "window",
    "output": "output",
    "current": "value of this step",
}

_MARGIN = 20
_GAP = 34  # between columns of maps, with a sign in it
_LABEL = 24  # height of the line above a map
_LINE = 22
_TEXT, _TITLE, _SIGN = 14.0, 17.0, 20.0
_ADVANCE, _BOLD_ADVANCE = 0.62, 0.7  # mean width of a letter, in its size
_LARGEST_CELL, _SMALLEST_CELL = 40, 28
_COMFORTABLE_HEIGHT = 640
_MOST_CELLS = 40  # along the height or the width of a picture
_LEAST_WIDTH = 660


class Shape(NamedTuple):
    """A box with text in its middle; without a box, a line of text that begins at its left.

    Attributes:
        x, y: of the upper left corner, in pixels.
        width, height: 0 for a line of text, whose `y` is that of its middle.
        style: a key of `STYLES`.
        text: may be empty.
        size: of the letters, in pixels.
    """

    x: float
    y: float
    width: float
    height: float
    style: str
    text: str = ""
    size: float = _TEXT


@dataclass(frozen=True)
class Scene:
    """All pictures of an animation.

    Attributes:
        width, height: in pixels.
        title: one line.
        frames: the shapes of each picture, in the order in which they are drawn.
        texts: the lines of text of each picture, for whoever does not see it.
    """

    width: int
    height: int
    title: str
    frames: tuple[tuple[Shape, ...], ...]
    texts: tuple[str, ...]

    def runs(self) -> list[tuple[int, int, list[Shape]]]:
        """Group the shapes by the pictures that they are in: (first, one past the last, shapes), in drawing order."""
        open_runs: dict[Shape, int] = {}
        runs: dict[tuple[int, int], list[Shape]] = {}
        for number, frame in enumerate([*self.frames, ()]):
            present = dict.fromkeys(frame)
            for shape in [shape for shape in open_runs if shape not in present]:
                runs.setdefault((open_runs.pop(shape), number), []).append(shape)
            for shape in present:
                open_runs.setdefault(shape, number)
        layers = {style: index for index, style in enumerate(_DRAWING_ORDER)}
        pieces = [
            (layers.get(style, 0), first, end, list(group))
            for (first, end), shapes in runs.items()
            for style, group in _group_by_layer(shapes, layers)
        ]
        return [(first, end, shapes) for _, first, end, shapes in sorted(pieces, key=lambda piece: piece[:3])]


_DRAWING_ORDER = ("base", "window", "window_padding", "selected", "output", "pending", "current", "outline")


def _group_by_layer(shapes: Sequence[Shape], layers: dict[str, int]) -> Iterator[tuple[str, Iterable[Shape]]]:
    order = sorted(shapes, key=lambda shape: layers.get(shape.style, 0))
    return itertools.groupby(order, key=lambda shape: shape.style if shape.style in layers else "base")


def build_scene(trace: Trace) -> Scene:
    """Lay out a trace: input maps at the left, weights and terms in the middle, output maps at the right.

    Each output value is a picture. Where several input maps are added it is two: their terms, then their sum.

    Args:
        trace: of a layer.

    Raises:
        UserError: the maps are too large for a readable picture.
    """
    return _Layout(trace).build()


class _Layout:
    """Places of the maps of one trace."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        height, width, self.maps = trace.padded.shape
        rows, columns, self.output_maps = trace.outputs.shape
        windows = [part.terms.shape for step in trace.steps for part in step.parts]
        self.window = max(shape[0] for shape in windows), max(shape[1] for shape in windows)
        map_rows = max(height, self.window[0] + 1)  # a line below the terms tells their sum
        middle = self.window[1] * (2 if trace.weights_name else 1)
        if self.maps * map_rows > _MOST_CELLS or rows > _MOST_CELLS or width + middle + columns > _MOST_CELLS:
            raise UserError(
                f"{self.maps} maps of {height}×{width} cells and {self.output_maps} of {rows}×{columns} are too large "
                f"for a readable picture, {_MOST_CELLS} cells high and wide. Take a smaller image or fewer channels"
            )
        room = (_COMFORTABLE_HEIGHT - self.maps * _LABEL) // (self.maps * map_rows)
        self.cell = max(_SMALLEST_CELL, min(_LARGEST_CELL, room))
        self.top = _MARGIN + (3 if trace.note else 2) * _LINE
        self.map_height = map_rows * self.cell + _LABEL
        self.x_weights = _MARGIN + width * self.cell + _GAP
        self.x_terms = self.x_weights + (self.window[1] * self.cell + _GAP if trace.weights_name else 0)
        self.x_outputs = self.x_terms + max(self.window[1] * self.cell, 70) + _GAP
        output_height = rows * self.cell + _LABEL + 10
        self.per_column = max(1, (self.maps * self.map_height) // output_height)
        output_columns = -(-self.output_maps // self.per_column)
        needed = self.x_outputs + output_columns * (columns * self.cell + _MARGIN)
        heading = 2 * _MARGIN + _BOLD_ADVANCE * _TITLE * len(trace.title)
        facts = 2 * _MARGIN + _ADVANCE * _TEXT * max(len(self._describe_sizes()), len(trace.note))
        self.width = max(needed, heading, facts, _LEAST_WIDTH)
        maps_height = max(self.maps * self.map_height, min(self.per_column, self.output_maps) * output_height)
        self.y_text = self.top + maps_height + 14
        self.letters = int((self.width - 2 * _MARGIN) / (_ADVANCE * _TEXT))
        self.formula_lines = max(len(self._wrap(step.formula)) for step in trace.steps)
        self.y_legend = self.y_text + (self.formula_lines + 1) * _LINE + 12

    def build(self) -> Scene:
        """Return the scene."""
        base = [*self._draw_titles(), *self._draw_inputs(), *self._draw_legend()]
        frames, texts = [], []
        for number, step in enumerate(self.trace.steps):
            before = [self._draw_output(each, "output") for each in self.trace.steps[:number]]
            empty = [self._draw_output(each, "empty", "") for each in self.trace.steps[number + 1 :]]
            shared = [*base, *empty, *before, *self._draw_step(step)]
            status = self._describe(step, number)
            if self.trace.adds_maps:
                totals = ", ".join(f"map {part.channel + 1}: {format_number(part.total)}" for part in step.parts)
                lines = [f"{status}: the products of each map", *self._wrap(f"sum of {totals}")]
                frames.append([*shared, self._draw_output(step, "pending", "?"), *self._draw_lines(lines)])
                texts.append(". ".join(lines))
                status = f"{status}: the sum over the maps"
            lines = [status, *self._wrap(step.formula)]
            frames.append([*shared, self._draw_output(step, "current"), *self._draw_lines(lines)])
            texts.append(". ".join(lines))
        height = int(self.y_legend + _LINE + _MARGIN)
        return Scene(int(self.width), height, self.trace.title, tuple(map(tuple, frames)), tuple(texts))

    def _draw_titles(self) -> Iterator[Shape]:
        trace = self.trace
        yield Shape(_MARGIN, _MARGIN + 6, 0, 0, "heading", trace.title, _TITLE)
        yield Shape(_MARGIN, _MARGIN + 6 + _LINE, 0, 0, "text", self._describe_sizes())
        if trace.note:
            yield Shape(_MARGIN, _MARGIN + 6 + 2 * _LINE, 0, 0, "text", trace.note)

    def _describe_sizes(self) -> str:
        shapes = self.trace.inputs.shape, self.trace.outputs.shape
        arithmetic = f"    size of the output: {self.trace.arithmetic}" if self.trace.arithmetic else ""
        return " → ".join("×".join(map(str, shape)) for shape in shapes) + arithmetic

    def _draw_inputs(self) -> Iterator[Shape]:
        for channel in range(self.maps):
            label = "input" if self.maps == 1 else f"input, map {channel + 1}"
            yield Shape(_MARGIN, self._row(channel) - 12, 0, 0, "text", label)
            for (row, column), is_added in np.ndenumerate(self.trace.is_added):
                yield self._draw_cell(channel, row, column, "padding" if is_added else "input")
        for channel in range(self.output_maps):
            label = "output" if self.output_maps == 1 else f"output, map {channel + 1}"
            x, y = self._output_corner(channel)
            yield Shape(x, y - 12, 0, 0, "text", label)

    def _draw_cell(self, channel: int, row: int, column: int, style: str) -> Shape:
        number = self.trace.padded[row, column, channel]
        return self._box(_MARGIN, self._row(channel), row, column, style, format_number(number))

    def _draw_output(self, step: Step, style: str, text: str | None = None) -> Shape:
        row, column, channel = step.position
        return self._box(
            *self._output_corner(channel), row, column, style, format_number(step.value) if text is None else text
        )

    def _draw_step(self, step: Step) -> Iterator[Shape]:
        for part in step.parts:
            yield from self._draw_window(part)
            yield from self._draw_terms(part)

    def _draw_window(self, part: Part) -> Iterator[Shape]:
        for row, column in part.cells:
            is_added = self.trace.is_added[row, column]
            yield self._draw_cell(part.channel, row, column, "window_padding" if is_added else "window")
        top, left = (min(cell[axis] for cell in part.cells) for axis in (0, 1))
        bottom, right = (max(cell[axis] for cell in part.cells) + 1 for axis in (0, 1))
        size, y = self.cell, self._row(part.channel)
        yield Shape(_MARGIN + left * size, y + top * size, (right - left) * size, (bottom - top) * size, "outline")

    def _draw_terms(self, part: Part) -> Iterator[Shape]:
        rows, y = part.terms.shape[0], self._row(part.channel)
        middle = y + rows * self.cell / 2
        if part.weights is not None:
            yield Shape(self.x_weights, y - 12, 0, 0, "text", self.trace.weights_name)
            yield Shape(self.x_weights - _GAP / 2 - 8, middle, 0, 0, "text", "×", _SIGN)
            yield Shape(self.x_terms - _GAP / 2 - 8, middle, 0, 0, "text", "=", _SIGN)
            for (row, column), number in np.ndenumerate(part.weights):
                yield self._box(self.x_weights, y, row, column, "weight", format_number(number))
        yield Shape(self.x_terms, y - 12, 0, 0, "text", self.trace.terms_name)
        for (row, column), number in np.ndenumerate(part.terms):
            is_selected = part.selected is not None and part.selected[row, column]
            yield self._box(self.x_terms, y, row, column, "selected" if is_selected else "term", format_number(number))
        if self.trace.weights_name:
            yield Shape(self.x_terms, y + rows * self.cell + 14, 0, 0, "text", f"sum {format_number(part.total)}")

    def _draw_lines(self, lines: Sequence[str]) -> Iterator[Shape]:
        for number, line in enumerate(lines):
            yield Shape(_MARGIN, self.y_text + number * _LINE, 0, 0, "text", line)

    def _draw_legend(self) -> Iterator[Shape]:
        x, y, side = float(_MARGIN), self.y_legend, 16
        for style, text in _LEGEND.items():
            if style == "padding":
                if not self.trace.is_added.any():
                    continue
                text = self.trace.added_name
            yield Shape(x, y - side / 2, side, side, style)
            yield Shape(x + side + 6, y, 0, 0, "text", text, 13)
            x += side + 6 + _ADVANCE * 13 * len(text) + 22

    def _describe(self, step: Step, number: int) -> str:
        row, column, channel = step.position
        where = f"row {row + 1}, column {column + 1}"
        where += f", map {channel + 1}" if self.output_maps > 1 else ""
        return f"Output {number + 1} of {len(self.trace.steps)} ({where})"

    def _wrap(self, text: str) -> list[str]:
        return textwrap.wrap(text, self.letters, break_long_words=False, break_on_hyphens=False) or [""]

    def _row(self, channel: int) -> float:
        return self.top + channel * self.map_height + _LABEL

    def _output_corner(self, channel: int) -> tuple[float, float]:
        column, row = divmod(channel, self.per_column)
        rows, columns, _ = self.trace.outputs.shape
        x = self.x_outputs + column * (columns * self.cell + _MARGIN)
        return x, self.top + _LABEL + row * (rows * self.cell + _LABEL + 10)

    def _box(self, x: float, y: float, row: int, column: int, style: str, text: str) -> Shape:
        size = min(0.42 * self.cell, 0.92 * self.cell / (_ADVANCE * max(len(text), 1)))
        return Shape(x + column * self.cell, y + row * self.cell, self.cell, self.cell, style, text, round(size, 1))
