"""The layer at fault is named: one that is dead, or the first whose numbers are not finite."""

import keras
import numpy as np
import pytest

from convzoo import UserError
from convzoo.training.diagnosis import check_metrics_finite, check_weights_finite, find_dead_layer
from convzoo.training.predictor import Predictor

IMAGES = np.random.default_rng(0).integers(0, 256, (9, 6, 6, 2), dtype=np.uint8)


def network(*layers):
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((6, 6, 2), dtype="uint8", name="image")
    x = keras.layers.Rescaling(1 / 255, name="scale")(x)
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="score")(keras.layers.Flatten(name="flat")(x)))


def conv(bias=0.0, scale=1.0, name="conv"):
    initializers = {
        "kernel_initializer": keras.initializers.RandomNormal(stddev=scale, seed=1),
        "bias_initializer": keras.initializers.Constant(bias),
    }
    return keras.layers.Conv2D(4, 3, padding="same", name=name, **initializers)


@pytest.mark.parametrize(
    ("layers", "dead"),
    [
        ((conv(bias=-100.0), keras.layers.ReLU(name="relu"), conv(name="conv2")), "relu"),
        ((conv(), keras.layers.ReLU(name="relu"), conv(name="conv2")), None),
        ((conv(scale=1e-6), keras.layers.ReLU(name="relu"), conv(scale=1e-6, name="conv2")), None),  # small is not dead
        ((conv(scale=0.0), keras.layers.BatchNormalization(name="norm")), "conv"),
        ((conv(bias=1.0, scale=0.0),), None),  # the same for all images; its kernel has a gradient
    ],
)
def test_dead_layer_is_the_first_of_zeros(layers, dead):
    assert find_dead_layer(network(*layers), IMAGES) == dead


def test_dead_branch_beside_a_live_one_is_no_dead_layer():
    inputs = keras.Input((6, 6, 2), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(inputs)
    dead = keras.layers.ReLU(name="dead")(conv(bias=-100.0)(x))
    x = keras.layers.Flatten()(keras.layers.Concatenate()([dead, x]))
    assert find_dead_layer(keras.Model(inputs, keras.layers.Dense(3)(x)), IMAGES) is None


def test_find_dead_layer_changes_no_state():
    model = network(
        conv(bias=-100.0), keras.layers.BatchNormalization(), keras.layers.ReLU(), keras.layers.Dropout(0.5)
    )
    before = [keras.ops.convert_to_numpy(variable).copy() for variable in model.variables]
    find_dead_layer(model, IMAGES)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value)


@pytest.mark.parametrize("fault", [np.nan, np.inf, -np.inf])
def test_predictor_refuses_nonfinite_scores(fault):
    model = network(conv())
    model.get_layer("conv").kernel.assign(np.full((3, 3, 2, 4), fault, "float32"))
    with pytest.raises(UserError, match=r"class scores are not finite: the weights of layer `conv` .*learning_rate="):
        Predictor(model)(IMAGES)
    with pytest.raises(UserError, match=r"^the weights of layer `conv` are not finite .*learning_rate="):
        check_weights_finite(model)


def test_predictor_names_layer_when_scores_overflow():
    model = network(conv(scale=1e30), conv(scale=1e30, name="conv2"))
    check_weights_finite(model)
    with pytest.raises(UserError, match=r"not finite: layer `conv2` is the first whose output is not finite; .*rate="):
        Predictor(model)(IMAGES)


def test_check_weights_finite_finds_weight_behind_relu():
    model = network(conv(), keras.layers.ReLU())
    model.get_layer("conv").bias.assign(np.full(4, -np.inf, "float32"))
    assert np.isfinite(Predictor(model)(IMAGES)).all()
    with pytest.raises(UserError, match=r"^the weights of layer `conv`"):
        check_weights_finite(model)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_check_metrics_finite_names_the_metric(value):
    check_metrics_finite({"test_loss": 1e300})
    with pytest.raises(UserError, match=r"^`test_loss` is .*learning_rate="):
        check_metrics_finite({"test_accuracy": 0.1, "test_loss": value})
