"""The plots of a table of accuracies: against multiplications, against minutes, and beside the papers' errors."""

import io
from collections.abc import Callable, Mapping, Sequence

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter
from matplotlib.transforms import Bbox

from ..accuracy_table import AccuracyCell, MeanAccuracy
from .text import escape_math

_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DOT_POINTS = 5.0
# Where the name of a dot may stand: offset in points, and alignment.
_PLACES = (
    (5, 0, "left", "center"),
    (-5, 0, "right", "center"),
    (0, 5, "center", "bottom"),
    (0, -5, "center", "top"),
    (4, 4, "left", "bottom"),
    (-4, 4, "right", "bottom"),
    (4, -4, "left", "top"),
    (-4, -4, "right", "top"),
)


def render_svg(draw: Callable[[], Figure]) -> str:
    """Draw a figure in Matplotlib's default style and return it as SVG, the same text at every call."""
    with matplotlib.style.context(["default", {"svg.hashsalt": "convzoo", "svg.fonttype": "none"}]):
        data = io.StringIO()
        draw().savefig(data, format="svg", metadata={"Date": None, "Creator": None})
    return data.getvalue()


def draw_accuracy_by_macs(cells: Sequence[AccuracyCell]) -> Figure:
    """Draw the accuracy of each cell over the multiplications for one image."""
    return _draw_accuracies(cells, [cell.first.macs / 1e6 for cell in cells], "million multiplications for an image")


def draw_accuracy_by_minutes(cells: Sequence[AccuracyCell]) -> Figure:
    """Draw the accuracy of each cell over the minutes of its training."""
    return _draw_accuracies(cells, [cell.mean_minutes for cell in cells], "minutes of training")


def draw_test_errors(cells: Sequence[AccuracyCell], published: Mapping[str, tuple[float, bool]]) -> Figure:
    """Draw the error of each network, and beside it the error that its paper states.

    Args:
        cells: cells of networks that have a published error.
        published: mapping from network to the error in percent, and whether the paper augments its training images.
    """
    figure = Figure(figsize=(8, 1.4 + 0.24 * len(cells)), layout="constrained")
    axes = figure.subplots()
    for position, cell in enumerate(cells):
        error, is_augmented = published[cell.first.network]
        face = _COLORS[1] if is_augmented else "white"
        accuracy = cell.accuracy
        axes.plot([100 * (1 - accuracy.mean), error], [position] * 2, color="0.8", zorder=1)
        axes.plot(error, position, "D", color=_COLORS[1], markerfacecolor=face, markersize=_DOT_POINTS)
        axes.errorbar(
            100 * (1 - accuracy.mean),
            position,
            xerr=[[each] for each in reversed(_error_bar(accuracy))],
            fmt="o",
            color=_COLORS[0],
            markersize=_DOT_POINTS,
        )
    axes.set_yticks(range(len(cells)), [escape_math(cell.first.network) for cell in cells])
    axes.invert_yaxis()
    axes.set_xlabel("test error, %")
    axes.set_xlim(left=0)
    axes.grid(axis="x", color="0.9")
    figure.legend(
        handles=[
            Line2D([], [], marker="o", color=_COLORS[0], linestyle="none", label="measured"),
            _paper_handle(_COLORS[1], "the paper's, with augmentation"),
            _paper_handle("white", "the paper's, without augmentation"),
        ],
        loc="outside upper center",
        ncols=3,
        frameon=False,
    )
    return figure


def _paper_handle(face: str, label: str) -> Line2D:
    return Line2D([], [], marker="D", color=_COLORS[1], markerfacecolor=face, linestyle="none", label=label)


def _draw_accuracies(cells: Sequence[AccuracyCell], abscissas: Sequence[float], label: str) -> Figure:
    figure = Figure(figsize=(9, 6.2))
    axes = figure.subplots()
    figure.subplots_adjust(left=0.08, right=0.98, bottom=0.09, top=0.9)
    groups = list(dict.fromkeys(_describe_group(cell) for cell in cells))
    points = []
    for cell, abscissa in zip(cells, abscissas, strict=True):
        color = _COLORS[groups.index(_describe_group(cell)) % len(_COLORS)]
        ordinate = 100 * cell.accuracy.mean
        error_bar = [[each] for each in _error_bar(cell.accuracy)]
        axes.errorbar(abscissa, ordinate, yerr=error_bar, fmt="o", color=color, markersize=_DOT_POINTS, elinewidth=0.8)
        points.append((abscissa, ordinate, cell.first.network))
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, position: f"{value:g}"))
    axes.margins(0.08)
    axes.set_xlabel(label)
    axes.set_ylabel("test accuracy, %")
    axes.grid(color="0.92", which="both")
    axes.set_axisbelow(True)
    _name_points(axes, points)
    axes.legend(
        handles=[
            Line2D([], [], marker="o", color=_COLORS[number % len(_COLORS)], linestyle="none", label=escape_math(group))
            for number, group in enumerate(groups)
        ],
        loc="lower left",
        bbox_to_anchor=(0, 1),
        frameon=False,
    )
    return figure


def _describe_group(cell: AccuracyCell) -> str:
    return f"{cell.first.images.describe()}; {cell.first.machine}"


def _error_bar(accuracy: MeanAccuracy) -> tuple[float, float]:
    """Return the lengths of the bar below and above the mean, in percentage points."""
    low, high = accuracy.interval or (accuracy.mean, accuracy.mean)
    return 100 * (accuracy.mean - low), 100 * (high - accuracy.mean)


def _name_points(axes: Axes, points: Sequence[tuple[float, float, str]]) -> None:
    """Write the names of points where they cover neither a dot nor another name; the others stay without a name."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    renderer = FigureCanvasAgg(figure).get_renderer()
    half = _DOT_POINTS / 2 * figure.dpi / 72
    centers = axes.transData.transform([point[:2] for point in points])
    occupied = [Bbox([[x - half, y - half], [x + half, y + half]]) for x, y in centers]
    frame = axes.get_window_extent(renderer)
    for abscissa, ordinate, name in sorted(points, key=lambda point: (-point[1], point)):
        for dx, dy, horizontal, vertical in _PLACES:
            text = axes.annotate(
                escape_math(name),
                (abscissa, ordinate),
                (dx, dy),
                textcoords="offset points",
                ha=horizontal,
                va=vertical,
                fontsize=7,
            )
            box = text.get_window_extent(renderer)
            is_inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if is_inside and not box.count_overlaps(occupied):
                occupied.append(box)
                break
            text.remove()
