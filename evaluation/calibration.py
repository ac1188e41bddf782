"""Calibration: a comparison of a classifier's confidence with its accuracy."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Calibration:
    """Predictions in bins of equal width by their confidence, the probability of the predicted class.

    Attributes:
        edges: of the bins, from 0 to 1, shape (bins + 1,); a bin contains its upper edge.
        counts: number of predictions in each bin, shape (bins,).
        confidence: mean confidence in each bin, shape (bins,); NaN in an empty bin.
        accuracy: share of correct predictions in each bin, shape (bins,); NaN in an empty bin.
    """

    edges: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def ece(self) -> float:
        """Expected calibration error: Σ n_b / n · |accuracy_b - confidence_b|, from 0 to 1."""
        filled = self.counts > 0
        gaps = np.abs(self.accuracy - self.confidence)[filled]
        return float((self.counts[filled] * gaps).sum() / self.counts.sum())

    @property
    def overconfidence(self) -> float:
        """Mean confidence minus accuracy, over all predictions: positive for an overconfident classifier."""
        filled = self.counts > 0
        gaps = (self.confidence - self.accuracy)[filled]
        return float((self.counts[filled] * gaps).sum() / self.counts.sum())


def compute_calibration(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> Calibration:
    """Compute the `Calibration` of a classifier.

    Args:
        probabilities: of the classes, shape (n, classes).
        labels: integers, shape (n,).
        bins: number of bins of equal width, by default 15 as in the reference.

    Example:
        >>> calibration = compute_calibration(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1]))
        >>> round(calibration.ece, 2), round(calibration.overconfidence, 2)
        (0.35, 0.25)

    Reference:
        Guo, Pleiss, Sun & Weinberger, On calibration of modern neural networks, 2017 (arXiv 1706.04599), section 2;
        the error is that of Naeini, Cooper & Hauskrecht, Obtaining well calibrated probabilities using Bayesian
        binning, 2015.
    """
    confidence = probabilities.max(axis=1)
    is_correct = probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1)
    bin_indices = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    counts = np.bincount(bin_indices, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(bin_indices, values, bins) / counts for values in (confidence, is_correct)]
    return Calibration(edges, counts, *means)
