"""Layers that weigh or reorder channels."""

import keras
import numpy as np
import pytest

from convzoo.layers import ChannelShuffle, SqueezeExcite


def numbers(layer, images):
    return keras.ops.convert_to_numpy(layer(images))


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_squeeze_excite_is_that_of_torch(data_format):
    torch = pytest.importorskip("torch")
    images = normal(2, 8, 3, 4)
    given = images if data_format == "channels_first" else images.transpose(0, 2, 3, 1)
    layer = SqueezeExcite(4, data_format=data_format)
    layer.build(given.shape)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.weights])
    k1, b1, k2, b2 = (torch.tensor(weight) for weight in layer.get_weights())
    x = torch.tensor(images)
    hidden = torch.relu(torch.nn.functional.adaptive_avg_pool2d(x, 1)[:, :, 0, 0] @ k1 + b1)
    expected = (x * torch.sigmoid(hidden @ k2 + b2)[:, :, None, None]).numpy()
    actual = numbers(layer, given)
    actual = actual if data_format == "channels_first" else actual.transpose(0, 3, 1, 2)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-6)


def test_parameters_of_se_resnet_50():
    """Its 16 blocks, 2 C^2 / 16 each, are 2,514,944 weights ("around 10%" of 25 million); biases beside them."""
    weights = 0
    for blocks, channels in [(3, 256), (4, 512), (6, 1024), (3, 2048)]:
        layer = SqueezeExcite()
        layer.build((None, 7, 7, channels))
        weights += blocks * sum(np.prod(weight.shape) for weight in layer.weights if weight.name == "kernel")
    assert weights == 2_514_944


def test_squeeze_excite_keeps_one_unit():
    layer = SqueezeExcite(16)
    layer.build((None, 4, 4, 3))
    assert [tuple(weight.shape) for weight in layer.weights] == [(3, 1), (1,), (1, 3), (3,)]


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_shuffle_is_that_of_torch(groups, data_format):
    torch = pytest.importorskip("torch")
    images = normal(2, 6, 3, 4)
    expected = torch.nn.functional.channel_shuffle(torch.tensor(images), groups).numpy()
    order = (0, 1, 2, 3) if data_format == "channels_first" else (0, 2, 3, 1)
    actual = numbers(ChannelShuffle(groups, data_format), images.transpose(order))
    np.testing.assert_array_equal(actual, expected.transpose(order))


def test_shuffle_by_hand():
    actual = numbers(ChannelShuffle(2, "channels_last"), np.array([1, 2, 3, 10, 20, 30]).reshape(1, 1, 1, 6))
    np.testing.assert_array_equal(actual.ravel(), [1, 10, 2, 20, 3, 30])


@pytest.mark.parametrize("layer", [SqueezeExcite(2), ChannelShuffle(2)])
def test_any_size_of_image(layer):
    model = keras.Sequential([keras.Input((None, None, 4)), layer])
    assert model.output_shape == (None, None, None, 4)
    assert model.predict(np.ones((1, 3, 5, 4)), verbose=0).shape == (1, 3, 5, 4)


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"`ratio` must be a positive integer\. Received: ratio=0"):
        SqueezeExcite(0)
    with pytest.raises(ValueError, match=r"`groups` must be a positive integer\. Received: groups=1.5"):
        ChannelShuffle(1.5)
    with pytest.raises(ValueError, match=r"multiple of `groups`.*\(1, 2, 2, 4\), groups=3"):
        ChannelShuffle(3)(np.zeros((1, 2, 2, 4)))
    with pytest.raises(ValueError, match="channels must be known"):
        SqueezeExcite(2)(keras.Input((4, 4, None)))
