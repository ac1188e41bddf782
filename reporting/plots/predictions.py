"""Plots of a network's predictions, correct and wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from .text import escape_math

if TYPE_CHECKING:
    from ...evaluation.calibration import Calibration


def plot_confusion_matrix(counts: np.ndarray, class_names: Sequence[str], title: str) -> Figure:
    """Plot a confusion matrix.

    Args:
        counts: shape (classes, classes); row is the true class, column the predicted one.
        class_names: names in the order of the labels.
        title: of the figure.
    """
    classes = len(class_names)
    side = min(14, 3 + 0.45 * classes)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, format=PercentFormatter(1), label="share of the true class")
    axes.set(xlabel="predicted", ylabel="true", title=escape_math(title))
    size = 9 if classes <= 20 else 4
    axes.set_xticks(range(classes), list(map(escape_math, class_names)), rotation=90, fontsize=size)
    axes.set_yticks(range(classes), list(map(escape_math, class_names)), fontsize=size)
    if classes <= 20:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                color = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, str(count), ha="center", va="center", fontsize=8, color=color)
    return figure


@dataclass(frozen=True, eq=False)
class Mistakes:
    """Images that are classified wrongly, the most confident mistake first.

    Attributes:
        images: uint8, shape (n, height, width, channels).
        predicted: labels, shape (n,).
        true: labels, shape (n,).
        confidence: probability of the predicted class, shape (n,).
    """

    images: np.ndarray
    predicted: np.ndarray
    true: np.ndarray
    confidence: np.ndarray


def plot_mistakes(mistakes: Mistakes, class_names: Sequence[str], title: str) -> Figure:
    """Plot images that are classified wrongly, with the predicted class, its confidence and the true class.

    Args:
        mistakes: the images.
        class_names: names in the order of the labels.
        title: of the figure.
    """
    images = mistakes.images
    columns = 6
    down = max(1, -(-len(images) // columns))
    figure = Figure(figsize=(9, 1.9 * down + 0.5), layout="constrained")
    for number, axes in enumerate(figure.subplots(down, columns, squeeze=False).flat):
        axes.set_axis_off()
        if number < len(images):
            show_image(axes, images[number])
            predicted, true = (class_names[labels[number]] for labels in (mistakes.predicted, mistakes.true))
            text = f"{predicted} {mistakes.confidence[number]:.0%}\nis {true}"
            axes.set_title(escape_math(text), fontsize=8)
    figure.suptitle(escape_math(title), fontsize=10)
    return figure


def plot_reliability(calibration: Calibration, title: str) -> Figure:
    """Plot a reliability diagram: accuracy by confidence, and below it the number of predictions.

    Args:
        calibration: of the network.
        title: of the figure.
    """
    figure = Figure(figsize=(5, 5.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    filled = calibration.counts > 0
    lower_edges, width = calibration.edges[:-1][filled], np.diff(calibration.edges)[filled]
    accuracy, confidence = calibration.accuracy[filled], calibration.confidence[filled]
    above.bar(lower_edges, accuracy, width, align="edge", color="C0", ec="white", label="accuracy")
    low, gap = np.minimum(accuracy, confidence), np.abs(accuracy - confidence)
    above.bar(lower_edges, gap, width, low, align="edge", color="C3", alpha=0.4, ec="C3", hatch="//", label="gap")
    above.plot([0, 1], [0, 1], "--", color="0.4", label="as sure as right")
    above.set(ylabel="accuracy", ylim=(0, 1), xlim=(0, 1))
    above.yaxis.set_major_formatter(PercentFormatter(1))
    numbers = f"ECE {calibration.ece:.2%}, {calibration.counts.sum():,} answers in {len(calibration.counts)} bins"
    above.set_title(f"{escape_math(title)}\n{numbers}", fontsize=10)
    above.legend(loc="upper left", fontsize=8)
    below.bar(
        lower_edges, calibration.counts[filled] / calibration.counts.sum(), width, align="edge", color="0.6", ec="white"
    )
    below.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    below.xaxis.set_major_formatter(PercentFormatter(1))
    below.set(xlabel="confidence", ylabel="answers")
    return figure


def plot_prediction(
    image: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str], title: str, max_classes: int = 5
) -> Figure:
    """Plot an image and the classes with the highest probabilities.

    Args:
        image: uint8, shape (height, width, channels).
        probabilities: shape (classes,).
        class_names: names in the order of the labels.
        title: of the figure.
        max_classes: number of classes that are shown.
    """
    figure = Figure(figsize=(6, 2.8), layout="constrained")
    image_axes, bar_axes = figure.subplots(1, 2, width_ratios=[1, 1.4])
    show_image(image_axes, image)
    image_axes.set_axis_off()
    top = np.argsort(-probabilities)[:max_classes]
    bars = bar_axes.barh(
        [escape_math(class_names[index]) for index in top],
        probabilities[top],
        color=["C0"] + ["0.7"] * (max_classes - 1),
    )
    bar_axes.bar_label(bars, [f"{share:.1%}" for share in probabilities[top]], padding=3, fontsize=8)
    bar_axes.invert_yaxis()
    bar_axes.set(xlim=(0, 1.18))
    bar_axes.set_xticks([])
    bar_axes.spines[["top", "right", "bottom"]].set_visible(False)
    figure.suptitle(escape_math(title), fontsize=10)
    return figure


def show_image(axes: Axes, image: np.ndarray) -> None:
    """Draw a uint8 image with one or three channels."""
    axes.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=255)
