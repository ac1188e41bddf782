"""Networks held against their papers: numbers typed here, never read from a config."""

import keras
import numpy as np
import pytest
from plans import plan

from convzoo import UserError
from convzoo.models import build

# Springenberg et al. 2014: parameters and millions of MACs of a 32x32x3 image, worked out by hand from tables 1 and 2.
ALL_CNN = {
    "allconv_a_base": (839_242, 138.7),
    "allconv_a_strided": (839_242, 44.7),
    "allconv_a_convpool": (1_254_250, 308.5),
    "allconv_a_all": (1_254_250, 181.1),
    "allconv_b_base": (885_610, 157.6),
    "allconv_b_strided": (885_610, 143.4),
    "allconv_b_convpool": (1_300_618, 327.4),
    "allconv_b_all": (1_300_618, 200.0),
    "allconv_c_base": (954_730, 228.3),
    "allconv_c_strided": (954_730, 100.9),
    "allconv_c_convpool": (1_369_738, 398.2),
    "allconv_c_all": (1_369_738, 270.8),
}


@pytest.mark.parametrize("name", ALL_CNN)
def test_all_cnn_has_the_parameters_and_macs_of_its_tables(name):
    params, mmacs = ALL_CNN[name]
    planned = plan(name)
    assert planned.params == params
    assert round(planned.macs / 1e6, 1) == mmacs


def test_allconv_is_all_cnn_c():
    assert plan("allconv").rows == plan("allconv_c_all").rows


def test_all_cnn_averages_over_six_by_six():
    assert [row.output_shape for row in plan("allconv").rows if row.name == "score"] == [(6, 6, 10)]


NIN = ("nin", "nin_caffe")


@pytest.mark.parametrize(("classes", "params"), [(10, 966_986), (100, 984_356)])
def test_nin(classes, params):
    assert plan("nin", classes=classes).params == params


def test_nin_has_max_pools_and_its_later_form_an_average_pool():
    """Lin et al. 2013, section 4.1: a spatial max pooling layer follows the mlpconv layers in all experiments."""
    kinds = {name: [row.kind for row in plan(name).rows if row.name in ("pool1", "pool2")] for name in NIN}
    assert kinds == {
        "nin": ["MaxPooling2D", "MaxPooling2D"],
        "nin_caffe": ["MaxPooling2D", "AveragePooling2D"],
    }
    first, second = ([(row.name, row.output_shape, row.params) for row in plan(name).rows] for name in NIN)
    assert first == second


def test_nin_pools_by_ceil_as_cuda_convnet_does():
    shapes = {row.name: row.output_shape for row in plan("nin").rows}
    assert shapes["pool1"] == (16, 16, 96)
    assert shapes["pool2"] == (8, 8, 192)


@pytest.mark.parametrize(("channels", "params"), [(1, 61_706), (3, 62_006)])
def test_lenet(channels, params):
    planned = plan("lenet", image_shape=(32, 32, channels))
    assert planned.params == params
    assert [row.name for row in planned.rows] == ["conv1", "pool1", "conv2", "pool2", "fc1", "fc2", "score"]


def test_lenet_row_by_row():
    """LeCun et al. 1998's C1, C5 and F6; C3 with all connections has 16·(6·25 + 1)."""
    params = {row.name: row.params for row in plan("lenet").rows}
    assert params == {
        "conv1": 156,
        "pool1": 0,
        "conv2": 2_416,
        "pool2": 0,
        "fc1": 48_120,
        "fc2": 10_164,
        "score": 850,
    }


def test_lenet_receptive_fields():
    """By hand: 5; 5+1=6 at jump 2; 6+4·2=14; 14+1·2=16 at jump 4; then the whole 5x5 map: 16+4·4=32."""
    fields = [row.receptive_field for row in plan("lenet").rows]
    assert fields == [(5, 5), (6, 6), (14, 14), (16, 16), (32, 32), (32, 32), (32, 32)]


def test_all_cnn_c_receptive_fields():
    """By hand, 3x3 layers add 2 times the jump: 3 5 7 | 11 15 19 | 27, 1x1 nothing, the 6x6 average 5·4."""
    fields = {row.name: row.receptive_field[0] for row in plan("allconv").rows}
    wanted = dict(conv1=3, conv2=5, down1=7, conv3=11, conv4=15, down2=19, conv5=27, conv6=27, score=27, mean=47)
    assert {name: fields[name] for name in wanted} == wanted


@pytest.mark.parametrize("name", [*ALL_CNN, "allconv", "allconv_bn", "lenet", "nin"])
def test_what_is_built_has_the_planned_weights_and_scores(name):
    model = build(name, image_shape=(32, 32, 3), classes=7)
    planned = plan(name, image_shape=(32, 32, 3), classes=7)
    assert sum(int(np.prod(v.shape)) for v in model.trainable_weights) == planned.params
    assert tuple(layer.name for layer in model.layers[1:]) == tuple(row.name for row in planned.rows)
    scores = model(np.zeros((2, 32, 32, 3), "float32"))
    assert scores.shape == (2, 7)
    assert keras.backend.standardize_dtype(scores.dtype) == "float32"


def test_scores_are_float32_under_a_mixed_policy():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = build("nin")
    assert model.get_layer("conv1").compute_dtype == "bfloat16"
    assert model.output.dtype == "float32"


def test_a_plan_allocates_no_weight():
    """VGG-sized rows would fill the memory: 40,000 x 400,000 weights are 64 GB."""
    from convzoo.models.registry import plan_rows

    rows = {
        "wide": {"_target_": "keras.layers.Dense", "units": 400_000},
        "wider": {"_target_": "keras.layers.Dense", "units": 400_000},
    }
    rows = {**rows, "flat": {"_target_": "keras.layers.Flatten"}}
    assert plan_rows(rows, (1, 1, 1), 400_000, "wide").params == 2 * 400_000 + 400_000 * 400_000 + 400_000


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(name="lenet", stride=8), ["`conv2`", "5×5", "4×4", "`pool1`"]),
        (dict(name="lenet", image_shape=(8, 8, 1)), ["`conv2`", "5×5", "2×2"]),
        (dict(name="allconv", stride=8), ["`conv5`", "3×3", "1×1"]),
        (dict(name="alconv"), ["'alconv'", "allconv"]),
        (dict(name="nin", pooling="l3"), ["'l3'", "l2"]),
        (dict(name="nin", poling="l2"), ["`poling`", "pooling"]),
        (dict(name="nin", image_shape=32), ["`image_shape`", "32"]),
        (dict(name="nin", image_shape=(32, 32, -3)), ["`image_shape`", "-3"]),
        (dict(name="nin", classes=0), ["`classes`"]),
        (dict(name="nin", dropout="0,0.5"), ["`dropout`", "'0,0.5'"]),
    ],
)
@pytest.mark.parametrize("make", [build, plan])
def test_what_cannot_be_built_is_refused_by_name_and_size(make, settings, words):
    with pytest.raises(UserError) as refused:
        make(**settings)
    assert all(word in str(refused.value) for word in words), refused.value


def test_the_table_shows_names_and_totals():
    table = str(plan("nin")).splitlines()
    assert table[0] == "nin on 32×32×3"
    assert table[3].split()[:2] == ["conv1", "Conv2D"]
    (total,) = (line.split() for line in table if line.startswith("total"))
    assert total == ["total", "966,986", "222,486,528", "369,280"]


def test_layers_without_a_window_or_with_positions_of_their_own():
    from convzoo.models.registry import plan_rows

    rows = {
        "conv": {"_target_": "keras.layers.DepthwiseConv2D", "kernel_size": 3, "depth_multiplier": 2},
        "mean": {"_target_": "keras.layers.GlobalAveragePooling2D", "keepdims": True},
        "again": {"_target_": "keras.layers.Reshape", "target_shape": [2, 3]},
        "dense": {"_target_": "keras.layers.Dense", "units": 5},
        "score": {"_target_": "convzoo.layers.FullyConnected", "units": 10},
    }
    conv, mean, _, dense, score = plan_rows(rows, (8, 8, 3), 10, "mixed").rows
    assert conv.macs == 3 * 3 * 3 * 2 * 6 * 6
    assert mean.receptive_field == (8, 8)
    assert dense.macs == 2 * 3 * 5
    assert score.macs == 10 * 10


def test_weights_count_macs_only_where_they_multiply():
    """By hand: 6·6 positions of 3·3·2 weights for 4 maps; squeezed to 4/4 units and back."""
    from convzoo.models.registry import plan_rows

    rows = {
        "local": {"_target_": "convzoo.layers.LocallyConnected2D", "filters": 4, "kernel_size": 3},
        "gate": {"_target_": "convzoo.layers.SqueezeExcite", "ratio": 4},
        "score": {"_target_": "convzoo.layers.FullyConnected", "units": 10},
    }
    local, gate, _ = plan_rows(rows, (8, 8, 2), 10, "local").rows
    assert local.macs == 6 * 6 * 3 * 3 * 2 * 4
    assert gate.macs == 4 * 1 + 1 * 4
