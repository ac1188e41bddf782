"""Layers made of layers: counted against the papers whose networks they build, and by hand on small pictures."""

import keras
import numpy as np
import pytest
from keras.layers import BatchNormalization, Conv2D, Dense, Dropout, GlobalAveragePooling2D, ReLU

from convzoo.layers import Branches, ChannelPadding, DenselyConnected, Repeat, Residual, StochasticDepth


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def scale(factor):
    """A 1×1 convolution that multiplies the one channel."""
    return Conv2D(1, 1, use_bias=False, kernel_initializer=keras.initializers.Constant(factor))


PICTURE = np.arange(16.0, dtype="float32").reshape(1, 4, 4, 1)


def parameters(image_shape, *layers):
    model = keras.Sequential([keras.Input(image_shape), *layers])
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def resnet_block(filters, strides, shortcut):
    body = [
        Conv2D(filters, 3, strides, padding="same", use_bias=False),
        BatchNormalization(),
        ReLU(),
        Conv2D(filters, 3, padding="same", use_bias=False),
        BatchNormalization(),
    ]
    return Residual(body, shortcut, activation="relu")


@pytest.mark.parametrize(("depth", "shortcut", "published"), [(20, "pad", 269_722), (56, "pad", 853_018)])
def test_parameters_of_the_cifar_resnets(depth, shortcut, published):
    n = (depth - 2) // 6
    stages = [
        layer
        for filters, strides in ((16, 1), (32, 2), (64, 2))
        for layer in (
            resnet_block(filters, strides, shortcut),
            Repeat(resnet_block(filters, 1, shortcut), n - 1),
        )
    ]
    stem = [Conv2D(16, 3, padding="same", use_bias=False), BatchNormalization(), ReLU()]
    assert parameters((32, 32, 3), *stem, *stages, GlobalAveragePooling2D(), Dense(10)) == published


def test_option_b_adds_the_projections_that_the_paper_counts():
    """2,752 parameters more than option A: 16·32 + 32·64 weights and the normalizations' 2·(32 + 64)."""
    strided = [Conv2D(32, 3, 2, padding="same", use_bias=False)], [Conv2D(64, 3, 2, padding="same", use_bias=False)]
    by_rows = [
        Residual(body, [Conv2D(body[0].filters, 1, 2, use_bias=False), BatchNormalization()]) for body in strided
    ]
    by_word = [Residual([Conv2D(n, 3, 2, padding="same", use_bias=False)], "projection") for n in (32, 64)]
    by_pad = [Residual([Conv2D(n, 3, 2, padding="same", use_bias=False)], "pad") for n in (32, 64)]
    image = (32, 32, 16)
    assert parameters(image, *by_rows) - parameters(image, *by_pad) == 2_752
    assert parameters(image, *by_word) - parameters(image, *by_pad) == 16 * 32 + 32 * 64


@pytest.mark.parametrize(("depth", "bottleneck", "published"), [(40, False, 1_019_722), (100, True, 769_162)])
def test_parameters_of_densenet(depth, bottleneck, published):
    times = (depth - 4) // 6 if bottleneck else (depth - 4) // 3
    body = [BatchNormalization(), ReLU(), Conv2D(12, 3, padding="same", use_bias=False), Dropout(0.2)]
    if bottleneck:
        body = [BatchNormalization(), ReLU(), Conv2D(48, 1, use_bias=False), *body]
    channels = 24 if bottleneck else 16
    layers = [Conv2D(channels, 3, padding="same", use_bias=False)]
    for block in range(3):
        layers.append(DenselyConnected(body, times))
        channels += 12 * times
        if block < 2:
            channels = channels // 2 if bottleneck else channels
            layers += [BatchNormalization(), ReLU(), Conv2D(channels, 1, use_bias=False)]
            layers.append(keras.layers.AveragePooling2D(2))
    layers += [BatchNormalization(), ReLU(), GlobalAveragePooling2D(), Dense(10)]
    assert parameters((32, 32, 3), *layers) == published


def test_branches_by_hand():
    layer = Branches({"double": scale(2), "itself": [], "four times": [scale(2), scale(2)]})
    np.testing.assert_array_equal(numpy(layer(PICTURE)), np.concatenate([2 * PICTURE, PICTURE, 4 * PICTURE], -1))
    assert layer.compute_output_shape((None, None, None, 1)) == (None, None, None, 3)


@pytest.mark.parametrize(("merge", "factor"), [("add", 3), ("average", 1.5), ("maximum", 2)])
def test_branches_joined_otherwise(merge, factor):
    layer = Branches([scale(2), []], merge)
    np.testing.assert_array_equal(numpy(layer(PICTURE)), factor * PICTURE)
    assert layer.compute_output_shape((None, 4, 4, 1)) == (None, 4, 4, 1)


def test_branches_of_channels_first():
    layer = Branches([keras.layers.Identity(), keras.layers.ReLU()], data_format="channels_first")
    picture = np.array([[[[1.0, -2.0]]]], "float32")
    np.testing.assert_array_equal(numpy(layer(picture)), [[[[1, -2]], [[1, 0]]]])


def test_residual_by_hand():
    layer = Residual(scale(-3), activation="relu")
    np.testing.assert_array_equal(numpy(layer(PICTURE - 8)), np.maximum(-2 * (PICTURE - 8), 0))
    layer = Residual({"conv": scale(-3)})
    np.testing.assert_array_equal(numpy(layer(PICTURE)), -2 * PICTURE)


def test_padded_shortcut_subsamples_and_adds_zero_maps():
    body = Conv2D(3, 1, 2, kernel_initializer="zeros")
    expected = np.zeros((1, 2, 2, 3))
    expected[0, :, :, 0] = [[0, 2], [8, 10]]
    np.testing.assert_array_equal(numpy(Residual(body, "pad")(PICTURE)), expected)


def test_a_projected_shortcut_is_a_1x1_convolution():
    layer = Residual(Conv2D(3, 1, 2, kernel_initializer="zeros"), "projection", kernel_initializer="ones")
    actual = numpy(layer(PICTURE))
    np.testing.assert_array_equal(actual, np.repeat(PICTURE[:, ::2, ::2], 3, -1))
    assert [weight.path.rpartition("/")[2] for weight in layer.shortcut.weights] == ["kernel"]


@pytest.mark.parametrize("word", ["pad", "projection"])
def test_where_the_shape_is_kept_the_shortcut_is_the_identity(word):
    layer = Residual(scale(2), word)
    np.testing.assert_array_equal(numpy(layer(PICTURE)), 3 * PICTURE)
    assert layer.shortcut is None


def test_channel_padding_by_hand():
    image = np.array([[[[1.0, 2.0]]]], "float32")
    np.testing.assert_array_equal(numpy(ChannelPadding(5)(image)), [[[[1, 2, 0, 0, 0]]]])
    np.testing.assert_array_equal(numpy(ChannelPadding(5, "around")(image)), [[[[0, 1, 2, 0, 0]]]])
    first = ChannelPadding(3, data_format="channels_first")(np.ones((1, 2, 1, 2), "float32"))
    np.testing.assert_array_equal(numpy(first), [[[[1, 1]], [[1, 1]], [[0, 0]]]])


def test_densely_connected_by_hand():
    """A body that sums the channels: 1 → [1, 1] → [1, 1, 2] → [1, 1, 2, 4]."""
    layer = DenselyConnected(Conv2D(1, 1, use_bias=False, kernel_initializer="ones"), 3)
    np.testing.assert_array_equal(numpy(layer(np.ones((1, 1, 1, 1), "float32"))), [[[[1, 1, 2, 4]]]])


def test_copies_have_weights_and_names_of_their_own():
    layer = Repeat(Conv2D(1, 1, name="conv"), 3)
    layer.build((None, 4, 4, 1))
    assert [copy.name for copy in layer.copies] == ["conv_1", "conv_2", "conv_3"]
    kernels = [numpy(copy.kernel).item() for copy in layer.copies]
    assert len(set(kernels)) == 3


def test_what_varies_takes_even_steps(tmp_path):
    """Stochastic depth: the rate grows with the depth (Huang et al. 2016, figure 2)."""
    body = Residual([StochasticDepth(0.1, name="drop")], name="block")
    inputs = keras.Input((2,))
    model = keras.Model(inputs, Repeat(body, 5, {"drop": {"rate": [0.1, 0.5]}}, name="stage")(inputs))
    model.save(tmp_path / "model.keras")
    for each in (model, keras.models.load_model(tmp_path / "model.keras")):
        rates = [block.body.layers[0].rate for block in each.get_layer("stage").copies]
        np.testing.assert_allclose(rates, [0.1, 0.2, 0.3, 0.4, 0.5])


def test_initializer_of_a_template_draws_anew_in_each_copy():
    initializer = keras.initializers.HeNormal()
    layer = Repeat([Conv2D(1, 1, kernel_initializer=initializer), Conv2D(1, 1, kernel_initializer=initializer)], 2)
    layer.build((None, 4, 4, 1))
    assert len({numpy(weight).item() for weight in layer.trainable_weights if "kernel" in weight.path}) >= 2


@pytest.mark.parametrize(
    "combine",
    [
        lambda inside: Branches([inside, keras.layers.Identity()]),
        lambda inside: Residual(Repeat(Residual([inside]), 2)),
        lambda inside: DenselyConnected([inside], 2),
    ],
)
def test_training_reaches_the_layers_inside(combine):
    layer = combine(Dropout(0.5))
    ones = np.ones((1, 8, 8, 1), "float32")
    assert np.ptp(numpy(layer(ones))[..., 0]) == 0
    assert np.ptp(numpy(layer(ones, training=True))) > 0


def test_nested_models_save_and_train(tmp_path):
    inside = [Conv2D(2, 3, padding="same"), BatchNormalization(), Dropout(0.1)]
    branches = Branches([inside, [keras.layers.Identity()]], "add", name="branches")
    body = Residual({"branches": branches}, activation="relu", name="block")
    inputs = keras.Input((6, 6, 2))
    x = Repeat({"block": body}, 2, name="stage")(inputs)
    x = DenselyConnected({"conv": Conv2D(1, 1)}, 2, name="dense")(x)
    model = keras.Model(inputs, GlobalAveragePooling2D()(x))
    model.compile("sgd", "mse", jit_compile=keras.backend.backend() == "jax")
    images = np.random.default_rng(0).normal(size=(4, 6, 6, 2)).astype("float32")
    model.train_on_batch(images, np.ones((4, 4), "float32"))
    paths = [weight.path for weight in model.weights]
    assert len(set(paths)) == len(paths)
    assert any(path.startswith("stage/block_2/body/branches/branch1/") for path in paths), paths

    model.save(tmp_path / "model.keras")
    copy = keras.models.load_model(tmp_path / "model.keras")
    assert [weight.shape for weight in copy.weights] == [weight.shape for weight in model.weights]
    np.testing.assert_allclose(copy.predict(images, verbose=0), model.predict(images, verbose=0), rtol=1e-5, atol=1e-6)


class Halves(keras.layers.Layer):
    """It does not say the shape of its output."""

    def call(self, inputs):
        return inputs[:, : inputs.shape[1] // 2]


def test_layers_that_do_not_say_their_shape_stand_inside_too():
    layer = Branches([[Halves(), Halves()], [Conv2D(1, 1), Halves(), Halves()]])
    assert layer(PICTURE).shape == (1, 1, 4, 2)
    assert layer.compute_output_shape((None, 8, 4, 1)) == (None, 2, 4, 2)


def test_a_layer_in_two_places_is_refused():
    shared = Conv2D(1, 1)
    with pytest.raises(ValueError, match="one place alone"):
        Branches([[shared], [shared]])(PICTURE)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Branches([]), "`branches`.*at least one.*Received: branches=\\[\\]"),
        (lambda: Branches([3]), "`branch1` must be a layer.*Received: branch1=3"),
        (lambda: Branches([[]], "sum"), "`merge` must be.*Received: merge='sum'"),
        (lambda: Residual("conv"), "`body` must be a layer.*Received: body='conv'"),
        (lambda: Residual([], "padded"), "`shortcut` must be.*Received: shortcut='padded'"),
        (lambda: Repeat(scale(1), 0), "`times` must be a positive integer.*Received: times=0"),
        (lambda: Repeat(scale(1), 10**12), "at most 10,000 layers. Received: times=10+, 1,[0,]+ layers"),
        (lambda: Repeat(Repeat(Repeat(scale(1), 30), 30), 30), "times=30, 27,930 layers"),  # 30 (1 + 30 (1 + 30))
        (lambda: Repeat(scale(1), 2, {"drop": 3}), "`vary` must be None or.*Received: vary={'drop': 3}"),
        (lambda: Repeat(scale(1), 2, {"drop": {"rate": (0, 1)}}), "`vary` must name layers.*'drop'"),
        (lambda: Repeat(Dropout(0.5, name="drop"), 2, {"drop": {"rat": (0, 1)}}), "`vary` must name.*'rat'"),
        (lambda: ChannelPadding(2, "before"), "`where`.*Received: where='before'"),
        (lambda: ChannelPadding(2)(np.ones((1, 2, 2, 3))), "at most 2 channels.*\\(1, 2, 2, 3\\)"),
        (lambda: Repeat(Conv2D(1, 3, name="conv"), 3)(PICTURE), "`conv_2`.*\\(1, 2, 2, 1\\)"),
        (lambda: Residual(Conv2D(1, 3), "identity")(PICTURE), "shape"),
        (lambda: Residual(Conv2D(1, 3), "pad")(keras.Input((None, None, 2))), '"pad".*known sizes'),
    ],
)
def test_what_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
