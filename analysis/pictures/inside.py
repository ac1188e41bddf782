"""What a network looks for, and what its layers make of one picture."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .answers import show_image
from .words import plain

_FILTERS = 64
_ACROSS = 8


def filters(kernel, title):
    """The filters of the first convolution, each scaled to its own largest weight, grey is 0.

    Three channels are drawn as colours; one, or the mean of more, red where a weight is positive and blue where it is
    negative.

    Args:
        kernel: shape (height, width, channels, filters).
        title: what stands above.
    """
    height, width, channels, count = kernel.shape
    shown = min(count, _FILTERS)
    across = min(shown, _ACROSS)
    down = -(-shown // across)
    figure = Figure(figsize=(max(5, 0.9 * across), 0.9 * down + 0.4), layout="constrained")
    for number, axes in enumerate(figure.subplots(down, across, squeeze=False).flat):
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
    figure.suptitle(f"{plain(title)}: {some}{count} filters, {height}×{width}×{channels}", fontsize=10)
    return figure


def feature_maps(image, stages, maps, title):
    """The picture, and below it what each stage makes of it: of the channels those that vary most.

    Args:
        image: uint8, shape (height, width, channels).
        stages: `convzoo.analysis.inside.Stage`s.
        maps: one array (height, width, channels) a stage.
        title: what stands above.
    """
    down = len(stages) + 1
    figure = Figure(figsize=(9.5, 1.02 * down + 0.5), layout="constrained")
    grid = figure.subplots(down, _ACROSS + 1, squeeze=False, gridspec_kw={"width_ratios": [1.9] + [1] * _ACROSS})
    for axes in grid.flat:
        axes.set_axis_off()
    _label(grid[0, 0], "the picture", f"{'×'.join(map(str, image.shape))}")
    show_image(grid[0, 1], image)
    for row, stage, each in zip(grid[1:], stages, maps, strict=True):
        shape = "×".join(map(str, stage.row.output_shape))
        _label(row[0], stage.name, f"{shape}\nsees {'×'.join(map(str, stage.row.receptive_field))}")
        for axes, channel in zip(row[1:], np.sort(np.argsort(-each.std(axis=(0, 1)))[:_ACROSS]), strict=False):
            axes.imshow(each[..., channel], cmap="magma")
            axes.set_title(channel, fontsize=6, pad=1)
    figure.suptitle(plain(title), fontsize=10)
    return figure


def receptive_fields(image, stages, units, title):
    """Of the strongest unit of each stage: above, the pixels that it can see; below, those that it listens to.

    Args:
        image: uint8, shape (height, width, channels).
        stages: `convzoo.analysis.inside.Stage`s.
        units: a `convzoo.analysis.inside.Unit` for each.
        title: what stands above.
    """
    figure = Figure(figsize=(1.75 * len(stages) + 0.4, 4.4), layout="constrained")
    grid = figure.subplots(2, len(stages), squeeze=False)
    height, width = image.shape[:2]
    outside = max(max(-u.box[0], -u.box[1], u.box[0] + u.box[2] - height, u.box[1] + u.box[3] - width) for u in units)
    beyond = min(max(outside + 1, 1), 0.25 * max(height, width))  # room for what lies in the padding
    for (above, below), stage, unit in zip(grid.T, stages, units, strict=True):
        show_image(above, image)
        below.imshow(unit.influence, cmap="inferno", vmin=0, vmax=unit.influence.max() or 1)
        top, left, tall, wide = unit.box
        for axes, color in ((above, "red"), (below, "white")):
            axes.set_facecolor("#dddddd" if axes is above else "#555555")
            axes.set(xlim=(-0.5 - beyond, width - 0.5 + beyond), ylim=(height - 0.5 + beyond, -0.5 - beyond))
            axes.set_xticks([])
            axes.set_yticks([])
            # What reaches farther than the room ends at its edge.
            up, down = (min(max(y, -beyond), height + beyond) - 0.5 for y in (top, top + tall))
            west, east = (min(max(x, -beyond), width + beyond) - 0.5 for x in (left, left + wide))
            axes.add_patch(Rectangle((west, up), east - west, down - up, fill=False, ec=color, lw=1.5))
        seen = "×".join(map(str, stage.row.receptive_field))
        where = "×".join(map(str, stage.row.output_shape[:2]))
        above.set_title(f"{stage.name}\nsees {seen}", fontsize=8)
        below.set_xlabel(f"unit {unit.place} of {where}\nchannel {unit.channel}", fontsize=7)
    grid[0, 0].set_ylabel("can see", fontsize=8)
    grid[1, 0].set_ylabel("listens to", fontsize=8)
    figure.suptitle(plain(title), fontsize=10)
    return figure


def _label(axes, name, more):
    axes.text(1, 0.5, f"{name}\n{more}", ha="right", va="center", fontsize=7, transform=axes.transAxes)
