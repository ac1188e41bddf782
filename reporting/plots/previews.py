"""Plots made before a training: a batch of augmented images, and the loss over a range of learning rates."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from .predictions import show_image
from .text import escape_math

_COLUMNS = 8
_MOST_IMAGES = 64


def plot_batch(images: np.ndarray, labels: np.ndarray, class_names: Sequence[str], title: str) -> Figure:
    """Plot the first 64 images of a training batch, with their labels.

    Args:
        images: uint8, shape (n, height, width, channels).
        labels: integers of shape (n,), or distributions over the classes, shape (n, classes).
        class_names: names in the order of the labels.
        title: of the figure.
    """
    shown = images[:_MOST_IMAGES]
    rows = -(-len(shown) // _COLUMNS)
    figure = Figure(figsize=(1.5 * _COLUMNS, 1.75 * rows + 0.6), layout="constrained")
    figure.suptitle(escape_math(title))
    all_axes = figure.subplots(rows, _COLUMNS, squeeze=False)
    for axes in all_axes.flat:
        axes.axis("off")
    for axes, image, label in zip(all_axes.flat, shown, labels, strict=False):
        show_image(axes, image)
        axes.set_title(escape_math(_describe_label(label, class_names)), fontsize=8)
    return figure


def _describe_label(label: np.ndarray, class_names: Sequence[str]) -> str:
    """Return the name of a class, or the shares of the two largest classes of a distribution."""
    if label.ndim == 0:
        return class_names[int(label)]
    first, second = np.argsort(-label, kind="stable")[:2]
    if label[second] < 0.005:
        return class_names[first]
    return f"{label[first]:.0%} {class_names[first]}\n{label[second]:.0%} {class_names[second]}"


def plot_learning_rates(
    rates: Sequence[float], losses: Sequence[float], smoothed: Sequence[float], suggested: float | None, title: str
) -> Figure:
    """Plot the training loss against the learning rate, and the suggested rate.

    Args:
        rates: learning rate of each step.
        losses: loss of each step.
        smoothed: running mean of the losses.
        suggested: a rate, marked by a line; None for none.
        title: of the figure.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(rates, losses, color="0.8", label="loss of a step")
    axes.plot(rates, smoothed, color="C0", label="running mean")
    if suggested is not None:
        axes.axvline(suggested, color="C1", linestyle="--", label=f"suggested: {suggested:.2g}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="training loss", title=escape_math(title))
    highest = max(smoothed[0], float(np.median(smoothed)))
    axes.set_ylim(0, 1.5 * highest)
    axes.legend()
    return figure
