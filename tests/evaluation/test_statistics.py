"""Statistics against cases worked out by hand, with Student's and Holm's own tables."""

import itertools

import numpy as np
import pytest
from scipy.stats import norm

from convzoo.evaluation.statistics import (
    adjust_holm,
    clip_interval,
    compute_bootstrap_interval,
    compute_p_value,
    compute_sign_flip_p_value,
    compute_spread,
    decide_verdict,
    estimate_seeds_to_decide,
)


def test_spread_of_three():
    """Mean 2, deviation 1; Student's 97.5 % point for two degrees of freedom is 4.3027, so ±4.3027/√3."""
    found = compute_spread([1, 2, 3])
    assert found[:3] == (3, 2.0, 1.0)
    assert (found.low, found.high) == pytest.approx((2 - 2.4842, 2 + 2.4842), abs=1e-4)


def test_one_value_says_nothing_of_others():
    assert compute_spread([0.7]) == (1, 0.7, None, None, None)
    assert compute_p_value([0.7]) is None
    assert decide_verdict([0.7], 0) == "undecided"
    assert estimate_seeds_to_decide([0.7], 0) is None


def test_p_value_of_three():
    """t = 2/(1/√3) = 3.4641; with two degrees of freedom p = 1 − t/√(t² + 2) = 0.0742."""
    assert compute_p_value([1, 2, 3]) == pytest.approx(1 - 3.4641 / np.sqrt(3.4641**2 + 2), abs=1e-5)


def test_values_all_alike_say_nothing_of_others():
    assert compute_spread([0.5, 0.5]) == (2, 0.5, 0.0, None, None)
    assert compute_p_value([0.1, 0.1]) is None
    assert decide_verdict([0.1, 0.1], 0) == "undecided"
    assert estimate_seeds_to_decide([0.1, 0.1], 0) is None


def test_holm_s_own_way():
    """In order: 0.005·4, 0.01·3, 0.03·2, 0.04·1, none below the one before."""
    assert adjust_holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert adjust_holm([0.9, 0.8]) == [1.0, 1.0]
    assert adjust_holm([]) == []


@pytest.mark.parametrize(
    ("differences", "margin", "verdict"),
    [
        ((1, 2, 3), 0, "undecided"),
        ((1, 2, 3), 0.4, "undecided"),  # neither above 0.4 nor inside ±0.4
        ((1, 2, 3), 5, "equivalent"),
        ((1, 2, 3), 4.4, "undecided"),
        ((1, 2, 3), -0.4, "undecided"),
        ((1, 2, 3), -0.5, "not worse"),
        ((1, 2, 3), -4.5, "equivalent"),
        ((3, 4, 5), 1, "better"),
        ((3, 4, 5), -1, "better"),
        ((-3, -4, -5), 1, "worse"),
        ((-3, -4, -5), -1, "worse"),
        ((-3, -4, -5), 2, "undecided"),  # below zero, but perhaps by less than 2
    ],
)
def test_verdict_needs_whole_interval_in_one_region(differences, margin, verdict):
    """The half width of three values at distance 1 is 2.4842, see `test_spread_of_three`."""
    assert decide_verdict(differences, margin) == verdict


def test_seeds_to_decide():
    """Deviation 1, mean 2. Three seeds give ±2.48, four ±3.182/2 = 1.59, seven ±2.447/√7 = 0.925, six ±1.049."""
    assert estimate_seeds_to_decide([1, 2, 3], 0) == 4
    assert estimate_seeds_to_decide([1, 2, 3], 1) == 7
    assert estimate_seeds_to_decide([-1, -2, -3], 1) == 7
    assert estimate_seeds_to_decide([1, 2, 3], 3) == 7  # to be equivalent
    assert estimate_seeds_to_decide([1, 2, 3], -1) == 3  # the end at -1 alone counts
    assert estimate_seeds_to_decide([1, 2, 3], 2) is None


def test_intervals_hold_their_level():
    """Of 2,000 samples of four, 95 % of the intervals hold the mean they were drawn around: ±1 % is two deviations."""
    rng = np.random.default_rng(0)
    held = [found.low < 0 < found.high for found in (compute_spread(rng.normal(size=4)) for _ in range(2000))]
    assert np.mean(held) == pytest.approx(0.95, abs=0.01)


def test_interval_is_not_shown_below_three_seeds():
    assert clip_interval(compute_spread([0.1, 0.2]), -1, 1) is None
    assert clip_interval(compute_spread([0.1]), -1, 1) is None
    assert clip_interval(compute_spread([0.1, 0.1, 0.1]), -1, 1) is None
    assert clip_interval(compute_spread([0.1, 0.2, 0.3]), -1, 1) == pytest.approx((-0.04841, 0.44841), abs=1e-4)


@pytest.mark.parametrize(("values", "ends"), [([-1, 0, 1], (-1, 1)), ([0, 0.9, 1], (0, 1))])
def test_interval_holds_no_impossible_value(values, ends):
    assert clip_interval(compute_spread(values), *ends) == ends


def test_sign_flip_counts_all_patterns():
    """Of the 2⁴ signs of 1, 2, 3 and 4 those of sum ±10 and ±8 are as far from zero as 8: four of sixteen."""
    assert compute_sign_flip_p_value([1, 2, 3, 4]) == pytest.approx(2 / 16)
    assert compute_sign_flip_p_value([-1, 2, 3, 4]) == pytest.approx(4 / 16)
    assert compute_sign_flip_p_value([1, 1]) == pytest.approx(0.5)
    assert compute_sign_flip_p_value([1]) is None


def test_sign_flip_agrees_with_fisher_on_darwins_plants():
    """Darwin's pairs of plants, in eighths of an inch: of 32,768 patterns 1,726 are as far (Fisher 1935, 21)."""
    heights = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    exact = 1726 / 32768
    assert compute_sign_flip_p_value(heights) == pytest.approx(exact, abs=4 * np.sqrt(exact / 9999))


def test_bootstrap_interval_is_that_of_all_resamples_corrected():
    """BCa worked out by its formulas over all 3³ resamples, in place of random ones."""
    values = np.array([1.0, 2.0, 4.0])
    means = np.sort([np.mean(each) for each in itertools.product(values, repeat=3)])
    bias = norm.ppf(((means < values.mean()).sum() + (means <= values.mean()).sum()) / 2 / len(means))
    jackknife = np.array([2.0 + 4.0, 1.0 + 4.0, 1.0 + 2.0]) / 2
    spread = jackknife.mean() - jackknife
    acceleration = (spread**3).sum() / (6 * (spread**2).sum() ** 1.5)
    z = norm.ppf([0.025, 0.975]) + bias
    expected = np.quantile(means, norm.cdf(bias + z / (1 - acceleration * z)), method="inverted_cdf")
    assert compute_bootstrap_interval([1, 2, 4]) == pytest.approx(expected, abs=0.34)  # a step of the means
    assert compute_bootstrap_interval([1, 2, 4]) == compute_bootstrap_interval([1, 2, 4])
    assert compute_bootstrap_interval([1, 2]) is None
    assert compute_bootstrap_interval([1, 1, 1]) is None
