"""A training, epoch by epoch."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from .words import plain


def learning_curves(history, title):
    """Loss and accuracy by epoch.

    Args:
        history: one mapping of metrics an epoch, as they are logged.
        title: name of the run.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    epochs = np.arange(1, len(history) + 1)
    for axes, metric in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
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
        axes.set(xlabel="epoch", ylabel=metric)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
        if metric == "accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(1))
    figure.suptitle(plain(title))
    return figure
