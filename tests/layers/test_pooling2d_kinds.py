"""The pools of single papers: what each does that max and average do not."""

import keras
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from convzoo.layers import (
    AdaptivePolyphasePooling2D,
    AveragePooling2D,
    BlurPooling2D,
    MaxBlurPooling2D,
    MaxPooling2D,
    MixedPooling2D,
    StochasticPooling2D,
    TrainableSubsampling2D,
)

PADDINGS = ["valid", "half", "full", "same", "ceil"]
ALL = [
    StochasticPooling2D,
    MixedPooling2D,
    TrainableSubsampling2D,
    BlurPooling2D,
    MaxBlurPooling2D,
    AdaptivePolyphasePooling2D,
]


def numbers(layer, images, **arguments):
    return keras.ops.convert_to_numpy(layer(images, **arguments))


def run(layer, picture, **arguments):
    return numbers(layer, np.array(picture, "float32")[None, :, :, None], **arguments)[0, :, :, 0]


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


windows = (
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.sampled_from(PADDINGS),
)


def assume_that_a_window_fits(size, pool_size, padding):
    if padding in ("valid", "half", "ceil"):
        assume(all(n >= k for n, k in zip(size, pool_size, strict=True)))


REDUCE = {
    "stochastic": (StochasticPooling2D, lambda a: (np.maximum(a, 0) ** 2).sum() / max(np.maximum(a, 0).sum(), 1e-30)),
    "mixed": (MixedPooling2D, lambda a: a.max() / 2 + a.mean() / 2),
}


@pytest.mark.parametrize("kind", list(REDUCE))
@settings(max_examples=15, deadline=None, derandomize=True)
@given(*windows)
def test_equals_a_loop(loop_pool, kind, size, pool_size, strides, padding):
    assume_that_a_window_fits(size, pool_size, padding)
    cls, reduce = REDUCE[kind]
    picture = normal(*size)
    expected = loop_pool(picture, pool_size, strides, padding, lambda cells, _: reduce(cells))
    np.testing.assert_allclose(run(cls(pool_size, strides, padding), picture), expected, rtol=1e-4, atol=1e-6)


class TestStochastic:
    def test_draws_as_often_as_the_paper_says(self):
        """The window of its figure 1: 1.6 and 2.4 among zeros, drawn with 0.4 and 0.6."""
        picture = np.tile([[0, 0, 0], [0, 2.4, 0], [1.6, 0, -3]], (50, 60))
        actual = run(StochasticPooling2D(3, seed=0), picture, training=True)
        assert set(np.unique(actual)) == set(np.float32([1.6, 2.4]))
        assert abs((actual == np.float32(2.4)).mean() - 0.6) < 4 * (0.24 / actual.size) ** 0.5
        np.testing.assert_allclose(run(StochasticPooling2D(3), picture), 0.4 * 1.6 + 0.6 * 2.4, rtol=1e-5)

    @settings(max_examples=15, deadline=None, derandomize=True)
    @given(*windows, st.integers(0, 48))
    def test_draws_the_only_active_cell(self, loop_pool, size, pool_size, strides, padding, place):
        assume_that_a_window_fits(size, pool_size, padding)
        picture = np.zeros(size)
        picture.flat[place % picture.size] = 2
        expected = loop_pool(picture, pool_size, strides, padding, lambda cells, _: cells.max())
        layer = StochasticPooling2D(pool_size, strides, padding, seed=0)
        np.testing.assert_array_equal(run(layer, picture, training=True), expected)

    def test_the_mean_over_draws_is_what_use_gives(self):
        picture = np.abs(normal(4, 4))
        layer = StochasticPooling2D(3, 2, 1, seed=1)
        images = np.tile(picture[None, :, :, None], (5000, 1, 1, 2))
        draws = numbers(layer, images, training=True)
        np.testing.assert_allclose(draws.mean((0, 3)), run(layer, picture), atol=4 * draws.std() / 100)

    def test_channels_and_images_are_drawn_apart(self):
        actual = numbers(
            StochasticPooling2D(2, seed=0), np.tile(np.abs(normal(1, 8, 8, 1)), (2, 1, 1, 2)), training=True
        )
        assert np.any(actual[0] != actual[1])
        assert np.any(actual[..., 0] != actual[..., 1])

    def test_the_slope_goes_to_the_drawn_cell(self, gradient):
        class Training(StochasticPooling2D):
            def call(self, inputs):
                return super().call(inputs, training=True)

        images = 1 + np.abs(normal(1, 6, 6, 1))
        slope = gradient(Training(2, seed=3), images)[0, :, :, 0]
        drawn = run(Training(2, seed=3), images[0, :, :, 0])
        cells = images[0, :, :, 0].reshape(3, 2, 3, 2).transpose(0, 2, 1, 3).reshape(9, 4)
        slopes = slope.reshape(3, 2, 3, 2).transpose(0, 2, 1, 3).reshape(9, 4)
        np.testing.assert_array_equal(slopes, cells == drawn.reshape(9, 1))

    @pytest.mark.parametrize("value", [0, -1])
    def test_a_window_without_activation(self, value, gradient):
        layer = StochasticPooling2D(2, seed=0)
        picture = np.full((2, 2), value)
        assert run(layer, picture).item() == run(layer, picture, training=True).item() == 0
        np.testing.assert_array_equal(gradient(layer, np.full((1, 2, 2, 1), value)), 0)

    def test_a_seed_repeats_and_draws_on(self):
        picture = np.abs(normal(8, 8))
        one, other = StochasticPooling2D(2, seed=5), StochasticPooling2D(2, seed=5)
        first, second = run(one, picture, training=True), run(one, picture, training=True)
        np.testing.assert_array_equal(run(other, picture, training=True), first)
        assert np.any(first != second)


class TestMixed:
    @pytest.mark.parametrize(("logit", "cls"), [(-40, AveragePooling2D), (40, MaxPooling2D)])
    def test_ends_of_the_mix(self, logit, cls):
        layer = MixedPooling2D(3, 2, "full")
        layer.build((None, 6, 6, 1))
        layer.set_weights([np.float32(logit)])
        picture = normal(6, 6)
        np.testing.assert_allclose(run(layer, picture), run(cls(3, 2, "full"), picture), rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
    def test_one_alpha_a_channel(self, data_format):
        """Logits ln(1/3), 0 and ln 3 are alphas of 1/4, 1/2 and 3/4; the max is 4 and the average 1."""
        images = np.zeros((1, 2, 2, 3), "float32")
        images[0, 0, 1] = 4
        axis = -1 if data_format == "channels_last" else 1
        layer = MixedPooling2D(2, per_channel=True, data_format=data_format)
        layer(np.moveaxis(images, -1, axis))
        assert layer.count_params() == 3
        layer.set_weights([np.log([1 / 3, 1, 3])])
        np.testing.assert_allclose(numbers(layer, np.moveaxis(images, -1, axis)).ravel(), [1.75, 2.5, 3.25], rtol=1e-6)

    def test_one_alpha_a_layer(self):
        layer = MixedPooling2D(2)
        layer.build((None, 4, 4, 7))
        assert layer.count_params() == 1


class TestTrainable:
    @pytest.mark.parametrize(
        ("maps", "side", "parameters", "connections"),
        [pytest.param(6, 28, 12, 5_880, id="S2"), pytest.param(16, 10, 32, 2_000, id="S4")],
    )
    def test_numbers_of_lenet_5(self, maps, side, parameters, connections):
        layer = TrainableSubsampling2D(2)
        layer.build((None, side, side, maps))
        assert layer.count_params() == parameters
        # A connection is a pixel that changes an output, or a bias that does.
        alone = np.eye(side * side, dtype="float32").reshape(-1, side, side, 1)
        reached = np.count_nonzero(numbers(TrainableSubsampling2D(2), alone))
        units = np.prod(layer.compute_output_shape((1, side, side, maps)))
        assert reached * maps + units == connections

    @pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
    def test_values_by_hand(self, data_format):
        axis = -1 if data_format == "channels_last" else 1
        images = np.moveaxis(np.array([[1, 2, 3], [4, 5, 6]], "float32")[None, :, :, None] * [1, 10], -1, axis)
        layer = TrainableSubsampling2D(2, padding="ceil", data_format=data_format)
        np.testing.assert_allclose(np.moveaxis(numbers(layer, images), axis, -1), [[[[3, 30], [2.25, 22.5]]]])
        layer.set_weights(np.array([[2, -1], [0.5, 7]]))
        np.testing.assert_allclose(np.moveaxis(numbers(layer, images), axis, -1), [[[[24.5, -113], [18.5, -83]]]])


TAPS = {1: [1], 2: [1, 1], 3: [1, 2, 1], 4: [1, 3, 3, 1], 5: [1, 4, 6, 4, 1], 7: [1, 6, 15, 20, 15, 6, 1]}


def torch_blur(images, taps, strides, padding):
    torch = pytest.importorskip("torch")
    x = torch.nn.functional.pad(torch.tensor(images.transpose(0, 3, 1, 2)), padding, mode="reflect")
    rows, columns = (torch.tensor(TAPS[k], dtype=torch.float32) / sum(TAPS[k]) for k in taps)
    kernel = torch.outer(rows, columns).repeat(x.shape[1], 1, 1, 1)
    return torch.nn.functional.conv2d(x, kernel, stride=strides, groups=x.shape[1]).numpy().transpose(0, 2, 3, 1)


class TestBlur:
    @pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
    @pytest.mark.parametrize(
        ("taps", "strides", "padding", "amounts"),
        [
            ((3, 3), 2, "half", (1, 1, 1, 1)),
            ((5, 5), 2, 2, (2, 2, 2, 2)),
            ((4, 4), 2, "same", (1, 1, 1, 1)),
            ((7, 2), (1, 2), ((2, 3), (0, 1)), (0, 1, 2, 3)),
            ((3, 4), 3, "full", (3, 3, 2, 2)),
        ],
    )
    def test_values_are_those_of_torch(self, taps, strides, padding, amounts, data_format):
        images = normal(2, 8, 6, 3)
        expected = torch_blur(images, taps, strides, amounts)
        layer = BlurPooling2D(taps, strides, padding, data_format=data_format)
        if data_format == "channels_last":
            actual = numbers(layer, images)
        else:
            actual = numbers(layer, images.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)

    def test_row_by_hand(self):
        """1 2 3 mirrored by one: 2 1 2 3 2."""
        np.testing.assert_allclose(run(BlurPooling2D((1, 3), (1, 2), "half"), [[1, 2, 3]]), [[1.5, 2.5]])

    def test_an_image_that_cannot_be_mirrored(self):
        np.testing.assert_allclose(run(BlurPooling2D(3, 2, "same"), [[7]]), [[7]])
        np.testing.assert_allclose(run(BlurPooling2D((1, 4), 1, "full"), [[4, 8]]), [[4, 4.5, 6, 7.5, 8]])

    def test_what_alternates_is_gone(self):
        """The picture that aliasing shows most: a stride of 2 sees only black, or only white."""
        board = np.indices((8, 8)).sum(0) % 2
        np.testing.assert_allclose(run(BlurPooling2D(3, 2, "half"), board), 0.5)

    @pytest.mark.parametrize(
        ("layer", "equivalent_pooling"),
        [
            (BlurPooling2D(2), "AveragePooling2D"),
            (BlurPooling2D((1, 2), padding=0), "AveragePooling2D"),
            (BlurPooling2D(2, padding="same"), None),
            (BlurPooling2D(3), None),
        ],
    )
    def test_says_when_it_is_the_average(self, layer, equivalent_pooling):
        assert layer.equivalent_pooling == equivalent_pooling
        if equivalent_pooling:
            picture = normal(5, 6)
            other = AveragePooling2D(layer.pool_size, layer.strides)
            np.testing.assert_allclose(run(layer, picture), run(other, picture), rtol=1e-5, atol=1e-6)


class TestMaxBlur:
    @pytest.mark.parametrize(("blur_size", "before", "after"), [(3, 1, 1), (4, 1, 2), (5, 2, 2)])
    @pytest.mark.parametrize("strides", [1, 2])
    def test_values_are_those_of_the_published_code(self, blur_size, before, after, strides):
        """`MaxPool2d(kernel_size=2, stride=1)`, then its `BlurPool`."""
        torch = pytest.importorskip("torch")
        images = normal(2, 8, 7, 3)
        largest = torch.nn.functional.max_pool2d(torch.tensor(images.transpose(0, 3, 1, 2)), 2, 1)
        amounts = (before, after, before, after)
        expected = torch_blur(largest.numpy().transpose(0, 2, 3, 1), (blur_size, blur_size), strides, amounts)
        actual = numbers(MaxBlurPooling2D(2, strides, blur_size=blur_size), images)
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)

    @settings(max_examples=15, deadline=None, derandomize=True)
    @given(*windows)
    def test_without_a_blur_it_is_the_max(self, loop_pool, size, pool_size, strides, padding):
        assume_that_a_window_fits(size, pool_size, padding)
        layer = MaxBlurPooling2D(pool_size, strides, padding, blur_size=1)
        assert layer.equivalent_pooling == "MaxPooling2D"
        expected = loop_pool(normal(*size), pool_size, strides, padding, lambda cells, _: cells.max())
        np.testing.assert_allclose(run(layer, normal(*size)), expected)

    def test_moves_less_than_the_max(self):
        picture = normal(32, 32).cumsum(0)
        images = np.stack([picture, np.roll(picture, 1, 1)])[..., None]

        def moved(layer):
            first, second = numbers(layer, images)[:, 2:-2, 2:-2]
            return np.abs(first - second).mean()

        assert moved(MaxBlurPooling2D(2)) < 0.8 * moved(MaxPooling2D(2))

    def test_a_map_of_one_maximum(self):
        np.testing.assert_array_equal(run(MaxBlurPooling2D(2), [[1, 2], [-4, 3]]), [[3]])


def rolls(picture):
    return [np.roll(picture, shift, (0, 1)) for shift in np.ndindex(picture.shape[:2])]


class TestPolyphase:
    @pytest.mark.parametrize(
        ("size", "pool_size", "strides", "padding"),
        [
            ((8, 8), 2, 2, "valid"),
            ((8, 6), 3, 2, "same"),
            ((8, 8), 3, 2, "ceil"),
            ((6, 9), (2, 3), 3, "same"),
            ((6, 8), 3, (3, 2), "half"),
            ((6, 6), 1, 2, "valid"),
        ],
    )
    def test_a_shift_of_the_image_shifts_the_output_exactly(self, size, pool_size, strides, padding):
        images = normal(1, *size, 3)
        layer = AdaptivePolyphasePooling2D(pool_size, strides, padding)
        possible = rolls(numbers(layer, images)[0])
        for shift in np.ndindex(size):
            actual = numbers(layer, np.roll(images, shift, (1, 2)))[0]
            assert any(np.array_equal(actual, roll) for roll in possible), shift

    def test_the_max_pool_has_not_this_property(self):
        images = normal(1, 8, 8, 3)
        possible = rolls(numbers(MaxPooling2D(2), images)[0])
        actual = numbers(MaxPooling2D(2), np.roll(images, 1, 1))[0]
        assert not any(np.array_equal(actual, roll) for roll in possible)

    @settings(max_examples=25, deadline=None, derandomize=True)
    @given(*windows)
    def test_equals_a_loop(self, starts, size, pool_size, strides, padding):
        assume_that_a_window_fits(size, pool_size, padding)
        images = normal(2, *size, 2)
        actual = numbers(AdaptivePolyphasePooling2D(pool_size, strides, padding), images)
        tops, lefts = (starts(padding, n, k, s) for n, k, s in zip(size, pool_size, strides, strict=True))
        for image, given_back in zip(images, actual, strict=True):
            best, largest = None, -1.0
            for dy, dx in np.ndindex(strides):
                grid = np.empty((len(tops), len(lefts), 2))
                for i, top in enumerate(tops):
                    for j, left in enumerate(lefts):
                        rows = [(top + dy + y) % size[0] for y in range(pool_size[0])]
                        columns = [(left + dx + x) % size[1] for x in range(pool_size[1])]
                        grid[i, j] = image[np.ix_(rows, columns)].max((0, 1))
                if np.square(grid).sum() > largest * (1 + 1e-6):
                    best, largest = grid, np.square(grid).sum()
            np.testing.assert_allclose(np.square(given_back).sum(), np.square(best).sum(), rtol=1e-5)

    def test_each_image_chooses_for_all_its_channels(self):
        images = np.zeros((2, 2, 2, 2), "float32")
        images[0, 0, 1] = [5, -1]
        images[1, 1, 0] = [2, 3]
        images[1, 1, 1] = [3, 0]
        np.testing.assert_array_equal(numbers(AdaptivePolyphasePooling2D(1, 2), images)[:, 0, 0], [[5, -1], [2, 3]])

    def test_the_slope_goes_to_the_chosen_grid(self, gradient):
        images = np.array([[1, 2, 1, 9], [0, 3, 4, 0]], "float32")[None, :, :, None]
        np.testing.assert_array_equal(
            gradient(AdaptivePolyphasePooling2D(1, 2), images)[0, :, :, 0], [[0, 1, 0, 1], [0, 0, 0, 0]]
        )

    def test_unknown_sizes(self):
        with pytest.raises(ValueError, match="Height and width must be known"):
            AdaptivePolyphasePooling2D(2)(keras.Input((None, 8, 1)))


@pytest.mark.parametrize("cls", ALL)
class TestEveryKind:
    @pytest.mark.parametrize("padding", [*PADDINGS, 1, ((0, 1), (1, 0))])
    @pytest.mark.parametrize("side", [5, 6])
    def test_shape_is_that_of_the_max_pool(self, cls, padding, side):
        images = normal(2, side, side + 2, 3)
        layer = cls(3, 2, padding)
        expected = numbers(MaxPooling2D(3, 2, padding), images).shape
        assert numbers(layer, images).shape == layer.compute_output_shape(images.shape) == expected

    def test_channels_first_is_the_same(self, cls):
        images = normal(2, 6, 7, 3)
        first = cls(3, 2, "same", data_format="channels_first")
        np.testing.assert_allclose(
            numbers(first, images.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1),
            numbers(cls(3, 2, "same"), images),
            rtol=1e-5,
            atol=1e-6,
        )

    @pytest.mark.parametrize("padding", ["valid", "half", "same"])
    def test_any_size_of_image(self, cls, padding):
        if cls is AdaptivePolyphasePooling2D:
            pytest.skip("its grids need the sizes")
        inputs = keras.Input((None, None, 2))
        model = keras.Model(inputs, cls(3, 1 if padding == "same" else 2, padding)(inputs))
        for size in ((7, 6), (4, 5)):
            images = normal(2, *size, 2)
            expected = numbers(cls(3, 1 if padding == "same" else 2, padding), images)
            np.testing.assert_allclose(model.predict(images, verbose=0), expected, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
    def test_half_precision_is_that_of_its_own_rounding(self, cls, dtype):
        images = keras.ops.cast(np.random.default_rng(0).uniform(0.5, 1, size=(1, 11, 11, 1)), dtype)
        exact = cls(11, dtype="float32")(keras.ops.cast(images, "float32"))
        actual = keras.ops.cast(cls(11, dtype=dtype)(images), "float32")
        rounding = 2**-8 if dtype == "bfloat16" else 2**-11
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(actual), keras.ops.convert_to_numpy(exact), rtol=2 * rounding
        )

    def test_image_smaller_than_the_window(self, cls):
        with pytest.raises(ValueError, match=r"input_shape=\(1, 2, 9, 1\), window=\(3, 3\)"):
            cls(3)(np.zeros((1, 2, 9, 1)))

    @pytest.mark.parametrize(("name", "value"), [("pool_size", 0), ("padding", "sme"), ("strides", 0)])
    def test_arguments_that_are_refused(self, cls, name, value):
        with pytest.raises(ValueError, match=f"`{name}` must be .* Received: {name}={value!r}"):
            cls(**{"pool_size": 2, name: value})


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (StochasticPooling2D, {"seed": -1}),
        (StochasticPooling2D, {"seed": 1.5}),
        (MixedPooling2D, {"per_channel": "yes"}),
        (MaxBlurPooling2D, {"blur_size": 0}),
    ],
)
def test_own_arguments_that_are_refused(cls, arguments):
    ((name, value),) = arguments.items()
    with pytest.raises(ValueError, match=f"`{name}` must be .* Received: {name}={value!r}"):
        cls(2, **arguments)
