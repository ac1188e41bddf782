"""Calibration, worked out by hand and against scikit-learn."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from convzoo.evaluation.calibration import compute_calibration


def test_five_answers_by_hand():
    """In five bins: 0.55 and 0.6 lie in (0.4, 0.6], where 0.6 is the edge; one of them is right. 0.7 and 0.8 lie in
    (0.6, 0.8], both right. 1.0 lies in the last, wrong. ECE = (2·|0.5 - 0.575| + 2·|1 - 0.75| + |0 - 1|) / 5."""
    sure = np.array([0.55, 0.6, 0.7, 0.8, 1.0])
    found = compute_calibration(np.stack([sure, 1 - sure], axis=1), np.array([0, 1, 0, 0, 1]), bins=5)
    np.testing.assert_array_equal(found.counts, [0, 0, 2, 2, 1])
    np.testing.assert_allclose(found.confidence, [np.nan, np.nan, 0.575, 0.75, 1])
    np.testing.assert_allclose(found.accuracy, [np.nan, np.nan, 0.5, 1, 0])
    assert found.ece == pytest.approx((2 * 0.075 + 2 * 0.25 + 1) / 5)
    assert found.overconfidence == pytest.approx((3.65 - 3) / 5)


def test_bins_are_those_of_scikit_learn():
    drawn = np.random.default_rng(0)
    probabilities = drawn.dirichlet(np.ones(3), 1000)
    labels = drawn.integers(3, size=1000)
    found = compute_calibration(probabilities, labels)
    right = probabilities.argmax(axis=1) == labels
    accuracy, confidence = calibration_curve(right, probabilities.max(axis=1), n_bins=15)
    filled = found.counts > 0
    np.testing.assert_allclose(found.accuracy[filled], accuracy)
    np.testing.assert_allclose(found.confidence[filled], confidence)
    assert found.ece == pytest.approx(np.sum(found.counts[filled] * np.abs(accuracy - confidence)) / 1000)


def test_who_is_as_sure_as_right_has_no_error():
    """70 of 100 answers at 0.7 are right."""
    probabilities = np.tile([0.7, 0.3], (100, 1))
    found = compute_calibration(probabilities, np.repeat([0, 1], [70, 30]))
    assert found.ece == pytest.approx(0)
    assert compute_calibration(probabilities, np.repeat([0, 1], [50, 50])).ece == pytest.approx(0.2)
