"""The effects of leaving out parts of a recipe, as bars."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...evaluation.comparison import Difference
from ...evaluation.statistics import clip_interval
from ...settings.colors import COLORS
from ...settings.text import clip, printable
from .text import escape_math

_MAX_BARS = 40
_LONGEST_PART = 36  # characters


def draw_ablation(title: str, effects: Sequence[Difference], learning_effects: Mapping[str, Difference]) -> Figure:
    """Draw a bar for each part that was left out, with its interval, in the order of the effects.

    Args:
        title: of the figure.
        effects: on accuracy; the first is at the top, and at most forty are drawn.
        learning_effects: mapping from a part to its effect without the runs that did not learn; empty if all learned.
    """
    shown = effects[:_MAX_BARS]
    figure = Figure(figsize=(8, 1.6 + 0.36 * len(shown)), layout="constrained")
    axes = figure.subplots()
    has_interval = False
    for position, effect in enumerate(shown):
        mean = 100 * effect.spread.mean
        axes.barh(position, mean, height=0.62, color=COLORS[0], alpha=0.45)
        if interval := clip_interval(effect.spread, -1, 1):
            axes.plot([100 * end for end in interval], [position, position], color=COLORS[0], linewidth=2)
            has_interval = True
        if learning := learning_effects.get(effect.first):
            axes.plot(100 * learning.spread.mean, position, "D", color=COLORS[1], markerfacecolor="white")
    axes.axvline(0, color="0.3", linewidth=1)
    labels = [escape_math(printable(clip(effect.first, _LONGEST_PART))) for effect in shown]
    axes.set_yticks(range(len(shown)), [f"no {label}" for label in labels], fontsize=9)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.grid(axis="x", alpha=0.3)
    axes.set_title(escape_math(printable(title)), fontsize=11)
    left_out = f" (the first {len(shown)} of {len(effects)})" if len(shown) < len(effects) else ""
    intervals = ", 95 % interval over seeds" if has_interval else ""
    axes.set_xlabel(f"difference in test accuracy, points{intervals}{left_out}")
    if learning_effects:
        handle = Line2D([], [], marker="D", linestyle="none", color=COLORS[1], markerfacecolor="white")
        figure.legend([handle], ["without runs that did not learn"], loc="outside lower center", frameon=False)
    return figure
