"""Residual networks held against their papers: numbers typed here, never read from a config."""

import keras
import numpy as np
import pytest
from distinct_networks import distinct
from omegaconf import OmegaConf
from plans import plan
from sampling import sample

from convzoo import UserError
from convzoo.models import build, registry
from convzoo.models.registry import compose_network

# Trainable parameters. The CIFAR ResNets and DenseNets are worked out by hand from the papers; of the ImageNet networks
# the counts are torchvision's and keras.applications'. Next to them what the paper prints, in millions.
PARAMETERS = {
    "resnet20": (269_722, 0.27),
    "resnet32": (464_154, 0.46),
    "resnet44": (658_586, 0.66),
    "resnet56": (853_018, 0.85),
    "resnet110": (1_727_962, 1.7),
    "resnet20_b": (272_474, None),
    "resnet32_b": (466_906, None),
    "resnet44_b": (661_338, None),
    "resnet56_b": (855_770, None),
    "resnet110_b": (1_730_714, None),
    "preact_resnet110": (1_727_962, 1.7),  # as many normalizations as its forerunner, of the same sizes
    "preact_resnet164": (1_703_258, 1.7),
    "stochastic_depth_110": (1_727_962, 1.7),
    "resnet18": (11_689_512, None),
    "resnet34": (21_797_672, None),
    "resnet50": (25_557_032, None),
    "resnet18_cifar": (11_173_962, None),  # 11,689,512 − 3·64·(7² − 3²) − 513·990
    "resnet34_cifar": (21_282_122, None),  # 21,797,672 − 3·64·(7² − 3²) − 513·990
    "resnet50_cifar": (23_520_842, None),  # 25,557,032 − 3·64·(7² − 3²) − 2,049·990
    "resnet9": (6_573_120, None),
    "wrn_28_10": (36_479_194, 36.5),
    "wrn_16_4": (2_748_890, None),
    "densenet_40_12": (1_019_722, 1.0),
    "densenet_bc_100_12": (769_162, 0.8),
    "densenet121": (7_978_856, None),
    "densenet121_cifar": (6_956_298, None),  # 7,978,856 − 3·64·(7² − 3²) − 2·64 − 1,025·990
    "xception": (22_855_952, 22.855952),
    "xception_cifar": (20_827_442, None),  # 22,855,952 − 2,049·990
    "convmixer_256_8": (706_570, 0.7),
    "airbench": (1_971_352, None),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(name):
    exact, published = PARAMETERS[name]
    params = plan(name).params
    assert params == exact
    if published:
        decimals = len(str(published).partition(".")[2])
        assert round(params / 1e6, decimals) == published


# What the names count: convolutions and dense layers, shortcuts apart; those of wide networks count convolutions, the
# shortcuts' too.
@pytest.mark.parametrize(
    ("name", "depth"),
    [
        ("resnet20", 20),
        ("resnet44_b", 44),
        ("resnet110", 110),
        ("preact_resnet164", 164),
        ("resnet18", 18),
        ("resnet34", 34),
        ("resnet50", 50),
        ("densenet_40_12", 40),
        ("densenet_bc_100_12", 100),
        ("densenet121", 121),
    ],
)
def test_depth(name, depth):
    def weighted(rows):
        for row in rows:
            if row.inside and row.name != "shortcut":
                yield from weighted(row.inside)
            elif row.macs and not row.inside:
                yield row

    assert len(list(weighted(plan(name).rows))) == depth


@pytest.mark.parametrize(("name", "depth"), [("wrn_28_10", 28), ("wrn_16_4", 16)])
def test_depth_of_wide_networks(name, depth):
    assert sum(row.kind == "Conv2D" for row, _ in plan(name).walk()) == depth


# He et al. 2015, table 1, FLOPs, where a multiplication and an addition are one; torchvision's ResNet-18 and -34 have
# 1.814 and 3.664 billion.
@pytest.mark.parametrize(("name", "billions"), [("resnet18", 1.8), ("resnet34", 3.6), ("resnet50", 3.8)])
def test_multiplications_of_the_imagenet_resnets(name, billions):
    assert plan(name).macs / 1e9 == pytest.approx(billions, rel=0.02)


def test_multiplications_of_airbench():
    """The author counts 0.36 PFLOP for 9.9 epochs; a step costs three times a look, a multiplication two operations."""
    assert plan("airbench").macs * 2 * 3 * 50_000 * 9.9 / 1e15 == pytest.approx(0.36, rel=0.05)


def test_multiplications_of_convmixer():
    """By hand, on 32·32 positions: patches 3·256; eight times 9·9·256 and 256·256; scores 256·10."""
    assert plan("convmixer_256_8").macs == 32 * 32 * (3 * 256 + 8 * (81 * 256 + 256 * 256)) + 2_560


def test_receptive_fields():
    """ResNet-50's is 483 in Araujo, Norris & Sim 2019; those of depth 6n + 2 by hand, 3 + 4n + (8n − 2) + (16n − 4)."""
    assert before_the_mean("resnet50").receptive_field == (483, 483)
    assert before_the_mean("resnet20").receptive_field == (3 + 12 + 22 + 44, 3 + 12 + 22 + 44)
    assert before_the_mean("resnet110").receptive_field == (3 + 72 + 142 + 284, 3 + 72 + 142 + 284)


def before_the_mean(name):
    rows = plan(name).rows
    return rows[[row.name for row in rows].index("mean") - 1]


def outputs(name, *rows):
    shapes = {row.name: row.output_shape for row in plan(name).rows}
    return [shapes[row] for row in rows]


RESNETS = [name for name in PARAMETERS if "resnet" in name or name.startswith(("wrn", "stochastic"))]
CONV = ("conv2_x", "conv3_x", "conv4_x")


@pytest.mark.parametrize(
    ("name", "rows", "shapes"),
    [
        ("resnet20", CONV, [(32, 32, 16), (16, 16, 32), (8, 8, 64)]),
        ("preact_resnet164", CONV, [(32, 32, 64), (16, 16, 128), (8, 8, 256)]),
        ("wrn_28_10", CONV, [(32, 32, 160), (16, 16, 320), (8, 8, 640)]),
        ("wrn_16_4", CONV, [(32, 32, 64), (16, 16, 128), (8, 8, 256)]),
        (
            "resnet50",
            ("conv1", *CONV, "conv5_x"),
            [(112, 112, 64), (56, 56, 256), (28, 28, 512), (14, 14, 1024), (7, 7, 2048)],
        ),
        (
            "densenet121",
            ("conv1", "pool1", "trans1_pool", "trans2_pool", "trans3_pool", "dense4"),
            [(112, 112, 64), (56, 56, 64), (28, 28, 128), (14, 14, 256), (7, 7, 512), (7, 7, 1024)],
        ),
        ("densenet_40_12", ("dense1", "dense2", "dense3"), [(32, 32, 160), (16, 16, 304), (8, 8, 448)]),
        (
            "xception",
            ("block2", "block3", "block4", "middle", "block13", "mean"),
            [(74, 74, 128), (37, 37, 256), (19, 19, 728), (19, 19, 728), (10, 10, 1024), (2048,)],
        ),
        (
            "enet",
            ("initial", "bottleneck1_0", "bottleneck1_x", "bottleneck2_0", "bottleneck2_x"),
            [(256, 256, 16), (128, 128, 64), (128, 128, 64), (64, 64, 128), (64, 64, 128)],
        ),
        (
            "airbench",
            ("whiten", "block1_pool", "block2_pool", "block3_pool", "pool"),
            [(31, 31, 24), (15, 15, 64), (7, 7, 256), (3, 3, 256), (256,)],
        ),
    ],
)
def test_maps_have_the_sizes_of_the_papers_tables(name, rows, shapes):
    assert outputs(name, *rows) == shapes


def test_stochastic_depth_drops_the_deeper_blocks_more_often():
    """Huang et al. 2016, section 3: block l of 54 is dropped at the rate l/54 · (1 − 0.5)."""
    stages = map(build("stochastic_depth_110").get_layer, ["conv2_x", "conv3_1", "conv3_x", "conv4_1", "conv4_x"])
    blocks = [block for stage in stages for block in getattr(stage, "copies", [stage])]
    rates = [block.body.layers[-1].rate for block in blocks]
    np.testing.assert_allclose(rates, [block / 108 for block in range(1, 55)], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "recipe", "epochs", "drops"),
    [
        ("resnet56_b", "he2015", 164, [82, 123]),  # 64,000 steps, 32,000 and 48,000, of 390 an epoch
        ("stochastic_depth_110", "huang2016_stochastic_depth", 500, [250, 375]),
        ("densenet_bc_100_12", "huang2016_densenet", 300, [150, 225]),
    ],
)
def test_recipes(name, recipe, epochs, drops):
    actual = compose_network(name).model.recipe
    assert (actual.name, actual.epochs, actual.schedule.boundaries) == (recipe, epochs, drops)
    assert list(actual.preprocessing) == ["normalization"]


# One of each table: others differ in depth alone.
TABLES = (
    "resnet20 resnet20_b preact_resnet110 preact_resnet164 stochastic_depth_110 resnet18 resnet50 resnet18_cifar "
    "resnet9 wrn_16_4 densenet_40_12 densenet_bc_100_12 densenet121 densenet121_cifar xception xception_cifar airbench "
    "enet enet_cifar"
).split()


@pytest.mark.parametrize("name", sample(distinct(TABLES)))
def test_axes(name):
    paper = plan(name)
    for settings, kind in (
        (dict(pooling="max", dropout=0.3, stride=3), "MaxPooling2D"),
        (dict(pooling="l2", dropout=0.3, stride=1), "L2Pooling2D"),
        (dict(pooling="strided", dropout=0), "Conv2D"),
    ):
        planned = plan(name, **settings)
        kinds = {row.kind for row, _ in planned.walk()}
        assert kind in kinds
        assert any(kind.endswith(("Dropout", "Dropout2D")) for kind in kinds) == (settings["dropout"] > 0)
        assert planned.rows[0].jump == paper.rows[0].jump
        if "stride" in settings:
            assert (planned.macs > paper.macs) == (settings["stride"] == 1)
    with pytest.raises(UserError, match=f"`input_dropout=0.2`: no row of {name} refers"):
        plan(name, input_dropout=0.2)


def test_axes_of_a_network_that_never_down_samples():
    assert "Dropout" in {row.kind for row in plan("convmixer_256_8", dropout=0.3).rows}
    for settings in (dict(pooling="max"), dict(stride=2)):
        with pytest.raises(UserError, match="no row of convmixer_256_8 refers"):
            plan("convmixer_256_8", **settings)


def test_body_and_shortcut_are_pooled_alike():
    for name, first in (("resnet20", "subsample"), ("resnet20_b", "conv")):
        (block,) = [row for row in plan(name, pooling="max").rows if row.name == "conv3_1"]
        shortcut, body = (next(row for row in block.inside if row.name == part) for part in ("shortcut", "body"))
        for chain, site in ((shortcut, first), (body, "conv1")):
            inside = {row.name: row for row in chain.inside}
            assert inside[site].output_shape[:2] == (32, 32)
            assert inside[f"{site}_pool"].output_shape[:2] == (16, 16)
            assert inside[f"{site}_pool"].kind == "MaxPooling2D"


@pytest.mark.parametrize(
    "name", ["resnet20", "resnet20_b", "wrn_16_4", "densenet_40_12", "convmixer_256_8", "airbench", "enet_cifar"]
)
def test_what_is_built_has_the_planned_weights_and_scores(name):
    if name.startswith("densenet") and keras.backend.backend() == "jax":
        pytest.skip("each shape of weights is compiled by itself: minutes")
    model = build(name, classes=7)
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    for layer in model.layers:
        if hasattr(layer, "adapt"):
            layer.adapt(images)
    assert sum(int(np.prod(v.shape)) for v in model.trainable_weights) == plan(name, classes=7).params
    scores = keras.ops.convert_to_numpy(model(images))
    assert scores.shape == (2, 7)
    assert scores.dtype == np.float32
    assert np.all(np.isfinite(scores))
    assert np.ptp(scores) > 0


def test_a_row_that_is_null_is_left_out_wherever_it_stands():
    planned = {row.name: row for row in plan("resnet50_cifar").rows}
    assert "pool1" not in planned
    assert planned["conv5_x"].output_shape == (4, 4, 2048)
    config = compose_network("resnet20")
    config.model.layers.relu1 = None
    OmegaConf.update(config, "model.layers.conv2_x.body.block.body.bn1", None, force_add=True)
    actual = registry.rows(config)
    assert "relu1" not in actual
    assert list(actual["conv2_x"]["body"]["block"]["body"]) == ["conv1", "relu1", "conv2", "bn2"]


@pytest.mark.parametrize("name", RESNETS)
def test_resnet_file_is_short(name):
    text = (registry.CONFIGS_FOLDER / "model" / f"{name}.yaml").read_text().splitlines()
    assert len(text) <= 60
    assert max(map(len, text)) <= 120
    assert len(registry.rows(compose_network(name))) <= 25
