import keras
import numpy as np
import pytest

from convzoo.layers import ScaledTanh, Squash


def numbers(layer, values):
    return keras.ops.convert_to_numpy(layer(np.array(values, "float32")))


def test_scaled_tanh_is_one_at_one():
    """The paper: f(1) = 1, f(-1) = -1, the second derivative is largest there, f(x) is within +-1.7159."""
    np.testing.assert_allclose(numbers(ScaledTanh(), [-100, -1, 0, 1, 100]), [-1.7159, -1, 0, 1, 1.7159], atol=1e-4)
    x = np.linspace(0.2, 2, 19)
    curve = np.diff(numbers(ScaledTanh(), x), 2)
    assert x[1:-1][np.abs(curve).argmax()] == pytest.approx(1)


def test_other_numbers():
    np.testing.assert_allclose(numbers(ScaledTanh(2, 0.5), [2.0]), [2 * 0.76159416], rtol=1e-6)


def test_squash_by_hand():
    """A length of 5 becomes 25 / 26, a length of 1 a half."""
    actual = numbers(Squash(), [[3, 4], [0, -1], [0, 0]])
    np.testing.assert_allclose(actual, [[0.6 * 25 / 26, 0.8 * 25 / 26], [0, -0.5], [0, 0]], rtol=1e-6)


@pytest.mark.parametrize("axis", [1, 2, -1, -2])
def test_squash_of_any_axis(axis):
    values = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    lengths = np.linalg.norm(values, axis=axis)
    actual = numbers(Squash(axis), values)
    np.testing.assert_allclose(np.linalg.norm(actual, axis=axis), lengths**2 / (1 + lengths**2), rtol=1e-5)
    cosine = (actual * values).sum(axis) / lengths / np.linalg.norm(actual, axis=axis)
    np.testing.assert_allclose(cosine, 1, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_capsule_of_length_zero(dtype, gradient):
    np.testing.assert_array_equal(gradient(Squash(dtype=dtype), np.zeros((1, 4))), 0)


def test_long_capsules_in_half_precision():
    actual = keras.ops.convert_to_numpy(Squash(dtype="float16")(np.full((1, 4), 3000, "float16")))
    np.testing.assert_allclose(actual, 0.5)


@pytest.mark.parametrize(
    ("cls", "name", "value"),
    [(ScaledTanh, "amplitude", 0), (ScaledTanh, "slope", "steep"), (Squash, "axis", 0), (Squash, "axis", 1.5)],
)
def test_arguments_that_are_refused(cls, name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be .* Received: {name}={value!r}"):
        cls(**{name: value})


def test_an_axis_that_is_not_there():
    with pytest.raises(ValueError, match=r"must have the axis 2 .*\(3, 4\)"):
        Squash(2)(np.zeros((3, 4)))
