import keras
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from convzoo.layers import Conv2D

SOURCE = {
    "zeros": lambda i, n: i if 0 <= i < n else None,
    "replicate": lambda i, n: min(max(i, 0), n - 1),
    "circular": lambda i, n: i % n,
    "reflect": lambda i, n: -i if i < 0 else 2 * (n - 1) - i if i >= n else i,
}
TORCH_MODE = {"zeros": "constant", "reflect": "reflect", "circular": "circular", "replicate": "replicate"}


def build(layer, images, seed=0):
    layer.build(images.shape)
    rng = np.random.default_rng(seed)
    for weight in layer.weights:
        weight.assign(rng.normal(size=weight.shape))
    return layer


def loop_conv(images, kernel, bias, strides, amounts, dilation, groups, mode):
    """The sum over the kernel, one output value after the other."""
    n, h, w, _ = images.shape
    kh, kw, per_group, filters = kernel.shape
    (top, bottom), (left, right) = amounts
    rows = range(-top, h + bottom - dilation[0] * (kh - 1), strides[0])
    columns = range(-left, w + right - dilation[1] * (kw - 1), strides[1])
    result = np.zeros((n, len(rows), len(columns), filters))
    for f in range(filters):
        first = f // (filters // groups) * per_group
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                for y in range(kh):
                    for x in range(kw):
                        at = (
                            SOURCE[mode](row + y * dilation[0], h),
                            SOURCE[mode](column + x * dilation[1], w),
                        )
                        if None not in at:
                            cells = images[:, at[0], at[1], first : first + per_group]
                            result[:, i, j, f] += cells @ kernel[y, x, :, f]
    return result + bias


side = st.tuples(st.integers(0, 2), st.integers(0, 2))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    st.tuples(st.integers(3, 6), st.integers(3, 6)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.sampled_from([((1, 1), (1, 1)), ((2, 2), (1, 1)), ((1, 2), (1, 1)), ((1, 1), (2, 2)), ((1, 1), (1, 2))]),
    st.tuples(side, side),
    st.sampled_from([1, 2]),
    st.sampled_from(list(SOURCE)),
)
def test_equals_a_loop(size, kernel_size, steps, padding, groups, mode):
    strides, dilation = steps
    for n, k, d, amounts in zip(size, kernel_size, dilation, padding, strict=True):
        assume(n + sum(amounts) >= d * (k - 1) + 1)
    images = np.random.default_rng(1).normal(size=(2, *size, 2)).astype("float32")
    layer = build(
        Conv2D(
            4,
            kernel_size,
            strides=strides,
            padding=padding,
            dilation_rate=dilation,
            groups=groups,
            padding_mode=mode,
        ),
        images,
    )
    kernel, bias = layer.get_weights()
    expected = loop_conv(images, kernel, bias, strides, padding, dilation, groups, mode)
    actual = keras.ops.convert_to_numpy(layer(images))
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
    assert layer.compute_output_shape(images.shape) == expected.shape


@pytest.mark.parametrize(
    ("mode", "picture"),
    [
        (
            "zeros",
            [[0, 0, 0, 0, 0, 0, 0], [0, 0, 1, 2, 3, 0, 0], [0, 0, 4, 5, 6, 0, 0], [0, 0, 7, 8, 9, 0, 0]],
        ),
        (
            "reflect",
            [[6, 5, 4, 5, 6, 5, 4], [3, 2, 1, 2, 3, 2, 1], [6, 5, 4, 5, 6, 5, 4], [9, 8, 7, 8, 9, 8, 7]],
        ),
        (
            "circular",
            [[8, 9, 7, 8, 9, 7, 8], [2, 3, 1, 2, 3, 1, 2], [5, 6, 4, 5, 6, 4, 5], [8, 9, 7, 8, 9, 7, 8]],
        ),
        (
            "replicate",
            [[1, 1, 1, 2, 3, 3, 3], [1, 1, 1, 2, 3, 3, 3], [4, 4, 4, 5, 6, 6, 6], [7, 7, 7, 8, 9, 9, 9]],
        ),
    ],
)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_borders_by_hand(mode, picture, data_format):
    layer = Conv2D(
        1,
        1,
        padding=((1, 0), (2, 2)),
        padding_mode=mode,
        data_format=data_format,
        kernel_initializer="ones",
    )
    axis = -1 if data_format == "channels_last" else 1
    images = np.expand_dims(np.arange(1.0, 10, dtype="float32").reshape(1, 3, 3), axis)
    np.testing.assert_array_equal(np.squeeze(keras.ops.convert_to_numpy(layer(images)), (0, axis)), picture)


@pytest.mark.parametrize("mode", list(TORCH_MODE))
@pytest.mark.parametrize("strides", [1, 2])
def test_values_and_gradient_are_those_of_torch(mode, strides, gradient):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    images = rng.normal(size=(2, 6, 5, 3)).astype("float32")
    layer = build(Conv2D(4, 3, strides=strides, padding=((2, 1), (1, 2)), padding_mode=mode), images)
    kernel, bias = layer.get_weights()

    x = torch.tensor(images.transpose(0, 3, 1, 2), requires_grad=True)
    padded = torch.nn.functional.pad(x, (1, 2, 2, 1), mode=TORCH_MODE[mode])
    filters = torch.tensor(kernel.transpose(3, 2, 0, 1).copy())
    y = torch.nn.functional.conv2d(padded, filters, torch.tensor(bias), stride=strides)
    weights = rng.normal(size=y.shape).astype("float32")
    (slope,) = torch.autograd.grad((y * torch.tensor(weights)).sum(), x)

    actual = keras.ops.convert_to_numpy(layer(images))
    np.testing.assert_allclose(actual, y.detach().numpy().transpose(0, 2, 3, 1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        gradient(layer, images, weights.transpose(0, 2, 3, 1)),
        slope.numpy().transpose(0, 2, 3, 1),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize(
    ("kernel_size", "strides", "padding"),
    [(3, 1, "half"), (3, 1, 1), (3, 2, 1), (3, 2, "same"), (4, 1, "same")],
)
def test_numbers_are_those_of_torch(kernel_size, strides, padding, data_format):
    torch = pytest.importorskip("torch")
    images = np.random.default_rng(3).normal(size=(2, 3, 8, 6)).astype("float32")
    amounts = {"same": (0, 1, 0, 1) if strides == 2 else (1, 2, 1, 2)}.get(padding, (1, 1, 1, 1))
    last = data_format == "channels_last"
    given = images.transpose(0, 2, 3, 1) if last else images
    layer = build(Conv2D(5, kernel_size, strides, padding, data_format), given)
    kernel, bias = layer.get_weights()
    expected = torch.nn.functional.conv2d(
        torch.nn.functional.pad(torch.tensor(images), amounts),
        torch.tensor(kernel.transpose(3, 2, 0, 1).copy()),
        torch.tensor(bias),
        stride=strides,
    ).numpy()
    actual = keras.ops.convert_to_numpy(layer(given))
    np.testing.assert_allclose(actual.transpose(0, 3, 1, 2) if last else actual, expected, rtol=1e-4, atol=1e-5)


def test_circular_padding_commutes_with_shifts():
    images = np.random.default_rng(4).normal(size=(1, 6, 6, 2)).astype("float32")
    layer = build(Conv2D(3, 3, padding="half", padding_mode="circular", activation="relu"), images)
    shifted = keras.ops.convert_to_numpy(layer(np.roll(images, (1, 2), (1, 2))))
    expected = np.roll(keras.ops.convert_to_numpy(layer(images)), (1, 2), (1, 2))
    np.testing.assert_allclose(shifted, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("mode", list(TORCH_MODE))
def test_any_size_of_image(mode, strides):
    inputs = keras.Input((None, None, 1))
    outputs = Conv2D(1, 3, strides, 1, padding_mode=mode, kernel_initializer="ones")(inputs)
    assert outputs.shape == (None, None, None, 1)
    model = keras.Model(inputs, outputs)
    for side in (3, 5):
        actual = model.predict(np.ones((2, side, side, 1), "float32"), verbose=0)
        expected = {1: side, 2: (side + 1) // 2}[strides]
        assert actual.shape == (2, expected, expected, 1)
        assert actual[0, 0, 0, 0] == (4 if mode == "zeros" else 9)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"filters": 0}, "filters"),
        ({"filters": None}, "filters"),
        ({"filters": "many"}, "filters"),
        ({"kernel_size": 0}, "kernel_size"),
        ({"kernel_size": (3, 3, 3)}, "kernel_size"),
        ({"kernel_size": (2.5, 3)}, "kernel_size"),
        ({"strides": 0}, "strides"),
        ({"strides": True}, "strides"),
        ({"padding": "sme"}, "padding"),
        ({"padding": "ceil"}, "padding"),
        ({"padding_mode": "mirror"}, "padding_mode"),
        ({"dilation_rate": 0}, "dilation_rate"),
        ({"groups": 1.5}, "groups"),
        ({"use_bias": "no"}, "use_bias"),
        ({"data_format": "last"}, "data_format"),
    ],
)
def test_arguments_that_are_refused(arguments, name):
    with pytest.raises(ValueError, match=name):
        Conv2D(**{"filters": 4, "kernel_size": 3, **arguments})


def test_image_smaller_than_the_kernel():
    layer = Conv2D(1, 5, padding=1)
    with pytest.raises(ValueError, match=r"\(None, 2, 9, 1\), window=\(5, 5\)"):
        layer.compute_output_shape((None, 2, 9, 1))
    with pytest.raises(ValueError, match=r"\(1, 2, 9, 1\), window=\(5, 5\)"):
        layer(np.zeros((1, 2, 9, 1), "float32"))
    layer(np.zeros((1, 3, 9, 1), "float32"))
    with pytest.raises(ValueError, match=r"\(1, 2, 9, 1\), window=\(5, 5\)"):
        layer(np.zeros((1, 2, 9, 1), "float32"))


@pytest.mark.parametrize(("mode", "most"), [("reflect", 3), ("circular", 4)])
def test_image_too_small_to_be_continued(mode, most):
    Conv2D(1, 1, padding=most, padding_mode=mode)(np.zeros((1, 4, 4, 1), "float32"))
    with pytest.raises(ValueError, match=r"cannot add more cells than the image has.*\(1, 4, 4, 1\)"):
        Conv2D(1, 1, padding=most + 1, padding_mode=mode)(np.zeros((1, 4, 4, 1), "float32"))


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 8, 8, 8, 1)])
def test_wrong_rank(shape):
    with pytest.raises(ValueError, match="4 axes"):
        Conv2D(1, 3).compute_output_shape(shape)
    with pytest.raises(ValueError, match="expected ndim=4"):
        Conv2D(1, 3)(np.zeros(shape, "float32"))
