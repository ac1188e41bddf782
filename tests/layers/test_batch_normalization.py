"""Against Keras's own, which computes it pass by pass, and against the definition."""

import keras
import numpy as np
import pytest

from convzoo.layers import BatchNormalization

IMAGES = np.random.default_rng(0).normal(3, 2, size=(4, 5, 6, 7)).astype("float32")
ALONG = np.random.default_rng(1).normal(size=IMAGES.shape).astype("float32")
ROUNDING = {"float32": 3e-6, "mixed_float16": 0.004, "mixed_bfloat16": 0.03}  # at values of up to 8


def both(images=IMAGES, **arguments):
    """Ours and Keras's, with the same weights drawn."""
    layers = BatchNormalization(**arguments), keras.layers.BatchNormalization(**arguments)
    for layer in layers:
        rng = np.random.default_rng(2)
        layer.build(images.shape)
        layer.set_weights([rng.uniform(0.5, 2, weight.shape) for weight in layer.weights])
    return layers


def numbers(tensor):
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"momentum": 0.6, "epsilon": 0.5},
        {"epsilon": 1e-12},
        {"scale": False},
        {"center": False},
        {"axis": 1},
        {"trainable": False},
        *({"dtype": policy} for policy in ROUNDING),
    ],
    ids=str,
)
def test_values_and_moving_statistics_are_keras_s(arguments, training):
    ours, theirs = both(**arguments)
    actual, expected = ours(IMAGES, training=training), theirs(IMAGES, training=training)
    assert keras.backend.standardize_dtype(actual.dtype) == keras.backend.standardize_dtype(expected.dtype)
    allowed = ROUNDING[arguments.get("dtype", "float32")]
    np.testing.assert_allclose(numbers(actual), numbers(expected), rtol=allowed, atol=allowed)
    for mine, other in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(numbers(mine), numbers(other), rtol=allowed, atol=allowed, err_msg=mine.path)


@pytest.mark.parametrize("training", [True, False])
def test_the_way_back(gradient, training):
    """Also through the mean and the variance, where they are the batch's."""
    with keras.StatelessScope():  # where JAX may take a gradient of what moves statistics
        actual, expected = (gradient(layer, IMAGES, ALONG, training=training) for layer in both())
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_the_definition():
    ours, _ = both(epsilon=0.25, momentum=0.5)
    gamma, beta, moving_mean, moving_variance = ours.get_weights()
    actual = numbers(ours(IMAGES, training=True))
    mean, variance = IMAGES.mean((0, 1, 2)), IMAGES.var((0, 1, 2))  # divided by the count, not the count less one
    np.testing.assert_allclose(actual, (IMAGES - mean) / np.sqrt(variance + 0.25) * gamma + beta, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(numbers(ours.moving_mean), (moving_mean + mean) / 2, rtol=1e-5)
    np.testing.assert_allclose(numbers(ours.moving_variance), (moving_variance + variance) / 2, rtol=1e-5)


@pytest.mark.parametrize("shape", [(4, 7), (4, 5, 7), (1, 1, 1, 7)], ids=str)
def test_what_is_no_batch_of_images_goes_keras_s_way(shape):
    images = np.random.default_rng(3).normal(size=shape).astype("float32")
    ours, theirs = both(images)
    np.testing.assert_allclose(
        numbers(ours(images, training=True)), numbers(theirs(images, training=True)), rtol=1e-5, atol=1e-6
    )


def test_a_batch_of_unknown_size():
    ours, theirs = both()
    inputs = keras.Input(IMAGES.shape[1:])
    mine, other = (keras.Model(inputs, layer(inputs)) for layer in (ours, theirs))
    for model in (mine, other):
        model.compile(keras.optimizers.SGD(0.1), "mse")
        model.fit(IMAGES, ALONG, batch_size=3, shuffle=False, verbose=0)  # the last batch is of one
    for one, two in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(numbers(one), numbers(two), rtol=1e-4, atol=1e-5, err_msg=one.path)
