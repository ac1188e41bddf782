import keras
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from convzoo.layers import AveragePooling2D, L2Pooling2D, LpPooling2D, MaxPooling2D, WeightedAveragePooling2D

POOLS = {
    "max": (MaxPooling2D, {}, lambda cells, _: cells.max()),
    "average": (AveragePooling2D, {}, lambda cells, _: cells.mean()),
    "l1": (LpPooling2D, {"p": 1}, lambda cells, _: np.abs(cells).sum()),
    "l3": (LpPooling2D, {"p": 3}, lambda cells, _: np.linalg.norm(cells, 3)),
    "l2.5 mean": (
        LpPooling2D,
        {"p": 2.5, "reduction": "mean"},
        lambda cells, _: np.linalg.norm(cells, 2.5) / len(cells) ** (1 / 2.5),
    ),
    "l2": (L2Pooling2D, {}, lambda cells, _: np.linalg.norm(cells)),
    "rms": (L2Pooling2D, {"reduction": "mean"}, lambda cells, _: np.sqrt((cells**2).mean())),
}
PADDINGS = ["valid", "half", "full", "same", "ceil"]


def images_of(picture):
    return np.array(picture, "float32")[None, :, :, None]


def run(layer, picture):
    return keras.ops.convert_to_numpy(layer(images_of(picture)))[0, :, :, 0]


@pytest.mark.parametrize("kind", list(POOLS))
@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.one_of(st.sampled_from(PADDINGS), st.lists(st.integers(0, 3), min_size=4, max_size=4)),
    st.booleans(),
)
def test_equals_a_loop(loop_pool, starts, kind, size, pool_size, strides, padding, first):
    if not isinstance(padding, str):
        padding = tuple(padding[:2]), tuple(padding[2:])
        assume(all(max(p) < k for p, k in zip(padding, pool_size, strict=True)))
        assume(all(n + sum(p) >= k for n, p, k in zip(size, padding, pool_size, strict=True)))
    if padding in ("valid", "half", "ceil"):
        assume(all(n >= k for n, k in zip(size, pool_size, strict=True)))
    cls, arguments, reduce = POOLS[kind]
    data_format = "channels_first" if first else "channels_last"
    images = np.random.default_rng(0).normal(size=(2, *size, 3)).astype("float32")
    expected = np.stack(
        [
            np.stack([loop_pool(image[:, :, c], pool_size, strides, padding, reduce) for c in range(3)], -1)
            for image in images
        ]
    )
    layer = cls(pool_size, strides, padding, data_format=data_format, **arguments)
    actual = keras.ops.convert_to_numpy(layer(images.transpose(0, 3, 1, 2) if first else images))
    actual = actual.transpose(0, 2, 3, 1) if first else actual
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.sampled_from(PADDINGS),
)
def test_weighted_average_equals_a_loop(loop_pool, size, pool_size, strides, padding):
    if padding in ("valid", "half", "ceil"):
        assume(all(n >= k for n, k in zip(size, pool_size, strict=True)))
    rng = np.random.default_rng(0)
    weights = rng.uniform(0.1, 2, pool_size).tolist()
    picture = rng.normal(size=size)
    expected = loop_pool(picture, pool_size, strides, padding, lambda cells, w: np.average(cells, weights=w), weights)
    layer = WeightedAveragePooling2D(pool_size, strides, padding, weights=weights)
    np.testing.assert_allclose(run(layer, picture), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        # Five cells, windows of four every three: "same" adds one cell on both sides; "full" three.
        (MaxPooling2D((1, 4), (1, 3), "same"), [[-1, -3]]),
        (AveragePooling2D((1, 4), (1, 3), "same"), [[-2, -4]]),
        (AveragePooling2D((1, 4), (1, 3), "full"), [[-1, -2.5, -4.5]]),
        (MaxPooling2D((1, 4), (1, 3), "full"), [[-1, -1, -4]]),
        # Two padded cells at the right border: the last window holds one real cell.
        (MaxPooling2D((1, 3), (1, 2), ((0, 0), (0, 2))), [[-1, -3, -5]]),
        (AveragePooling2D((1, 3), (1, 2), ((0, 0), (0, 2))), [[-2, -4, -5]]),
        (L2Pooling2D((1, 3), (1, 4), ((0, 0), (0, 2))), [[14**0.5, 5]]),
        (L2Pooling2D((1, 3), (1, 4), ((0, 0), (0, 2)), reduction="mean"), [[(14 / 3) ** 0.5, 5]]),
        (
            WeightedAveragePooling2D((1, 3), (1, 4), ((0, 0), (0, 2)), weights=[[1, 2, 1]]),
            [[-2, -5]],
        ),
        (
            WeightedAveragePooling2D((1, 3), (1, 4), ((0, 0), (1, 1)), weights=[[1, 2, 1]]),
            [[-4 / 3, -14 / 3]],
        ),
        # The last partial window counts, and starts inside the image.
        (AveragePooling2D((1, 3), (1, 3), "ceil"), [[-2, -4.5]]),
        (MaxPooling2D((1, 1), (1, 5), "ceil"), [[-1]]),
        (MaxPooling2D((1, 1), (1, 4), "ceil"), [[-1, -5]]),
    ],
)
def test_row_by_hand(layer, expected):
    np.testing.assert_allclose(run(layer, [[-1, -2, -3, -4, -5]]), expected, rtol=1e-6)


def test_gaussian_by_hand():
    """exp(-1/2) beside the centre and exp(-1) in the corners, for sigma = 1."""
    layer = WeightedAveragePooling2D(3, sigma=1.0)
    e = np.exp(-0.5)
    picture = np.zeros((3, 3))
    picture[1, 1] = 1
    assert run(layer, picture)[0, 0] == pytest.approx(1 / (1 + 4 * e + 4 * e**2), rel=1e-5)
    picture[0, 0] = 1
    assert run(layer, picture)[0, 0] == pytest.approx((1 + e**2) / (1 + 4 * e + 4 * e**2), rel=1e-5)


def test_default_sigma_is_that_of_opencv():
    """Its table of sigmas: 0.8 for 3 cells, 1.1 for 5, 1.4 for 7."""
    for k, sigma in [(3, 0.8), (5, 1.1), (7, 1.4)]:
        given, default = WeightedAveragePooling2D(k, sigma=sigma), WeightedAveragePooling2D(k)
        np.testing.assert_allclose(default.window, given.window)


@pytest.mark.parametrize(
    ("layer", "equivalent_pooling"),
    [
        (WeightedAveragePooling2D(2), "AveragePooling2D"),
        (WeightedAveragePooling2D((1, 2), sigma=0.5), "AveragePooling2D"),
        (WeightedAveragePooling2D(3), None),
        (WeightedAveragePooling2D((2, 3)), None),
        (WeightedAveragePooling2D(3, weights=[[2, 2, 2]] * 3), "AveragePooling2D"),
        (WeightedAveragePooling2D((1, 3), weights=[[1, 2, 1]]), None),
        (LpPooling2D(2), "L2Pooling2D"),
        (LpPooling2D(2, p=3), None),
        (L2Pooling2D(2), None),
        (MaxPooling2D(2), None),
    ],
)
def test_says_when_it_is_another(layer, equivalent_pooling):
    assert layer.equivalent_pooling == equivalent_pooling
    if equivalent_pooling == "AveragePooling2D":
        picture = np.random.default_rng(0).normal(size=(6, 6))
        other = AveragePooling2D(layer.pool_size)
        np.testing.assert_allclose(run(layer, picture), run(other, picture), rtol=1e-5, atol=1e-6)


def functional(kind, pool_size, strides, padding):
    torch = pytest.importorskip("torch")
    call = torch.nn.functional
    return {
        "max": lambda x: call.max_pool2d(x, pool_size, strides, padding),
        "max ceil": lambda x: call.max_pool2d(x, pool_size, strides, ceil_mode=True),
        "average": lambda x: call.avg_pool2d(x, pool_size, strides, padding, count_include_pad=False),
        "average ceil": lambda x: call.avg_pool2d(x, pool_size, strides, ceil_mode=True),
        "l2": lambda x: call.lp_pool2d(x, 2.0, pool_size, strides),
        "l3": lambda x: call.lp_pool2d(x.abs(), 3.0, pool_size, strides),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "cls", "arguments"),
    [
        ("max", MaxPooling2D, {"padding": 1}),
        ("max ceil", MaxPooling2D, {"padding": "ceil"}),
        ("average", AveragePooling2D, {"padding": 1}),
        ("average ceil", AveragePooling2D, {"padding": "ceil"}),
        ("l2", L2Pooling2D, {}),
        ("l3", LpPooling2D, {"p": 3}),
    ],
)
@pytest.mark.parametrize("side", [6, 7, 8])
@pytest.mark.parametrize(("pool_size", "strides"), [(2, 2), (3, 2), (3, 1), (2, 3)])
def test_values_and_gradient_are_those_of_torch(kind, cls, arguments, side, pool_size, strides, gradient):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(side)
    images = rng.normal(size=(2, side, side + 1, 3)).astype("float32")
    x = torch.tensor(images.transpose(0, 3, 1, 2), requires_grad=True)
    y = functional(kind, pool_size, strides, 1)(x)
    weights = rng.normal(size=y.shape).astype("float32")
    (slope,) = torch.autograd.grad((y * torch.tensor(weights)).sum(), x)
    layer = cls(pool_size, strides, **arguments)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(layer(images)),
        y.detach().numpy().transpose(0, 2, 3, 1),
        rtol=1e-4,
        atol=1e-5,
    )
    np.testing.assert_allclose(
        gradient(layer, images, weights.transpose(0, 2, 3, 1)),
        slope.numpy().transpose(0, 2, 3, 1),
        rtol=1e-3,
        atol=1e-5,
    )


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("padding", ["valid", "half"])
@pytest.mark.parametrize("p", [1, 1.5, 2, 3, 8])
def test_norm_of_zeros_has_no_slope(p, padding, dtype, gradient):
    for reduction in ("sum", "mean"):
        layer = LpPooling2D(3, 2, padding, p=p, reduction=reduction, dtype=dtype)
        images = np.zeros((1, 6, 6, 2))
        np.testing.assert_array_equal(gradient(layer, images), images)
        assert not np.any(keras.ops.convert_to_numpy(keras.ops.cast(layer(images), "float32")))


def test_slope_of_the_l2_norm_is_the_direction(gradient):
    images = images_of([[3, 4, 0, 0], [0, 0, 0, 1e-3]])
    expected = [[0.6, 0.8, 0, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(gradient(L2Pooling2D(2), images)[0, :, :, 0], expected, rtol=1e-5)


def test_ties_of_the_max_give_the_slope_to_the_first_cell(gradient):
    slope = gradient(MaxPooling2D(2, padding="full", strides=1), np.ones((1, 2, 2, 1)))[0, :, :, 0]
    np.testing.assert_array_equal(slope, [[4, 2], [2, 1]])


@pytest.mark.parametrize(
    ("cls", "arguments", "expected"),
    [
        (MaxPooling2D, {}, [0, 0, 1, 0, 2]),
        (AveragePooling2D, {}, [1 / 3, 1 / 3, 2 / 3, 1 / 3, 4 / 3]),
        (WeightedAveragePooling2D, {"weights": [[1, 2, 1]]}, [0.25, 0.5, 0.5, 0.5, 1.25]),
    ],
)
def test_padded_cells_get_no_slope(cls, arguments, expected, gradient):
    layer = cls((1, 3), (1, 2), ((0, 0), (0, 2)), **arguments)
    slope = gradient(layer, images_of([[1, 2, 3, 4, 5]]))
    np.testing.assert_allclose(slope[0, :, :, 0], [expected], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("cls", [AveragePooling2D, L2Pooling2D, WeightedAveragePooling2D])
def test_half_precision_is_that_of_its_own_rounding(cls, dtype):
    """A window of 121 cells: summed in half precision it would be off by percents."""
    images = keras.ops.cast(np.random.default_rng(0).uniform(0.5, 1, size=(1, 11, 11, 1)), dtype)
    exact = cls(11, dtype="float32")(keras.ops.cast(images, "float32"))
    actual = cls(11, dtype=dtype)(images)
    assert keras.backend.standardize_dtype(actual.dtype) == dtype
    assert keras.ops.convert_to_numpy(keras.ops.cast(actual, "float32")) == pytest.approx(
        keras.ops.convert_to_numpy(exact), rel=2**-8 if dtype == "bfloat16" else 2**-11
    )


def test_large_half_precision_numbers_do_not_overflow():
    actual = L2Pooling2D(2, dtype="float16")(np.full((1, 2, 2, 1), 3000, "float16"))
    assert keras.ops.convert_to_numpy(actual).item() == 6000


def test_max_pools_half_precision_borders():
    actual = MaxPooling2D(3, 2, 1, dtype="float16")(np.full((1, 4, 4, 1), -5, "float16"))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(actual), np.full((1, 2, 2, 1), -5))


@pytest.mark.parametrize("cls", [MaxPooling2D, AveragePooling2D, L2Pooling2D, WeightedAveragePooling2D])
class TestEveryPool:
    def test_strides_are_the_window_by_default(self, cls):
        assert cls((2, 3)).strides == (2, 3)

    @pytest.mark.parametrize("padding", ["valid", "half", 1, "full", "same"])
    def test_any_size_of_image(self, cls, padding):
        inputs = keras.Input((None, None, 2))
        strides = 1 if padding == "same" else 2
        outputs = cls(3, strides, padding)(inputs)
        assert outputs.shape == (None, None, None, 2)
        images = np.random.default_rng(0).normal(size=(1, 7, 6, 2)).astype("float32")
        known = cls(3, strides, padding)
        np.testing.assert_allclose(
            keras.Model(inputs, outputs).predict(images, verbose=0),
            keras.ops.convert_to_numpy(known(images)),
            rtol=1e-5,
        )
        assert known.compute_output_shape((None, 7, 6, 2)) == (None, *known(images).shape[1:])

    @pytest.mark.parametrize("padding", ["same", "ceil"])
    def test_a_size_that_the_padding_needs(self, cls, padding):
        with pytest.raises(ValueError, match="height and width must be known"):
            cls(3, 2, padding)(keras.Input((None, None, 2)))

    def test_an_integer_image(self, cls):
        actual = cls(2)(np.full((1, 2, 2, 1), 4, "uint8"))
        assert keras.ops.convert_to_numpy(actual).item() == pytest.approx(8 if cls is L2Pooling2D else 4)

    def test_image_smaller_than_the_window(self, cls):
        layer = cls(3)
        for refused in (layer.compute_output_shape, layer.build, lambda shape: layer(np.zeros(shape))):
            with pytest.raises(ValueError, match=r"input_shape=\(1, 2, 9, 1\), window=\(3, 3\)"):
                refused((1, 2, 9, 1))
        layer(np.zeros((1, 3, 9, 1)))
        with pytest.raises(ValueError, match=r"input_shape=\(1, 2, 9, 1\), window=\(3, 3\)"):
            layer(np.zeros((1, 2, 9, 1)))

    @pytest.mark.parametrize("shape", [(1, 8, 8), (1, 8, 8, 8, 1)])
    def test_wrong_rank(self, cls, shape):
        with pytest.raises(ValueError, match="4 axes"):
            cls(2).compute_output_shape(shape)
        with pytest.raises(ValueError, match="expected ndim=4"):
            cls(2)(np.zeros(shape))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"pool_size": 0}, "`pool_size` must be .* Received: pool_size=0"),
            ({"pool_size": 2.0}, "`pool_size` must be .* Received: pool_size=2.0"),
            ({"strides": 0}, "`strides` must be .* Received: strides=0"),
            ({"strides": (1, 2, 3)}, r"`strides` must be .* Received: strides=\(1, 2, 3\)"),
            ({"padding": "sme"}, "`padding` must be .* Received: padding='sme'"),
            ({"padding": 2}, "`padding` must be smaller than `pool_size`.* Received: padding=2"),
            ({"data_format": "last"}, "`data_format` must be .* Received: data_format='last'"),
        ],
    )
    def test_arguments_that_are_refused(self, cls, arguments, message):
        with pytest.raises(ValueError, match=message):
            cls(**{"pool_size": 2, **arguments})


@pytest.mark.parametrize(
    ("cls", "arguments", "message"),
    [
        (LpPooling2D, {"p": 0.5}, "`p` must be .* Received: p=0.5"),
        (LpPooling2D, {"p": float("inf")}, "`p` must be .* Received: p=inf"),
        (LpPooling2D, {"reduction": "max"}, "`reduction` must be .* Received: reduction='max'"),
        (WeightedAveragePooling2D, {"sigma": 0}, "`sigma` must be .* Received: sigma=0"),
        (WeightedAveragePooling2D, {"sigma": 1e-3}, "`sigma` must be large enough"),
        (WeightedAveragePooling2D, {"weights": [1, 2, 3, 4]}, "`weights` must be"),
        (WeightedAveragePooling2D, {"weights": [[1, 2, 3]]}, "`weights` must be"),
        (WeightedAveragePooling2D, {"weights": [[1, 0], [1, 1]]}, "`weights` must be"),
        (WeightedAveragePooling2D, {"weights": [[1, 1], [1, 1]], "sigma": 1}, "must not be given together"),
    ],
)
def test_own_arguments_that_are_refused(cls, arguments, message):
    with pytest.raises(ValueError, match=message):
        cls(2, **arguments)
