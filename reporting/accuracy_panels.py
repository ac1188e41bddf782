"""An interactive page of a study's accuracy: panels of networks, pooling along the bottom, a line for each dropout.

The page is one file of HTML and SVG without a library: MLflow shows it inside a run, it needs no network, and it stays
small. A pointer on a mean shows its setting, its interval and its seeds; a click in the legend hides a line.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..evaluation.comparison import GridCell, shorten_names
from ..evaluation.statistics import MIN_SEEDS, clip_interval
from ..settings.colors import COLORS
from ..settings.text import clip
from .html import render_page
from .plots.study import choose_layout

WIDTH, HEIGHT = 460, 230  # of a panel, units of SVG
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 448, 10, 194  # of the part with the data
_MAX_PANELS = 48
_MAX_TICKS = 6
_LONGEST_VALUE = 24


@dataclass(frozen=True)
class Mean:
    """The mean of a cell, and its runs, in units of SVG.

    Attributes:
        x: from the left.
        y: of the mean, from the top.
        ends: of its interval, from the top; None where it has none.
        runs: for each run its y and whether it did not learn.
        text: the setting, the mean, the interval and the seeds, with `; ` between them.
    """

    x: float
    y: float
    ends: tuple[float, float] | None
    runs: list[tuple[float, bool]]
    text: str


@dataclass(frozen=True)
class Line:
    """The means of one value of the axis with lines; `number` is its position in the legend."""

    number: int
    color: str
    means: list[Mean]

    @property
    def path(self) -> str:
        """The points of an SVG polyline."""
        return " ".join(f"{mean.x:.1f},{mean.y:.1f}" for mean in self.means)


@dataclass(frozen=True)
class Panel:
    """One plot: its title and its lines."""

    title: str
    lines: list[Line]


@dataclass(frozen=True)
class Scale:
    """The common vertical axis: a share of `low` is at the bottom, one of `high` at the top."""

    low: float
    high: float

    def y(self, share: float) -> float:
        """Return the distance of a share from the top."""
        return _BOTTOM - (share - self.low) / (self.high - self.low) * (_BOTTOM - _TOP)

    def ticks(self) -> list[tuple[float, str]]:
        """Return at most `_MAX_TICKS` positions with their labels."""
        span = self.high - self.low
        steps = (part * 10.0**power for power in range(-4, 1) for part in (1, 2, 5))
        step = next((step for step in steps if span / step <= _MAX_TICKS - 1), 1.0)
        first = math.ceil(self.low / step - 1e-9)
        shares = [number * step for number in range(first, math.floor(self.high / step + 1e-9) + 1)]
        digits = max(0, math.ceil(-math.log10(100 * step) - 1e-9))
        return [(self.y(share), f"{100 * share:.{digits}f}%") for share in shares]


def render_accuracy(study: str, cells: Sequence[GridCell], axes: Sequence[str]) -> str | None:
    """Render the page; None if the study has no axis.

    Args:
        study: its name.
        cells: its cells.
        axes: names of its axes.
    """
    if not axes:
        return None
    along, across, panel_axes = _place_axes(cells, axes)
    names = dict(zip(axes, map(_clip, shorten_names(axes)), strict=True))
    positions = list(dict.fromkeys(cell.values[along] for cell in cells))
    lines = list(dict.fromkeys(cell.values[across] for cell in cells)) if across else [""]
    scale = _make_scale(cells)
    groups: dict[tuple[str, ...], list[GridCell]] = {}
    for cell in cells:
        groups.setdefault(tuple(cell.values[axis] for axis in panel_axes), []).append(cell)
    panels = []
    for key, members in list(groups.items())[:_MAX_PANELS]:
        titles = [
            _clip(value) if axis == "model" else f"{names[axis]} {_clip(value)}"
            for axis, value in zip(panel_axes, key, strict=True)
        ]
        drawn = []
        for number, value in enumerate(lines):
            own = {cell.values[along]: cell for cell in members if not across or cell.values[across] == value}
            offset = 0.5 * ((number + 0.5) / len(lines) - 0.5)
            means = [
                _make_mean(own[position], _x(index + offset, len(positions)), scale, names)
                for index, position in enumerate(positions)
                if position in own
            ]
            if means:
                drawn.append(Line(number, COLORS[number % len(COLORS)], means))
        panels.append(Panel(", ".join(titles) or study, drawn))
    has_intervals = any(cell.spread().n >= MIN_SEEDS for cell in cells)
    return render_page(
        "accuracy.html",
        title=f"{study}: test accuracy",
        about="Means over seeds" + (", with 95 % intervals" if has_intervals else f"; an interval takes {MIN_SEEDS}"),
        left_out=len(groups) - len(panels),
        along=names[along],
        positions=[(_x(index, len(positions)), _clip(value)) for index, value in enumerate(positions)],
        legend=[
            {"number": number, "color": COLORS[number % len(COLORS)], "text": f"{names[across]} {_clip(value)}"}
            for number, value in enumerate(lines)
            if across
        ],
        has_marked=any(cell.not_learning for cell in cells),
        panels=panels,
        ticks=scale.ticks(),
        frame={"width": WIDTH, "height": HEIGHT, "left": _LEFT, "right": _RIGHT, "top": _TOP, "bottom": _BOTTOM},
    )


def _place_axes(cells: Sequence[GridCell], axes: Sequence[str]) -> tuple[str, str | None, list[str]]:
    """Return the axis along the bottom, the one with lines or None, and those with panels, the network first."""
    layout = choose_layout(cells, axes) if len(axes) > 1 and set(axes) != {"model"} else None
    along = "pooling" if "pooling" in axes else layout.along if layout else axes[0]
    across = "dropout" if "dropout" in axes and along != "dropout" else layout.lines if layout else None
    if across == along or (across and len({cell.values[across] for cell in cells}) > len(COLORS)):
        across = None
    rest = [axis for axis in axes if axis not in (along, across)]
    return along, across, sorted(rest, key=lambda axis: axis != "model")


def _make_scale(cells: Sequence[GridCell]) -> Scale:
    shares = [share for cell in cells for share in cell.by_seed().values()]
    shares += [end for cell in cells for end in clip_interval(cell.spread(), 0, 1) or ()]
    margin = max(0.05 * (max(shares) - min(shares)), 0.005)
    return Scale(max(min(shares) - margin, 0.0), min(max(shares) + margin, 1.0))


def _make_mean(cell: GridCell, x: float, scale: Scale, names: dict[str, str]) -> Mean:
    spread, interval = cell.spread(), clip_interval(cell.spread(), 0, 1)
    setting = ", ".join(f"{names[axis]} {_clip(value)}" for axis, value in cell.values.items())
    text = [setting, f"mean {spread.mean:.2%}" + (f", {interval[0]:.2%} to {interval[1]:.2%}" if interval else "")]
    for seed, share in cell.by_seed().items():
        text.append(f"seed {seed}: {share:.2%}" + ", did not learn" * (seed in cell.not_learning))
    return Mean(
        x,
        scale.y(spread.mean),
        (scale.y(interval[0]), scale.y(interval[1])) if interval else None,
        [(scale.y(share), seed in cell.not_learning) for seed, share in cell.by_seed().items()],
        "; ".join(text[:14]),
    )


def _x(position: float, count: int) -> float:
    return _LEFT + (position + 0.5) / count * (_RIGHT - _LEFT)


def _clip(text: str) -> str:
    return clip(text, _LONGEST_VALUE)
