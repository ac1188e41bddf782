import keras
import numpy as np
import pytest

from convzoo.layers import Conv2D
from convzoo.layers.padding import check_padding, output_size, pad_amounts


@pytest.mark.parametrize(
    ("image", "kernel", "stride", "padding", "windows"),
    [
        pytest.param(4, 3, 1, 0, 2, id="no padding, no strides"),
        pytest.param(5, 4, 1, 2, 6, id="arbitrary padding"),
        pytest.param(5, 3, 1, "half", 5, id="half (same) padding"),
        pytest.param(5, 3, 1, "full", 7, id="full padding"),
        pytest.param(5, 3, 2, 0, 2, id="no padding, strides"),
        pytest.param(5, 3, 2, 1, 3, id="padding, strides"),
        pytest.param(6, 3, 2, 1, 3, id="padding, strides (odd)"),
    ],
)
def test_figures_of_dumoulin_and_visin(image, kernel, stride, padding, windows):
    layer = Conv2D(1, kernel, strides=stride, padding=padding)
    assert layer.compute_output_shape((None, image, image, 1)) == (None, windows, windows, 1)
    assert layer(np.zeros((1, image, image, 1), "float32")).shape == (1, windows, windows, 1)


@pytest.mark.parametrize("side", [5, 6, 7, 8, 11])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", ["valid", "half", "full", "same", "ceil", (0, 0), (1, 2), (3, 0)])
def test_windows_lie_where_the_words_say(starts, side, kernel, stride, padding):
    expected = starts(padding, side, kernel, stride)
    before, after = pad_amounts(padding, side, kernel, stride)
    assert output_size(padding, side, kernel, stride) == len(expected)
    assert before == -expected[0]
    assert side + after >= expected[-1] + kernel
    assert side + after < expected[-1] + kernel + stride


@pytest.mark.parametrize(
    ("padding", "amounts"),
    [("valid", (0, 0)), ("half", (2, 2)), ("full", (4, 4)), ("same", (2, 2))],
)
def test_dilation_spreads_the_window(padding, amounts):
    assert pad_amounts(padding, 9, 3, 1, dilation=2) == amounts


@pytest.mark.parametrize(
    ("size", "window", "stride", "windows"),
    [(32, 3, 2, 16), (16, 3, 2, 8), (7, 2, 2, 4), (4, 1, 3, 2), (4, 1, 4, 1), (5, 2, 3, 2), (3, 2, 3, 1)],
)
def test_ceil_is_that_of_caffe(size, window, stride, windows):
    assert output_size("ceil", size, window, stride) == windows


@pytest.mark.parametrize(
    ("given", "held"),
    [
        ("SAME", "same"),
        (2, ((2, 2), (2, 2))),
        ([1, 2], ((1, 1), (2, 2))),
        ([[1, 2], [3, 4]], ((1, 2), (3, 4))),
        ((0, (1, 2)), ((0, 0), (1, 2))),
        (np.int64(1), ((1, 1), (1, 1))),
    ],
)
def test_paddings_that_are_taken(given, held):
    assert check_padding(given) == held


@pytest.mark.parametrize(
    "padding", ["sme", "ceil", "", -1, 1.0, True, None, (1,), (1, 2, 3), (1, -1), ((1, 2), (3,)), ("a", "b")]
)
def test_paddings_that_are_refused(padding):
    with pytest.raises(ValueError, match=r"`padding` must be .* Received: padding="):
        check_padding(padding)


@pytest.mark.parametrize("padding", ["same", "ceil"])
def test_an_unknown_size_is_refused_where_it_matters(padding):
    with pytest.raises(ValueError, match="height and width must be known"):
        pad_amounts(padding, None, 3, 2)
    assert output_size(padding, None, 3, 2) is None
    assert pad_amounts("same", None, 3, 1) == (1, 1)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="its own raw operation")
@pytest.mark.parametrize("side", [5, 6, 7, 8])
@pytest.mark.parametrize("window", [2, 3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_same_is_that_of_tensorflow(side, window, stride):
    import tensorflow as tf

    ramp = np.arange(1.0, side + 1, dtype="float32").reshape(1, side, 1, 1)
    before, after = pad_amounts("same", side, window, stride)
    padded = np.pad(ramp, [(0, 0), (before, after), (0, 0), (0, 0)])
    kernel = np.arange(1.0, window + 1, dtype="float32").reshape(window, 1, 1, 1)
    np.testing.assert_allclose(
        tf.raw_ops.Conv2D(input=padded, filter=kernel, strides=[1, stride, stride, 1], padding="VALID"),
        tf.raw_ops.Conv2D(input=ramp, filter=kernel, strides=[1, stride, stride, 1], padding="SAME"),
    )
