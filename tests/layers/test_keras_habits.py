"""What a Keras user expects of any layer: defaults, dtypes, seeds, names in errors, layers inside layers."""

import inspect

import keras
import numpy as np
import pytest

import convzoo.layers
from convzoo.layers import (
    GELU,
    BatchNormalization,
    BlurPooling2D,
    Branches,
    ChannelPooling2D,
    Conv2D,
    DenselyConnected,
    Dropout,
    FractionalMaxPooling2D,
    FullyConnected,
    Inception,
    MaxBlurPooling2D,
    MaxPooling2D,
    Repeat,
    Residual,
)
from convzoo.models import build

PUBLIC = [getattr(convzoo.layers, name) for name in convzoo.layers.__all__]
POOLS = [cls for cls in PUBLIC if "pool_size" in inspect.signature(cls).parameters and cls is not ChannelPooling2D]
SEEDED = [cls for cls in PUBLIC if "seed" in inspect.signature(cls).parameters]
IMAGES = np.random.default_rng(0).normal(size=(2, 8, 8, 4)).astype("float32")
tensorflow_only = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow alone")


@pytest.mark.parametrize("cls", POOLS)
def test_pool_without_arguments_halves_the_map(cls):
    pool = cls()
    assert (pool.pool_size, pool.strides) == ((2, 2), (2, 2))
    assert pool(IMAGES).shape == (2, 4, 4, 4)


def test_channel_pool_without_arguments_halves_the_channels():
    assert ChannelPooling2D()(IMAGES).shape == (2, 8, 8, 2)


@pytest.mark.parametrize("cls", [BlurPooling2D, MaxBlurPooling2D])
def test_blur_pool_strides_by_two_whatever_its_window(cls):
    assert cls(3).strides == (2, 2)
    assert cls(3, padding="half").compute_output_shape((None, 32, 32, 3)) == (None, 16, 16, 3)
    assert cls(3, strides=None).strides == (3, 3)
    assert cls.from_config(cls(3, 3).get_config()).strides == (3, 3)


@pytest.mark.parametrize("cls", [*POOLS, FractionalMaxPooling2D, ChannelPooling2D])
def test_pool_without_weights_is_built_at_once(cls):
    pool = cls(2)
    shape = (None, 8, 8, 4)
    if not pool.built:
        pool.build(shape)
        assert pool.weights
    assert pool(keras.KerasTensor(shape)).shape == pool.compute_output_shape(shape)


@pytest.mark.parametrize("cls", PUBLIC)
def test_type_error_names_the_class_that_was_called(cls):
    with pytest.raises((TypeError, ValueError)) as error:
        cls(*[1] * 40)
    if isinstance(error.value, TypeError):
        assert str(error.value).startswith(f"{cls.__name__}.__init__()")


@pytest.mark.parametrize("cls", PUBLIC)
def test_help_of_a_constructor_shows_the_arguments(cls):
    assert inspect.getdoc(cls.__init__) == inspect.getdoc(cls)


@pytest.mark.parametrize("cls", SEEDED)
def test_seed_may_be_a_numpy_integer(cls):
    needed = {"rate": 0.5, "pool_ratio": 1.5, "filters": 4, "columns": 2}
    arguments = {key: value for key, value in needed.items() if key in inspect.signature(cls).parameters}
    layer, other = cls(seed=np.int64(3), **arguments), cls(seed=3, **arguments)
    assert type(layer.get_config()["seed"]) is int
    if not isinstance(layer, keras.Layer):
        np.testing.assert_array_equal(np.array(layer((3, 3, 4, 4))), np.array(other((3, 3, 4, 4))))
        return
    for each in (layer, other):
        each.build(IMAGES.shape)
    other.set_weights(layer.get_weights())
    training = {"training": True} if "training" in inspect.signature(cls.call).parameters else {}
    outputs = [keras.ops.convert_to_numpy(each(IMAGES, **training)) for each in (layer, other)]
    np.testing.assert_array_equal(*outputs)


@pytest.mark.parametrize("value", [-np.inf, np.inf])
@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_dropout_of_infinity_gives_no_nan(value, rate):
    values = keras.ops.convert_to_numpy(Dropout(rate, seed=1)(np.full((4, 64), value, "float32"), training=True))
    assert set(values.ravel().tolist()) == {0.0, value}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_batch_normalization_works_in_pure_half_precision(dtype, training):
    ours, keras_own = BatchNormalization(dtype=dtype), keras.layers.BatchNormalization(dtype=dtype)
    actual, expected = (layer(IMAGES, training=training) for layer in (ours, keras_own))
    assert keras.backend.standardize_dtype(actual.dtype) == dtype
    for one, other in zip([actual, *ours.weights], [expected, *keras_own.weights], strict=True):
        one, other = (keras.ops.convert_to_numpy(keras.ops.cast(each, "float32")) for each in (one, other))
        np.testing.assert_allclose(one, other, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("policy", ["int8_from_float32", "float8_from_float32"])
def test_fully_connected_flattens_under_a_quantized_policy(policy):
    assert FullyConnected(3, dtype=policy)(IMAGES).shape == (2, 3)


@pytest.mark.parametrize(
    "layer",
    [
        Repeat([keras.layers.Conv2D(4, 3, padding="same")], 2, dtype="mixed_float16"),
        Repeat([keras.layers.Conv2D(4, 3, padding="same", dtype="mixed_bfloat16")], 2),
        Residual(keras.layers.Conv2D(4, 3, padding="same", dtype="mixed_float16")),
        Branches([keras.layers.Conv2D(4, 1), []], dtype="mixed_bfloat16"),
        DenselyConnected(Conv2D(2, 3, padding="half"), 2, dtype="mixed_float16"),
        Inception(1, (2, 3), (1, 2), 2, dtype="mixed_bfloat16"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_composite_announces_the_dtype_that_it_gives(layer):
    announced = layer(keras.KerasTensor((None, 8, 8, 4)))
    actual = layer(IMAGES)
    assert keras.backend.standardize_dtype(actual.dtype) == announced.dtype
    assert actual.shape[1:] == announced.shape[1:]


@tensorflow_only
@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_gelu_exports_to_litert():
    import tensorflow as tf

    model = keras.Sequential([keras.Input((4, 4, 2), batch_size=1), GELU()])
    interpreter = tf.lite.Interpreter(model_content=tf.lite.TFLiteConverter.from_keras_model(model).convert())
    interpreter.allocate_tensors()
    values = np.linspace(-3, 3, 32, dtype="float32").reshape(1, 4, 4, 2)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values)
    interpreter.invoke()
    actual = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(actual, np.array(model(values)), atol=1e-3)


@tensorflow_only
@pytest.mark.parametrize("padding", ["half", "full", ((0, 1), (1, 0))])
@pytest.mark.parametrize("pool", [MaxPooling2D, MaxBlurPooling2D])
def test_padded_max_pool_is_right_in_vectorized_map(pool, padding):
    import tensorflow as tf

    images = tf.constant(IMAGES - 100)
    layer = pool(2, 1, padding)
    actual = tf.vectorized_map(lambda image: layer(image[None])[0], images)
    np.testing.assert_allclose(actual.numpy(), layer(images).numpy(), rtol=1e-6)


@pytest.mark.parametrize(("cells", "ratio", "regions"), [(33, 1.1, 30), (12, 1.2, 10), (28, 1.4, 20), (25, 2**0.5, 17)])
def test_fractional_pool_counts_its_regions_in_decimals(cells, ratio, regions):
    assert FractionalMaxPooling2D(ratio).compute_output_shape((None, cells, cells, 1)) == (None, regions, regions, 1)


def test_layer_inside_a_composite_is_reached_by_its_path():
    model = build("resnet20", image_shape=(8, 8, 1))
    block = model.get_layer("conv3_1")
    assert block.get_layer("body/conv1") is block.get_layer("body").get_layer("conv1")
    assert model.get_layer("conv2_x").get_layer("block_2/body/conv2").name == "conv2"
    with pytest.raises(ValueError, match=r"`conv3_1` has no layer 'tail'; its layers are body, shortcut, add, activat"):
        block.get_layer("tail")
    with pytest.raises(ValueError, match="`body` has no layer 'conv9'; its layers are conv1, bn1"):
        block.get_layer("body/conv9")
    with pytest.raises(ValueError, match="`conv3_1` has no layer 'add/conv1'"):
        block.get_layer("add/conv1")


def test_every_weight_of_a_network_lies_in_a_layer_of_its_path():
    model = build("googlenet_cifar")
    for layer in model.layers:
        for weight in layer.weights:
            name, *inner = weight.path.split("/")[:-1]
            actual = model.get_layer(name)
            actual = actual.get_layer("/".join(inner)) if inner else actual
            assert any(weight is each for each in actual.weights)


def test_summary_shows_the_layers_inside():
    lines = []
    build("resnet20", image_shape=(8, 8, 1)).summary(expand_nested=True, line_length=120, print_fn=lines.append)
    text = "\n".join(map(str, lines))
    assert "└ block_3 (Residual)" in text
    assert "└ conv2 (Conv2D)" in text
    assert "?" not in text


def test_files_hold_no_weight_by_a_second_path(tmp_path):
    h5py = pytest.importorskip("h5py")
    layer = Residual([Conv2D(4, 3, padding="half"), BatchNormalization()])
    model = keras.Sequential([keras.Input((8, 8, 4)), layer])
    model.save_weights(tmp_path / "x.weights.h5")
    paths = []
    with h5py.File(tmp_path / "x.weights.h5") as file:
        file.visit(paths.append)
    assert "layers/residual/body/layers/conv2d/vars/0" in paths
    assert not [path for path in paths if path.startswith("layers/residual/layers/")]
