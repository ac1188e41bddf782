"""Traces of layers: every number is the layer's own, and its terms lie where the definition puts them."""

import keras
import numpy as np
import pytest

from convzoo import UserError
from convzoo.evaluation.equivariance import convolution_matrix
from convzoo.evaluation.traces import has_trace, trace_layer
from convzoo.layers import (
    AdaptivePolyphasePooling2D,
    AveragePooling2D,
    BlurPooling2D,
    ChannelPooling2D,
    Conv2D,
    Dropout,
    FractionalMaxPooling2D,
    L2Pooling2D,
    LocallyConnected1D,
    LocallyConnected2D,
    LpPooling2D,
    MaxBlurPooling2D,
    Maxout,
    MaxPooling2D,
    MixedPooling2D,
    PartiallyConnected2D,
    StochasticPooling2D,
    StridedConv2D,
    TrainableSubsampling2D,
    WeightedAveragePooling2D,
    WhitenedConv2D,
)

IMAGE = np.random.default_rng(0).integers(-3, 6, (6, 5, 2)).astype("float32")
TRANSPOSED = keras.layers.Conv2DTranspose
ZERO_PADDED = [
    *(Conv2D(1, (3, 2), padding=padding) for padding in ("valid", "half", "full", "same", 1, (1, 0))),
    *(Conv2D(1, 3, strides=2, padding=padding) for padding in ("valid", "half", "full", "same", ((0, 1), (2, 0)))),
    Conv2D(1, 3, padding="full", dilation_rate=2),
    Conv2D(2, 3, padding=1, groups=2),
    Conv2D(3, 1),
    StridedConv2D(2, 2, "ceil", filters=1, activation=None),
    keras.layers.Conv2D(1, 3, 2, "same"),
    keras.layers.DepthwiseConv2D(3, depth_multiplier=2),
    LocallyConnected2D(1, 3, 2, "half"),
    PartiallyConnected2D([[0], [1, 0]], 3, 2),
    *(TRANSPOSED(1, k, s, padding) for k, s in ((3, 1), (3, 2), (2, 3), (4, 2)) for padding in ("valid", "same")),
    TRANSPOSED(1, 3, 2, "same", output_padding=1),
    BlurPooling2D(3, 2),
    WeightedAveragePooling2D(3, 2),
]
OTHER_BORDERS = [Conv2D(1, 3, padding=2, padding_mode=mode) for mode in ("reflect", "circular", "replicate")]
POOLS = {  # the definition, of the values of a window that are no padding
    MaxPooling2D: np.max,
    AveragePooling2D: np.mean,
    L2Pooling2D: np.linalg.norm,
    StochasticPooling2D: lambda a: (np.maximum(a, 0) ** 2).sum() / max(np.maximum(a, 0).sum(), 1e-9),
    MixedPooling2D: lambda a: (a.max() + a.mean()) / 2,
    TrainableSubsampling2D: lambda a: a.sum() / 9,
    AdaptivePolyphasePooling2D: np.max,
}


def describe(layer):
    return f"{layer.name} {getattr(layer, 'padding', '')}"


def call(layer, image):
    return keras.ops.convert_to_numpy(layer(image[None]))[0]


def with_integers(layer, shape=IMAGE.shape):
    """The layer, built, with integers for weights if it has a kernel."""
    if not layer.built:
        layer.build((None, *shape))
    generator = np.random.default_rng(1)
    if hasattr(layer, "kernel"):
        layer.set_weights([generator.integers(-2, 3, weight.shape) for weight in layer.weights])
    return layer


@pytest.mark.parametrize("layer", [*ZERO_PADDED, *OTHER_BORDERS], ids=describe)
def test_trace_products_and_bias_add_up_to_layer_output(layer):
    outputs = call(with_integers(layer), IMAGE)
    trace = trace_layer(layer, IMAGE)
    assert [step.position for step in trace.steps] == [
        (row, column, channel)
        for channel in range(outputs.shape[2])
        for row in range(outputs.shape[0])
        for column in range(outputs.shape[1])
    ]
    for step in trace.steps:
        total = sum(np.sum(part.terms) for part in step.parts) + (step.bias or 0)
        assert step.value == outputs[step.position] == pytest.approx(total, abs=1e-5)
        for part in step.parts:
            values = [trace.padded[row, column, part.channel] for row, column in part.cells]
            np.testing.assert_allclose(part.terms, np.reshape(values, part.terms.shape) * part.weights, atol=1e-5)


@pytest.mark.parametrize("layer", ZERO_PADDED, ids=describe)
def test_trace_weights_are_rows_of_the_layer_matrix(layer):
    """The matrix comes from calls of the layer on images of one pixel."""
    matrix = convolution_matrix(with_integers(layer), IMAGE.shape)
    trace = trace_layer(layer, IMAGE)
    rows, columns = (np.cumsum(~trace.is_added.all(axis)) - 1 for axis in (1, 0))
    for step in trace.steps:
        weights = np.zeros(IMAGE.shape)
        for part in step.parts:
            for (row, column), weight in zip(part.cells, part.weights.flat, strict=True):
                if not trace.is_added[row, column]:
                    weights[rows[row], columns[column], part.channel] += weight
        index = np.ravel_multi_index(step.position, trace.outputs.shape)
        np.testing.assert_allclose(weights.ravel(), matrix[index], atol=1e-5)


def test_trace_of_figure_1_1_has_its_numbers():
    """Dumoulin & Visin, 2016, figure 1.1: the first window of the picture, and the nine sums."""
    picture = [[3, 3, 2, 1, 0], [0, 0, 1, 3, 1], [3, 1, 2, 2, 3], [2, 0, 0, 2, 2], [2, 0, 0, 0, 1]]
    layer = Conv2D(1, 3, use_bias=False)
    layer.build((None, 5, 5, 1))
    layer.set_weights([np.reshape([[0, 1, 2], [2, 2, 0], [0, 1, 2]], (3, 3, 1, 1))])
    trace = trace_layer(layer, np.reshape(picture, (5, 5, 1)))
    assert [step.value for step in trace.steps] == [12, 12, 17, 10, 17, 19, 9, 6, 14]
    assert trace.steps[0].formula == "3·0 + 3·1 + 2·2 + 0·2 + 0·2 + 1·0 + 3·0 + 1·1 + 2·2 = 12"
    assert trace.arithmetic == "5 − 3 + 1 = 3"
    assert trace.title == "Conv2D: kernel 3×3, stride 1, padding valid"


def test_trace_of_transposed_convolution_spreads_its_input():
    """By the definition: a cell of the input adds its value times the kernel to the output at its stride."""
    layer = with_integers(TRANSPOSED(1, 3, 2, use_bias=False), (2, 2, 1))
    image, kernel = np.array([[1.0, 2], [3, 4]]), keras.ops.convert_to_numpy(layer.kernel)[:, :, 0, 0]
    trace = trace_layer(layer, image[:, :, None])
    expected = {}
    for (y, x), value in np.ndenumerate(image):
        for (i, j), weight in np.ndenumerate(kernel):
            expected.setdefault((2 * y + i, 2 * x + j), []).append(value * weight)
    for step in trace.steps:
        (part,) = step.parts
        terms = [t for cell, t in zip(part.cells, part.terms.flat, strict=True) if not trace.is_added[cell]]
        assert sorted(terms) == sorted(expected[step.position[:2]])
        assert step.value == sum(terms)
    assert trace.outputs.shape == (5, 5, 1)
    assert trace.arithmetic == "(2 − 1) · 2 + 3 = 5"


@pytest.mark.parametrize("padding", ["valid", "half", "full", "same", "ceil", 1, (1, 0), ((0, 1), (2, 1))])
@pytest.mark.parametrize("cls", POOLS)
def test_trace_of_pool_holds_definition_and_layer_output(cls, padding):
    layer = cls(3, 2, padding)
    outputs = call(layer, IMAGE)
    trace = trace_layer(layer, IMAGE)
    assert len(trace.steps) == outputs.size
    for step in trace.steps:
        (part,) = step.parts
        window = np.array([trace.padded[row, column, part.channel] for row, column in part.cells])
        assert step.value == outputs[step.position]
        assert step.value == pytest.approx(POOLS[cls](window[~np.isnan(window)]), rel=1e-5)
        assert part.channel == step.position[2]


@pytest.mark.parametrize(
    "layer",
    [
        LpPooling2D(3, 2, "same", p=3, reduction="mean"),
        L2Pooling2D(3, 2, "ceil", reduction="mean"),
        MixedPooling2D(3, 2, per_channel=True),
        *(WeightedAveragePooling2D(3, 2, padding) for padding in ("same", "full", 1)),
        *(BlurPooling2D(3, 2, padding) for padding in ("half", "full", "same", "ceil")),
        *(MaxBlurPooling2D(2, 2, padding) for padding in ("valid", "half", "same", "ceil")),
        MaxBlurPooling2D(3, 1, "full", blur_size=(3, 4)),
        keras.layers.MaxPooling2D(3, 2, "same"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.GlobalMaxPooling2D(),
    ],
    ids=describe,
)
def test_trace_values_are_those_of_the_layer(layer):
    outputs = call(layer, IMAGE)
    trace = trace_layer(layer, IMAGE)
    assert trace.outputs.ravel().tolist() == outputs.ravel().tolist()
    assert all(step.value == trace.outputs[step.position] for step in trace.steps)


@pytest.mark.parametrize("arguments", [{}, {"pseudo_random": True}, {"overlapping": True}], ids=str)
def test_trace_of_fractional_pool_shows_the_drawn_regions(arguments):
    """Distinct numbers: the largest of the cells that are shown is the output only if they are the region's."""
    image = np.random.default_rng(2).permutation(49).reshape(7, 7, 1)
    trace = trace_layer(FractionalMaxPooling2D(1.5, seed=3, **arguments), image)
    regions = [{image[cell][0] for cell in step.parts[0].cells} for step in trace.steps]
    assert [max(region) for region in regions] == [step.value for step in trace.steps]
    assert set.union(*regions) == set(range(49))


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (ChannelPooling2D(2), [2, 5]),
        (ChannelPooling2D(2, 1, mode="average"), [0.5, 1, 2.5]),
        (ChannelPooling2D(4, mode="lp"), [30**0.5]),  # 1 + 4 + 0 + 25
        (Maxout(2), [2, 5]),
    ],
)
def test_trace_of_depth_pool_reads_channels_of_a_pixel(layer, expected):
    trace = trace_layer(layer, np.reshape([-1, 2, 0, 5], (1, 1, 4)))
    assert [step.value for step in trace.steps] == pytest.approx(expected)
    assert [part.channel for part in trace.steps[0].parts] == list(range(getattr(layer, "pool_size", 2)))
    assert {part.cells for step in trace.steps for part in step.parts} == {((0, 0),)}


def test_trace_of_one_dimension_is_a_column():
    layer = with_integers(LocallyConnected1D(2, 3, 2, (1, 0)), (7, 2))
    trace = trace_layer(layer, IMAGE[:, 0].repeat(2, 0)[:7])
    assert trace.padded.shape == (8, 1, 2)
    np.testing.assert_array_equal(trace.outputs[:, 0], call(layer, IMAGE[:, 0].repeat(2, 0)[:7]))


def test_trace_of_whitened_convolution_adds_up():
    layer = WhitenedConv2D(2)
    layer.adapt(np.random.default_rng(0).normal(size=(50, 4, 4, 1)))
    trace = trace_layer(layer, np.arange(9).reshape(3, 3, 1))
    assert all(s.value == pytest.approx(s.parts[0].total + s.bias, abs=1e-4) for s in trace.steps)


def test_trace_with_an_activation_states_both_numbers():
    layer = Conv2D(1, 1, activation="relu", use_bias=False, kernel_initializer="ones")
    (step,) = trace_layer(layer, np.full((1, 1, 1), -3)).steps
    assert (step.formula, step.value) == ("(−3)·1 = −3;  relu(−3) = 0", 0)


class Doubled(MaxPooling2D):
    def call(self, inputs):
        return 2 * super().call(inputs)


@pytest.mark.parametrize(
    ("layer", "image", "message"),
    [
        (Dropout(0.5), IMAGE, "`Dropout` cannot be traced: it is neither a convolution nor a pool"),
        (MaxPooling2D(data_format="channels_first"), IMAGE, "its channels must come last"),
        (Conv2D(1, 7), IMAGE, "`Conv2D` refuses an image of shape (6, 5, 2): The padded image must be at least"),
        (Conv2D(20, 1), IMAGE, "the layer gives 600 values, 6×5×20; an animation shows at most 400"),
        (Doubled(), IMAGE + 9, "cannot be traced: at (0, 0, 0) its terms give"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_trace_refuses_layer_or_image_in_one_line(layer, image, message):
    with pytest.raises(UserError) as error:
        trace_layer(layer, image)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_has_trace_knows_pools_and_convolutions():
    assert [has_trace(cls) for cls in (Conv2D, Doubled, Maxout, Dropout)] == [True, True, True, False]
