"""What a network answers, right and wrong."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from .words import plain


def confusion_matrix(counts, class_names, title):
    """Which class was taken for which.

    Args:
        counts: shape (classes, classes); row is the true class, column what the network said.
        class_names: names in the order of the labels.
        title: what stands above.
    """
    classes = len(class_names)
    side = min(14, 3 + 0.45 * classes)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, format=PercentFormatter(1), label="share of the true class")
    axes.set(xlabel="predicted", ylabel="true", title=plain(title))
    size = 9 if classes <= 20 else 4
    axes.set_xticks(range(classes), list(map(plain, class_names)), rotation=90, fontsize=size)
    axes.set_yticks(range(classes), list(map(plain, class_names)), fontsize=size)
    if classes <= 20:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                color = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, str(count), ha="center", va="center", fontsize=8, color=color)
    return figure


def mistakes(images, said, true, confidence, class_names, title):
    """Pictures that were taken for another class: what was said, how surely, and what it is.

    Args:
        images: uint8, shape (n, height, width, channels), the surest mistake first.
        said, true: labels, shape (n,).
        confidence: probability of what was said, shape (n,).
        class_names: names in the order of the labels.
        title: what stands above.
    """
    across = 6
    down = max(1, -(-len(images) // across))
    figure = Figure(figsize=(9, 1.9 * down + 0.5), layout="constrained")
    for number, axes in enumerate(figure.subplots(down, across, squeeze=False).flat):
        axes.set_axis_off()
        if number < len(images):
            show_image(axes, images[number])
            words = f"{class_names[said[number]]} {confidence[number]:.0%}\nis {class_names[true[number]]}"
            axes.set_title(plain(words), fontsize=8)
    figure.suptitle(plain(title), fontsize=10)
    return figure


def reliability(found, title):
    """Accuracy beside confidence: on the diagonal a network is as sure as it is right. Below, how many answers.

    Args:
        found: `convzoo.analysis.calibration.Calibration`.
        title: what stands above.
    """
    figure = Figure(figsize=(5, 5.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    filled = found.counts > 0
    left, width = found.edges[:-1][filled], np.diff(found.edges)[filled]
    accuracy, confidence = found.accuracy[filled], found.confidence[filled]
    above.bar(left, accuracy, width, align="edge", color="C0", ec="white", label="accuracy")
    low, gap = np.minimum(accuracy, confidence), np.abs(accuracy - confidence)
    above.bar(left, gap, width, low, align="edge", color="C3", alpha=0.4, ec="C3", hatch="//", label="gap")
    above.plot([0, 1], [0, 1], "--", color="0.4", label="as sure as right")
    above.set(ylabel="accuracy", ylim=(0, 1), xlim=(0, 1))
    above.yaxis.set_major_formatter(PercentFormatter(1))
    above.set_title(
        f"{plain(title)}\nECE {found.ece:.2%}, {found.counts.sum():,} answers in {len(found.counts)} bins", fontsize=10
    )
    above.legend(loc="upper left", fontsize=8)
    below.bar(left, found.counts[filled] / found.counts.sum(), width, align="edge", color="0.6", ec="white")
    below.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    below.xaxis.set_major_formatter(PercentFormatter(1))
    below.set(xlabel="confidence", ylabel="answers")
    return figure


def said(image, probabilities, class_names, title, most=5):
    """A picture and the classes that a network thinks of first.

    Args:
        image: uint8, shape (height, width, channels).
        probabilities: shape (classes,).
        class_names: names in the order of the labels.
        title: what stands above.
        most: how many classes.
    """
    figure = Figure(figsize=(6, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.4])
    show_image(left, image)
    left.set_axis_off()
    best = np.argsort(-probabilities)[:most]
    bars = right.barh(
        [plain(class_names[each]) for each in best], probabilities[best], color=["C0"] + ["0.7"] * (most - 1)
    )
    right.bar_label(bars, [f"{share:.1%}" for share in probabilities[best]], padding=3, fontsize=8)
    right.invert_yaxis()
    right.set(xlim=(0, 1.18))
    right.set_xticks([])
    right.spines[["top", "right", "bottom"]].set_visible(False)
    figure.suptitle(plain(title), fontsize=10)
    return figure


def show_image(axes, image):
    """Draws a uint8 picture with one or three channels."""
    axes.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=255)
