"""Against Keras's own, and against the definition."""

import keras
import numpy as np
import pytest

from convzoo.layers import Normalization

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 4, 3, 2), dtype=np.uint8)
MEANS, VARIANCES = [100.0, 3.0], [49.0, 0.25]


def numbers(tensor):
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"mean": MEANS, "variance": VARIANCES},
        {"mean": 7, "variance": 0},
        {"invert": True},
        {"axis": 1},
        {"axis": None},
        {"axis": (2, 3)},
        {"dtype": "mixed_bfloat16"},
    ],
    ids=str,
)
def test_values_are_keras_s(arguments):
    layers = Normalization(**arguments), keras.layers.Normalization(**arguments)
    if "mean" not in arguments:
        for layer in layers:
            layer.adapt(IMAGES.astype("float32"))
    ours, theirs = (layer(IMAGES) for layer in layers)
    assert keras.backend.standardize_dtype(ours.dtype) == keras.backend.standardize_dtype(theirs.dtype)
    rounding = 0.02 if "dtype" in arguments else 1e-6
    np.testing.assert_allclose(numbers(ours), numbers(theirs), rtol=rounding, atol=rounding)


def test_adapted_layer_gives_channels_mean_0_and_deviation_1():
    layer = Normalization()
    layer.adapt(iter([IMAGES[:3].astype("float32"), IMAGES[3:].astype("float32")]))
    pixels = numbers(layer(IMAGES)).reshape(-1, 2)
    np.testing.assert_allclose(pixels.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(pixels.std(0), 1, rtol=1e-6)


@pytest.mark.parametrize("rank", [2, 3, 4])
@pytest.mark.parametrize("far", [0.0, 1e5])
@pytest.mark.parametrize("kind", ["array", "batches", "list", "tensor", "pairs"])
def test_it_adapts_to_what_keras_adapts_to(kind, far, rank):
    """Batches of three sizes; a channel far from zero, and in one case a flat one."""
    if kind == "pairs" and far:
        pytest.skip("Keras's own sums, in float32, come to a variance of 854 where it is 4")
    values = (np.random.default_rng(1).normal(size=(3000, 4, 3, 2)) * [2.0, 0.5] + [far, 1.0]).astype("float32")
    values[..., 1] *= rank != 3
    values = values[(slice(None), *(4 - rank) * [0])]
    parts = [values[:2], values[2:1500], values[1500:]]
    data = {
        "array": values,
        "batches": (part for part in parts),
        "pairs": ((part, None) for part in parts),
        "list": parts,
        "tensor": keras.ops.convert_to_tensor(values),
    }[kind]
    layer = Normalization()
    layer.adapt(data)
    exact = values.reshape(-1, 2).astype("float64")
    rounding = 1e-4 if kind == "pairs" else 1e-6
    np.testing.assert_allclose(numbers(layer.mean).reshape(-1), exact.mean(0), rtol=rounding, atol=1e-7)
    np.testing.assert_allclose(numbers(layer.variance).reshape(-1), exact.var(0), rtol=rounding, atol=1e-7)
    assert layer(values).shape == values.shape


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ((part for part in ()), "empty"),
        ([], "empty"),
        (IMAGES[:0], "at least one value"),
        ([IMAGES, IMAGES[..., :1]], "alike"),
        ([IMAGES, IMAGES[0]], "alike"),
    ],
    ids=["batches", "list", "array", "channels", "rank"],
)
def test_what_it_cannot_adapt_to(data, told):
    with pytest.raises(ValueError, match=told):
        Normalization().adapt(data)


def test_it_adapts_anew_to_the_channels_that_it_was_built_for():
    layer = Normalization()
    layer.adapt([IMAGES, IMAGES[:0]])
    layer.adapt(IMAGES + 1.0)
    np.testing.assert_allclose(numbers(layer.mean).reshape(-1), IMAGES.mean((0, 1, 2)) + 1, rtol=1e-6)
    with pytest.raises(ValueError, match="must have 2 channels"):
        layer.adapt(IMAGES[..., :1])


def test_vectors_one_by_one_go_keras_s_way():
    layer, theirs = Normalization(), keras.layers.Normalization()
    for each in (layer, theirs):
        each.adapt([np.float32([1, 2, 4]), np.float32([3, 4, 8])])
    np.testing.assert_array_equal(numbers(layer.mean), numbers(theirs.mean))


@pytest.mark.parametrize("shape", [(None, None, 2), (4, 3, 2)])
def test_images_of_any_size(shape):
    inputs = keras.Input(shape)
    model = keras.Model(inputs, Normalization(mean=MEANS, variance=VARIANCES)(inputs))
    assert model.output_shape == (None, *shape)
    expected = (IMAGES.astype("float32") - MEANS) / np.sqrt(VARIANCES)
    np.testing.assert_allclose(model.predict(IMAGES, verbose=0), expected, rtol=1e-6)


def test_within_a_tf_data_pipeline():
    tf = pytest.importorskip("tensorflow")
    layer = Normalization(mean=MEANS, variance=VARIANCES)
    layer.build((None, 4, 3, 2))
    (actual,) = tf.data.Dataset.from_tensors(IMAGES).map(layer)
    np.testing.assert_allclose(actual.numpy(), (IMAGES.astype("float32") - MEANS) / np.sqrt(VARIANCES), rtol=1e-6)
