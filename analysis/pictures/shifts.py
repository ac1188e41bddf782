"""What happens when the picture moves."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from .words import plain


def accuracy_under_shift(found, title):
    """Accuracy at every offset as a heat map; the frame in the middle is the picture where it stood.

    Args:
        found: `convzoo.analysis.shift.UnderShift`.
        title: what stands above.
    """
    most, side = found.most, len(found.accuracy)
    size = min(10, 2.2 + 0.55 * side)
    figure = Figure(figsize=(size + 1.2, size), layout="constrained")
    axes = figure.subplots()
    middle = (-most - 0.5, most + 0.5)
    image = axes.imshow(found.accuracy, cmap="viridis", extent=(*middle, *middle[::-1]))
    figure.colorbar(image, ax=axes, format=PercentFormatter(1), label="accuracy", shrink=0.85)
    if side <= 11:
        dark = found.accuracy < (found.accuracy.min() + found.accuracy.max()) / 2
        for (row, column), share in np.ndenumerate(found.accuracy):
            color = "white" if dark[row, column] else "black"
            place = (column - most, row - most)
            axes.text(*place, f"{100 * share:.0f}", ha="center", va="center", fontsize=7, color=color)
    axes.plot([-0.5, 0.5, 0.5, -0.5, -0.5], [-0.5, -0.5, 0.5, 0.5, -0.5], color="red", linewidth=1.5)
    about = f"{found.images:,} test images, {found.border} border"
    numbers = f"consistency {found.consistency:.1%}, probability of the true class ±{found.stability:.3f}"
    axes.set_title(f"{plain(title)}\n{about}\n{numbers}", fontsize=9)
    axes.set(xlabel="pixels to the right", ylabel="pixels down")
    return figure


def equivariance(stages, errors, title):
    """How much of each stage's map does not move along with the picture, from the first stage to the last.

    Args:
        stages: `convzoo.analysis.inside.Stage`s.
        errors: mapping from a shift, in pixels, to two lists with an error a stage: of whole maps, and of their inner
            part, NaN where there is none.
        title: what stands above.
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
    axes.set_title(plain(title), fontsize=10)
    axes.grid(alpha=0.3)
    legend = dict(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8, title_fontsize=8)
    axes.legend(title="the picture moves by", **legend)
    return figure
