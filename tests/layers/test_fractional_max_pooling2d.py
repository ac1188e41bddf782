import keras
import numpy as np
import pytest

from convzoo.layers import FractionalMaxPooling2D


def cuts_and_maxima(layer, rows, columns):
    """Last row and column of every region, which ramps show, and the maxima of noise in the same call."""
    noise = np.random.default_rng(0).normal(size=(rows, columns))
    y, x = np.indices((rows, columns))
    images = np.stack([y, x, noise], -1)[None].astype("float32")
    actual = keras.ops.convert_to_numpy(layer(images))[0]
    bottoms, rights = actual[:, 0, 0].astype(int), actual[0, :, 1].astype(int)
    assert np.all(actual[..., 0] == bottoms[:, None])
    assert np.all(actual[..., 1] == rights)
    return bottoms, rights, noise.astype("float32"), actual[..., 2]


@pytest.mark.parametrize("pseudo_random", [True, False])
@pytest.mark.parametrize("ratio", [2**0.5, 1.3, 1.9, 2.7])
def test_regions_cover_the_image(pseudo_random, ratio):
    layer = FractionalMaxPooling2D(ratio, pseudo_random, seed=1)
    for _ in range(10):
        bottoms, rights, noise, maxima = cuts_and_maxima(layer, 25, 18)
        for last, cells in ((bottoms, 25), (rights, 18)):
            sizes = np.diff([-1, *last])
            assert sizes.sum() == cells
            assert set(sizes) <= {int(cells / len(sizes)), int(cells / len(sizes)) + 1}
        tops, lefts = np.r_[0, bottoms[:-1] + 1], np.r_[0, rights[:-1] + 1]
        for i, j in np.ndindex(maxima.shape):
            assert maxima[i, j] == noise[tops[i] : bottoms[i] + 1, lefts[j] : rights[j] + 1].max()


@pytest.mark.parametrize("pseudo_random", [True, False])
def test_overlapping_regions_reach_one_further(pseudo_random):
    layer = FractionalMaxPooling2D(1.6, pseudo_random, overlapping=True, seed=1)
    plain = FractionalMaxPooling2D(1.6, pseudo_random, seed=1)
    for _ in range(5):
        bottoms, rights, noise, maxima = cuts_and_maxima(layer, 12, 15)
        cuts = cuts_and_maxima(plain, 12, 15)[:2]
        np.testing.assert_array_equal(bottoms, np.minimum(cuts[0] + 1, 11))
        np.testing.assert_array_equal(rights, np.minimum(cuts[1] + 1, 14))
        tops, lefts = np.r_[0, cuts[0][:-1] + 1], np.r_[0, cuts[1][:-1] + 1]
        for i, j in np.ndindex(maxima.shape):
            assert maxima[i, j] == noise[tops[i] : bottoms[i] + 1, lefts[j] : rights[j] + 1].max()


def test_pseudo_random_cuts_are_those_of_the_formula():
    """All of ceil(a (i + u)) with a = 7 / 5, for u over (0, 1), and no others."""
    a = 7 / 5
    edges = {tuple(np.ceil(a * (np.arange(1, 6) + u)) - np.ceil(a * u)) for u in np.linspace(0.001, 0.999, 500)}
    layer = FractionalMaxPooling2D((a, 1), pseudo_random=True, seed=0)
    actual = {tuple(cuts_and_maxima(layer, 7, 1)[0] + 1.0) for _ in range(60)}
    assert actual == edges


def test_random_cuts_are_all_orders_of_the_sizes():
    layer = FractionalMaxPooling2D((7 / 5, 1), seed=0)
    actual = {tuple(np.diff([-1, *cuts_and_maxima(layer, 7, 1)[0]])) for _ in range(100)}
    assert len(actual) == 10  # two twos among five
    assert all(sorted(sizes) == [1, 1, 1, 2, 2] for sizes in actual)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="its own raw operation")
@pytest.mark.parametrize("overlapping", [True, False])
@pytest.mark.parametrize("ratio", [1.0, 1.25, 2**0.5, 1.73, 2.3])
def test_shapes_are_those_of_tensorflow(ratio, overlapping):
    import tensorflow as tf

    images = np.zeros((2, 23, 32, 3), "float32")
    layer = FractionalMaxPooling2D((ratio, 1.5), overlapping=overlapping)
    expected = tf.nn.fractional_max_pool(images, [1, ratio, 1.5, 1], overlapping=overlapping)[0].shape
    assert layer(images).shape == layer.compute_output_shape(images.shape) == expected


def test_channels_first_is_the_same():
    images = np.random.default_rng(0).normal(size=(2, 9, 8, 3)).astype("float32")
    last, first = (
        FractionalMaxPooling2D((1.3, 1.7), seed=2, data_format=f"channels_{order}") for order in ("last", "first")
    )
    actual = keras.ops.convert_to_numpy(first(images.transpose(0, 3, 1, 2)))
    np.testing.assert_array_equal(actual.transpose(0, 2, 3, 1), keras.ops.convert_to_numpy(last(images)))


def test_the_slope_goes_to_the_maxima(gradient):
    images = np.arange(1.0, 13).reshape(1, 1, 12, 1)
    layer = FractionalMaxPooling2D((1, 3), overlapping=True, seed=0)
    np.testing.assert_array_equal(gradient(layer, images)[0, 0, :, 0], [0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 1])


def test_compiled_calls_draw_anew():
    images = np.tile(np.arange(20.0).reshape(1, 1, 20, 1), (8, 1, 1, 1))
    model = keras.Sequential([keras.Input((1, 20, 1)), FractionalMaxPooling2D((1, 1.4), seed=0)])
    model.compile()
    rows = model.predict(images, batch_size=1, verbose=0)[:, 0, :, 0]
    assert len(np.unique(rows, axis=0)) > 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("pool_ratio", 0.5), ("pool_ratio", (1, 2, 3)), ("pool_ratio", "two"), ("overlapping", 1), ("seed", -1)],
)
def test_arguments_that_are_refused(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be .* Received: {name}="):
        FractionalMaxPooling2D(**{"pool_ratio": 2, name: value})


@pytest.mark.parametrize("shape", [(None, None, 8, 1), (None, 8, 1, 1)])
def test_sizes_that_are_refused(shape):
    with pytest.raises(ValueError, match="Height and width must be known and at least `pool_ratio`"):
        FractionalMaxPooling2D(1.5)(keras.Input(shape[1:]))
