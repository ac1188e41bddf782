import keras
import numpy as np
import pytest
import scipy.linalg

from convzoo.layers import GlobalContrastNormalization, ZCAWhitening


def run(layer, images):
    actual = layer(images)
    assert keras.backend.standardize_dtype(actual.dtype) == "float32"
    return keras.ops.convert_to_numpy(actual)


@pytest.fixture
def pictures():
    """Images whose neighbouring values are alike, as in photographs."""
    rng = np.random.default_rng(0)
    return 128 + 20 * rng.normal(size=(200, 4, 5, 3)).cumsum(axis=1).cumsum(axis=2)


def test_contrast_is_that_of_pylearn2(pictures):
    expected = [55 * (x - x.mean()) / np.linalg.norm(x - x.mean()) for x in pictures]
    np.testing.assert_allclose(run(GlobalContrastNormalization(), pictures), expected, rtol=1e-4, atol=1e-4)


def test_contrast_is_that_of_coates(pictures):
    expected = [(x - x.mean()) / np.sqrt(x.var(ddof=1) + 10) for x in pictures]
    layer = GlobalContrastNormalization(scale=1, use_std=True, sqrt_bias=10)
    np.testing.assert_allclose(run(layer, pictures), expected, rtol=1e-4, atol=1e-4)


def test_bytes_are_what_their_numbers_are():
    images = np.random.default_rng(1).integers(0, 256, (3, 8, 8, 3), dtype="uint8")
    given = run(GlobalContrastNormalization(), images)
    np.testing.assert_array_equal(given, run(GlobalContrastNormalization(), images.astype("float32")))
    np.testing.assert_allclose(np.linalg.norm(given.reshape(3, -1), axis=1), 55, rtol=1e-5)


@pytest.mark.parametrize("value", [0, 7, 0.1, 201, 255])
@pytest.mark.parametrize("scale", [1, 55])
def test_a_flat_image_stays_flat(value, scale):
    images = np.full((1, 32, 32, 3), value, "float32")
    np.testing.assert_allclose(run(GlobalContrastNormalization(scale), images), 0, atol=1e-6)


def test_a_flat_image_has_a_finite_slope(gradient):
    assert np.all(np.isfinite(gradient(GlobalContrastNormalization(), np.full((1, 4, 4, 1), 7.0))))


def test_the_input_is_left_alone(pictures):
    images = keras.ops.convert_to_tensor(pictures, "float32")
    run(GlobalContrastNormalization(), images)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(images), pictures.astype("float32"))


def test_zca_is_the_inverse_root_of_the_covariance(pictures):
    """(x - m) (C + 0.1 I)^(-1/2), by another route than eigenvectors."""
    rows = pictures.reshape(len(pictures), -1)
    covariance = np.cov(rows, rowvar=False, bias=True) + 0.1 * np.eye(60)
    expected = (rows - rows.mean(axis=0)) @ scipy.linalg.inv(scipy.linalg.sqrtm(covariance)).real
    layer = ZCAWhitening()
    layer.adapt(pictures)
    np.testing.assert_allclose(run(layer, pictures).reshape(200, -1), expected, atol=2e-3)


def test_zca_leaves_no_correlation(pictures):
    layer = ZCAWhitening(epsilon=1e-3)
    layer.adapt(pictures)
    actual = np.cov(run(layer, pictures).reshape(200, -1), rowvar=False, bias=True)
    np.testing.assert_allclose(actual, np.eye(60), atol=0.02)


def test_a_stream_is_read_as_the_whole(pictures):
    whole, stream = ZCAWhitening(), ZCAWhitening()
    whole.adapt(keras.ops.convert_to_tensor(pictures))
    stream.adapt(keras.ops.convert_to_tensor(pictures[i : i + 64]) for i in range(0, 200, 64))
    np.testing.assert_allclose(run(stream, pictures), run(whole, pictures), atol=1e-3)


def test_a_set_larger_than_one_block():
    images = np.random.default_rng(0).integers(0, 256, (5000, 2, 2, 1), dtype="uint8")
    layer = ZCAWhitening()
    layer.adapt(images)
    expected = images.reshape(5000, 4).mean(axis=0)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer.mean), expected, rtol=1e-6)


def test_far_from_zero_the_covariance_survives():
    noise = np.random.default_rng(0).normal(size=(500, 3, 1, 1)) * [[[1e-3]], [[1]], [[1e-2]]]
    near, far = ZCAWhitening(1e-6), ZCAWhitening(1e-6)
    near.adapt(noise)
    far.adapt(noise + 1e6)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(far.matrix), keras.ops.convert_to_numpy(near.matrix), rtol=1e-3, atol=1e-3
    )


def test_use_before_adapt(pictures):
    layer = ZCAWhitening()
    layer.build(pictures.shape)
    with pytest.raises(ValueError, match=r"`adapt\(data\)` must be called"):
        layer(pictures)
    assert layer(keras.Input((4, 5, 3))).shape == (None, 4, 5, 3)


def test_what_is_saved_unadapted_is_loaded_unadapted(tmp_path):
    model = keras.Sequential([keras.Input((2, 2, 1)), ZCAWhitening()])
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"`adapt\(data\)` must be called"):
        keras.models.load_model(tmp_path / "model.keras")(np.zeros((1, 2, 2, 1), "float32"))


def test_data_that_is_refused(pictures):
    layer = ZCAWhitening()
    with pytest.raises(ValueError, match="at least one image"):
        layer.adapt([])
    with pytest.raises(ValueError, match="at least one image"):
        layer.adapt(pictures[:0])
    layer.adapt(pictures)
    with pytest.raises(ValueError, match=r"shape \(4, 5, 3\).*\(200, 5, 4, 3\)"):
        layer.adapt(pictures.transpose(0, 2, 1, 3))
    with pytest.raises(ValueError, match=r"expected shape=\(None, 4, 5, 3\)"):
        layer(pictures[:, :2])
    with pytest.raises(ValueError, match="must be known"):
        ZCAWhitening()(keras.Input((None, None, 3)))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_float32_whatever_the_policy(pictures, policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        layers = [GlobalContrastNormalization(), ZCAWhitening(), ZCAWhitening(dtype=policy)]
        for layer in layers[1:]:
            layer.adapt(pictures)
        for layer in layers:
            assert layer(keras.Input((4, 5, 3))).dtype == "float32"
            run(layer, pictures)
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (GlobalContrastNormalization, {"scale": 0}),
        (GlobalContrastNormalization, {"use_std": "yes"}),
        (GlobalContrastNormalization, {"sqrt_bias": -1}),
        (GlobalContrastNormalization, {"min_divisor": 0}),
        (ZCAWhitening, {"epsilon": 0}),
        (ZCAWhitening, {"epsilon": float("nan")}),
    ],
)
def test_arguments_that_are_refused(cls, arguments):
    with pytest.raises(ValueError, match=f"`{next(iter(arguments))}` must be .* Received: "):
        cls(**arguments)
