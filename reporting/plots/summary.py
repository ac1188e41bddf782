"""Output of a plan: printed, as JSON or as a plot."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .saving import save_figure
from .text import escape_math

if TYPE_CHECKING:
    from ...models.planning import Plan


def show_plan(plan: Plan, target: bool | str) -> None:
    """Print a plan or plot it.

    Args:
        plan: of a network.
        target: True prints a table, "json" prints JSON; any other text is the name of a file for the plot.

    Raises:
        UserError: the file cannot be written.
    """
    if isinstance(target, bool):
        print(plan)
    elif target == "json":
        print(json.dumps(dataclasses.asdict(plan), indent=1))
    else:
        save_figure(plot_network(plan), "plan", target)


_COLOURS = {"weights": "#4c72b0", "down": "#dd8452", "other": "#c8c8c8"}


def plot_network(plan: Plan) -> Figure:
    """Plot a network as boxes from left to right: as tall as its maps, as wide as the root of its channels.

    Vectors are bars. Blue layers have weights, orange ones make the map smaller without weights. The text above a box
    is the output's shape; the text below is the layer's name and its receptive field.

    Args:
        plan: of the network.
    """
    maps = [plan.image_shape, *(row.output_shape for row in plan.rows)]
    tallest = plan.image_shape[0]
    figure = Figure(figsize=(max(6, 0.62 * len(maps) + 1), 4.2), layout="constrained")
    axes = figure.subplots()
    x = 0.0
    for row, shape, previous in zip([None, *plan.rows], maps, [plan.image_shape, *maps], strict=False):
        root = shape[-1] ** 0.5
        height, width = (shape[0] / tallest, 0.15 + 0.05 * root) if len(shape) == 3 else (min(1, root / 64), 0.15)
        kind = (
            "other" if row is None else "weights" if row.params else "down" if shape[:-1] != previous[:-1] else "other"
        )
        axes.add_patch(Rectangle((x, -height / 2), width, height, color=_COLOURS[kind], ec="white"))
        middle = x + width / 2
        axes.text(middle, 0.53, "×".join(map(str, shape)), ha="center", va="bottom", rotation=90, fontsize=7)
        name = "image" if row is None else f"{row.name}\nsees {'×'.join(map(str, row.receptive_field))}"
        axes.text(middle, -0.53, name, ha="center", va="top", rotation=90, fontsize=7)
        x += max(width, 0.45) + 0.12
    axes.legend(
        [Rectangle((0, 0), 1, 1, color=_COLOURS[kind]) for kind in _COLOURS],
        ["has weights", "makes the map smaller", "neither"],
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        ncols=3,
        frameon=False,
        fontsize=8,
    )
    axes.set(
        xlim=(-0.2, x),
        ylim=(-1.05, 1.0),
        title=f"{escape_math(plan.name)}: {plan.params:,} parameters, {plan.macs:,} MACs",
    )
    axes.set_axis_off()
    return figure
