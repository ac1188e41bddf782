import keras
import numpy as np
import pytest

from convzoo.layers import MLPConv2D


def test_is_a_perceptron_at_every_position():
    images = np.random.default_rng(0).normal(size=(2, 5, 6, 3)).astype("float32")
    layer = MLPConv2D([4, 5, 2], 3, 2)
    layer.build(images.shape)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.weights])
    k1, b1, k2, b2, k3, b3 = layer.get_weights()
    expected = np.empty((2, 2, 2, 2))
    for n, i, j in np.ndindex(2, 2, 2):
        hidden = images[n, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].reshape(-1)
        for kernel, bias in ((k1, b1), (k2, b2), (k3, b3)):
            hidden = np.maximum(hidden @ kernel.reshape(-1, kernel.shape[-1]) + bias, 0)
        expected[n, i, j] = hidden
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(images)), expected, rtol=1e-4, atol=1e-4)


def test_three_of_them_are_nin():
    """966,986 parameters with 10 classes: 5x5-192, 160, 96; 5x5-192 and two 192; 3x3-192, 192, 10."""
    layers = [
        MLPConv2D([192, 160, 96], 5, padding="half"),
        MLPConv2D([192, 192, 192], 5, padding="half"),
        MLPConv2D([192, 192, 10], 3, padding="half"),
    ]
    for layer, channels in zip(layers, (3, 96, 192), strict=True):
        layer.build((None, 32, 32, channels))
    assert sum(layer.count_params() for layer in layers) == 966_986


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_shapes(data_format):
    shape = (None, 9, 8, 3) if data_format == "channels_last" else (None, 3, 9, 8)
    expected = (None, 5, 4, 6) if data_format == "channels_last" else (None, 6, 5, 4)
    layer = MLPConv2D([4, 6], 3, 2, 1, data_format)
    assert layer.compute_output_shape(shape) == expected
    assert layer(keras.Input(shape[1:])).shape == expected


def test_layers_start_apart():
    layer = MLPConv2D([3, 3, 3], 1, kernel_regularizer="l2")
    layer.build((None, 4, 4, 3))
    kernels = [weight for weight in layer.get_weights() if weight.ndim == 4]
    assert np.all(kernels[1] != kernels[2])
    assert len(layer.losses) == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [("filters", []), ("filters", 3), ("filters", [3, 0]), ("kernel_size", 0), ("padding", "ceil"), ("use_bias", 1)],
)
def test_arguments_that_are_refused(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be .* Received: {name}="):
        MLPConv2D(**{"filters": [2], "kernel_size": 3, name: value})
