"""Statistics against cases worked out by hand, with Student's and Holm's own tables."""

import numpy as np
import pytest

from convzoo.analysis.statistics import holm, p_value, seeds_to_decide, spread, verdict


def test_spread_of_three():
    """Mean 2, deviation 1; Student's 97.5 % point for two degrees of freedom is 4.3027, so ±4.3027/√3."""
    found = spread([1, 2, 3])
    assert found[:3] == (3, 2.0, 1.0)
    assert (found.low, found.high) == pytest.approx((2 - 2.4842, 2 + 2.4842), abs=1e-4)


def test_one_value_says_nothing_of_others():
    assert spread([0.7]) == (1, 0.7, None, None, None)
    assert p_value([0.7]) is None
    assert verdict([0.7], 0) == "undecided"
    assert seeds_to_decide([0.7], 0) is None


def test_p_value_of_three():
    """t = 2/(1/√3) = 3.4641; with two degrees of freedom p = 1 − t/√(t² + 2) = 0.0742."""
    assert p_value([1, 2, 3]) == pytest.approx(1 - 3.4641 / np.sqrt(3.4641**2 + 2), abs=1e-5)


def test_values_all_alike_say_nothing_of_others():
    assert spread([0.5, 0.5]) == (2, 0.5, 0.0, None, None)
    assert p_value([0.1, 0.1]) is None
    assert verdict([0.1, 0.1], 0) == "undecided"
    assert seeds_to_decide([0.1, 0.1], 0) is None


def test_holm_s_own_way():
    """In order: 0.005·4, 0.01·3, 0.03·2, 0.04·1, none below the one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(("margin", "said"), [(-1, "supported"), (0, "undecided"), (4, "undecided"), (5, "refuted")])
def test_a_verdict_needs_the_whole_interval_on_one_side(margin, said):
    """The interval of 1, 2, 3 is −0.48 to 4.48."""
    assert verdict([1, 2, 3], margin) == said


def test_seeds_to_decide():
    """Deviation 1, distance 2: three give ±2.48, four ±3.182/2 = 1.59."""
    assert seeds_to_decide([1, 2, 3], 0) == 4
    assert seeds_to_decide([1, 2, 3], 2) is None


def test_intervals_hold_their_level():
    """Of 2,000 samples of four, 95 % of the intervals hold the mean they were drawn around: ±1 % is two deviations."""
    rng = np.random.default_rng(0)
    held = [found.low < 0 < found.high for found in (spread(rng.normal(size=4)) for _ in range(2000))]
    assert np.mean(held) == pytest.approx(0.95, abs=0.01)
