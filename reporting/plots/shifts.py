"""Plots of accuracy and equivariance under shifts of the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from .text import escape_math

if TYPE_CHECKING:
    from ...evaluation.activations import Stage
    from ...evaluation.shift import ShiftRobustness


def plot_accuracy_by_shift(robustness: ShiftRobustness, title: str) -> Figure:
    """Plot the accuracy at every offset as a heat map, with a frame around the accuracy without a shift.

    Args:
        robustness: of the network.
        title: of the figure.
    """
    max_shift, side = robustness.max_shift, len(robustness.accuracy)
    size = min(10, 2.2 + 0.55 * side)
    figure = Figure(figsize=(size + 1.2, size), layout="constrained")
    axes = figure.subplots()
    middle = (-max_shift - 0.5, max_shift + 0.5)
    image = axes.imshow(robustness.accuracy, cmap="viridis", extent=(*middle, *middle[::-1]))
    figure.colorbar(image, ax=axes, format=PercentFormatter(1), label="accuracy", shrink=0.85)
    if side <= 11:
        dark = robustness.accuracy < (robustness.accuracy.min() + robustness.accuracy.max()) / 2
        for (row, column), share in np.ndenumerate(robustness.accuracy):
            color = "white" if dark[row, column] else "black"
            position = (column - max_shift, row - max_shift)
            axes.text(*position, f"{100 * share:.0f}", ha="center", va="center", fontsize=7, color=color)
    axes.plot([-0.5, 0.5, 0.5, -0.5, -0.5], [-0.5, -0.5, 0.5, 0.5, -0.5], color="red", linewidth=1.5)
    about = f"{robustness.images:,} test images, {robustness.border} border"
    numbers = f"consistency {robustness.consistency:.1%}, probability of the true class ±{robustness.stability:.3f}"
    axes.set_title(f"{escape_math(title)}\n{about}\n{numbers}", fontsize=9)
    axes.set(xlabel="pixels to the right", ylabel="pixels down")
    return figure


def plot_equivariance(
    stages: Sequence[Stage], errors: Mapping[int, tuple[Sequence[float], Sequence[float]]], title: str
) -> Figure:
    """Plot the equivariance error of each stage.

    Args:
        stages: of the network.
        errors: mapping from a shift, in pixels, to two lists with an error for each stage: of whole maps, and of their
            inner part, NaN where there is none.
        title: of the figure.
    """
    figure = Figure(figsize=(max(7, 0.5 * len(stages) + 4), 3.8), layout="constrained")
    axes = figure.subplots()
    for number, (shift, parts) in enumerate(errors.items()):
        moved = f"{shift} pixel{'s' * (shift != 1)} to the right"
        for values, style, part in zip(parts, ("o-", "o--"), ("", ", inner part"), strict=True):
            color, inside = f"C{number}", "white" if part else f"C{number}"
            axes.plot(range(len(stages)), values, style, color=color, mfc=inside, label=f"{moved}{part}")
    names = [f"{stage.name}  /{'×'.join(map(str, dict.fromkeys(stage.row.jump)))}" for stage in stages]
    axes.set_xticks(range(len(stages)), names, rotation=90, fontsize=8)
    axes.set_ylim(bottom=-0.02 * axes.get_ylim()[1])
    axes.set(ylabel="‖f(Tx) − Tf(x)‖ / ‖f(x)‖", xlabel="layer  /pixels between its neighbouring units")
    axes.set_title(escape_math(title), fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(
        title="the image moves by",
        loc="center left",
        bbox_to_anchor=(1, 0.5),
        frameon=False,
        fontsize=8,
        title_fontsize=8,
    )
    return figure
