import keras
import numpy as np
import pytest

from convzoo.layers import MaxPooling2D, StridedConv2D


@pytest.mark.parametrize("side", [7, 8])
@pytest.mark.parametrize("padding", ["valid", "half", "same", "ceil", 1, ((0, 1), (1, 0))])
def test_shape_is_that_of_the_pool_it_replaces(side, padding):
    images = np.zeros((1, side, side, 6), "float32")
    strided = StridedConv2D(3, 2, padding)
    assert strided(images).shape == MaxPooling2D(3, 2, padding)(images).shape
    assert strided.compute_output_shape((None, side, side, 6)) == (None, *strided(images).shape[1:])


def test_strides_and_channels_are_the_pools_by_default():
    layer = StridedConv2D((2, 3))
    assert layer(np.zeros((1, 4, 6, 5), "float32")).shape == (1, 2, 2, 5)
    assert layer.strides == layer.pool_size == layer.kernel_size == (2, 3)
    assert [tuple(weight.shape) for weight in layer.weights] == [(2, 3, 5, 5), (5,)]
    assert layer.get_config()["filters"] is None


def test_parameters_of_all_cnn_c():
    """Its two down-samplings are what it has more than base C: 1,369,738 - 954,730 = 415,008."""
    first, second = StridedConv2D(3, 2, "same"), StridedConv2D(3, 2, "same")
    first.build((None, 32, 32, 96))
    second.build((None, 16, 16, 192))
    assert first.count_params() + second.count_params() == 415_008


def test_picture_by_hand():
    """Sums of 3x3 windows; "ceil" adds one whose last column is zeros."""
    images = np.array([[1, 2, 3, 4], [5, 6, 7, -8], [9, 10, 11, -12]], "float32").reshape(1, 3, 4, 1)
    layer = StridedConv2D(3, (1, 2), "ceil", filters=1, kernel_initializer="ones")
    actual = keras.ops.convert_to_numpy(layer(images))[0, :, :, 0]
    np.testing.assert_array_equal(actual, [[54, 5]])


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"pool_size": 0}, "pool_size"),
        ({"strides": -1}, "strides"),
        ({"padding": "sme"}, '"ceil"'),
        ({"filters": 0}, "filters"),
        ({"activation": "rectify"}, "activation"),
        ({"use_bias": 2}, "use_bias"),
    ],
)
def test_arguments_that_are_refused(arguments, name):
    with pytest.raises(ValueError, match=name):
        StridedConv2D(**{"pool_size": 2, **arguments})


def test_a_size_that_ceil_needs_is_missed_before_any_data():
    with pytest.raises(ValueError, match="height and width must be known"):
        StridedConv2D(3, 2, "ceil")(keras.Input((None, None, 3)))
