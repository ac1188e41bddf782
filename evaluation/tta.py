"""Test-time augmentation: metrics of a split with shifted, with mirrored and with slightly translated images."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from ..data import Split
from ..settings.training import Views
from . import shift
from .metrics import Evaluation, Predict, evaluate

VIEW_COUNTS: dict[Views, int] = {"none": 1, "flip": 2, "translate": 6}


def evaluate_with_tta(
    predict: Predict,
    split: Split,
    max_shift: int = 0,
    views: Views = "none",
    further: Callable[[np.ndarray, np.ndarray], Mapping[str, float]] = lambda labels, scores: {},
) -> tuple[Evaluation, dict[str, float]]:
    """Evaluate a classifier on a split, and if requested on its shifted and mirrored images.

    Args:
        predict: maps uint8 images to class scores (n, classes), larger is better.
        split: images `x`, shape (n, height, width, channels), and labels `y`.
        max_shift: largest shift in pixels of two random circular shifts of each image, the same for every network.
            0, the default, shifts none.
        views: "flip" also uses the mean of the scores of an image and of its mirror image, left to right; "translate"
            does so too, and also uses airbench's six views. "none", the default, adds no view.
        further: maps labels and class scores of the unchanged images to further metrics; default: to none.

    Returns:
        The `Evaluation` of the unchanged images, and a mapping of the requested metrics: `shift_accuracy`, the mean
        over both shifts; `shift_consistency`, the share of images that get one class under both; `flip_accuracy`;
        `views_accuracy`, that of the six views; and the further metrics.
    """
    scores = predict(split.x)
    extra_metrics = dict(further(split.y, scores))
    if max_shift:
        extra_metrics["shift_accuracy"], extra_metrics["shift_consistency"] = shift.random_shift_metrics(
            predict, split.x, split.y, max_shift
        )
    if views != "none":
        flip_scores = (scores + predict(_mirror(split.x))) / 2
        extra_metrics["flip_accuracy"] = evaluate(flip_scores, split.y).accuracy
    if views == "translate":
        views_scores = (flip_scores + _predict_translated(predict, split.x)) / 2
        extra_metrics["views_accuracy"] = evaluate(views_scores, split.y).accuracy
    return evaluate(scores, split.y), extra_metrics


def _mirror(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images[:, :, ::-1])


def _predict_translated(predict: Predict, images: np.ndarray) -> np.ndarray:
    """Predict the mean scores of four of airbench's six views, which count as much as the image and its mirror image.

    The views are two crops of the image with a reflected border of one pixel, the upper left one and the lower right
    one, and the mirror image of each. Weights: 1/4 for the image and for its mirror image, 1/8 for each of these four.

    Reference: Jordan 2024, arXiv 2404.00498; `tta_level=2`, `infer_mirror_translate` in the released airbench94.py.
    """
    _, height, width, _ = images.shape
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    total = np.zeros(())
    for corner in (0, 2):
        crop = np.ascontiguousarray(padded[:, corner : corner + height, corner : corner + width])
        total = total + predict(crop) + predict(_mirror(crop))
    return total / 4


def format_extra_metrics(extra_metrics: Mapping[str, float]) -> Iterator[str]:
    """Format the extra metrics of `evaluate_with_tta` as lines."""
    if "shift_accuracy" in extra_metrics:
        yield (
            f"under random shifts: accuracy {extra_metrics['shift_accuracy']:.2%}, "
            f"the same class twice for {extra_metrics['shift_consistency']:.2%} of the images"
        )
    if "flip_accuracy" in extra_metrics:
        yield f"by the mean of each picture and its mirror image: accuracy {extra_metrics['flip_accuracy']:.2%}"
    if "views_accuracy" in extra_metrics:
        yield f"by six views, with shifts of one pixel: accuracy {extra_metrics['views_accuracy']:.2%}"
