import keras
import numpy as np
import pytest

from convzoo.layers import FullyConnected


def test_every_value_meets_every_unit():
    """Caffe's InnerProduct: the sum over all values, in the order of the axes."""
    images = np.arange(2 * 2 * 3 * 2, dtype="float32").reshape(2, 2, 3, 2)
    layer = FullyConnected(4, activation="relu")
    layer.build((None, 2, 3, 2))
    rng = np.random.default_rng(0)
    layer.set_weights([rng.normal(size=(12, 4)), rng.normal(size=4)])
    kernel, bias = layer.get_weights()
    expected = [
        [max(sum(v * kernel[i, u] for i, v in enumerate(image.flat)) + bias[u], 0) for u in range(4)]
        for image in images
    ]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(images)), expected, rtol=1e-4)


def test_shapes():
    layer = FullyConnected(120)
    assert layer.compute_output_shape((None, 5, 5, 16)) == (None, 120)
    assert layer(keras.Input((5, 5, 16))).shape == (None, 120)
    assert layer.count_params() == 48_120  # LeNet-5's C5
    assert FullyConnected(3)(np.zeros((2, 7), "float32")).shape == (2, 3)


def test_unknown_sizes_are_refused():
    with pytest.raises(ValueError, match=r"must be known.*\(None, None, 5, 16\)"):
        FullyConnected(10)(keras.Input((None, 5, 16)))
    with pytest.raises(ValueError, match=r"must be known.*\(None, 5, None\)"):
        FullyConnected(10).compute_output_shape((None, 5, None))


def test_another_size_is_refused():
    layer = FullyConnected(10)
    layer(np.zeros((1, 2, 6), "float32"))
    with pytest.raises(ValueError, match=r"expected shape=\(None, 2, 6\)"):
        layer(np.zeros((1, 3, 4), "float32"))


@pytest.mark.parametrize("units", [0, -1, 1.5, True, "ten"])
def test_units_that_are_refused(units):
    with pytest.raises(ValueError, match=r"`units` must be a positive integer\. Received: units="):
        FullyConnected(units)
