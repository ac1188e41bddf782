"""Anytime-valid intervals for paired differences: one may look at them after every seed, and stop when they decide.

The intervals are those of a mixture t-test. The differences are taken as independent draws of one normal distribution
with unknown mean and variance. The likelihood of their standardized mean is averaged over effect sizes (mean over
standard deviation) that are normal around zero, and over the scale by the right Haar measure. Under the null the
resulting e-value is a nonnegative martingale that starts at one, so by Ville's inequality it ever reaches 1/α with a
probability of at most α. The interval holds each mean whose e-value is below 1/α.

Reference: Wang and Ramdas 2023, "Anytime-valid t-tests and confidence sequences for Gaussian means with unknown
variance", arXiv 2310.03722: the scale-invariant t-test martingale with a Gaussian mixture. Lai 1976, "On confidence
sequences", has it with a flat mixture; Robbins 1970, "Statistical methods related to the law of the iterated
logarithm", has the method of mixtures.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .statistics import EQUAL_TOLERANCE, Verdict, classify_interval, distance_to_margin

# The precision of the mixture over effect sizes: their standard deviation is 2, as in the studies of this package. Any
# positive number is valid; this one decides what is found with few seeds. It must not be chosen by the results.
PRECISION = 0.25


def log_e_value(differences: Sequence[float], mean: float = 0.0) -> float:
    """Compute the logarithm of the e-value against a mean of differences.

    Args:
        differences: in the order of their seeds, at least one.
        mean: the mean under the null.

    Example:
        >>> log_e_value([0.3])  # one difference tells nothing of a mean without its deviation
        0.0
    """
    centered = np.asarray(differences, float) - mean
    n, squares = len(centered), float((centered**2).sum())
    if squares == 0:
        return 0.5 * math.log(PRECISION / (n + PRECISION))
    ratio = centered.sum() ** 2 / ((n + PRECISION) * squares)
    value = 0.5 * math.log(PRECISION / (n + PRECISION)) - 0.5 * n * math.log1p(-ratio)
    return 0.0 if n == 1 else float(value)


def half_widths(n: np.ndarray, confidence: float = 0.95) -> np.ndarray:
    """Compute half the widths of anytime-valid intervals, in standard deviations of the differences.

    Args:
        n: numbers of seeds, at least 2.
        confidence: that all intervals hold the mean at once, in (0, 1).

    Returns:
        Numbers in the shape of `n`; infinity where there are too few seeds for an interval.
    """
    n = np.asarray(n, float)
    log_bound = np.log(n + PRECISION) - math.log(PRECISION) - 2 * math.log1p(-confidence)
    share = -(n + PRECISION) * np.expm1(-log_bound / n)
    with np.errstate(divide="ignore", invalid="ignore"):
        widths = np.sqrt((n - 1) / n * share / (n - share))
    return np.where(n > share, widths, np.inf)


@dataclass(frozen=True)
class Look:
    """A look at the differences of a claim.

    Attributes:
        n: number of seeds.
        low, high: ends of the anytime-valid interval; infinite with too few seeds.
        verdict: by this interval.
    """

    n: int
    low: float
    high: float
    verdict: Verdict


def decide_at_looks(
    differences: Sequence[float], margin: float, confidence: float = 0.95, first: int = 3
) -> Look | None:
    """Look at differences after each seed, until an interval decides.

    The result depends on nothing but the differences and their order. Further differences change no verdict that is not
    "undecided".

    Args:
        differences: paired, one a seed, in the order of their seeds.
        margin: the smallest difference that counts, see `classify_interval`.
        confidence: that all intervals hold the mean at once.
        first: number of seeds at the first look.

    Returns:
        The first look that decides, else the last one; None with fewer differences than `first`.
    """
    look = None
    for n in range(max(2, first), len(differences) + 1):
        low, high = anytime_interval(differences[:n], confidence)
        look = Look(n, low, high, classify_interval(low, high, margin))
        if look.verdict is not Verdict.UNDECIDED:
            break
    return look


def anytime_interval(differences: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Compute the anytime-valid interval of the mean of differences.

    Args:
        differences: paired, one a seed, at least two.
        confidence: that the intervals at all numbers of seeds hold the mean at once.

    Returns:
        (low, high). They are infinite with too few differences, or if these are all equal.
    """
    array = np.asarray(differences, float)
    if np.ptp(array) <= EQUAL_TOLERANCE:
        return -math.inf, math.inf
    half = float(half_widths(np.array(len(array)), confidence) * array.std(ddof=1))
    return float(array.mean() - half), float(array.mean() + half)


def estimate_anytime_seeds(
    differences: Sequence[float], margin: float, confidence: float = 0.95, max_seeds: int = 10_000
) -> int | None:
    """Estimate the number of seeds with which an anytime-valid interval would decide.

    It assumes that mean and deviation stay the same. See `estimate_seeds_to_decide`.
    """
    array = np.asarray(differences, float)
    if len(array) < 2 or np.ptp(array) <= EQUAL_TOLERANCE:
        return None
    n = np.arange(2, max_seeds + 1)
    enough = half_widths(n, confidence) * array.std(ddof=1) < distance_to_margin(float(array.mean()), margin)
    return int(n[enough.argmax()]) if enough.any() else None
