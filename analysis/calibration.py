"""Whether a classifier is as sure as it is right."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Calibration:
    """Answers in bins of equal width by their confidence, the probability of the class that was said.

    Attributes:
        edges: of the bins, from 0 to 1; a bin holds its upper edge.
        counts: answers in each bin.
        confidence: their mean in each bin; NaN in an empty one.
        accuracy: share of right answers in each bin; NaN in an empty one.
    """

    edges: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def ece(self):
        """Expected calibration error: Σ n_b / n · |accuracy_b - confidence_b|, from 0 to 1."""
        filled = self.counts > 0
        gaps = np.abs(self.accuracy - self.confidence)[filled]
        return float((self.counts[filled] * gaps).sum() / self.counts.sum())

    @property
    def overconfidence(self):
        """Mean confidence less accuracy, of all answers: above 0 where more is promised than kept."""
        filled = self.counts > 0
        gaps = (self.confidence - self.accuracy)[filled]
        return float((self.counts[filled] * gaps).sum() / self.counts.sum())


def calibration(probabilities, labels, bins=15):
    """The `Calibration` of a classifier.

    Args:
        probabilities: of the classes, shape (n, classes).
        labels: integers, shape (n,).
        bins: of equal width; 15 as in the reference.

    Reference:
        Guo, Pleiss, Sun & Weinberger, On calibration of modern neural networks, 2017 (arXiv 1706.04599), section 2;
        the error is that of Naeini, Cooper & Hauskrecht, Obtaining well calibrated probabilities using Bayesian
        binning, 2015.
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1)
    which = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    counts = np.bincount(which, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(which, each, bins) / counts for each in (confidence, right)]
    return Calibration(edges, counts, *means)
