"""A network before it has a weight."""

import dataclasses
import json

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ... import UserError
from .words import plain


def show(plan, how):
    """Prints a plan, as a table (True) or as "json", or draws it into a file of that name.

    Raises:
        UserError: the file cannot be written.
    """
    if how is True:
        print(plan)
    elif how == "json":
        print(json.dumps(dataclasses.asdict(plan), indent=1))
    else:
        try:
            network(plan).savefig(how)
        except OSError as error:
            raise UserError(f"`plan={how}`: {error.strerror}") from error
        print(f"drawn in {how}")


_COLOURS = {"weights": "#4c72b0", "down": "#dd8452", "other": "#c8c8c8"}


def network(plan):
    """A network as boxes from left to right: as tall as its maps, as wide as the root of its channels.

    Vectors are bars. Blue rows have weights, orange ones make the map smaller without any. Above each stands the
    output's shape, below its name and the receptive field, the pixels that one of its values sees.

    Args:
        plan: `convzoo.models.plan`'s.
    """
    maps = [plan.image_shape, *(row.output_shape for row in plan.rows)]
    tallest = plan.image_shape[0]
    figure = Figure(figsize=(max(6, 0.62 * len(maps) + 1), 4.2), layout="constrained")
    axes = figure.subplots()
    x = 0.0
    for row, shape, before in zip([None, *plan.rows], maps, [None, *maps], strict=False):
        root = shape[-1] ** 0.5
        height, width = (shape[0] / tallest, 0.15 + 0.05 * root) if len(shape) == 3 else (min(1, root / 64), 0.15)
        kind = "other" if row is None else "weights" if row.params else "down" if shape[:-1] != before[:-1] else "other"
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
        xlim=(-0.2, x), ylim=(-1.05, 1.0), title=f"{plain(plan.name)}: {plan.params:,} parameters, {plan.macs:,} MACs"
    )
    axes.set_axis_off()
    return figure
