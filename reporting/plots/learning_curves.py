"""A plot of loss and accuracy by epoch."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from .text import escape_math


def plot_learning_curves(history: Sequence[Mapping[str, float]], title: str) -> Figure:
    """Plot loss and accuracy by epoch.

    Args:
        history: a mapping of metrics for each epoch, as they are logged.
        title: of the figure.
    """
    figure = Figure(figsize=(9, 3.6))
    # Fixed margins: matplotlib's layout engines draw twice, a tenth of a second of every short run.
    margins = {"left": 0.09, "right": 0.985, "bottom": 0.14, "top": 0.84, "wspace": 0.2}
    epochs = np.arange(1, len(history) + 1)
    for axes, metric in zip(figure.subplots(1, 2, gridspec_kw=margins), ("accuracy", "loss"), strict=True):
        for part, style in (("train", "o--"), ("val", "o-")):
            key = f"{part}_{metric}"
            if key in history[0]:
                axes.plot(
                    epochs,
                    [row[key] for row in history],
                    style,
                    markersize=3,
                    label="validation" if part == "val" else part,
                )
        axes.set(title=metric, xlabel="epoch", xlim=(0.5, len(history) + 0.5))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        axes.legend()
        if metric == "accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(1))
    figure.suptitle(escape_math(title))
    return figure
