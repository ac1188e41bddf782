import keras
import numpy as np
import pytest

from convzoo.layers import WhitenedConv2D


def adapted(data, *arguments, **kwargs):
    layer = WhitenedConv2D(*arguments, **kwargs)
    layer.adapt(data)
    return layer


def run(layer, images):
    return keras.ops.convert_to_numpy(layer(images))


@pytest.fixture(scope="module")
def pictures():
    """Images whose neighbouring values are alike, as in photographs."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(200, 6, 5, 3)).cumsum(axis=1).cumsum(axis=2)
    return (images / images.std()).astype("float32")


def test_by_hand():
    """Two pixels of covariance ((2.5, 1.5), (1.5, 2.5)): eigenvalue 4 along (1, 1), 1 along (1, -1)."""
    images = np.reshape([[2, 2], [-2, -2], [1, -1], [-1, 1]], (4, 1, 2, 1))
    kernel = keras.ops.convert_to_numpy(adapted(images, (1, 2), epsilon=5).kernel).reshape(2, 4)
    np.testing.assert_allclose(np.abs(kernel[0, :2]), [1 / 18**0.5, 1 / 12**0.5], rtol=1e-6)
    np.testing.assert_allclose(kernel[1, :2] / kernel[0, :2], [1, -1], rtol=1e-6)
    np.testing.assert_array_equal(kernel[:, 2:], -kernel[:, :2])


@pytest.mark.parametrize("kernel_size", [2, (3, 2)])
def test_patches_are_white(pictures, kernel_size):
    size = 12 if kernel_size == 2 else 18
    actual = run(adapted(pictures, kernel_size, epsilon=1e-9), pictures)
    np.testing.assert_array_equal(actual[..., size:], -actual[..., :size])
    covariance = np.cov(actual[..., :size].reshape(-1, size), rowvar=False, bias=True)
    np.testing.assert_allclose(covariance, np.eye(size), atol=1e-3)


def test_epsilon_holds_back_the_small_ones(pictures):
    """Where an eigenvalue is l, the variance is l / (l + epsilon), largest first."""
    patches = [image[y : y + 2, x : x + 2].ravel() for image in pictures for y in range(5) for x in range(4)]
    values = np.linalg.eigvalsh(np.cov(patches, rowvar=False, bias=True))[::-1]
    actual = run(adapted(pictures, epsilon=0.1), pictures)[..., :12].reshape(-1, 12).var(axis=0)
    np.testing.assert_allclose(actual, values / (values + 0.1), rtol=1e-3)


@pytest.mark.parametrize("padding", ["same", ((1, 1), (2, 0))])
def test_channels_first_strides_and_padding(pictures, padding):
    arguments = {"strides": (2, 1), "padding": padding}
    last = adapted(pictures, **arguments)
    first = adapted(pictures.transpose(0, 3, 1, 2), **arguments, data_format="channels_first")
    for layer in (last, first):
        layer.bias.assign(np.arange(24))
    actual = run(last, pictures)
    np.testing.assert_allclose(
        run(first, pictures.transpose(0, 3, 1, 2)), actual.transpose(0, 3, 1, 2), rtol=1e-4, atol=1e-4
    )
    (top, bottom), (left, right) = ((0, 0), (0, 1)) if padding == "same" else padding
    padded = np.pad(pictures, ((0, 0), (top, bottom), (left, right), (0, 0)))
    kernel = keras.ops.convert_to_numpy(last.kernel)
    corner = np.einsum("nyxc,yxcf->nf", padded[:, 2:4, -2:], kernel) + np.arange(24)
    np.testing.assert_allclose(actual[:, 1, -1], corner, rtol=1e-4, atol=1e-4)
    assert last.compute_output_shape((None, 6, 5, 3)) == (None, *actual.shape[1:])


def test_a_stream_is_read_as_the_whole(pictures):
    whole = adapted(keras.ops.convert_to_tensor(pictures))
    stream = adapted(keras.ops.convert_to_tensor(pictures[i : i + 64]) for i in range(0, 200, 64))
    assert np.any(run(whole, pictures))
    np.testing.assert_allclose(run(stream, pictures), run(whole, pictures), atol=1e-3)


def test_bytes_are_what_their_numbers_are():
    images = np.random.default_rng(1).integers(0, 256, (20, 4, 4, 3), dtype="uint8")
    np.testing.assert_array_equal(adapted(images).kernel, adapted(images.astype("float32")).kernel)


def test_the_bias_is_trained_and_the_kernels_never(pictures):
    layer = adapted(pictures)
    layer.trainable = False
    layer.trainable = True
    assert [weight.name for weight in layer.trainable_weights] == ["bias"]
    assert tuple(layer.bias.shape) == (24,)
    without = adapted(pictures, use_bias=False)
    assert without.trainable_weights == []
    np.testing.assert_array_equal(run(without, pictures), run(layer, pictures))


@pytest.mark.parametrize(("dtype", "rounding"), [("bfloat16", 0.03), ("float16", 0.004)])
def test_half_precision(pictures, dtype, rounding):
    actual = adapted(pictures, dtype=f"mixed_{dtype}")(pictures)
    assert keras.backend.standardize_dtype(actual.dtype) == dtype
    actual, expected = keras.ops.convert_to_numpy(keras.ops.cast(actual, "float32")), run(adapted(pictures), pictures)
    assert np.std(actual - expected) < rounding * np.std(expected)


def test_use_before_adapt(pictures):
    layer = WhitenedConv2D()
    layer.build(pictures.shape)
    with pytest.raises(ValueError, match=r"`adapt\(data\)` must be called"):
        layer(pictures)
    assert layer(keras.Input((6, 5, 3))).shape == (None, 5, 4, 24)


def test_what_is_saved_unadapted_is_loaded_unadapted(tmp_path):
    model = keras.Sequential([keras.Input((2, 2, 1)), WhitenedConv2D()])
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"`adapt\(data\)` must be called"):
        keras.models.load_model(tmp_path / "model.keras")(np.zeros((1, 2, 2, 1), "float32"))


def test_data_that_is_refused(pictures):
    layer = WhitenedConv2D()
    with pytest.raises(ValueError, match="at least one image"):
        layer.adapt([])
    layer.adapt(pictures)
    with pytest.raises(ValueError, match=r"images of 3 channels.*\(200, 6, 5, 2\)"):
        layer.adapt(pictures[..., :2])
    with pytest.raises(ValueError, match="must have 4 axes"):
        layer.adapt(pictures[0])
    with pytest.raises(ValueError, match="at least as large as the window"):
        layer.adapt(pictures[:, :1])
    with pytest.raises(ValueError, match="channels must be known"):
        WhitenedConv2D()(keras.Input((6, 5, None)))


@pytest.mark.parametrize(
    ("name", "value"),
    [("kernel_size", 0), ("strides", 1.5), ("padding", "sme"), ("epsilon", 0), ("use_bias", 1), ("data_format", "x")],
)
def test_arguments_that_are_refused(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be .* Received: {name}={value!r}"):
        WhitenedConv2D(**{name: value})
