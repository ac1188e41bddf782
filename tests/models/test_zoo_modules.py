"""Networks of named modules, GoogLeNet to CapsNet, held against their papers: numbers typed here, not from configs."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from math import prod

import keras
import numpy as np
import pytest
from distinct_networks import distinct
from plans import plan
from sampling import sample

from convzoo import UserError
from convzoo.models import build, objective, registry
from convzoo.models.builder import assemble

# Trainable parameters. Those of the ImageNet networks are those of Caffe, keras.applications and torchvision; from them
# the networks on 32×32 lack the larger stem and 990 of 1,000 classes.
PARAMETERS = {
    "googlenet": 6_998_552,
    "googlenet_cifar": 6_998_552 - 3 * 64 * (7**2 - 3**2) - 1025 * 990,
    "inception_v3": 23_817_352,
    "inception_v3_cifar": 23_817_352 - 2049 * 990,
    "inception_v4": 42_679_816,
    "inception_v4_cifar": 42_679_816 - 1537 * 990,
    "squeezenet_1_0": 1_248_424,
    "squeezenet_1_1": 1_235_496,
    "squeezenet_cifar": 1_248_424 - 3 * 96 * (7**2 - 3**2) - 513 * 990,
    "mobilenet_v1": 4_231_976,
    "mobilenet_v1_cifar": 4_231_976 - 1025 * 990,
    "mobilenet_v2": 3_504_872,
    "mobilenet_v2_cifar": 3_504_872 - 1281 * 990,
    "shufflenet_g3": 1_865_728,
    "shufflenet_cifar": 1_865_728 - 961 * 990,
    "fractalnet": 33_724_618,  # kernels 33,698,880, normalizations 20,608, classes 5,130; the paper says 38.6 million
    "capsnet": 6_804_224,
}


def leaves(plan):
    return [row for row, _ in plan.walk() if not row.inside]


def shapes(plan):
    return {row.name: row.output_shape for row in plan.rows}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(name):
    assert plan(name).params == PARAMETERS[name]


@pytest.mark.parametrize(("name", "millions"), [("mobilenet_v1", 4.2), ("capsnet", 6.8)])
def test_parameters_as_the_papers_round_them(name, millions):
    assert round(plan(name).params / 1e6, 1) == millions


def test_inception_v3_has_torchvision_s_parameters_plus_scales():
    actual = plan("inception_v3")
    scales = sum(row.output_shape[-1] for row in leaves(actual) if row.kind == "BatchNormalization")
    assert actual.params + scales == 23_834_568
    assert actual.params + scales + parameters_of_heads("inception_v3") + 128 + 768 == 27_161_264


# Millions. MobileNets' and ShuffleNet's are the papers', Inception-v4's timm's, the others torchvision's.
@pytest.mark.parametrize(
    ("name", "image_shape", "millions"),
    [
        ("inception_v3", None, 5713),
        ("inception_v4", None, 12_300),
        ("squeezenet_1_0", (224, 224, 3), 819),
        ("squeezenet_1_1", (224, 224, 3), 349),
        ("mobilenet_v1", None, 569),
        ("mobilenet_v2", None, 300),
        ("shufflenet_g3", None, 137),
    ],
)
def test_multiplications(name, image_shape, millions):
    assert plan(name, image_shape).macs / 1e6 == pytest.approx(millions, rel=0.004)


def test_multiplications_of_capsnet():
    """By hand: 9·9·256 weights at 20·20 positions, 9·9·256·256 at 6·6, and 1,152·8·10·16 once."""
    assert plan("capsnet").macs == 20_736 * 400 + 5_308_416 * 36 + 1_474_560


# Szegedy et al. 2014, table 1: output, parameters in units of 1,024, millions of operations. None stands where the row
# contradicts the sizes beside it: 2.7, 34; 463; 580; 1072, 54.
GOOGLENET = {
    "conv1": ((112, 112, 64), None, None),
    "pool1": ((56, 56, 64), 0, 0),
    "conv2": ((56, 56, 192), 112, 360),  # its reduction too
    "pool2": ((28, 28, 192), 0, 0),
    "inception_3a": ((28, 28, 256), 159, 128),
    "inception_3b": ((28, 28, 480), 380, 304),
    "pool3": ((14, 14, 480), 0, 0),
    "inception_4a": ((14, 14, 512), 364, 73),
    "inception_4b": ((14, 14, 512), 437, 88),
    "inception_4c": ((14, 14, 512), None, 100),
    "inception_4d": ((14, 14, 528), None, 119),
    "inception_4e": ((14, 14, 832), 840, 170),
    "pool4": ((7, 7, 832), 0, 0),
    "inception_5a": ((7, 7, 832), None, None),
    "inception_5b": ((7, 7, 1024), 1388, 71),
    "mean": ((1024,), 0, 0),
    "linear": ((1000,), 1000, 1),
}


@pytest.mark.parametrize("name", GOOGLENET)
def test_googlenet_has_the_rows_of_its_table_1(name):
    shape, params, operations = GOOGLENET[name]
    rows = [row for row in plan("googlenet").rows if row.name in (name, f"{name}_reduce")]
    assert rows[-1].output_shape == shape
    if params is not None:
        assert sum(row.params for row in rows) / 1024 == pytest.approx(params, rel=0.017)
    if operations is not None:
        assert sum(row.macs for row in rows) / 1e6 == pytest.approx(operations, rel=0.03 if operations == 1 else 0.01)


# Iandola et al. 2016, table 1: output and parameters.
SQUEEZENET = {
    "conv1": ((111, 111, 96), 14_208),
    "maxpool1": ((55, 55, 96), 0),
    "fire2": ((55, 55, 128), 11_920),
    "fire3": ((55, 55, 128), 12_432),
    "fire4": ((55, 55, 256), 45_344),
    "maxpool4": ((27, 27, 256), 0),
    "fire5": ((27, 27, 256), 49_440),
    "fire6": ((27, 27, 384), 104_880),
    "fire7": ((27, 27, 384), 111_024),
    "fire8": ((27, 27, 512), 188_992),
    "maxpool8": ((13, 13, 512), 0),
    "fire9": ((13, 13, 512), 197_184),
    "conv10": ((13, 13, 1000), 513_000),
    "avgpool10": ((1000,), 0),
}


def test_squeezenet_has_the_rows_of_its_table_1():
    rows = [row for row in plan("squeezenet_1_0").rows if row.kind != "Dropout"]
    assert {row.name: (row.output_shape, row.params) for row in rows} == SQUEEZENET


@pytest.mark.parametrize(
    ("name", "maps"),
    [
        (
            "inception_v3",
            dict(conv2d_1a=(149, 149, 32), conv2d_2a=(147, 147, 32), conv2d_2b=(147, 147, 64), pool_3a=(73, 73, 64))
            | dict(conv2d_3b=(73, 73, 80), mixed_5c_5d=(35, 35, 288), mixed_6e=(17, 17, 768), mixed_7a=(8, 8, 1280))
            | dict(mixed_7b_7c=(8, 8, 2048)),
        ),
        (
            "inception_v4",
            dict(conv2d_1a=(149, 149, 32), conv2d_2a=(147, 147, 32), conv2d_2b=(147, 147, 64), mixed_3a=(73, 73, 160))
            | dict(mixed_4a=(71, 71, 192), mixed_5a=(35, 35, 384), mixed_5b_5e=(35, 35, 384), mixed_6a=(17, 17, 1024))
            | dict(mixed_6b_6h=(17, 17, 1024), mixed_7a=(8, 8, 1536), mixed_7b_7d=(8, 8, 1536)),
        ),
        (
            "mobilenet_v2",
            dict(conv1=(112, 112, 32), bottleneck1=(112, 112, 16), bottleneck2_x=(56, 56, 24))
            | dict(bottleneck3_x=(28, 28, 32), bottleneck4_x=(14, 14, 64), bottleneck5=(14, 14, 96))
            | dict(bottleneck6_x=(7, 7, 160), bottleneck7=(7, 7, 320), conv8=(7, 7, 1280), mean=(1280,)),
        ),
        (
            "shufflenet_g3",
            dict(conv1=(112, 112, 24), maxpool=(56, 56, 24), stage2_1=(28, 28, 240), stage2_x=(28, 28, 240))
            | dict(stage3_1=(14, 14, 480), stage3_x=(14, 14, 480), stage4_1=(7, 7, 960), stage4_x=(7, 7, 960)),
        ),
        (
            "fractalnet",
            dict(block1=(32, 32, 64), block2=(16, 16, 128), block3=(8, 8, 256), block4=(4, 4, 512), block5=(2, 2, 512))
            | dict(pool5=(1, 1, 512)),
        ),
        ("capsnet", dict(conv1=(20, 20, 256), primary_capsules=(32 * 6 * 6, 8), digit_capsules=(10, 16))),
    ],
)
def test_maps_have_the_sizes_of_the_papers_tables_and_figures(name, maps):
    actual = shapes(plan(name))
    assert {row: actual[row] for row in maps} == maps


def test_mobilenet_spends_as_its_table_2_says():
    """Percent of multiplications and of kernels. Of the full convolution the table says 1.19 %, for 1.91 %."""
    layers = [row for row in leaves(plan("mobilenet_v1")) if row.macs]
    kinds = {"DepthwiseConv2D": "depthwise", "Dense": "dense"}
    spent = {}
    for row in layers:
        kind = "full" if row is layers[0] else kinds.get(row.kind, "1x1")
        macs, kernels = spent.get(kind, (0, 0))
        spent[kind] = (macs + row.macs, kernels + row.macs // prod(row.output_shape[:-1]))
    sums = [sum(column) for column in zip(*spent.values(), strict=True)]
    shares = {kind: tuple(round(100 * n / of, 2) for n, of in zip(spent[kind], sums, strict=True)) for kind in spent}
    assert shares == {
        "1x1": (94.86, 74.59),
        "depthwise": (3.06, 1.06),
        "full": (1.91, 0.02),
        "dense": (0.18, 24.33),
    }


# Araujo, Norris & Sim 2019, table 1, before the global pool.
@pytest.mark.parametrize(
    ("name", "field"), [("inception_v3", 1311), ("inception_v4", 2071), ("mobilenet_v1", 315), ("mobilenet_v2", 491)]
)
def test_receptive_fields_are_those_of_araujo_et_al(name, field):
    rows = plan(name).rows
    last = rows[[row.name for row in rows].index("mean") - 1]
    assert last.receptive_field == (field, field)
    assert last.jump == (32, 32)


def test_fractalnet_has_twenty_layers_on_its_longest_path():
    rows = [row.name for row, _ in plan("fractalnet").walk()]
    assert sum(name.startswith("column3_") for name in rows) == 20
    assert sum(name.startswith("column1_") for name in rows) == 5


def test_fractalnet_drops_out_more_in_later_blocks():
    layers = in_training("fractalnet")[0].layers
    rates = [layer.rate for layer in layers if isinstance(layer, keras.layers.Dropout)]
    assert rates == [0.1, 0.2, 0.3, 0.4]


@cache
def in_training(name):
    """A network's model, its objective, and the model that is trained; their weights have no values."""

    def symbolically():
        keras.StatelessScope().__enter__()  # never left: it ends with its thread
        config = registry.compose_network(name)
        model = assemble(registry.rows(config), *registry._image_shape_and_classes(config), name)
        goal = objective.make_objective(model, *registry.loss_and_heads(config))
        inputs = [model.input] if goal.labels is None else [model.input, goal.labels]
        return model, goal, keras.Model(inputs, [model.output, *goal.outputs.values()])

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(symbolically).result()


def parameters_of_heads(name):
    model, _, trained = in_training(name)
    every, own = (sum(prod(weight.shape) for weight in each.trainable_weights) for each in (trained, model))
    return every - own


# Caffe's GoogLeNet has 13,378,280 with both of its heads.
@pytest.mark.parametrize(("name", "heads"), [("googlenet", 13_378_280 - 6_998_552), ("capsnet", 1_411_344)])
def test_parameters_of_heads(name, heads):
    assert parameters_of_heads(name) == heads


def test_googlenet_weighs_its_heads_as_its_section_5_says():
    _, goal, _ = in_training("googlenet")
    assert list(goal.outputs) == ["aux1", "aux2"]
    assert goal.weights == (0.3, 0.3)
    config = registry.compose_network("googlenet", None, None, dict(dropout=0))
    assert not [row for head in registry.loss_and_heads(config)[1].values() for row in head["layers"] if "drop" in row]


def test_capsnet_weighs_squared_errors_by_half_a_thousandth():
    _, goal, _ = in_training("capsnet")
    rng = np.random.default_rng(0)
    images, drawn = rng.random((2, 3, 28, 28, 1)).astype("float32")
    loss = goal.weights[0] * keras.ops.convert_to_numpy(goal.losses[0](images, drawn))
    assert loss == pytest.approx(np.mean(0.0005 * np.sum((images - drawn) ** 2, (1, 2, 3))), rel=1e-5)


def test_capsnet_loses_by_the_length_of_its_capsules():
    """Sabour et al. 2017, equation 4: (0.9 − 0.4)² + 0.5 · (0.3 − 0.1)², the other eight below their margin."""
    _, goal, _ = in_training("capsnet")
    lengths = np.array([[0.3, 0.4, *[0.05] * 8]], "float32")
    assert float(goal.loss(np.array([1]), lengths)) == pytest.approx(0.25 + 0.5 * 0.04, rel=1e-5)


@pytest.mark.parametrize("image_shape", [(32, 32, 1), (32, 32, 3)])
def test_capsnet_draws_pictures_of_other_sizes(image_shape):
    config = registry.compose_network("capsnet", image_shape, 10, {})
    assert plan("capsnet", image_shape=image_shape).rows[-1].output_shape == (10,)
    assert registry.loss_and_heads(config)[1]["reconstruction"]["layers"]["decoder"]["image_shape"] == list(image_shape)


@pytest.mark.parametrize("name", sample([name for name in distinct(PARAMETERS) if name != "capsnet"]))
def test_axes(name):
    paper = plan(name)
    pooled = plan(name, pooling="l2", dropout=0.3)
    assert {"L2Pooling2D", "Dropout"} <= {row.kind for row in leaves(pooled)}
    assert last_map(pooled) == last_map(paper)
    wider = plan(name, pooling="max", stride=1)
    assert wider.macs > paper.macs
    assert last_map(wider)[0] > last_map(paper)[0]
    strided = plan(name, pooling="strided", stride=2, dropout=0)
    assert {"Dropout", "L2Pooling2D", "MaxPooling2D"}.isdisjoint(row.kind for row in strided.rows)
    assert last_map(strided) == last_map(paper)
    with pytest.raises(UserError, match=f"`input_dropout=0.2`: no row of {name} refers"):
        plan(name, input_dropout=0.2)


def last_map(plan):
    return [row.output_shape for row in plan.rows if len(row.output_shape) == 3][-1]


# By hand, of 299: 149, 147, 147 leave the stem, and each "valid" 3×3 at stride 1 takes two cells.
@pytest.mark.parametrize("pooling", ["paper", "max"])
@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("inception_v3", dict(pool_3a=145, conv2d_4a=143, pool_5a=141, mixed_6a=139, mixed_7a=137)),
        ("inception_v4", dict(mixed_3a=145, mixed_4a=143, mixed_5a=141, mixed_6a=139, mixed_7a=137)),
    ],
)
def test_the_branches_of_a_reduction_change_together(name, sizes, pooling):
    actual = shapes(plan(name, stride=1, pooling=pooling))
    assert {row: actual[row][0] for row in sizes} == sizes


def test_a_reduction_pools_inside_each_of_its_branches():
    (reduction,) = [row for row in plan("inception_v3", pooling="max").rows if row.name == "mixed_6a"]
    last = {branch.name: branch.inside[-1] for branch in reduction.inside if branch.inside}
    assert {name: row.kind for name, row in last.items()} == dict.fromkeys(
        ["branch3x3", "branch3x3dbl", "branch_pool"], "MaxPooling2D"
    )
    assert {row.output_shape[:2] for row in last.values()} == {(17, 17)}


def test_modules_are_followed_by_a_pool():
    rows = {row.name: row for row in plan("mobilenet_v2", pooling="max").rows}
    assert rows["bottleneck2_1"].output_shape == (112, 112, 24)
    assert rows["bottleneck2_1_pool"].output_shape == (56, 56, 24)


def test_depthwise_convolution_is_pooled_after_its_activation():
    names = [row.name for row in plan("mobilenet_v1", pooling="max").rows]
    at = names.index("conv2_dw")
    assert names[at : at + 5] == ["conv2_dw", "conv2_bn", "conv2_relu", "conv2_dw_pool", "conv2_pw"]


def test_capsules_have_a_stride_but_take_no_pool():
    assert shapes(plan("capsnet", stride=1))["primary_capsules"] == (32 * 12 * 12, 8)
    with pytest.raises(UserError, match="`pooling=max`: no row of capsnet refers to this axis"):
        plan("capsnet", pooling="max")
    with pytest.raises(UserError, match=r"`dropout=0.3`: no row of capsnet refers"):
        plan("capsnet", dropout=0.3)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(name="fractalnet", stride=3), ["`pool4`", "2×2", "1×1"]),
        (dict(name="squeezenet_1_0", image_shape=(8, 8, 3)), ["`maxpool1`", "3×3", "1×1"]),
        (dict(name="inception_v3", image_shape=(32, 32, 3)), ["`mixed_6a`", "inception_v3"]),
        (dict(name="capsnet", image_shape=(16, 16, 1)), ["`primary_capsules`", "9×9", "8×8"]),
    ],
)
def test_what_cannot_be_built_is_refused_by_name_and_size(settings, words):
    with pytest.raises(UserError) as refused:
        plan(**settings)
    assert all(word in str(refused.value) for word in words), refused.value


@pytest.mark.parametrize(
    "name", ["squeezenet_cifar", "mobilenet_v1_cifar", "mobilenet_v2_cifar", "shufflenet_cifar", "capsnet"]
)
def test_what_is_built_scores_every_class(name):
    model = build(name)
    assert sum(prod(weight.shape) for weight in model.trainable_weights) == PARAMETERS[name]
    images = np.random.default_rng(0).normal(size=(2, *model.input_shape[1:])).astype("float32")
    scores = keras.ops.convert_to_numpy(model(images))
    assert scores.shape == (2, 10)
    assert np.isfinite(scores).all()
    assert (scores[0] != scores[1]).any()
