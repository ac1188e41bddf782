import keras
import numpy as np
import pytest
from scipy.stats import binom

from convzoo.layers import Dropout

ONES = np.ones((1000, 30, 7), "float32")  # of an odd size in the last place


def numbers(tensor):
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


def run(layer, values):
    return numbers(layer(values, training=True))


def test_in_use_nothing_happens():
    np.testing.assert_array_equal(numbers(Dropout(0.9)(ONES)), ONES)
    np.testing.assert_array_equal(run(Dropout(0), ONES), ONES)


@pytest.mark.parametrize("rate", [0.002, 0.2, 0.5, 0.7])
def test_as_many_are_dropped_as_the_rate_says(rate):
    actual = run(Dropout(rate, seed=0), ONES)
    least, most = binom.interval(1 - 1e-6, ONES.size, rate)
    assert least <= (actual == 0).sum() <= most
    np.testing.assert_allclose(actual[actual != 0], 1 / (1 - rate), rtol=2e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the others go Keras's way")
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_drops_as_many(dtype):
    """Keras's own drops 26 of 128 in bfloat16, which is outside this interval."""
    layer = Dropout(0.2, seed=0, dtype=dtype)
    actual = layer(keras.ops.ones((1000, 30, 64), dtype), training=True)
    assert keras.backend.standardize_dtype(actual.dtype) == dtype
    least, most = binom.interval(1 - 1e-6, 1000 * 30 * 64, 0.2)
    assert least <= (numbers(actual) == 0).sum() <= most


def test_neighbours_rows_and_steps_are_drawn_apart():
    """Of two that are drawn apart with a half each, a half are equal."""
    layer = Dropout(0.5, seed=0)
    kept = [run(layer, ONES) != 0 for _ in range(2)]
    least, most = binom.interval(1 - 1e-6, ONES.size // 2, 0.5)
    first, second = kept[0].reshape(-1)[:-1:2], kept[0].reshape(-1)[1::2]  # neighbours within a drawn word
    assert least <= (first == second).sum() <= most
    for one, other in ((kept[0][:500], kept[0][500:]), (kept[0][:500], kept[1][:500])):
        assert least <= (one == other).sum() <= most


def test_what_was_dropped_has_no_slope(gradient):
    layer, again = Dropout(0.3, seed=5), Dropout(0.3, seed=5)
    along = np.random.default_rng(0).normal(size=ONES.shape).astype("float32")
    np.testing.assert_allclose(gradient(layer, ONES, along, training=True), along * run(again, ONES), rtol=1e-6)


def test_a_noise_shape_drops_whole_maps():
    actual = run(Dropout(0.5, noise_shape=(None, 1, 7), seed=1), ONES)
    np.testing.assert_array_equal(actual, np.broadcast_to(actual[:, :1], actual.shape))


@pytest.mark.parametrize("shape", [(5,), (0, 3), (1, 1)])
def test_any_shape(shape):
    assert run(Dropout(0.5, seed=0), np.ones(shape, "float32")).shape == shape


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the others go Keras's way")
def test_more_random_bits_than_an_int32_counts():
    """2²⁷ values of 16 bits each, 1.5 GB in all."""
    actual = Dropout(0.3, seed=0, dtype="bfloat16")(keras.ops.ones((2**27,), "bfloat16"), training=True)
    least, most = binom.interval(1 - 1e-6, 2**27, 0.3)
    assert least <= 2**27 - int(keras.ops.count_nonzero(actual)) <= most


@pytest.mark.parametrize("rate", [1 - 1e-9, 1e-9])
def test_a_rate_beyond_what_is_drawn_spoils_nothing(rate):
    assert np.isfinite(run(Dropout(rate, seed=0), ONES)).all()
