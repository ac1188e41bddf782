"""Confidence intervals, paired tests and verdicts."""

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import scipy  # loads `scipy.stats`, which takes most of a second, at its first use


def accuracy_interval(correct: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Compute Wilson's interval of an accuracy, over samples of test images and not over seeds.

    Args:
        correct: number of images that are classified correctly.
        total: number of test images.
        confidence: of the interval, in (0, 1).

    Returns:
        (low, high), fractions.

    Example:
        >>> low, high = accuracy_interval(90, 100)
        >>> round(low, 3), round(high, 3)
        (0.826, 0.945)

    Reference: Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference".
    """
    interval = scipy.stats.binomtest(correct, total).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


MIN_SEEDS = 3  # an interval of two seeds is valid, but too wide to be of use: it has one degree of freedom
EQUAL_TOLERANCE = 1e-12  # for rounding errors in differences of equal shares


class Spread(NamedTuple):
    """A mean over seeds and its interval.

    Attributes:
        n: number of values.
        mean: of the values.
        deviation: standard deviation, or None with one value.
        low, high: ends of the interval, or None with one value or with values that are all equal.
    """

    n: int
    mean: float
    deviation: float | None
    low: float | None
    high: float | None


def compute_spread(values: Sequence[float], confidence: float = 0.95) -> Spread:
    """Compute the mean of independent values and Student's interval of it.

    Args:
        values: numbers, at least one.
        confidence: of the interval, in (0, 1).
    """
    array = np.asarray(values, float)
    n, mean = len(array), float(array.mean())
    if n < 2:
        return Spread(n, mean, None, None, None)
    deviation = float(array.std(ddof=1))
    if np.ptp(array) <= EQUAL_TOLERANCE:
        return Spread(n, mean, 0.0, None, None)
    half = scipy.stats.t.ppf((1 + confidence) / 2, n - 1) * deviation / math.sqrt(n)
    return Spread(n, mean, deviation, float(mean - half), float(mean + half))


def clip_interval(spread: Spread, lowest: float, highest: float) -> tuple[float, float] | None:
    """Clip an interval to the possible values.

    Args:
        spread: a mean over seeds.
        lowest: the smallest possible value: 0 for a share, -1 for a difference of shares.
        highest: the largest possible value.

    Returns:
        (low, high), or None where there is no interval or fewer than `MIN_SEEDS` seeds.
    """
    if spread.low is None or spread.high is None or spread.n < MIN_SEEDS:
        return None
    return max(spread.low, lowest), min(spread.high, highest)


def compute_p_value(differences: Sequence[float]) -> float | None:
    """Compute the p-value of the paired t-test for a mean difference of zero.

    Args:
        differences: paired, one a seed.

    Returns:
        The p-value, or None with fewer than two differences or with differences that are all equal.
    """
    if len(differences) < 2 or np.ptp(differences) <= EQUAL_TOLERANCE:
        return None
    return float(scipy.stats.ttest_1samp(differences, 0).pvalue)


def compute_bootstrap_interval(differences: Sequence[float], confidence: float = 0.95) -> tuple[float, float] | None:
    """Compute the BCa bootstrap interval of the mean of differences, by 9,999 resamples, the same ones every time.

    It assumes no distribution, but with few seeds it is too narrow.

    Args:
        differences: paired, one a seed.
        confidence: of the interval.

    Returns:
        (low, high), or None with fewer than `MIN_SEEDS` differences or with differences that are all equal.

    Reference: Efron 1987, "Better Bootstrap Confidence Intervals".
    """
    if len(differences) < MIN_SEEDS or np.ptp(differences) <= EQUAL_TOLERANCE:
        return None
    rng = np.random.default_rng(0)
    interval = scipy.stats.bootstrap(
        (np.asarray(differences, float),), np.mean, confidence_level=confidence, method="BCa", rng=rng
    ).confidence_interval
    ends = float(interval.low), float(interval.high)
    return ends if all(map(math.isfinite, ends)) else None


def compute_sign_flip_p_value(differences: Sequence[float]) -> float | None:
    """Compute the p-value of the sign-flip permutation test for a mean difference of zero, two-sided.

    It assumes that the differences are symmetric. Up to 13 seeds all sign patterns count; then 9,999 random ones, the
    same ones every time. With n seeds it is at least 2/2ⁿ.

    Args:
        differences: paired, one a seed.

    Returns:
        The p-value, or None with fewer than two differences.

    Reference: Fisher 1935, "The Design of Experiments", section 21.
    """
    if len(differences) < 2:
        return None
    result = scipy.stats.permutation_test(
        (np.asarray(differences, float),),
        lambda values, axis: np.mean(values, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=9999,
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)


def adjust_holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for multiple tests, in their order.

    Example:
        >>> adjust_holm([0.01, 0.04])
        [0.02, 0.04]

    Reference: Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure".
    """
    order = np.argsort(p_values)
    adjusted, largest = np.empty(len(p_values)), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted.tolist()


class Verdict(StrEnum):
    """The verdict on a claim with the margin m, by the interval of its mean difference.

    `BETTER`: the interval lies above m. `WORSE`: below -m. `EQUIVALENT`: inside (-m, m). `UNDECIDED`: none of these.
    `NOT_WORSE`: above -m, of a claim that allows a loss of m.
    """

    BETTER = "better"
    WORSE = "worse"
    EQUIVALENT = "equivalent"
    NOT_WORSE = "not worse"
    UNDECIDED = "undecided"


def classify_interval(low: float, high: float, margin: float) -> Verdict:
    """Compare an interval of a mean difference with a margin that was stated beforehand.

    Args:
        low: end of the interval.
        high: end of the interval.
        margin: the smallest difference that counts, m. A negative one allows a loss of m = -margin.

    Example:
        >>> str(classify_interval(0.002, 0.004, 0.005)), str(classify_interval(0.002, 0.009, 0.005))
        ('equivalent', 'undecided')
        >>> str(classify_interval(0.002, 0.009, -0.005))
        'not worse'
    """
    size = abs(margin)
    if low > size:
        return Verdict.BETTER
    if high < -size:
        return Verdict.WORSE
    if -size < low and high < size:
        return Verdict.EQUIVALENT
    return Verdict.NOT_WORSE if margin < 0 and low > -size else Verdict.UNDECIDED


def distance_to_margin(mean: float, margin: float) -> float:
    """Compute the distance from a mean difference to the nearest value that an interval must exclude to decide.

    These are m and -m, or -m alone for a claim that allows a loss; see `classify_interval`.
    """
    return abs(mean - margin) if margin < 0 else abs(abs(mean) - margin)


def decide_verdict(differences: Sequence[float], margin: float, confidence: float = 0.95) -> Verdict:
    """Decide whether a difference is larger than a margin that was stated beforehand.

    It is valid for one look, at a number of seeds that was chosen before the first run.

    Args:
        differences: paired, one a seed.
        margin: the smallest difference that counts, see `classify_interval`.
        confidence: of the interval that decides.

    Returns:
        The verdict. A single difference, or equal ones, decide nothing.
    """
    spread = compute_spread(differences, confidence)
    if spread.low is None or spread.high is None:
        return Verdict.UNDECIDED
    return classify_interval(spread.low, spread.high, margin)


def estimate_seeds_to_decide(
    differences: Sequence[float], margin: float, confidence: float = 0.95, max_seeds: int = 10_000
) -> int | None:
    """Estimate the number of seeds with which the interval would decide.

    It assumes that mean and deviation stay the same.

    Args:
        differences: paired, one a seed.
        margin: the smallest difference that counts, see `classify_interval`.
        confidence: of the interval.
        max_seeds: the largest number that is tried.

    Returns:
        The number, or None if no number up to `max_seeds` is enough, or if `differences` have no interval.
    """
    spread = compute_spread(differences, confidence)
    if spread.low is None or spread.deviation is None:
        return None
    n = np.arange(2, max_seeds + 1)
    half_widths = scipy.stats.t.ppf((1 + confidence) / 2, n - 1) * spread.deviation / np.sqrt(n)
    enough = half_widths < distance_to_margin(spread.mean, margin)
    return int(n[enough.argmax()]) if enough.any() else None
