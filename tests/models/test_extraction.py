"""Features: a model that gives the outputs of rows, against the layers called one by one."""

import keras
import numpy as np
import pytest

from convzoo import UserError
from convzoo.layers import Conv2D, Fire
from convzoo.models import build, features, load


def images(n=2, side=16, seed=0):
    return np.random.default_rng(seed).normal(size=(n, side, side, 3)).astype("float32")


@pytest.fixture(scope="module")
def resnet():
    keras.utils.set_random_seed(0)
    return build("resnet20", image_shape=(16, 16, 3))


def call(model, names, x):
    """Call layers of a model one after the other."""
    for name in names:
        x = model.get_layer(name)(x)
    return x


def test_features_equal_a_forward_pass_by_hand(resnet):
    x = images()
    conv2_x = call(resnet, ["conv1", "bn1", "relu1", "conv2_x"], x)
    conv4_1 = call(resnet, ["conv3_1", "conv3_x", "conv4_1"], conv2_x)
    body = resnet.get_layer("conv4_x").get_layer("block_1/body")
    relu1 = call(body, ["conv1", "bn1", "relu1"], conv4_1)
    conv2 = call(body, ["conv2"], relu1)
    block = keras.ops.relu(call(body, ["bn2"], conv2) + conv4_1)
    expected = {
        "conv4_x/block1/relu1": relu1,
        "conv2_x": conv2_x,
        "conv4_x/block_1/body/conv2": conv2,
        "conv4_x/block_1": block,
        "score": resnet(x),
    }
    model = features(resnet, list(expected))
    for actual, by_hand in zip(model(x), expected.values(), strict=True):
        assert actual.shape == by_hand.shape
        np.testing.assert_allclose(actual, by_hand, rtol=1e-5, atol=1e-6)
    assert float(keras.ops.std(relu1)) > 0.1  # they are not all alike


def small_network():
    """A convolution and a Fire module, whose two branches are concatenated."""
    inputs = keras.Input((8, 8, 3))
    x = Conv2D(4, 3, padding="half", name="conv1")(inputs)
    x = Fire(2, 4, 6, name="fire2")(x)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D(name="mean")(x))


def test_features_reaches_the_branches_of_a_module():
    network = small_network()
    x = images(side=8)
    fire = network.get_layer("fire2")
    squeezed = fire.get_layer("squeeze1x1")(network.get_layer("conv1")(x))
    wide, module = features(network, ["fire2/expand3x3", "fire2"])(x)
    np.testing.assert_allclose(wide, fire.get_layer("expand3x3")(squeezed), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(module[..., 4:], wide, rtol=1e-5, atol=1e-6)


def test_features_shares_the_weights_and_leaves_the_model(resnet):
    x = images()
    model = features(resnet, "conv2_x/block_2/conv2")
    before = np.array(model(x))
    kernel = resnet.get_layer("conv1").kernel
    value = np.array(keras.ops.convert_to_numpy(kernel))
    kernel.assign(2 * value)
    assert not np.allclose(before, model(x))
    kernel.assign(value)
    assert all(weight is other for weight, other in zip(model.weights, resnet.weights, strict=False))
    assert resnet.get_layer("conv2_x").output.shape == (None, 16, 16, 16)  # refused if the layer stood in two places


def test_features_of_one_name_is_a_tensor_and_of_several_a_list(resnet):
    assert features(resnet, "mean").output.shape == (None, 64)
    assert [each.shape for each in features(resnet, ["mean", "conv2_x"]).output] == [(None, 64), (None, 16, 16, 16)]
    with pytest.raises(ValueError, match="score"):
        features(resnet, "mean").get_layer("score")  # what no output needs is left out


def test_features_of_the_same_row_twice(resnet):
    one, other = features(resnet, ["conv2_x/block_1", "conv2_x/block1"])(images())
    np.testing.assert_array_equal(one, other)


def test_features_model_saves_and_loads(tmp_path):
    x = images(side=8)
    model = features(small_network(), ["fire2/squeeze1x1", "mean"])
    model.save(tmp_path / "features.keras")
    for one, other in zip(load(tmp_path / "features.keras")(x), model(x), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_features_of_a_keras_model_with_a_fork():
    inputs = keras.Input((8, 8, 3))
    left = Conv2D(4, 3, padding="half", name="left")(inputs)
    right = keras.layers.Conv2D(4, 1, name="right")(inputs)
    model = keras.Model(inputs, keras.layers.Add(name="sum")([left, right]))
    x = images(side=8)
    one, both = features(model, ["right", "sum"])(x)
    np.testing.assert_allclose(one, model.get_layer("right")(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(both, model(x), rtol=1e-5, atol=1e-6)


def test_features_of_a_compiled_sequential():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="a"), keras.layers.Dense(2, name="b")])
    model.compile("sgd", "mse")
    x = np.eye(4, dtype="float32")
    np.testing.assert_allclose(features(model, "a")(x), model.get_layer("a").kernel, rtol=1e-6)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("conv9", "resnet20 has no row 'conv9'; did you mean conv1"),
        ("conv4_x/block9/relu1", "has no row 'conv4_x/block9/relu1'; did you mean"),
        ("conv4_x/relu1", "'conv4_x/relu1' fits 2 layers of resnet20, such as conv4_x/block_1/body/relu1 and"),
        ("body/relu1", "has no row 'body/relu1'"),
        ("image", "has no row 'image'"),
        ([], "`rows` must be a name of a row, or several. Received: []"),
        ([3], r"`rows` must be a name of a row, or several. Received: \[3\]"),
    ],
)
def test_features_refuses_rows_that_fit_no_layer(resnet, rows, message):
    with pytest.raises(UserError, match=message.replace("[]", r"\[\]")):
        features(resnet, rows)
