"""What the authors' releases say where their papers are silent: numbers typed here, never read from a config."""

import keras
import numpy as np
import pytest

from convzoo.models import registry
from convzoo.models.builder import assemble, run_symbolically


def layers_of(name, kind):
    """All layers of a kind, those inside others too."""
    config = registry.compose_network(name)
    rows, shape, classes = registry.rows(config), tuple(config.data.image_shape), config.data.classes
    model = run_symbolically(lambda: assemble(rows, shape, classes, name))
    return [layer for layer in model._flatten_layers() if isinstance(layer, kind)]


@pytest.mark.parametrize(
    ("name", "count", "epsilon", "momentum"),
    [
        ("enet_cifar", 67, 1e-3, 0.9),  # encoder.lua: SpatialBatchNormalization(n, 1e-3)
        ("shufflenet_g3", 49, 1e-5, 0.9),  # torch's defaults
        ("shufflenet_cifar", 49, 1e-5, 0.9),
        ("fractalnet", 35, 1e-5, 0.99),  # Caffe's epsilon
        ("resnet18", 20, 1e-5, 0.9),
        ("mobilenet_v2_cifar", 52, 1e-3, 0.99),
    ],
)
def test_normalizations_have_the_constants_of_the_release(name, count, epsilon, momentum):
    actual = layers_of(name, keras.layers.BatchNormalization)
    assert len(actual) == count
    assert {(layer.epsilon, layer.momentum) for layer in actual} == {(epsilon, momentum)}


@pytest.mark.parametrize("name", ["enet", "enet_cifar"])
def test_prelus_of_enet_start_at_a_quarter(name):
    """He et al. 2015 and torch's nn.PReLU, which encoder.lua has."""
    actual = layers_of(name, keras.layers.PReLU)
    assert len(actual) == 67
    assert {layer.alpha_initializer.value for layer in actual} == {0.25}


def test_prelu_of_enet_starts_at_a_quarter():
    model = registry.build("enet_cifar")
    images = -np.ones((1, 2, 2, 16), "float32")
    outputs = keras.ops.convert_to_numpy(model.get_layer("initial_prelu")(images))
    np.testing.assert_array_equal(outputs, images / 4)
