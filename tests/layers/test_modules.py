"""The modules that papers name: counted against the papers' networks, and composed by hand in torch."""

from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from keras.layers import Conv2D, Dense, GlobalAveragePooling2D

from convzoo.layers import (
    ConvNormActivation,
    Fire,
    FractalBlock,
    Inception,
    InvertedResidual,
    MaxPooling2D,
    ShuffleUnit,
)


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def parameters(image_shape, *layers):
    """Trainable parameters, and the others."""

    def count():
        # Weights get no values in this scope, which is never left: it ends with its thread.
        keras.StatelessScope().__enter__()
        model = keras.Sequential([keras.Input(image_shape), *layers])
        return tuple(
            sum(int(np.prod(weight.shape)) for weight in weights)
            for weights in (model.trainable_weights, model.non_trainable_weights)
        )

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(count).result()


def with_weights(layer, shape):
    """The layer, built, with weights of no particular kind, and variances that are positive."""
    layer.build(shape)
    rng = np.random.default_rng(1)
    for weight in layer.weights:
        values = rng.normal(size=weight.shape)
        weight.assign(np.abs(values) + 0.5 if weight.name == "moving_variance" else values)
    return layer


def images(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


class Torch:
    """A module written out in torch, with the weights that the layer has under these names."""

    def __init__(self, layer):
        self.torch = pytest.importorskip("torch")
        self.weights = {weight.path.partition("/")[2]: self.tensor(numpy(weight)) for weight in layer.weights}

    def tensor(self, x):
        return self.torch.tensor(np.array(x), dtype=self.torch.float64)

    def images(self, x):
        return self.tensor(x).permute(0, 3, 1, 2)

    def conv(self, x, name, padding=0, **arguments):
        kernel = self.weights[f"{name}/kernel"].permute(3, 2, 0, 1)
        bias = self.weights.get(f"{name}/bias")
        return self.torch.nn.functional.conv2d(x, kernel, bias, padding=padding, **arguments)

    def depthwise(self, x, name, stride=1):
        """Padded as TensorFlow pads an even side: at stride 2 below and at the right alone."""
        kernel = self.weights[f"{name}/kernel"].permute(2, 3, 0, 1)
        before = 1 if stride == 1 else 0
        x = self.torch.nn.functional.pad(x, (before, 1, before, 1))
        return self.torch.nn.functional.conv2d(x, kernel, stride=stride, groups=len(kernel))

    def norm(self, x, name):
        names = "moving_mean", "moving_variance", "gamma", "beta"
        return self.torch.nn.functional.batch_norm(x, *(self.weights[f"{name}/{n}"] for n in names), eps=1e-3)

    def conv_norm(self, x, name, **arguments):
        return self.norm(self.conv(x, f"{name}/conv", **arguments), f"{name}/norm")

    def agrees(self, expected, actual):
        np.testing.assert_allclose(numpy(actual), expected.permute(0, 2, 3, 1).numpy(), rtol=1e-4, atol=1e-5)


# Of the paper's Table 1: channels that come in, the row's columns, its printed parameters in units of 1,024.
GOOGLENET = {
    "3a": (192, (64, (96, 128), (16, 32), 32), 159),
    "3b": (256, (128, (128, 192), (32, 96), 64), 380),
    "4a": (480, (192, (96, 208), (16, 48), 64), 364),
    "4b": (512, (160, (112, 224), (24, 64), 64), 437),
    "4c": (512, (128, (128, 256), (24, 64), 64), 463),
    "4d": (512, (112, (144, 288), (32, 64), 64), 580),
    "4e": (528, (256, (160, 320), (32, 128), 128), 840),
    "5a": (832, (256, (160, 320), (32, 128), 128), 1072),
    "5b": (832, (384, (192, 384), (48, 128), 128), 1388),
}


@pytest.mark.parametrize("row", sorted(set(GOOGLENET) - {"4c", "4d", "5a"}))  # which contradict their own columns
def test_parameters_of_googlenets_table(row):
    channels, columns, printed = GOOGLENET[row]
    assert parameters((14, 14, channels), Inception(*columns))[0] / 1024 == pytest.approx(printed, rel=0.017)


def test_parameters_of_googlenet():
    modules = {row: Inception(*columns) for row, (_, columns, _) in GOOGLENET.items()}
    assert modules["3a"].compute_output_shape((None, 28, 28, 192)) == (None, 28, 28, 256)
    counted = parameters(
        (224, 224, 3),
        Conv2D(64, 7, 2, padding="same"),
        MaxPooling2D(3, 2, "ceil"),
        Conv2D(64, 1),
        Conv2D(192, 3, padding="same"),
        MaxPooling2D(3, 2, "ceil"),
        modules["3a"],
        modules["3b"],
        MaxPooling2D(3, 2, "ceil"),
        *(modules[f"4{letter}"] for letter in "abcde"),
        MaxPooling2D(3, 2, "ceil"),
        modules["5a"],
        modules["5b"],
        GlobalAveragePooling2D(),
        Dense(1000),
    )
    assert counted == (6_998_552, 0)


def squeezenet(first, pools_before):
    widths = {2: 16, 3: 16, 4: 32, 5: 32, 6: 48, 7: 48, 8: 64, 9: 64}
    layers = [first, MaxPooling2D(3, 2, "ceil")]
    for i, squeeze in widths.items():
        if i in pools_before:
            layers.append(MaxPooling2D(3, 2, "ceil"))
        layers.append(Fire(squeeze, 4 * squeeze, 4 * squeeze, name=f"fire{i}"))
    return [*layers, Conv2D(1000, 1), GlobalAveragePooling2D()]


def test_parameters_of_squeezenet():
    assert parameters((55, 55, 96), Fire(16, 64, 64)) == (11_920, 0)
    assert parameters((224, 224, 3), *squeezenet(Conv2D(96, 7, 2), (5, 9))) == (1_248_424, 0)
    assert parameters((224, 224, 3), *squeezenet(Conv2D(64, 3, 2), (4, 6))) == (1_235_496, 0)


def test_parameters_of_mobilenet_v2():
    table = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    modules = [
        InvertedResidual(filters, strides if i == 0 else 1, expansion)
        for expansion, filters, times, strides in table
        for i in range(times)
    ]
    counted = parameters(
        (224, 224, 3),
        ConvNormActivation(32, 3, 2, activation="relu6"),
        *modules,
        ConvNormActivation(1280, 1, activation="relu6"),
        GlobalAveragePooling2D(),
        Dense(1000),
    )
    assert counted == (3_504_872, 34_112)


def test_parameters_of_shufflenet():
    units = [
        ShuffleUnit(filters, 3, 2 if i == 0 else 1, first_groups=1 if (filters, i) == (240, 0) else None)
        for filters, times in ((240, 4), (480, 8), (960, 4))
        for i in range(times)
    ]
    stem = [ConvNormActivation(24, 3, 2), MaxPooling2D(3, 2, "half")]
    assert parameters((224, 224, 3), *stem, *units, GlobalAveragePooling2D(), Dense(1000))[0] == 1_865_728


def test_parameters_of_fractalnet():
    """Of a block, C kernels read the block before and the other 2^C - 1 - C the block itself, here 3 and 4.

    9 · (3·3·64 + 4·64² + 3·64·128 + 4·128² + 3·128·256 + 4·256² + 3·256·512 + 4·512² + 3·512² + 4·512²) = 33,698,880
    weights, 2 · 7 · (64 + 128 + 256 + 512 + 512) = 20,608 of the normalizations and 5,130 of the classes. The paper
    says 38.6M of this network.
    """
    blocks = [layer for filters in (64, 128, 256, 512, 512) for layer in (FractalBlock(filters, 3), MaxPooling2D(2))]
    counted = parameters((32, 32, 3), *blocks, GlobalAveragePooling2D(), Dense(10))
    assert counted == (33_698_880 + 20_608 + 5_130, 20_608)


def test_conv_norm_activation_in_torch():
    layer = with_weights(ConvNormActivation(6, 3, 2, 1, groups=2, activation="relu"), (None, 6, 7, 4))
    x = images(2, 6, 7, 4)
    torch = Torch(layer)
    expected = torch.norm(torch.conv(torch.images(x), "conv", padding=1, stride=2, groups=2), "norm").relu()
    torch.agrees(expected, layer(x))


def test_inception_in_torch():
    layer = with_weights(Inception(2, (3, 4), (2, 3), 1), (None, 6, 7, 3))
    x = images(2, 6, 7, 3)
    torch = Torch(layer)
    i = torch.images(x)
    pooled = torch.torch.nn.functional.max_pool2d(i, 3, 1, 1)
    expected = [
        torch.conv(i, "1x1"),
        torch.conv(torch.conv(i, "3x3_reduce").relu(), "3x3", padding=1),
        torch.conv(torch.conv(i, "5x5_reduce").relu(), "5x5", padding=2),
        torch.conv(pooled, "pool_proj"),
    ]
    torch.agrees(torch.torch.cat(expected, 1).relu(), layer(x))


def test_fire_in_torch():
    layer = with_weights(Fire(2, 3, 4), (None, 6, 7, 3))
    x = images(2, 6, 7, 3)
    torch = Torch(layer)
    squeezed = torch.conv(torch.images(x), "squeeze1x1").relu()
    expected = [torch.conv(squeezed, "expand1x1"), torch.conv(squeezed, "expand3x3", padding=1)]
    torch.agrees(torch.torch.cat(expected, 1).relu(), layer(x))


@pytest.mark.parametrize(("filters", "strides", "expansion"), [(4, 1, 3), (4, 2, 3), (5, 1, 2), (4, 1, 1)])
def test_inverted_residual_in_torch(filters, strides, expansion):
    layer = with_weights(InvertedResidual(filters, strides, expansion), (None, 6, 8, 4))
    x = 4 * images(2, 6, 8, 4)
    torch = Torch(layer)
    y = torch.images(x)
    if expansion > 1:
        y = torch.conv_norm(y, "expand").clamp(0, 6)
    y = torch.norm(torch.depthwise(y, "depthwise", strides), "depthwise_norm").clamp(0, 6)
    y = torch.conv_norm(y, "project")
    torch.agrees(y + torch.images(x) if (filters, strides) == (4, 1) else y, layer(x))


@pytest.mark.parametrize(("filters", "strides", "first_groups"), [(24, 1, None), (48, 1, 3), (48, 2, 1)])
def test_shuffle_unit_in_torch(filters, strides, first_groups):
    layer = with_weights(ShuffleUnit(filters, 3, strides, first_groups), (None, 6, 8, 24))
    x = images(2, 6, 8, 24)
    torch = Torch(layer)
    i = torch.images(x)
    y = torch.conv_norm(i, "gconv1", groups=first_groups or 3).relu()
    y = torch.torch.nn.functional.channel_shuffle(y, 3)
    y = torch.norm(torch.depthwise(y, "depthwise", strides), "depthwise_norm")
    y = torch.conv_norm(y, "gconv2", groups=3)
    # Below and at the right, as the convolution beside it, with the cells of the image alone.
    pool = torch.torch.nn.AvgPool2d(3, strides, int(strides == 1), ceil_mode=strides == 2, count_include_pad=False)
    expected = i + y if filters == 24 else torch.torch.cat([pool(i), y], 1)
    torch.agrees(expected.relu(), layer(x))


@pytest.mark.parametrize(
    "make",
    [
        lambda **arguments: ConvNormActivation(4, 3, 2, groups=2, **arguments),
        lambda **arguments: Inception(2, (3, 4), (2, 3), 1, **arguments),
        lambda **arguments: Fire(2, 3, 4, **arguments),
        lambda **arguments: InvertedResidual(4, **arguments),
        lambda **arguments: InvertedResidual(6, 2, **arguments),
        lambda **arguments: ShuffleUnit(8, 2, 2, **arguments),
        lambda **arguments: FractalBlock(3, 2, **arguments),
    ],
)
def test_channels_first(make):
    x = images(2, 6, 8, 4)
    last = with_weights(make(data_format="channels_last"), x.shape)
    first = make(data_format="channels_first")
    first.build((2, 4, 6, 8))
    first.set_weights(last.get_weights())
    actual = first(x.transpose(0, 3, 1, 2))
    assert tuple(actual.shape) == first.compute_output_shape((2, 4, 6, 8))
    np.testing.assert_allclose(numpy(actual).transpose(0, 2, 3, 1), numpy(last(x)), rtol=1e-4, atol=1e-5)


def counting_block(columns, **arguments):
    """A block whose convolutions add 1 to an image without a negative value, in training too."""
    block = FractalBlock(1, columns, 1, kernel_initializer="ones", **arguments)
    block.build((None, 2, 2, 1))
    for convolution in block.convolutions:
        convolution.norm.trainable = False
        convolution.norm.moving_variance.assign([1 - convolution.norm.epsilon])
        convolution.norm.beta.assign([1])
    return block


ZERO = np.zeros((1, 2, 2, 1), "float32")


class InTraining(keras.Model):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def call(self, inputs):
        return self.layer(inputs, training=True)


def draws(block, times):
    """What the block gives of as many batches in training, one number each."""
    batches = np.zeros((times, *ZERO.shape[1:]), "float32")
    actual = InTraining(block).predict(batches, batch_size=1, verbose=0)
    assert np.all(actual == actual[:, :1, :1])
    return np.round(actual[:, 0, 0, 0], 3)


def assert_shares(values, shares):
    assert set(values) == set(shares)
    for value, share in shares.items():
        assert abs(np.mean(values == value) - share) < 4 * (share * (1 - share) / len(values)) ** 0.5


@pytest.mark.parametrize("columns", [1, 2, 3, 4])
def test_what_a_fractal_is_made_of(columns):
    block = FractalBlock(1, columns)
    assert len(block.convolutions) == 2**columns - 1
    assert block.connect(0, lambda layer, x: max(x) if isinstance(x, list) else x + 1) == 2 ** (columns - 1)


# Of three columns the deeper two meet after 2 rows, at (2 + 1) / 2, and all after 4.
@pytest.mark.parametrize(
    ("columns", "mean"),
    [(1, 1), (2, (2 + 1) / 2), (3, (3.5 + 2.5 + 1) / 3), (4, (7 / 3 + 3.5 + 7 / 3 + 2.5 + 7 / 3 + 1 + 1) / 4)],
)
def test_joins_by_hand(columns, mean):
    np.testing.assert_allclose(numpy(counting_block(columns)(ZERO)), np.full(ZERO.shape, mean), rtol=1e-5)
    undropped = counting_block(columns, drop_path=0)
    np.testing.assert_allclose(numpy(undropped(ZERO, training=True)), np.full(ZERO.shape, mean), rtol=1e-5)


def test_one_half_of_the_batches_runs_one_column_alone():
    """Which gives 1, 2 or 4; the other half, of which next to nothing is dropped, gives the mean."""
    values = draws(counting_block(3, drop_path=1e-7, seed=0), 600)
    assert_shares(values, {1: 1 / 6, 2: 1 / 6, 4: 1 / 6, np.float32(2.333): 1 / 2})


def test_the_other_half_drops_inputs_of_joins_but_never_all():
    """Of two columns both stay in one half of (1 - 0.5)^2 of the batches."""
    assert_shares(draws(counting_block(2, drop_path=0.5, seed=1), 600), {1: 7 / 16, 1.5: 1 / 8, 2: 7 / 16})


def test_a_seed_repeats():
    one, other = (draws(counting_block(3, drop_path=0.5, seed=3), 20) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert len(set(one)) > 2


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_dropping_paths_compiled(policy):
    block = FractalBlock(4, 3, drop_path=0.5, seed=0, dtype=policy)
    model = keras.Sequential([keras.Input((6, 6, 2)), block, GlobalAveragePooling2D(dtype="float32")])
    model.compile("sgd", "mse")
    x = images(4, 6, 6, 2)
    old = [numpy(weight).copy() for weight in model.trainable_weights]
    losses = [model.train_on_batch(x, np.ones((4, 4), "float32")) for _ in range(8)]
    assert len(set(map(float, losses))) == 8
    assert all(np.any(numpy(now) != then) for now, then in zip(model.trainable_weights, old, strict=True))
    assert all(np.all(np.isfinite(numpy(weight))) for weight in model.weights)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ConvNormActivation(0, 3), "`filters` must be a positive integer.*Received: filters=0"),
        (lambda: ConvNormActivation(2, 3, padding="sme"), "`padding` must be.*Received: padding='sme'"),
        (lambda: ConvNormActivation(2, 3, epsilon=0), "`epsilon` must be.*Received: epsilon=0"),
        (lambda: ConvNormActivation(2, 3, data_format="NCHW"), "`data_format` must be.*Received: data_format='NCHW'"),
        (lambda: Inception(1, 2, (1, 1), 1), "`filters_3x3` must be a pair.*Received: filters_3x3=2"),
        (lambda: Inception(1, (2, 1), (1, 0), 1), "`filters_5x5` must be a pair.*Received: filters_5x5=\\(1, 0\\)"),
        (lambda: Fire(1.5, 1, 1), "`squeeze` must be.*Received: squeeze=1.5"),
        (lambda: InvertedResidual(4, expansion=0), "`expansion` must be.*Received: expansion=0"),
        (lambda: InvertedResidual(4, (2, 2)), "`strides` must be.*Received: strides=\\(2, 2\\)"),
        (lambda: InvertedResidual(4).build((None, 8, 8, None)), "channels must be known.*\\(None, 8, 8, None\\)"),
        (lambda: ShuffleUnit(20, 3), "`filters` must be a multiple of.*Received: filters=20, groups=3"),
        (lambda: ShuffleUnit(12, 3, 2).build((None, 8, 8, 12)), "`filters` less.*\\(None, 8, 8, 12\\), filters=12"),
        (
            lambda: ShuffleUnit(24, 3).build((None, 8, 8, 4)),
            "`filters` less.*\\(None, 8, 8, 4\\), filters=24",
        ),
        (lambda: ShuffleUnit(24, 3, 1, 2).build((None, 8, 8, 9)), "`gconv1`: `conv`: .*divisible"),
        (lambda: FractalBlock(4, 0), "`columns` must be.*Received: columns=0"),
        (lambda: FractalBlock(4, 2, drop_path=1), "`drop_path` must be in.*Received: drop_path=1"),
        (lambda: Fire(1, 1, 1)(np.ones((1, 2, 2))), "ndim"),
    ],
)
def test_what_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
