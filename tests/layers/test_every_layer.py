"""What holds for all layers: they save, train compiled, and keep to the precision that is asked for."""

import gc
import inspect
import json
import os
import subprocess
import sys
import weakref
from pathlib import Path

import keras
import numpy as np
import pytest
from sampling import sample

import convzoo.layers
from convzoo.cli.list_layers import GROUPS, page
from convzoo.layers import (
    GELU,
    AdaptivePolyphasePooling2D,
    AveragePooling2D,
    BasicBlock,
    BatchNormalization,
    BlurPooling2D,
    Bottleneck,
    Branches,
    CapsuleDecoder,
    CapsuleLengths,
    ChannelPadding,
    ChannelPooling2D,
    ChannelShuffle,
    Conv2D,
    ConvNormActivation,
    DenselyConnected,
    Dropout,
    Fire,
    FractalBlock,
    FractionalMaxPooling2D,
    FullyConnected,
    GlobalContrastNormalization,
    Inception,
    InvertedResidual,
    L2Pooling2D,
    LocallyConnected1D,
    LocallyConnected2D,
    LocalResponseNormalization,
    LpPooling2D,
    MaxBlurPooling2D,
    Maxout,
    MaxPooling2D,
    MixedPooling2D,
    MLPConv2D,
    Normalization,
    PartiallyConnected2D,
    PrimaryCapsules,
    RBFOutput,
    Repeat,
    Residual,
    RoutingCapsules,
    ScaledTanh,
    ShuffleUnit,
    Squash,
    SqueezeExcite,
    StochasticDepth,
    StochasticPooling2D,
    StridedConv2D,
    TrainableSubsampling2D,
    WeightedAveragePooling2D,
    WhitenedConv2D,
    ZCAWhitening,
)

LAYERS = [
    Conv2D(
        4,
        (3, 2),
        padding=((1, 2), (0, 1)),
        padding_mode="reflect",
        groups=2,
        activation="relu",
        kernel_regularizer=keras.regularizers.L2(1e-3),
        name="conv",
    ),
    Conv2D(4, 3, padding="full", dilation_rate=2, use_bias=False),
    StridedConv2D(3, 2, "ceil", name="down"),
    StridedConv2D((2, 1), padding="same", filters=6, activation=None),
    MaxPooling2D((3, 2), 1, "half"),
    AveragePooling2D(2, padding=(1, 0)),
    LpPooling2D(3, 2, "same", p=3, reduction="mean"),
    L2Pooling2D(3, 2, "ceil", reduction="mean"),
    WeightedAveragePooling2D(3, 1, 1, sigma=0.7),
    WeightedAveragePooling2D((1, 2), 1, "same", weights=[[1, 3]]),
    StochasticPooling2D(3, 2, "same", seed=4),
    MixedPooling2D(3, 2, "ceil", per_channel=True),
    TrainableSubsampling2D(2, padding=((0, 1), (1, 0))),
    BlurPooling2D((3, 4), 2, "half"),
    MaxBlurPooling2D(2, blur_size=(3, 4)),
    AdaptivePolyphasePooling2D(3, 2, "same"),
    FractionalMaxPooling2D((1.3, 2), overlapping=True, seed=6),
    FractionalMaxPooling2D(1.5, pseudo_random=True, seed=7),
    ChannelPooling2D(2, 1, mode="lp", p=3),
    Maxout(2),
    LocallyConnected2D(3, (3, 2), 2, "half", activation="relu", kernel_regularizer="l2"),
    LocallyConnected1D(3, 3, 2, (1, 0), use_bias=False),
    PartiallyConnected2D([[0], [1, 0], [1]], 3, padding="same", activation="tanh", bias_initializer="ones"),
    MLPConv2D([4, 3], 3, 2, activation="tanh", kernel_regularizer=keras.regularizers.L2(1e-3)),
    BatchNormalization(momentum=0.9, epsilon=1e-4, scale=False),
    Normalization(),
    LocalResponseNormalization(3, 0.1, 0.5, 1, across="space", reduction="mean"),
    GELU(),
    ScaledTanh(2, 0.5),
    RBFOutput(np.arange(144).reshape(2, 6, 12) % 3 / 3, 0.5),
    Dropout(0.3, seed=10),
    StochasticDepth(0.3, "row", seed=8),
    SqueezeExcite(1, kernel_regularizer=keras.regularizers.L2(1e-3)),
    ChannelShuffle(2),
    Squash(1),
    PrimaryCapsules(2, 3, (3, 2), 2, 1, use_bias=False),
    RoutingCapsules(3, 4, 2, kernel_initializer="he_normal", kernel_regularizer=keras.regularizers.L2(1e-3)),
    CapsuleLengths(),
    CapsuleDecoder((3, 2, 1), [5]),
    FullyConnected(5, activation="tanh", bias_initializer="ones"),
    GlobalContrastNormalization(1, use_std=True, sqrt_bias=10, min_divisor=1e-6),
    ZCAWhitening(0.2),
    WhitenedConv2D((1, 2), 2, "half", 0.1),
    ChannelPadding(5, "around"),
    Branches({"one": [keras.layers.Conv2D(2, 3, padding="same"), keras.layers.ReLU()], "itself": []}),
    Residual(keras.layers.Conv2D(4, 3, 2, padding="same"), "projection", activation="relu"),
    Residual([keras.layers.Conv2D(4, 3, 2, padding="same")], {"one": keras.layers.Conv2D(4, 1, 2)}),
    Repeat([keras.layers.Conv2D(2, 1, activation="relu"), BatchNormalization()], 2),
    DenselyConnected(Conv2D(2, 3, padding="half"), 2),
    ConvNormActivation(4, (3, 2), 2, padding=(1, 0), groups=2, activation="tanh", momentum=0.9, scale=False),
    Inception(1, (2, 3), [1, 2], 2, kernel_regularizer=keras.regularizers.L2(1e-3)),
    Fire(2, 3, 2, kernel_initializer="glorot_uniform"),
    InvertedResidual(2, momentum=0.9),
    InvertedResidual(3, 2, 1),
    ShuffleUnit(16, 2, 2, first_groups=1, epsilon=1e-5),
    FractalBlock(3, 2, drop_path=0, seed=9, momentum=0.9, epsilon=1e-5),
    BasicBlock(3, 2, "projection", dropout=0, kernel_regularizer=keras.regularizers.L2(1e-3)),
    BasicBlock(4, shortcut_type="pad", preactivation="inside", momentum=0.8, epsilon=1e-4),
    Bottleneck(2, 2, "projection", "outside", kernel_initializer="glorot_uniform"),
]
IMAGES = np.random.default_rng(0).normal(size=(8, 6, 6, 2)).astype("float32")


def images_for(layer):
    """`IMAGES`, or the same numbers in the rank that the layer takes."""
    lists = LocallyConnected1D, RoutingCapsules, CapsuleLengths, CapsuleDecoder
    return IMAGES.reshape(8, 12, 6) if isinstance(layer, lists) else IMAGES


def with_policy(layer, policy):
    """A copy whose dtype policy is `policy`, and that of the layers inside it."""

    def changed(config):
        if isinstance(config, dict):
            return {key: policy if key == "dtype" else changed(value) for key, value in config.items()}
        return [changed(value) for value in config] if isinstance(config, list) else config

    return type(layer).from_config(changed(layer.get_config()))


def model_of_all(policy="float32"):
    """Every layer on the same image, side by side."""
    inputs = keras.Input((6, 6, 2))
    outputs = []
    for layer in LAYERS:
        copy = with_policy(layer, policy)
        if hasattr(copy, "adapt"):
            copy.adapt(IMAGES)
        images = keras.layers.Reshape(images_for(layer).shape[1:])(inputs)
        outputs.append(keras.layers.Flatten(dtype="float32")(copy(images)))
    return keras.Model(inputs, keras.layers.Concatenate(dtype="float32")(outputs))


def test_every_public_class_is_here():
    assert {type(layer).__name__ for layer in LAYERS} == set(convzoo.layers.__all__) - {
        "CapsuleMarginLoss",
        "PartialIdentity",
    }


def test_the_page_of_layers_is_the_one_that_is_printed():
    assert {name for names in GROUPS.values() for name in names.split()} == set(convzoo.layers.__all__)
    assert page() == (Path(convzoo.__file__).parent / "docs" / "layers.md").read_text()


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_config(layer):
    config = layer.get_config()
    copy = keras.saving.deserialize_keras_object(json.loads(json.dumps(keras.saving.serialize_keras_object(layer))))
    assert type(copy) is type(layer)
    assert copy.get_config() == config
    assert keras.saving.get_registered_name(type(layer)) == f"convzoo>{type(layer).__name__}"
    assert set(inspect.signature(type(layer)).parameters) - {"kwargs"} <= set(config)
    shape = (None, *images_for(layer).shape[1:])
    assert copy.compute_output_shape(shape) == layer.compute_output_shape(shape)


LOAD = """
import sys
import convzoo.layers
import keras, numpy
files = numpy.load(sys.argv[1] + "/data.npz")
model = keras.models.load_model(sys.argv[1] + "/model.keras")
actual = model.predict(files["images"], verbose=0)
numpy.testing.assert_allclose(actual, files["outputs"], rtol=1e-4, atol=1e-4)
rooms = {name for name in sys.modules if name.startswith("convzoo.")} - {"convzoo.settings", "convzoo.settings.blocks"}
assert all(name.startswith("convzoo.layers") for name in rooms), rooms
"""


@pytest.mark.integration
def test_a_new_process_loads_the_model(tmp_path):
    model = model_of_all()
    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "data.npz", images=IMAGES, outputs=model.predict(IMAGES, verbose=0))
    environment = {**os.environ, "KERAS_BACKEND": keras.backend.backend()}
    done = subprocess.run([sys.executable, "-c", LOAD, str(tmp_path)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() == "torch", reason="a SavedModel is made by TensorFlow and JAX")
def test_an_exported_model_gives_the_same(tmp_path):
    import tensorflow as tf

    model = model_of_all()
    model.export(tmp_path / "model", format="tf_saved_model", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "model")
    np.testing.assert_allclose(loaded.serve(IMAGES).numpy(), model.predict(IMAGES, verbose=0), rtol=1e-4, atol=1e-4)


# What the next normalization undoes, behind a ReLU or none: its gradient is 0 but for rounding.
UNDONE = ("shuffle_unit/gconv1/norm/gamma", "shuffle_unit/depthwise_norm/beta")


@pytest.mark.parametrize("policy", sample(["float32", "mixed_bfloat16", "mixed_float16"], 3))
def test_one_compiled_step(policy):
    keras.utils.set_random_seed(0)  # units that begin dead learn nothing
    features = model_of_all(policy)
    model = keras.Sequential([features, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    old = [keras.ops.convert_to_numpy(weight).copy() for weight in model.trainable_weights]
    loss = model.train_on_batch(IMAGES, np.ones((8, 1), "float32"))
    assert np.isfinite(loss)
    for weight, then in zip(model.trainable_weights, old, strict=True):
        now = keras.ops.convert_to_numpy(weight)
        assert np.all(np.isfinite(now))
        assert np.any(now != then) or weight.path.endswith(UNDONE), weight.path


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's graphs")
@pytest.mark.parametrize("layer", sample(LAYERS, 3), ids=lambda layer: layer.name)
def test_a_step_that_is_let_go_leaves_no_graph(layer):
    """It would hold the weights of every network that the process has trained."""
    import tensorflow as tf

    graphs = []

    def train():
        copy, images = type(layer).from_config(layer.get_config()), tf.constant(images_for(layer))
        copy.adapt(images_for(layer)) if hasattr(copy, "adapt") else copy.build(images.shape)

        @tf.function(autograph=False)
        def step():
            with tf.GradientTape() as tape:
                tape.watch(images)
                graphs.append(weakref.ref(tf.compat.v1.get_default_graph()))
                outputs = copy(images, training=True)
            return tape.gradient(outputs, [images, *copy.trainable_variables])

        step()

    train()
    keras.utils.clear_session()
    gc.collect()
    assert graphs
    assert all(graph() is None for graph in graphs)


@pytest.mark.parametrize("half", ["bfloat16", "float16"])
@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_mixed_precision(layer, half):
    """Values in half precision, but where a layer says float32; weights in float32; the same but for rounding."""
    mixed = with_policy(layer, f"mixed_{half}")
    full = type(layer).from_config(layer.get_config())
    images = images_for(layer)
    for each in (mixed, full):
        each.adapt(images) if hasattr(each, "adapt") else each.build(images.shape)
    mixed.set_weights(full.get_weights())
    assert {weight.dtype for weight in mixed.weights} <= {"float32", "int64", "int32"}  # whole numbers count
    kept = isinstance(layer, (GlobalContrastNormalization, ZCAWhitening))
    actual = mixed(images)
    assert keras.backend.standardize_dtype(actual.dtype) == ("float32" if kept else half)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(keras.ops.cast(actual, "float32")),
        keras.ops.convert_to_numpy(full(images)),
        rtol=0.03,
        atol=0.03,
    )
