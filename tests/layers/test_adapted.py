"""Layers that are adapted to data keep what they learned, by whatever way their weights come in."""

import copy
import pickle

import keras
import numpy as np
import pytest

from convzoo.layers import Normalization, WhitenedConv2D, ZCAWhitening
from convzoo.models import build

IMAGES = np.random.default_rng(0).normal(2, 3, size=(32, 6, 6, 2)).astype("float32")
ADAPTED = [WhitenedConv2D, ZCAWhitening, Normalization]


def adapted_model(layer_class):
    layer = layer_class()
    layer.adapt(IMAGES)
    return keras.Sequential([keras.Input(IMAGES.shape[1:]), layer])


def outputs(model):
    return keras.ops.convert_to_numpy(model(IMAGES))


def by_set_weights(model, folder):
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    return clone


def by_stateless_call(model, folder):
    clone = keras.models.clone_model(model)
    weights = [keras.ops.convert_to_tensor(weight) for weight in model.non_trainable_variables]
    trainable = [keras.ops.convert_to_tensor(weight) for weight in model.trainable_variables]
    return lambda images: clone.stateless_call(trainable, weights, images)[0]


def by_assignment(model, folder):
    clone = keras.models.clone_model(model)
    for ours, theirs in zip(clone.variables, model.variables, strict=True):
        ours.assign(theirs)
    return clone


def by_h5(model, folder):
    model.save(folder / "model.h5")
    return keras.models.load_model(folder / "model.h5")


def by_weights_file(model, folder):
    model.save_weights(folder / "model.weights.h5")
    clone = keras.models.clone_model(model)
    clone.load_weights(folder / "model.weights.h5")
    return clone


def by_keras_file(model, folder):
    model.save(folder / "model.keras")
    return keras.models.load_model(folder / "model.keras")


WAYS = [by_set_weights, by_stateless_call, by_assignment, by_h5, by_weights_file, by_keras_file]


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("way", [*WAYS, lambda model, folder: copy.deepcopy(model)], ids=lambda way: way.__name__)
@pytest.mark.parametrize("layer_class", ADAPTED)
def test_adapted_layer_survives_a_way_of_its_weights(layer_class, way, tmp_path):
    model = adapted_model(layer_class)
    np.testing.assert_allclose(outputs(way(model, tmp_path)), outputs(model), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layer_class", ADAPTED)
def test_set_weights_of_another_adapted_layer_replaces_its_own(layer_class):
    first, second = adapted_model(layer_class), adapted_model(layer_class)
    second.layers[0].adapt(IMAGES[::-1] * [1.0, 5.0] + 7)
    outputs(second)
    second.set_weights(first.get_weights())
    np.testing.assert_allclose(outputs(second), outputs(first), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
@pytest.mark.parametrize("layer_class", ADAPTED)
def test_unbuilt_layer_can_be_copied(layer_class, copied):
    layer = copied(layer_class())
    assert not layer.built
    layer.adapt(IMAGES)
    assert np.isfinite(outputs(layer)).all()


@pytest.mark.filterwarnings("ignore:You are saving a model that has not yet been built")
@pytest.mark.parametrize("layer_class", ADAPTED)
def test_unbuilt_model_can_be_saved(layer_class, tmp_path):
    keras.Sequential([layer_class()]).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    loaded.layers[0].adapt(IMAGES)
    assert np.isfinite(outputs(loaded)).all()


@pytest.mark.parametrize("layer_class", [WhitenedConv2D, ZCAWhitening])
def test_layer_that_was_not_adapted_never_answers(layer_class):
    model = keras.Sequential([keras.Input(IMAGES.shape[1:]), layer_class()])
    with pytest.raises(ValueError, match="must be called before the layer is used"):
        model(IMAGES)
    try:
        answer = model.predict(IMAGES, verbose=0)
    except ValueError as error:
        assert "must be called before the layer is used" in str(error)  # noqa: PT017
    else:
        assert np.isnan(answer).all()


def test_network_with_an_adapted_layer_can_be_cloned():
    first, second = build("airbench"), build("airbench")
    first.layers[1].adapt(np.random.default_rng(0).normal(size=(64, 32, 32, 3)).astype("float32"))
    second.set_weights(first.get_weights())
    images = np.zeros((1, 32, 32, 3), "float32")
    scores, copied = (keras.ops.convert_to_numpy(network(images)) for network in (first, second))
    np.testing.assert_allclose(copied, scores, rtol=1e-5, atol=1e-5)
