"""Against SciPy's normal distribution and Keras's own."""

import keras
import numpy as np
import pytest
from scipy.stats import norm

from convzoo.layers import GELU

VALUES = np.concatenate([np.linspace(-8, 8, 3201), [-40, 0, 40]]).astype("float32").reshape(2, -1)


def numbers(tensor):
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


def test_values_are_the_definition_s():
    actual = numbers(GELU()(VALUES))
    np.testing.assert_allclose(actual, VALUES * norm.cdf(VALUES.astype("float64")), rtol=1e-5, atol=1e-6)


def test_the_way_back_is_the_definition_s(gradient):
    x = VALUES.astype("float64")
    along = np.random.default_rng(0).normal(size=VALUES.shape).astype("float32")
    actual = gradient(GELU(), VALUES, along)
    np.testing.assert_allclose(actual, along * (norm.cdf(x) + x * norm.pdf(x)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_is_rounded_once(policy):
    """To within half a unit of the last place of the exact value of what came in."""
    dtype = policy.removeprefix("mixed_")
    values = keras.ops.cast(VALUES, dtype)
    actual = GELU(dtype=policy)(values)
    assert keras.backend.standardize_dtype(actual.dtype) == dtype
    x = numbers(values).astype("float64")
    place = {"bfloat16": 2**-8, "float16": 2**-10}[dtype]
    np.testing.assert_allclose(numbers(actual), x * norm.cdf(x), rtol=place, atol=2e-5)
