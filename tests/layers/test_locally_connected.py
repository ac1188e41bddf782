import keras
import numpy as np
import pytest

from convzoo.layers import Conv2D, LocallyConnected1D, LocallyConnected2D

AMOUNTS = {"valid": (0, 0, 0, 0), "half": (1, 1, 1, 1), "full": (1, 1, 2, 2), ((1, 0), (2, 1)): (2, 1, 1, 0)}


def numbers(layer, images):
    return keras.ops.convert_to_numpy(layer(images))


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def build(layer, shape):
    layer.build(shape)
    layer.set_weights([normal(*weight.shape) for weight in layer.weights])
    return layer


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("strides", [1, (2, 1)])
@pytest.mark.parametrize("padding", list(AMOUNTS))
def test_values_and_gradient_are_those_of_torch(padding, strides, data_format, gradient):
    torch = pytest.importorskip("torch")
    images = normal(2, 3, 6, 5)  # channels first, as torch
    first = data_format == "channels_first"
    given = images if first else images.transpose(0, 2, 3, 1)
    layer = build(LocallyConnected2D(4, (3, 2), strides, padding, data_format), given.shape)
    kernel, bias = layer.get_weights()

    x = torch.tensor(images, requires_grad=True)
    padded = torch.nn.functional.pad(x, AMOUNTS[padding])
    patches = torch.nn.functional.unfold(padded, (3, 2), stride=strides)  # (2, 3 * 6, positions), channel first
    # (positions, cells, channels, filters) to torch's order.
    kernel = kernel.reshape(-1, 6, 3, 4).transpose(0, 2, 1, 3).reshape(-1, 18, 4)
    y = torch.einsum("bkp,pkf->bfp", patches, torch.tensor(kernel))
    y = y.reshape(2, 4, *bias.shape[:2]) + torch.tensor(bias).permute(2, 0, 1)
    weights = normal(*y.shape)
    (slope,) = torch.autograd.grad((y * torch.tensor(weights)).sum(), x)

    def back(values):
        return values if first else values.transpose(0, 2, 3, 1)

    np.testing.assert_allclose(numbers(layer, given), back(y.detach().numpy()), rtol=1e-4, atol=1e-4)
    actual = gradient(layer, given, back(weights))
    np.testing.assert_allclose(actual, back(slope.numpy()), rtol=1e-4, atol=1e-4)
    assert layer.compute_output_shape((None, *given.shape[1:])) == (None, *back(y.detach().numpy()).shape[1:])


def test_layout_is_that_of_keras_2():
    """Its `local_conv`: patches flattened in the order of their axes, one product for each position."""
    images = normal(2, 5, 4, 3)
    layer = build(LocallyConnected2D(2, (2, 3), (2, 1)), images.shape)
    kernel, bias = layer.get_weights()
    assert (kernel.shape, bias.shape) == ((2 * 2, 2 * 3 * 3, 2), (2, 2, 2))
    expected = np.empty((2, 2, 2, 2))
    for n, row, column in np.ndindex(2, 2, 2):
        patch = images[n, 2 * row : 2 * row + 2, column : column + 3].reshape(-1)
        expected[n, row, column] = patch @ kernel[2 * row + column] + bias[row, column]
    np.testing.assert_allclose(numbers(layer, images), expected, rtol=1e-4, atol=1e-5)


def test_layout_of_1d_is_that_of_keras_2():
    steps = normal(2, 7, 3)
    layer = build(LocallyConnected1D(4, 3, 2, activation="relu"), steps.shape)
    kernel, bias = layer.get_weights()
    assert (kernel.shape, bias.shape) == ((3, 3 * 3, 4), (3, 4))
    expected = np.empty((2, 3, 4))
    for n, step in np.ndindex(2, 3):
        expected[n, step] = np.maximum(steps[n, 2 * step : 2 * step + 3].reshape(-1) @ kernel[step] + bias[step], 0)
    np.testing.assert_allclose(numbers(layer, steps), expected, rtol=1e-4, atol=1e-5)
    assert layer.compute_output_shape((None, 7, 3)) == (None, 3, 4)


@pytest.mark.parametrize(("padding", "before", "after"), [("half", 1, 1), ("same", 0, 1), ((2, 1), 2, 1), (1, 1, 1)])
def test_padding_and_channels_first_in_1d(padding, before, after):
    steps = normal(2, 6, 3)
    layer = build(LocallyConnected1D(4, 3, 2, padding), steps.shape)
    padded = np.pad(steps, ((0, 0), (before, after), (0, 0)))
    plain = build(LocallyConnected1D(4, 3, 2), padded.shape)
    plain.set_weights(layer.get_weights())
    expected = numbers(plain, padded)
    np.testing.assert_allclose(numbers(layer, steps), expected, rtol=1e-4, atol=1e-5)
    first = build(LocallyConnected1D(4, 3, 2, padding, "channels_first"), (2, 3, 6))
    first.set_weights(layer.get_weights())
    actual = numbers(first, steps.transpose(0, 2, 1)).transpose(0, 2, 1)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
    assert first.compute_output_shape((None, 3, 6)) == (None, 4, expected.shape[1])


@pytest.mark.parametrize("padding", ["valid", "same", "full"])
def test_with_tied_weights_it_is_the_convolution(padding):
    """Parameter sharing, the chapter's property, and what it saves."""
    images = normal(2, 7, 6, 3)
    shared = build(Conv2D(4, 3, 2, padding), images.shape)
    local = build(LocallyConnected2D(4, 3, 2, padding), images.shape)
    kernel, bias = shared.get_weights()
    rows, columns = local.compute_output_shape(images.shape)[1:3]
    local.set_weights([np.tile(kernel.reshape(1, 27, 4), (rows * columns, 1, 1)), np.tile(bias, (rows, columns, 1))])
    np.testing.assert_allclose(numbers(local, images), numbers(shared, images), rtol=1e-4, atol=1e-5)
    assert local.count_params() == rows * columns * shared.count_params()


def test_parameters_of_cuda_convnet():
    """Its local3 and local4: 3x3 on 6x6 maps of the 24x24 crops, 64 and 32 filters; biases not shared."""
    local3, local4 = LocallyConnected2D(64, 3, padding=1), LocallyConnected2D(32, 3, padding=1)
    local3.build((None, 6, 6, 64))
    local4.build((None, 6, 6, 64))
    assert local3.count_params() == 36 * 64 * (3 * 3 * 64 + 1)
    assert local4.count_params() == 36 * 32 * (3 * 3 * 64 + 1)


def test_without_bias():
    layer = LocallyConnected2D(2, 2, use_bias=False)
    layer.build((None, 3, 3, 1))
    assert [tuple(weight.shape) for weight in layer.weights] == [(4, 4, 2)]


@pytest.mark.parametrize(
    ("layer", "shape"), [(LocallyConnected2D(1, 3), (8, 8, 2)), (LocallyConnected1D(1, 3), (8, 2))]
)
def test_inputs_that_are_refused(layer, shape):
    with pytest.raises(ValueError, match="must be known"):
        layer(keras.Input((None, *shape[1:])))
    with pytest.raises(ValueError, match=f"expected ndim={len(shape) + 1}"):
        layer(np.zeros(shape))
    with pytest.raises(ValueError, match="at least as large as the window"):
        layer(np.zeros((1, 2, *shape[1:])))
    layer(np.zeros((1, *shape)))
    with pytest.raises(ValueError, match="expected shape="):
        layer(np.zeros((1, shape[0] + 1, *shape[1:])))


@pytest.mark.parametrize("cls", [LocallyConnected2D, LocallyConnected1D])
@pytest.mark.parametrize(
    ("name", "value"),
    [("filters", 0), ("kernel_size", 1.5), ("strides", 0), ("padding", "ceil"), ("padding", -1), ("use_bias", 1)],
)
def test_arguments_that_are_refused(cls, name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be .* Received: {name}="):
        cls(**{"filters": 2, "kernel_size": 3, name: value})
