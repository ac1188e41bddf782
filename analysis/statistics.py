"""How sure one may be of a number."""

import math
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest, ttest_1samp
from scipy.stats import t as student


def accuracy_interval(correct, total, confidence=0.95):
    """Wilson's interval of an accuracy: what sampling the test images leaves open, not what seeds do.

    Args:
        correct: images classified correctly.
        total: images tested.
        confidence: of the interval, in (0, 1).

    Returns:
        (low, high), fractions.

    Reference: Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference".
    """
    interval = binomtest(correct, total).proportion_ci(confidence, method="wilson")
    return interval.low, interval.high


class Spread(NamedTuple):
    """A mean over seeds. `low` and `high` are None where one value, or values all alike, say nothing of others."""

    n: int
    mean: float
    deviation: float | None
    low: float | None
    high: float | None


def spread(values, confidence=0.95):
    """The `Spread` of independent values, with Student's interval of their mean.

    Args:
        values: numbers, at least one.
        confidence: of the interval, in (0, 1).
    """
    values = np.asarray(values, float)
    n, mean = len(values), float(values.mean())
    if n < 2:
        return Spread(n, mean, None, None, None)
    deviation = float(values.std(ddof=1))
    if np.ptp(values) == 0:
        return Spread(n, mean, 0.0, None, None)
    half = student.ppf((1 + confidence) / 2, n - 1) * deviation / math.sqrt(n)
    return Spread(n, mean, deviation, float(mean - half), float(mean + half))


def p_value(differences):
    """Of the paired t-test: how often no difference at all would show one as large as the mean of `differences`.

    None where there is none: of fewer than two, or of some that are all alike.
    """
    if len(differences) < 2 or np.ptp(differences) == 0:
        return None
    return float(ttest_1samp(differences, 0).pvalue)


def holm(p_values):
    """p-values adjusted for their number, in their order.

    Reference: Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure".
    """
    order = np.argsort(p_values)
    adjusted, largest = np.empty(len(p_values)), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted.tolist()


def verdict(differences, margin, confidence=0.95):
    """Whether a difference is larger than a margin that was stated beforehand.

    Args:
        differences: paired, one a seed.
        margin: the smallest difference that counts.
        confidence: of the interval that decides.

    Returns:
        "supported" where the interval of the mean lies above the margin, "refuted" where it lies below, else
        "undecided": no single value supports or refutes anything.
    """
    found = spread(differences, confidence)
    if found.low is None:
        return "undecided"
    return "supported" if found.low > margin else "refuted" if found.high < margin else "undecided"


def seeds_to_decide(differences, margin, confidence=0.95, most=10_000):
    """How many seeds would bring the interval to one side of the margin, if mean and deviation stayed; None if none
    up to `most` would, or one value says nothing."""
    found = spread(differences, confidence)
    if found.low is None:
        return None
    distance = abs(found.mean - margin)
    for n in range(2, most + 1):
        if student.ppf((1 + confidence) / 2, n - 1) * found.deviation / math.sqrt(n) < distance:
            return n
    return None
