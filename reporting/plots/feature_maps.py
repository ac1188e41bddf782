"""Plots of a network's filters, feature maps and receptive fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .predictions import show_image
from .text import escape_math

if TYPE_CHECKING:
    from ...evaluation.activations import Stage, Unit

_MAX_FILTERS = 64
_COLUMNS = 8


def plot_filters(kernel: np.ndarray, title: str) -> Figure:
    """Plot the filters of the first convolution, each scaled to its own largest weight, grey is 0.

    Three channels are drawn as colours. Of any other number the mean is drawn, red where it is positive and blue where
    it is negative.

    Args:
        kernel: shape (height, width, channels, filters).
        title: of the figure.
    """
    height, width, channels, count = kernel.shape
    shown = min(count, _MAX_FILTERS)
    columns = min(shown, _COLUMNS)
    rows = -(-shown // columns)
    figure = Figure(figsize=(max(5, 0.9 * columns), 0.9 * rows + 0.4), layout="constrained")
    for number, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.set_axis_off()
        if number >= shown:
            continue
        weights = kernel[..., number] if channels == 3 else kernel[..., number].mean(axis=-1)
        scaled = weights / max(np.abs(weights).max(), 1e-12)
        if channels == 3:
            axes.imshow(0.5 + scaled / 2)
        else:
            axes.imshow(scaled, cmap="RdBu_r", vmin=-1, vmax=1)
    some = "" if shown == count else f"{shown} of "
    figure.suptitle(f"{escape_math(title)}: {some}{count} filters, {height}×{width}×{channels}", fontsize=10)
    return figure


def plot_feature_maps(image: np.ndarray, stages: Sequence[Stage], maps: Sequence[np.ndarray], title: str) -> Figure:
    """Plot an image, and below it the channels that vary most in the output of each stage.

    Args:
        image: uint8, shape (height, width, channels).
        stages: of the network.
        maps: an array (height, width, channels) for each stage.
        title: of the figure.
    """
    rows = len(stages) + 1
    figure = Figure(figsize=(9.5, 1.02 * rows + 0.5), layout="constrained")
    grid = figure.subplots(rows, _COLUMNS + 1, squeeze=False, gridspec_kw={"width_ratios": [1.9] + [1] * _COLUMNS})
    for axes in grid.flat:
        axes.set_axis_off()
    _draw_label(grid[0, 0], "the picture", f"{'×'.join(map(str, image.shape))}")
    show_image(grid[0, 1], image)
    for row, stage, feature_map in zip(grid[1:], stages, maps, strict=True):
        shape = "×".join(map(str, stage.row.output_shape))
        _draw_label(row[0], stage.name, f"{shape}\nsees {'×'.join(map(str, stage.row.receptive_field))}")
        for axes, channel in zip(row[1:], np.sort(np.argsort(-feature_map.std(axis=(0, 1)))[:_COLUMNS]), strict=False):
            axes.imshow(feature_map[..., channel], cmap="magma")
            axes.set_title(channel, fontsize=6, pad=1)
    figure.suptitle(escape_math(title), fontsize=10)
    return figure


def plot_receptive_fields(image: np.ndarray, stages: Sequence[Stage], units: Sequence[Unit], title: str) -> Figure:
    """Plot the receptive field of the strongest unit of each stage, and below it the pixels that influence the unit.

    Args:
        image: uint8, shape (height, width, channels).
        stages: of the network.
        units: the strongest unit of each stage.
        title: of the figure.
    """
    figure = Figure(figsize=(1.75 * len(stages) + 0.4, 4.4), layout="constrained")
    grid = figure.subplots(2, len(stages), squeeze=False)
    height, width = image.shape[:2]
    outside = max(max(-u.box[0], -u.box[1], u.box[0] + u.box[2] - height, u.box[1] + u.box[3] - width) for u in units)
    margin = min(
        max(outside + 1, 1), 0.25 * max(height, width)
    )  # for the part of a receptive field that lies in the padding
    for (above, below), stage, unit in zip(grid.T, stages, units, strict=True):
        show_image(above, image)
        below.imshow(unit.influence, cmap="inferno", vmin=0, vmax=unit.influence.max() or 1)
        box_y, box_x, box_height, box_width = unit.box
        for axes, color in ((above, "red"), (below, "white")):
            axes.set_facecolor("#dddddd" if axes is above else "#555555")
            axes.set(xlim=(-0.5 - margin, width - 0.5 + margin), ylim=(height - 0.5 + margin, -0.5 - margin))
            axes.set_xticks([])
            axes.set_yticks([])
            # A box that is larger than the plot is cut off at its edge.
            y0, y1 = (min(max(y, -margin), height + margin) - 0.5 for y in (box_y, box_y + box_height))
            x0, x1 = (min(max(x, -margin), width + margin) - 0.5 for x in (box_x, box_x + box_width))
            axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, ec=color, lw=1.5))
        receptive_field = "×".join(map(str, stage.row.receptive_field))
        where = "×".join(map(str, stage.row.output_shape[:2]))
        above.set_title(f"{stage.name}\nsees {receptive_field}", fontsize=8)
        below.set_xlabel(f"unit {unit.position} of {where}\nchannel {unit.channel}", fontsize=7)
    grid[0, 0].set_ylabel("receptive field", fontsize=8)
    grid[1, 0].set_ylabel("influence of the pixels", fontsize=8)
    figure.suptitle(escape_math(title), fontsize=10)
    return figure


def _draw_label(axes: Axes, name: str, details: str) -> None:
    axes.text(1, 0.5, f"{name}\n{details}", ha="right", va="center", fontsize=7, transform=axes.transAxes)
