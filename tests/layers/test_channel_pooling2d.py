import keras
import numpy as np
import pytest

from convzoo.layers import ChannelPooling2D, Maxout

REDUCE = {
    "max": (dict(mode="max"), lambda cells: cells.max(-1)),
    "average": (dict(mode="average"), lambda cells: cells.mean(-1)),
    "l2": (dict(mode="lp"), lambda cells: np.linalg.norm(cells, axis=-1)),
    "l3": (dict(mode="lp", p=3), lambda cells: np.linalg.norm(cells, 3, axis=-1)),
}


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize(("pool_size", "strides"), [(2, None), (3, 1), (3, 2), (1, 3), (8, 8)])
@pytest.mark.parametrize("kind", list(REDUCE))
def test_equals_a_loop(kind, pool_size, strides, data_format):
    arguments, reduce = REDUCE[kind]
    images = normal(2, 3, 4, 8)
    starts = range(0, 8 - pool_size + 1, strides or pool_size)
    expected = np.stack([reduce(images[..., start : start + pool_size]) for start in starts], -1)
    axis = -1 if data_format == "channels_last" else 1
    layer = ChannelPooling2D(pool_size, strides, data_format=data_format, **arguments)
    given = np.moveaxis(images, -1, axis)
    actual = keras.ops.convert_to_numpy(layer(given))
    np.testing.assert_allclose(np.moveaxis(actual, axis, -1), expected, rtol=1e-5, atol=1e-6)
    assert layer.compute_output_shape((None, *given.shape[1:])) == (None, *actual.shape[1:])


def test_zeros_have_slope_zero(gradient):
    for mode in ("lp", "average", "max"):
        slope = gradient(ChannelPooling2D(2, mode=mode), np.zeros((1, 1, 1, 2)))
        assert np.all(np.isfinite(slope))
    np.testing.assert_array_equal(gradient(ChannelPooling2D(2, mode="lp"), np.zeros((1, 1, 1, 2))), 0)


def test_large_half_precision_numbers_do_not_overflow():
    actual = ChannelPooling2D(4, mode="lp", dtype="float16")(np.full((1, 1, 1, 4), 3000, "float16"))
    assert keras.ops.convert_to_numpy(actual).item() == 6000


def test_maxout_by_hand():
    actual = Maxout(3)(np.array([[1, 5, 2, -4, -6, -5]], "float32"))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(actual), [[5, -4]])


@pytest.mark.parametrize(("axis", "shape"), [(-1, (2, 3, 4, 6)), (1, (2, 6, 4, 5)), (2, (2, 3, 6)), (-2, (2, 3, 6, 1))])
def test_maxout_on_any_axis(axis, shape):
    values = normal(*shape)
    layer = Maxout(2, axis)
    expected = np.stack([half.max(axis) for half in np.split(values, 3, axis)], axis)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer(values)), expected)
    assert layer.compute_output_shape((None, *shape[1:])) == (None, *expected.shape[1:])


def test_two_linear_pieces_are_the_absolute_value():
    dense = keras.layers.Dense(2, use_bias=False)
    values = np.array([[-2], [0], [3]], "float32")
    dense.build(values.shape)
    dense.set_weights([np.array([[1, -1]])])
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(Maxout(2)(dense(values))), np.abs(values))


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (ChannelPooling2D, {"pool_size": (2, 2)}),
        (ChannelPooling2D, {"pool_size": 2, "strides": 0}),
        (ChannelPooling2D, {"pool_size": 2, "mode": "min"}),
        (ChannelPooling2D, {"pool_size": 2, "p": 0.5}),
        (Maxout, {"pieces": 0}),
        (Maxout, {"axis": 0}),
        (Maxout, {"axis": 1.5}),
    ],
)
def test_arguments_that_are_refused(cls, arguments):
    name = list(arguments)[-1]
    with pytest.raises(ValueError, match=f"`{name}` must be .* Received: {name}="):
        cls(**arguments)


def test_channels_that_are_refused():
    with pytest.raises(ValueError, match="at least `pool_size` channels"):
        ChannelPooling2D(3)(np.zeros((1, 4, 4, 2)))
    with pytest.raises(ValueError, match="a multiple of `pieces`"):
        Maxout(3)(np.zeros((1, 4)))
    with pytest.raises(ValueError, match="a multiple of `pieces`"):
        Maxout(2, axis=3)(np.zeros((1, 4)))
