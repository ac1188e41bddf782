"""The figures of a study: its cells, the differences of its axes, the interactions of two axes, and cost.

Text that comes from a store is clipped, and matplotlib reads no formula in it.
"""

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter

from ...evaluation.comparison import Difference, GridCell, shorten_names
from ...evaluation.statistics import Spread, clip_interval
from ...settings.colors import COLORS
from ...settings.text import printable
from .text import escape_math

_MARKERS = "osD^vP*X"
_NOT_LEARNING_STYLE: dict[str, Any]
_NOT_LEARNING_STYLE = dict(marker="x", color="#C00000", linestyle="none", markersize=8, markeredgewidth=2)
_RUN_STYLE: dict[str, Any]
_RUN_STYLE = dict(marker="o", color="0.2", linestyle="none", markersize=3, markeredgecolor="white", markeredgewidth=0.5)
_MAX_LETTERS = 24  # characters of a value
_MAX_ROWS = 40  # of a figure of cells or differences
_MAX_PANELS = 24  # of a figure of interactions
_MAX_COLUMNS = 4  # of its panels
_MAX_LINES = len(COLORS)  # of a panel
_MAX_NAMES = 20  # along the bottom of a panel
# Fonts lack some characters that a store may hold. Matplotlib draws a box instead and need not warn of it.
warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from", category=UserWarning)


def draw_cells(study: str, cells: Sequence[GridCell], metric: str) -> list[Figure]:
    """Draw each run as a dot, and each cell's mean with its interval, at most forty cells a figure.

    Args:
        study: its name.
        cells: the cells of the study.
        metric: name of the metric.
    """
    count = math.ceil(len(cells) / _MAX_ROWS)
    limits = _axis_limits([value for cell in cells for value in _shown_values(cell, metric)])
    figures = []
    for number, positions in enumerate(np.array_split(np.arange(len(cells)), count), 1):
        title = f"{study}, {number} of {count}" if count > 1 else study
        figures.append(_draw_cell_page(title, [cells[position] for position in positions], metric, limits))
    return figures


def draw_differences(
    title: str,
    differences: Sequence[Difference],
    learning_differences: Mapping[tuple[str, str, str], Difference],
) -> Figure:
    """Draw differences with their intervals, and below each the difference without the runs that did not learn.

    Args:
        title: of the figure.
        differences: over all runs; at most forty are drawn.
        learning_differences: mapping from (axis, first, second) to the difference without the runs that did not learn;
            empty if all learned.
    """
    rows = differences[:_MAX_ROWS]
    axis_names = list(dict.fromkeys(difference.axis for difference in rows))
    names = dict(zip(axis_names, shorten_names(axis_names), strict=True))
    labels = _align_columns([(names[d.axis], f"{d.first} − {d.second}") for d in rows])
    figure = Figure(figsize=(9, 1.6 + 0.34 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for position, difference in enumerate(rows):
        without_marked = learning_differences.get((difference.axis, difference.first, difference.second))
        offset = 0.12 * bool(learning_differences)
        _mark_difference(axes, difference.spread, position - offset, COLORS[0], COLORS[0])
        if without_marked:
            _mark_difference(axes, without_marked.spread, position + 0.2, COLORS[1], "white")
    axes.axvline(0, color="0.5", linewidth=1)
    axes.set_yticks(range(len(rows)), labels, family="monospace", fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="x", alpha=0.3)
    axes.set_title(_clean_text(title), fontsize=11)
    left_out = f" (the first {len(rows)} of {len(differences)})" if len(rows) < len(differences) else ""
    axes.set_xlabel(f"difference in test accuracy, points, 95 % interval over seeds{left_out}")
    if learning_differences:
        handles = [
            Line2D([], [], marker="o", color=COLORS[0], label="all runs"),
            Line2D(
                [], [], marker="o", color=COLORS[1], markerfacecolor="white", label="without those that did not learn"
            ),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def draw_interactions(cells: Sequence[GridCell], axes: Sequence[str]) -> list[Figure]:
    """Draw two axes in each panel, with a panel for each network, at most 24 panels a figure.

    Lines join numbers only, since words have no order.

    Args:
        cells: the cells of a study.
        axes: names of its axes, at least two.
    """
    layout = choose_layout(cells, axes)
    cells_by_panel: dict[tuple[str, ...], list[GridCell]] = {}
    for cell in cells:
        cells_by_panel.setdefault(tuple(cell.values[axis] for axis in layout.panels), []).append(cell)
    panels = list(cells_by_panel.items())
    drawing = _InteractionDrawing(layout, cells, axes)
    return [drawing.draw_page(panels[first : first + _MAX_PANELS]) for first in range(0, len(panels), _MAX_PANELS)]


@dataclass(frozen=True)
class Layout:
    """The places of a study's axes in a figure.

    Attributes:
        along: the axis along the bottom.
        lines: the axis with a line for each value, or None.
        panels: axes with a panel for each combination of their values.
        averaged: axes that are averaged over.
    """

    along: str
    lines: str | None
    panels: tuple[str, ...]
    averaged: tuple[str, ...]


def choose_layout(cells: Sequence[GridCell], axes: Sequence[str]) -> Layout:
    """Choose the places of a study's axes in a figure.

    The axis with the most values lies along the bottom. The last of the others has lines if it has few values, and the
    rest have panels. A network has a panel of its own unless it is the only other axis.

    Args:
        cells: the cells of a study.
        axes: names of its axes, at least two.
    """
    counts = {axis: len({cell.values[axis] for cell in cells}) for axis in axes}
    along = max((axis for axis in axes if axis != "model"), key=lambda axis: (counts[axis], axes.index(axis)))
    rest = [axis for axis in axes if axis != along]
    few = [axis for axis in rest if counts[axis] <= _MAX_LINES and (axis != "model" or len(rest) == 1)]
    lines = few[-1] if few else None
    panels: list[str] = []
    number = 1
    for axis in rest:
        if axis != lines and (not panels or number * counts[axis] <= _MAX_PANELS):
            panels.append(axis)
            number *= counts[axis]
    return Layout(along, lines, tuple(panels), tuple(axis for axis in rest if axis not in (lines, *panels)))


def draw_cost(cells: Sequence[GridCell], axes: Sequence[str]) -> Figure:
    """Draw accuracy against multiplications, with a colour for each value of one axis and a marker for each of another.

    Args:
        cells: the cells of a study.
        axes: names of its axes.
    """
    figure = Figure(figsize=(9, 5), layout="constrained")
    plot = figure.subplots()
    names = dict(zip(axes, shorten_names(axes), strict=True))
    shown = [(axis, list(dict.fromkeys(cell.values[axis] for cell in cells))) for axis in axes]
    color_axis = next(((axis, values) for axis, values in shown if len(values) <= len(COLORS)), None)
    marker_axis = next(
        ((axis, values) for axis, values in shown if (axis, values) != color_axis and len(values) <= len(_MARKERS)),
        None,
    )
    for cell in cells:
        color = COLORS[color_axis[1].index(cell.values[color_axis[0]])] if color_axis else "0.4"
        marker = _MARKERS[marker_axis[1].index(cell.values[marker_axis[0]])] if marker_axis else "o"
        spread = cell.spread()
        interval = clip_interval(spread, 0, 1)
        if interval:
            plot.plot([cell.macs / 1e6] * 2, interval, color=color, linewidth=1, alpha=0.35)
        plot.plot(cell.macs / 1e6, spread.mean, marker, color=color, markersize=7, markeredgecolor="white", alpha=0.9)
        if cell.not_learning:
            plot.plot(cell.macs / 1e6, spread.mean, **_NOT_LEARNING_STYLE)
    _draw_best(plot, cells)
    _set_cost_axis(plot, [cell.macs / 1e6 for cell in cells])
    plot.yaxis.set_major_formatter(PercentFormatter(1))
    intervals = " and 95 % interval" if any(clip_interval(cell.spread(), 0, 1) for cell in cells) else ""
    plot.set(xlabel="million multiplications an image", ylabel="test accuracy")
    plot.set_title(f"cost and accuracy: each cell's mean{intervals} over seeds", fontsize=11)
    plot.grid(alpha=0.3)
    handles = [Line2D([], [], color="0.6", drawstyle="steps-post", label="best up to a cost")]
    if color_axis:
        handles += _legend_group(names[color_axis[0]], color_axis[1], lambda n: dict(marker="o", color=COLORS[n]))
    if marker_axis:
        handles += _legend_group(names[marker_axis[0]], marker_axis[1], lambda n: dict(marker=_MARKERS[n], color="0.4"))
    if any(cell.not_learning for cell in cells):
        handles.append(Line2D([], [], label="has a run that did not learn", **_NOT_LEARNING_STYLE))
    figure.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=9)
    return figure


def _draw_cell_page(title: str, cells: Sequence[GridCell], metric: str, limits: tuple[float, float]) -> Figure:
    labels = _align_columns(
        [tuple(shorten_names(list(cells[0].values))), *(tuple(cell.values.values()) for cell in cells)]
    )
    figure = Figure(figsize=(6.5 + 0.07 * len(labels[0]), 1.8 + 0.27 * len(cells)), layout="constrained")
    axes = figure.subplots()
    for position, cell in enumerate(cells):
        spread, values = cell.spread(metric), cell.by_seed(metric)
        if interval := clip_interval(spread, 0, 1):
            axes.plot(interval, [position, position], color=COLORS[0], linewidth=2)
        learned = [value for seed, value in values.items() if seed not in cell.not_learning]
        marked = [value for seed, value in values.items() if seed in cell.not_learning]
        axes.plot(spread.mean, position, "D", color=COLORS[0], markersize=8)
        axes.plot(learned, [position] * len(learned), "o", color="0.6", markeredgecolor="white", markersize=5)
        axes.plot(marked, [position] * len(marked), **_NOT_LEARNING_STYLE)
    for position in range(1, len(cells)):  # a line between the groups of the first axis
        before, after = ([*cell.values.values()] for cell in (cells[position - 1], cells[position]))
        if len(before) > 1 and before[0] != after[0]:
            axes.axhline(position - 0.5, color="0.7", linewidth=0.8)
    axes.set_yticks([-1, *range(len(cells))], labels, family="monospace", fontsize=8)
    axes.get_yticklabels()[0].set_fontweight("bold")
    axes.set_ylim(len(cells) - 0.4, -1.5)
    axes.set_xlim(limits)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_title(_clean_text(title), fontsize=11)
    axes.set_xlabel(f"test {metric.removeprefix('test_').replace('_', ' ')}")
    axes.grid(axis="x", alpha=0.3)
    handles = [Line2D([], [], marker="o", color="0.6", markeredgecolor="white", linestyle="none", label="a run")]
    shows_interval = any(clip_interval(cell.spread(metric), 0, 1) for cell in cells)
    mean = "mean, 95 % interval over seeds" if shows_interval else "mean"
    handles.append(Line2D([], [], marker="D", color=COLORS[0], linestyle="-" if shows_interval else "none", label=mean))
    if any(cell.not_learning for cell in cells):
        handles.append(Line2D([], [], label="a run that did not learn", **_NOT_LEARNING_STYLE))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


class _InteractionDrawing:
    """Pages of panels with common positions, lines and limits."""

    def __init__(self, layout: Layout, cells: Sequence[GridCell], axes: Sequence[str]) -> None:
        self.layout = layout
        self.names = {axis: _clip_text(name) for axis, name in zip(axes, shorten_names(axes), strict=True)}
        self.positions = sorted({cell.values[layout.along] for cell in cells}, key=_sort_key)
        # The values of the axis with lines, or None for a single line.
        values = sorted({cell.values[layout.lines] for cell in cells}, key=_sort_key) if layout.lines else []
        self.values: Sequence[str | None] = values or [None]
        self.has_lines = all(_sort_key(position)[0] == 0 for position in self.positions)
        self.limits = _axis_limits([value for cell in cells for value in cell.by_seed().values()])
        self.has_marked = any(cell.not_learning for cell in cells)

    def draw_page(self, groups: Sequence[tuple[tuple[str, ...], list[GridCell]]]) -> Figure:
        """Draw the panels of one page: for each the values of its axes and its cells."""
        columns = min(len(groups), _MAX_COLUMNS)
        rows = math.ceil(len(groups) / columns)
        needed = len(self.positions) * (max(len(_clip_text(position)) for position in self.positions) + 2) * 0.075
        rotated = needed > (7 if columns == 1 else 3.5)
        width = 8 if columns == 1 else max(6.5, 1 + columns * min(3.5, max(2.4, needed)))
        height = 1.4 + (3.2 if rows == 1 else 2.3) * rows + 0.5 * rotated
        figure = Figure(figsize=(width, height), layout="constrained")
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes, (key, cells) in zip(grid.flat, groups, strict=False):
            self._draw_panel(axes, key, cells, rotated)
        for number, axes in enumerate(grid.flat):
            axes.set_visible(number < len(groups))
            if number + columns >= len(groups):  # the last panel of each column
                axes.tick_params(labelbottom=True)
                axes.set_xlabel(self.names[self.layout.along])
        figure.suptitle(self._title(), fontsize=11)
        figure.supylabel("test accuracy", fontsize=10)
        if handles := self._handles():
            longest = max(len(str(handle.get_label())) for handle in handles)
            ncols = max(1, min(len(handles), int(width * 11 / (longest + 5))))
            figure.legend(handles=handles, loc="outside lower center", ncols=ncols, frameon=False, fontsize=9)
        return figure

    def _draw_panel(self, axes: Axes, key: tuple[str, ...], cells: Sequence[GridCell], rotated: bool) -> None:
        for number, value in enumerate(self.values):
            lines = self.layout.lines
            own = [cell for cell in cells if lines is None or cell.values[lines] == value]
            # Lines of words are drawn side by side, those of numbers at the exact position.
            offset = 0 if self.has_lines else 0.6 * ((number + 0.5) / len(self.values) - 0.5)
            self._draw_line(axes, own, offset, number)
        parts = [
            _clip_text(text) if axis == "model" else f"{self.names[axis]} {_clip_text(text)}"
            for axis, text in zip(self.layout.panels, key, strict=True)
        ]
        axes.set_title(", ".join(parts), fontsize=9)
        turned: dict[str, Any] = dict(rotation=40, ha="right", rotation_mode="anchor") if rotated else {}
        labelled = range(0, len(self.positions), math.ceil(len(self.positions) / _MAX_NAMES))
        axes.set_xticks(labelled, [_clip_text(self.positions[position]) for position in labelled], fontsize=8, **turned)
        axes.set_xlim(-0.5, len(self.positions) - 0.5)
        axes.set_ylim(self.limits)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.grid(axis="both" if self.has_lines else "y", alpha=0.3)
        for position in range(1, 1 if self.has_lines else len(self.positions)):
            axes.axvline(position - 0.5, color="0.9", linewidth=0.8)

    def _draw_line(self, axes: Axes, cells: Sequence[GridCell], offset: float, number: int) -> None:
        """Draw the runs and means of one line of a panel."""
        color, marker = COLORS[number], _MARKERS[number]
        points: dict[int, list[tuple[float, bool]]] = {}
        for cell in cells:
            for seed, value in cell.by_seed().items():
                position = self.positions.index(cell.values[self.layout.along])
                points.setdefault(position, []).append((value, seed in cell.not_learning))
        at = sorted(points)
        means = [float(np.mean([value for value, _ in points[position]])) for position in at]
        line = "-" if self.has_lines else "none"
        axes.plot(
            [position + offset for position in at], means, linestyle=line, marker=marker, color=color, markersize=7
        )
        for position in at:
            learned = [value for value, is_marked in points[position] if not is_marked]
            marked = [value for value, is_marked in points[position] if is_marked]
            if len(points[position]) > 1:
                axes.plot([position + offset] * len(learned), learned, **_RUN_STYLE)
            axes.plot([position + offset] * len(marked), marked, **_NOT_LEARNING_STYLE)
            if marked and learned:
                mean = float(np.mean(learned))
                axes.plot(position + offset, mean, marker, color=color, markerfacecolor="white", markersize=7)

    def _title(self) -> str:
        names = [self.names[axis] for axis in (self.layout.along, self.layout.lines) if axis]
        title = f"{' and '.join(names)}{' together' * (len(names) > 1)}: each run, and the mean"
        averaged = ", ".join(self.names[axis] for axis in self.layout.averaged)
        return f"{title} over {averaged}" if averaged else title

    def _handles(self) -> list[Line2D]:
        handles = []
        lines = self.layout.lines
        for number, value in enumerate(self.values):
            if lines is None or value is None:
                continue
            label = _clip_text(value) if lines == "model" else f"{self.names[lines]} {_clip_text(value)}"
            line: Literal["-", "none"] = "-" if self.has_lines else "none"
            handles.append(Line2D([], [], marker=_MARKERS[number], color=COLORS[number], linestyle=line, label=label))
        if self.has_marked:
            handles.append(Line2D([], [], label="a run that did not learn", **_NOT_LEARNING_STYLE))
            handles.append(
                Line2D(
                    [],
                    [],
                    marker="o",
                    color="0.3",
                    markerfacecolor="white",
                    linestyle="none",
                    label="mean without those",
                )
            )
        return handles


def _draw_best(plot: Axes, cells: Sequence[GridCell]) -> None:
    """Draw the best mean accuracy up to each cost as a step line."""
    best = -1.0
    steps: list[tuple[float, float]] = []
    for cell in sorted(cells, key=lambda cell: (cell.macs, -cell.spread().mean)):
        if cell.spread().mean > best:
            best = cell.spread().mean
            steps.append((cell.macs / 1e6, best))
    steps.append((max(cell.macs for cell in cells) / 1e6, best))
    plot.plot(*zip(*steps, strict=True), drawstyle="steps-post", color="0.6", linewidth=1, zorder=0)


def _set_cost_axis(plot: Axes, costs: Sequence[float]) -> None:
    """Set a logarithmic axis with plain numbers, unless a network has no multiplications."""
    if min(costs) <= 0:
        return
    plot.set_xscale("log")
    spread = max(costs) / min(costs)
    margin = max(1.05, spread**0.06)
    plot.set_xlim(min(costs) / margin, max(costs) * margin)
    plot.xaxis.set_major_locator(LogLocator(subs=_tick_multiples(spread), numticks=20))
    plot.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    plot.xaxis.set_minor_formatter(NullFormatter())
    if len([tick for tick in plot.get_xticks() if plot.get_xlim()[0] <= tick <= plot.get_xlim()[1]]) < 2:
        ticks = np.linspace(min(costs), max(costs), 4)
        plot.set_xticks(ticks, [f"{tick:,.4g}" for tick in ticks])


def _tick_multiples(spread: float) -> tuple[float, ...]:
    """Choose the multiples of powers of ten that have a number on an axis."""
    return (1, 1.5, 2, 3, 4, 5, 7) if spread < 12 else (1, 2, 5) if spread < 300 else (1,)


def _legend_group(name: str, values: Sequence[str], style: Callable[[int], dict[str, Any]]) -> list[Line2D]:
    """Make the legend entries of one axis, below its name."""
    entries = [
        Line2D([], [], linestyle="none", label=_clip_text(value), **style(number))
        for number, value in enumerate(values)
    ]
    return [Line2D([], [], linestyle="none", label=f"{_clip_text(name)}:"), *entries]


def _mark_difference(axes: Axes, spread: Spread, position: float, color: str, face: str) -> None:
    if interval := clip_interval(spread, -1, 1):
        axes.plot([100 * end for end in interval], [position, position], color=color, linewidth=1.5)
    axes.plot(100 * spread.mean, position, "o", color=color, markerfacecolor=face, markersize=6)


def _shown_values(cell: GridCell, metric: str) -> list[float]:
    """Return all values that a figure shows of a cell."""
    return [*cell.by_seed(metric).values(), *(clip_interval(cell.spread(metric), 0, 1) or ())]


def _axis_limits(values: Sequence[float]) -> tuple[float, float]:
    """Return the limits of an axis of shares, with a margin around all values."""
    low, high = min(values), max(values)
    room = max(0.05 * (high - low), 0.005)
    return low - room, min(high + room, 1.01)


def _align_columns(rows: Iterable[Sequence[str]]) -> list[str]:
    """Format rows as lines whose columns are aligned in a monospaced font."""
    clipped = [[_clip(printable(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*clipped, strict=True)]
    return [_clean_text("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True))) for row in clipped]


def _clip(text: str) -> str:
    return text if len(text) <= _MAX_LETTERS else f"{text[: _MAX_LETTERS - 1]}…"


def _clip_text(text: str) -> str:
    return _clean_text(_clip(printable(text)))


def _clean_text(text: str) -> str:
    """Escape control characters and dollars, so that matplotlib draws a text as it is."""
    return escape_math(printable(text))


def _sort_key(text: str) -> tuple[int, float, str]:
    try:
        return 0, float(text), ""
    except ValueError:
        return 1, 0.0, text
