import keras
import numpy as np
import pytest

from convzoo.layers import LocalResponseNormalization


def numbers(layer, images):
    return keras.ops.convert_to_numpy(layer(images))


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32") * 3


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 9])
def test_values_and_gradient_are_those_of_torch(size, data_format, gradient):
    torch = pytest.importorskip("torch")
    images = normal(2, 6, 3, 4)
    x = torch.tensor(images, requires_grad=True)
    y = torch.nn.LocalResponseNorm(size, alpha=0.3, beta=0.6, k=1.5)(x)
    weights = normal(*y.shape)
    (slope,) = torch.autograd.grad((y * torch.tensor(weights)).sum(), x)
    layer = LocalResponseNormalization(size, 0.3, 0.6, 1.5, reduction="mean", data_format=data_format)
    order = (0, 1, 2, 3) if data_format == "channels_first" else (0, 2, 3, 1)
    given = images.transpose(order)
    np.testing.assert_allclose(numbers(layer, given), y.detach().numpy().transpose(order), rtol=1e-4, atol=1e-5)
    actual = gradient(layer, given, weights.transpose(order))
    np.testing.assert_allclose(actual, slope.numpy().transpose(order), rtol=1e-3, atol=1e-4)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="its own raw operation")
@pytest.mark.parametrize("radius", [0, 1, 2, 7])
def test_sum_is_that_of_tensorflow(radius):
    import tensorflow as tf

    images = normal(2, 3, 4, 6)
    expected = tf.nn.local_response_normalization(images, radius, bias=1.2, alpha=0.4, beta=0.5)
    layer = LocalResponseNormalization(2 * radius + 1, alpha=0.4, beta=0.5, bias=1.2)
    np.testing.assert_allclose(numbers(layer, images), expected, rtol=1e-4)


def test_alexnet_by_hand():
    """Formula of its section 3.3 with k = 2, n = 5, alpha = 1e-4, beta = 0.75, a channel at a time."""
    images = normal(1, 1, 1, 8) * 100
    a = images[0, 0, 0]
    expected = [
        a[i] / (2 + 1e-4 * sum(a[j] ** 2 for j in range(max(0, i - 2), min(7, i + 2) + 1))) ** 0.75 for i in range(8)
    ]
    np.testing.assert_allclose(numbers(LocalResponseNormalization(), images)[0, 0, 0], expected, rtol=1e-4)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_within_channels_is_that_of_caffe(size, data_format):
    """Its layers: square, average pool that counts padded cells, times alpha plus one, power, product."""
    torch = pytest.importorskip("torch")
    images = normal(2, 3, 6, 5)
    x = torch.tensor(images)
    mean = torch.nn.functional.avg_pool2d(x * x, size, 1, (size - 1) // 2, count_include_pad=True)
    expected = (x * (1 + 0.5 * mean) ** -0.75).numpy()
    layer = LocalResponseNormalization(size, 0.5, 0.75, 1, across="space", reduction="mean", data_format=data_format)
    order = (0, 1, 2, 3) if data_format == "channels_first" else (0, 2, 3, 1)
    np.testing.assert_allclose(numbers(layer, images.transpose(order)), expected.transpose(order), rtol=1e-4, atol=1e-5)


def test_any_size_of_image():
    model = keras.Sequential([keras.Input((None, None, 3)), LocalResponseNormalization(across="space")])
    assert model.predict(np.ones((1, 4, 7, 3)), verbose=0).shape == (1, 4, 7, 3)


def test_large_half_precision_numbers_do_not_overflow():
    """600^2 is more than float16 holds: 600 / (1 + 1e-2 * 360000)^0.5 = 9.9986."""
    layer = LocalResponseNormalization(1, 1e-2, 0.5, 1, dtype="float16")
    assert numbers(layer, np.full((1, 1, 1, 1), 600, "float16")).item() == pytest.approx(9.9986, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "value"),
    [("size", 0), ("alpha", -1), ("beta", "half"), ("bias", 0), ("across", "both"), ("reduction", "max")],
)
def test_arguments_that_are_refused(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be .* Received: {name}={value!r}"):
        LocalResponseNormalization(**{name: value})
