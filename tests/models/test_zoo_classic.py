"""The networks from LeNet-5 to VGG held against their papers: numbers typed here, never read from a config."""

from math import prod

import keras
import numpy as np
import pytest
from plans import plan
from sampling import sample

from convzoo import UserError
from convzoo.models import build

# Trainable parameters and millions of MACs of one image. AlexNet's and VGG's are those of Caffe, keras.applications and
# torchvision; the rest is worked out by hand from the papers' tables.
NETWORKS = {
    "lenet5": (60_000, 0.3),
    "ciresan": (1_660_710, 99.7),
    "cuda_convnet_18pct": (89_578, 12.3),
    "cuda_convnet_11pct": (1_116_490, 18.5),
    "alexnet": (60_965_224, 724.4),
    "alexnet_cifar": (3_754_378, 175.5),
    "zfnet": (62_357_608, 1_168.0),
    "zfnet_cifar": (4_512_138, 97.0),
    "overfeat_fast": (145_920_872, 2_801.4),
    "overfeat_fast_cifar": (20_946_826, 652.9),
    "overfeat_accurate": (144_656_488, 5_355.4),
    "overfeat_accurate_cifar": (26_976_650, 1_305.8),
    "maxout": (16_247_830, 732.3),
    "caffe_quick": (145_578, 12.4),
    "vgg11": (132_863_336, 7_609.1),
    "vgg13": (133_047_848, 11_308.5),
    "vgg16": (138_357_544, 15_470.3),
    "vgg19": (143_667_240, 19_632.1),
    "vgg11_cifar": (9_231_114, 152.8),
    "vgg13_cifar": (9_416_010, 228.3),
    "vgg16_cifar": (14_728_266, 313.2),
    "vgg19_cifar": (20_040_522, 398.1),
}
SMALL = [name for name, (params, _) in NETWORKS.items() if params < 5e6]


def leaves(planned):
    return [row for row, _ in planned.walk() if not row.inside]


def shapes(planned):
    return {row.name: row.output_shape for row in leaves(planned)}


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_and_macs(name):
    params, mmacs = NETWORKS[name]
    planned = plan(name)
    assert planned.params == params
    assert round(planned.macs / 1e6, 1) == mmacs


@pytest.mark.parametrize(("name", "millions"), [("overfeat_fast", (145, 2810)), ("overfeat_accurate", (144, 5369))])
def test_overfeat_has_the_counts_of_its_table_4(name, millions):
    """The paper rounds parameters down; its connections are within a half percent of the MACs."""
    planned = plan(name)
    assert planned.params // 1_000_000 == millions[0]
    assert planned.macs == pytest.approx(millions[1] * 1e6, rel=0.005)


@pytest.mark.parametrize(("name", "millions"), [("vgg11", 133), ("vgg13", 133), ("vgg16", 138), ("vgg19", 144)])
def test_vgg_has_the_parameters_of_its_table_2(name, millions):
    assert round(plan(name).params / 1e6) == millions


def test_lenet5_has_the_parameters_and_connections_of_its_paper():
    """A connection is a value that a unit reads, or its bias; the last are the output's 840 fixed weights."""
    rows = [row for row in plan("lenet5").rows if row.kind != "ScaledTanh"]
    biases = [prod(row.output_shape) for row in rows[:-1]] + [0]
    assert [(row.name, row.params, row.macs + row.other_reads + b) for row, b in zip(rows, biases, strict=True)] == [
        ("C1", 156, 122_304),
        ("S2", 12, 5_880),
        ("C3", 1_516, 151_600),
        ("S4", 32, 2_000),
        ("C5", 48_120, 48_120),
        ("F6", 10_164, 10_164),
        ("output", 0, 840),
    ]


def test_lenet5_scores_a_drawing_highest_where_it_is_drawn():
    """What F6 would have to say for each digit is its own drawing, from which no other digit is as near."""
    output = build("lenet5").get_layer("output")
    drawings = keras.ops.convert_to_numpy(output.centers)
    assert drawings.shape == (10, 84)
    assert set(np.unique(drawings)) == {-1, 1}
    scores = keras.ops.convert_to_numpy(output(drawings))
    np.testing.assert_array_equal(scores.argmax(1), range(10))
    assert (np.sort(scores, 1)[:, -2] < 0).all()


def test_lenet5_knows_ten_digits_alone():
    with pytest.raises(UserError, match=r"lenet5 must end in 7 class scores; `output` gives \(10,\)"):
        plan("lenet5", classes=7)


def test_alexnet_has_the_neurons_of_its_figure_2():
    """Of the first row the figure says 253,440, but the text has 55x55x96."""
    actual = shapes(plan("alexnet"))
    rows = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
    assert [prod(actual[row]) for row in rows] == [290_400, 186_624, 64_896, 64_896, 43_264, 4_096, 4_096, 1_000]


def test_alexnet_row_by_row():
    params = {row.name: row.params for row in plan("alexnet").rows if row.params}
    assert params == {
        "conv1": 34_944,
        "conv2": 307_456,
        "conv3": 885_120,
        "conv4": 663_936,
        "conv5": 442_624,
        "fc6": 37_752_832,
        "fc7": 16_781_312,
        "fc8": 4_097_000,
    }


@pytest.mark.parametrize(("name", "row", "field"), [("alexnet", "pool5", 195), ("vgg16", "pool5", 212)])
def test_receptive_fields_are_those_of_araujo_et_al(name, row, field):
    (actual,) = [each for each in plan(name).rows if each.name == row]
    assert actual.receptive_field == (field, field)
    assert actual.jump == (32, 32)


def test_zfnet_has_the_maps_of_its_figure_3():
    actual = shapes(plan("zfnet"))
    rows = ("conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5", "pool5")
    assert [actual[row][0] for row in rows] == [110, 55, 26, 13, 13, 13, 13, 6]


def test_overfeat_has_the_maps_of_its_tables():
    """Each layer's input; in the fast model's second the table has 24, which is what its convolution leaves."""
    fast, accurate = shapes(plan("overfeat_fast")), shapes(plan("overfeat_accurate"))
    rows = ("pool1", "conv2", "pool2", "conv3", "conv4", "pool5")
    assert [fast[row][0] for row in rows] == [28, 24, 12, 12, 12, 6]
    rows = ("pool1", "pool2", "conv3", "conv4", "conv5", "pool6")
    assert [accurate[row][0] for row in rows] == [36, 15, 15, 15, 15, 5]


@pytest.mark.parametrize("depth", [11, 13, 16, 19])
def test_vgg_has_as_many_weight_layers_as_its_name_says(depth):
    assert sum(row.params > 0 for row in leaves(plan(f"vgg{depth}"))) == depth


def test_vgg16_names_its_convolutions_as_the_literature_does():
    names = [row.name for row in leaves(plan("vgg16")) if row.kind == "Conv2D"]
    assert " ".join(names) == (
        "conv1_1 conv1_2 conv2_1 conv2_2 conv3_1 conv3_2 conv3_3 conv4_1 conv4_2 conv4_3 conv5_1 conv5_2 conv5_3"
    )


def test_ciresan_has_the_maps_that_its_name_spells():
    """By hand: 32-3+1=30, 15, 14, 7, 5, 3 by ceil, 2, 1."""
    sizes = [row.output_shape[0] for row in plan("ciresan").rows if row.kind in ("Conv2D", "MaxPooling2D")]
    assert sizes == [30, 15, 14, 7, 5, 3, 2, 1]


def test_maxout_has_the_maps_of_its_release():
    """The release sums gradients over parts of 33 and 15 positions a side; pools count their last partial window."""
    actual = shapes(plan("maxout"))
    rows = ("h0_max", "h0_pool", "h1_max", "h1_pool", "h2_max", "h2_pool", "h3_max")
    assert [actual[row] for row in rows] == [
        (33, 33, 96),
        (16, 16, 96),
        (15, 15, 192),
        (7, 7, 192),
        (9, 9, 192),
        (5, 5, 192),
        (500,),
    ]


def test_cuda_convnet_11pct_on_whole_pictures():
    """Kernels that serve one position: the picture's size makes the network's."""
    assert plan("cuda_convnet_11pct", image_shape=(32, 32, 3)).params == 1_901_386


@pytest.mark.parametrize("name", ["cuda_convnet_18pct", "caffe_quick"])
def test_the_pools_count_their_last_partial_window(name):
    actual = shapes(plan(name))
    assert [actual[row][0] for row in ("pool1", "pool2", "pool3")] == [16, 8, 4]


@pytest.mark.parametrize("name", sample(list(NETWORKS)))
def test_every_axis_reaches_every_network(name):
    paper = plan(name)
    pools = sum("Pooling" in row.kind or "Subsampling" in row.kind for row in leaves(paper))
    strided = 1 if name.startswith("zfnet") else 0
    l2 = [row.kind for row in leaves(plan(name, pooling="l2"))]
    assert l2.count("L2Pooling2D") == pools + strided
    assert plan(name, pooling="strided").params > paper.params
    assert plan(name, stride=1).macs > paper.macs
    dropped = [row.kind for row in plan(name, dropout=0.3).rows].count("Dropout")
    assert dropped >= 1
    assert [row.kind for row in plan(name, dropout=0).rows].count("Dropout") == (1 if name == "maxout" else 0)


@pytest.mark.parametrize("name", NETWORKS)
def test_an_axis_that_no_row_refers_to_is_refused(name):
    if name == "maxout":
        assert plan(name, input_dropout=0).rows[0].name == "h0"
        return
    with pytest.raises(UserError, match=f"`input_dropout=0.1`: no row of {name} refers to this axis"):
        plan(name, input_dropout=0.1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(name="alexnet", image_shape=(32, 32, 3)), ["`pool2`", "3×3", "2×2"]),
        (dict(name="vgg16", image_shape=(16, 16, 3)), ["`pool5`", "2×2", "1×1", "`block5`"]),
        (dict(name="ciresan", stride=4), ["`conv3`", "3×3", "2×2"]),
    ],
)
def test_what_cannot_be_built_is_refused_by_name_and_size(settings, words):
    with pytest.raises(UserError) as refused:
        plan(**settings)
    assert all(word in str(refused.value) for word in words), refused.value


@pytest.mark.parametrize("name", SMALL)
def test_what_is_built_scores_every_class(name):
    model = build(name)
    assert sum(int(np.prod(v.shape)) for v in model.trainable_weights) == NETWORKS[name][0]
    images = np.random.default_rng(0).normal(size=(2, *model.input_shape[1:])).astype("float32")
    scores = keras.ops.convert_to_numpy(model(images))
    assert scores.shape == (2, 10)
    assert np.isfinite(scores).all()
    assert (scores[0] != scores[1]).any()
