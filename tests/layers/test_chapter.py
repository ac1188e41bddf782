"""The examples of a course's chapter on convolution and pooling."""

import keras
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy.signal import correlate2d

from convzoo.layers import AveragePooling2D, Conv2D, MaxPooling2D

# Dumoulin & Visin's figure 1.1, whose picture 1.2, 1.5 and 1.6 read too.
PICTURE = [[3, 3, 2, 1, 0], [0, 0, 1, 3, 1], [3, 1, 2, 2, 3], [2, 0, 0, 2, 2], [2, 0, 0, 0, 1]]
KERNEL = [[0, 1, 2], [2, 2, 0], [0, 1, 2]]


def run(layer, picture):
    return keras.ops.convert_to_numpy(layer(np.array(picture, "float32")[None, :, :, None]))[0, :, :, 0]


def convolve(picture, kernel, **arguments):
    layer = Conv2D(1, np.shape(kernel), use_bias=False, **arguments)
    layer.build((None, *np.shape(picture), 1))
    layer.set_weights([np.reshape(kernel, layer.kernel.shape)])
    return run(layer, picture)


def integers(*shape):
    return np.random.default_rng(0).integers(-4, 5, shape).astype("float32")


def filled(layer, shape):
    layer.build(shape)
    layer.set_weights([integers(*weight.shape) for weight in layer.weights])
    return layer


class TestDumoulinAndVisin:
    def test_figure_1_1_computing_a_convolution(self):
        np.testing.assert_allclose(convolve(PICTURE, KERNEL), [[12, 12, 17], [10, 17, 19], [9, 6, 14]], rtol=1e-6)

    def test_figure_1_2_with_padding_and_a_stride(self):
        actual = convolve(PICTURE, KERNEL, strides=2, padding=1)
        np.testing.assert_allclose(actual, [[6, 17, 3], [8, 17, 13], [6, 4, 4]], rtol=1e-6)

    def test_figure_1_3_two_maps_to_three(self):
        """Each input map is correlated with its own kernel; the results are added to a map of the output."""
        images = integers(1, 5, 5, 2)
        layer = filled(Conv2D(3, 3), images.shape)
        kernel, bias = layer.get_weights()
        actual = keras.ops.convert_to_numpy(layer(images))[0]
        for output in range(3):
            first = correlate2d(images[0, :, :, 0], kernel[:, :, 0, output], "valid")
            second = correlate2d(images[0, :, :, 1], kernel[:, :, 1, output], "valid")
            np.testing.assert_allclose(actual[:, :, output], first + second + bias[output], rtol=1e-5)

    def test_figure_1_5_average_pooling(self):
        expected = [[1.7, 1.7, 1.7], [1.0, 1.2, 1.8], [1.1, 0.8, 1.3]]
        np.testing.assert_allclose(run(AveragePooling2D(3, 1), PICTURE), expected, atol=0.05)

    def test_figure_1_6_max_pooling(self):
        np.testing.assert_array_equal(run(MaxPooling2D(3, 1), PICTURE), [[3, 3, 3], [3, 3, 3], [3, 2, 3]])

    @pytest.mark.parametrize(
        ("size", "kernel_size", "strides", "padding", "cells", "output"),
        [
            pytest.param(4, 3, 1, "valid", 0, 2, id="no_padding_no_strides"),
            pytest.param(5, 4, 1, 2, 2, 6, id="arbitrary_padding_no_strides"),
            pytest.param(5, 3, 1, "half", 1, 5, id="half_padding_no_strides"),
            pytest.param(5, 3, 1, "full", 2, 7, id="full_padding_no_strides"),
            pytest.param(5, 3, 2, "valid", 0, 2, id="no_padding_strides"),
            pytest.param(5, 3, 2, 1, 1, 3, id="padding_strides"),
            pytest.param(6, 3, 2, 1, 1, 3, id="padding_strides_odd"),
        ],
    )
    def test_arithmetic_figure(self, size, kernel_size, strides, padding, cells, output):
        picture, kernel = integers(size, size), integers(kernel_size, kernel_size)
        actual = convolve(picture, kernel, strides=strides, padding=padding)
        assert actual.shape == (output, output)
        expected = correlate2d(np.pad(picture, cells), kernel, "valid")[::strides, ::strides]
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    h=st.integers(1, 12),
    k=st.integers(1, 5),
    p1=st.integers(0, 4),
    p2=st.integers(0, 4),
    s=st.integers(1, 4),
    d=st.integers(1, 3),
)
@example(h=6, k=3, p1=1, p2=1, s=2, d=1)
def test_the_size_of_the_output_is_the_number_of_windows(h, k, p1, p2, s, d):
    assume(s == 1 or d == 1)
    tops = [top for top in range(-p1, h + p2, s) if top + d * (k - 1) < h + p2]
    assume(tops)
    assert (h + p1 + p2 - d * (k - 1) - 1) // s + 1 == len(tops)
    layer = Conv2D(1, (k, 1), (s, 1), ((p1, p2), (0, 0)), dilation_rate=(d, 1))
    assert layer.compute_output_shape((None, h, 1, 1)) == (None, len(tops), 1, 1)


def test_demo_of_cs231n():
    """5x5x3 padded by one, two filters of 3x3x3 at stride 2: each output is one sum over a whole window, and a bias."""
    images = integers(1, 5, 5, 3)
    layer = filled(Conv2D(2, 3, strides=2, padding=1), images.shape)
    assert layer.count_params() == 2 * (3 * 3 * 3 + 1)
    kernel, bias = layer.get_weights()
    padded = np.zeros((7, 7, 3))
    padded[1:6, 1:6] = images[0]
    expected = np.empty((3, 3, 2))
    for row, column, f in np.ndindex(3, 3, 2):
        window = padded[2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
        expected[row, column, f] = np.sum(window * kernel[..., f]) + bias[f]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(images))[0], expected, rtol=1e-5, atol=1e-5)


class TestOneByOne:
    def test_of_one_map_is_a_scaling(self):
        layer = Conv2D(1, 1)
        layer.build((None, 2, 2, 1))
        layer.set_weights([np.full((1, 1, 1, 1), 3), np.array([-1])])
        np.testing.assert_array_equal(run(layer, [[1, 2], [-3, 0]]), [[2, 5], [-10, -1]])

    def test_of_many_maps_is_one_dense_layer_at_every_pixel(self):
        images = integers(2, 4, 3, 6)
        layer, dense = filled(Conv2D(5, 1, activation="relu"), images.shape), keras.layers.Dense(5, activation="relu")
        dense.build(images.shape)
        kernel, bias = layer.get_weights()
        dense.set_weights([kernel[0, 0], bias])
        assert layer.count_params() == dense.count_params() == 6 * 5 + 5
        actual, expected = (keras.ops.convert_to_numpy(each(images)) for each in (layer, dense))
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


class TestARow:
    def test_convolution_of_a_shifted_row_is_shifted(self):
        actual = convolve([[0, 0, 1, 2, 3, 0, 0, 0]], [[1, 0, -1]], padding="half")
        np.testing.assert_array_equal(actual, [[0, -1, -2, -2, 2, 3, 0, 0]])
        actual = convolve([[0, 0, 0, 0, 1, 2, 3, 0]], [[1, 0, -1]], padding="half")
        np.testing.assert_array_equal(actual, [[0, 0, 0, -1, -2, -2, 2, 3]])

    def test_half_of_the_maxima_of_a_shifted_row_are_the_same(self):
        """Goodfellow, Bengio & Courville 2016, figure 9.8: four detectors of a longer row, and their pools."""
        pool = MaxPooling2D((1, 3), 1)
        np.testing.assert_allclose(run(pool, [[0.3, 0.1, 1, 0.2, 0.1, 0]]), [[1, 1, 1, 0.2]])
        np.testing.assert_allclose(run(pool, [[0, 0.3, 0.1, 1, 0.2, 0.1]]), [[0.3, 1, 1, 1]])
