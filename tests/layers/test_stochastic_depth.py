import keras
import numpy as np
import pytest

from convzoo.layers import StochasticDepth

ONES = np.ones((2000, 3, 2), "float32")


def run(layer, values, **arguments):
    return keras.ops.convert_to_numpy(layer(values, **arguments))


def test_in_use_nothing_happens():
    np.testing.assert_array_equal(run(StochasticDepth(0.9), ONES), ONES)
    np.testing.assert_array_equal(run(StochasticDepth(0), ONES, training=True), ONES)


def test_rows_are_dropped_as_a_whole_and_apart():
    actual = run(StochasticDepth(0.2, "row", seed=0), ONES, training=True)
    first = actual[:, :1, :1]
    np.testing.assert_array_equal(actual, np.broadcast_to(first, actual.shape))
    assert set(np.unique(actual)) == {0, np.float32(1.25)}
    assert abs((first == 0).mean() - 0.2) < 4 * (0.16 / 2000) ** 0.5


def test_a_batch_is_dropped_as_a_whole():
    layer = StochasticDepth(0.3, seed=0)
    draws = [run(layer, ONES[:4], training=True) for _ in range(400)]
    assert all(len(np.unique(draw)) == 1 for draw in draws)
    assert abs(np.mean([draw[0, 0, 0] == 0 for draw in draws]) - 0.3) < 4 * (0.21 / 400) ** 0.5
    assert np.mean(draws) == pytest.approx(1, abs=0.15)


def test_a_dropped_branch_spreads_no_infinity():
    layer = StochasticDepth(0.999, seed=0)
    np.testing.assert_array_equal(run(layer, np.full((2, 2), np.inf, "float32"), training=True), 0)


def test_a_seed_repeats():
    one, other = StochasticDepth(0.5, "row", seed=3), StochasticDepth(0.5, "row", seed=3)
    np.testing.assert_array_equal(run(one, ONES, training=True), run(other, ONES, training=True))


@pytest.mark.parametrize(
    ("name", "value"), [("rate", 1), ("rate", -0.1), ("rate", "half"), ("mode", "image"), ("seed", 1.5)]
)
def test_arguments_that_are_refused(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be .* Received: {name}={value!r}"):
        StochasticDepth(**{"rate": 0.5, name: value})
