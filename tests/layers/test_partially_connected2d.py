import keras
import numpy as np
import pytest

from convzoo.layers import PartiallyConnected2D

C3 = "012 123 234 345 045 015 0123 1234 2345 0345 0145 0125 0134 1245 0235 012345"
TABLE = [[int(c) for c in maps] for maps in C3.split()]


def numbers(layer, images):
    return keras.ops.convert_to_numpy(layer(images))


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def build(layer, shape):
    layer.build(shape)
    layer.set_weights([normal(*weight.shape) for weight in layer.weights])
    return layer


def test_numbers_of_lenet_5():
    layer = build(PartiallyConnected2D(TABLE, 5), (None, 14, 14, 6))
    assert layer.count_params() == 1_516
    assert layer.compute_output_shape((None, 14, 14, 6)) == (None, 10, 10, 16)
    # A connection is a pixel that changes an output, or a bias that does.
    alone = np.eye(14 * 14 * 6, dtype="float32").reshape(-1, 14, 14, 6)
    changed = np.abs(numbers(layer, alone) - numbers(layer, np.zeros((1, 14, 14, 6)))) > 1e-6
    assert changed.sum() + 10 * 10 * 16 == 151_600


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_each_map_is_the_convolution_of_those_it_reads(data_format):
    torch = pytest.importorskip("torch")
    table = [[2, 0], [1], [0, 1, 3]]
    images = normal(2, 4, 6, 7)  # channels first, as torch
    given = images if data_format == "channels_first" else images.transpose(0, 2, 3, 1)
    layer = build(PartiallyConnected2D(table, (3, 2), 2, 1, data_format, activation="tanh"), given.shape)
    kernel, bias = layer.get_weights()
    assert kernel.shape == (3, 2, 6)
    position, maps = 0, []
    for read, b in zip(table, bias, strict=True):
        filters = torch.tensor(kernel[:, :, position : position + len(read)].transpose(2, 0, 1)[None].copy())
        padded = torch.nn.functional.pad(torch.tensor(images[:, read]), (1, 1, 1, 1))
        maps.append(torch.tanh(torch.nn.functional.conv2d(padded, filters, stride=2) + float(b)))
        position += len(read)
    expected = torch.cat(maps, 1).numpy()
    actual = numbers(layer, given)
    actual = actual if data_format == "channels_first" else actual.transpose(0, 3, 1, 2)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_only_what_is_read_has_a_slope(gradient):
    images = normal(1, 4, 4, 3)
    layer = build(PartiallyConnected2D([[0], [2]], 3), images.shape)
    slope = gradient(layer, images)
    assert np.all(slope[..., 1] == 0)
    assert np.all(slope[..., [0, 2]] != 0)


def test_initial_weights_are_those_of_the_full_convolution():
    layer = PartiallyConnected2D([[0], [1], [0, 1]], 2, kernel_initializer=keras.initializers.GlorotUniform(seed=1))
    layer.build((None, 4, 4, 2))
    full = keras.ops.convert_to_numpy(keras.initializers.GlorotUniform(seed=1)((2, 2, 2, 3)))
    expected = np.stack([full[:, :, 0, 0], full[:, :, 1, 1], full[:, :, 0, 2], full[:, :, 1, 2]], -1)
    np.testing.assert_allclose(layer.get_weights()[0], expected)


def test_any_size_of_image():
    layer = PartiallyConnected2D([[0], [1]], 3, padding="half")
    model = keras.Sequential([keras.Input((None, None, 2)), layer])
    assert model.output_shape == (None, None, None, 2)
    assert model.predict(np.zeros((1, 5, 7, 2)), verbose=0).shape == (1, 5, 7, 2)


@pytest.mark.parametrize("table", [[], 3, [0, 1], [[0], []], [[0, 0]], [[-1]], [[0.5]], [["a"]]])
def test_tables_that_are_refused(table):
    with pytest.raises(ValueError, match=r"`connections` must be .* Received: connections="):
        PartiallyConnected2D(table, 3)


def test_an_input_with_too_few_maps():
    with pytest.raises(ValueError, match=r"the 3 maps .*Received: input_shape=\(None, 8, 8, 2\)"):
        PartiallyConnected2D([[0], [2]], 3).build((None, 8, 8, 2))
