"""Rows that hold rows: what the axes, the shared settings and the plan make of them."""

import keras
import pytest

from convzoo import UserError
from convzoo.models import axes, plan
from convzoo.models.builder import apply_shared, assemble
from convzoo.models.registry import plan_rows


def row(target, **arguments):
    return {"_target_": target, **arguments}


def conv(filters, kernel_size, **arguments):
    return row("keras.layers.Conv2D", filters=filters, kernel_size=kernel_size, padding="same", **arguments)


BLOCK = row(
    "convzoo.layers.Residual",
    body={"conv1": conv(4, 3, activation="relu"), "drop": row("keras.layers.Dropout", rate=0.3, role="dropout")},
)
DOWN = row(
    "convzoo.layers.Residual",
    body={"conv1": conv(8, 3, strides=2, activation="relu", role="strided")},
    shortcut={"project": conv(8, 1, strides=2, role="strided")},
)
FORK = row(
    "convzoo.layers.Branches",
    branches={
        "down": {"conv": conv(8, 3, strides=2, role="strided")},
        "pool": {"pool": row("convzoo.layers.MaxPooling2D", pool_size=3, strides=2, padding="same", role="pool")},
    },
)
END = {"mean": row("keras.layers.GlobalAveragePooling2D"), "score": row("keras.layers.Dense", units=10)}
MAX = {"kind": "max", "row": row("convzoo.layers.MaxPooling2D")}


def planned(rows, image_shape=(16, 16, 4)):
    return plan_rows({**rows, **END}, image_shape, 10, "network")


def find(plan, *path):
    rows = plan.rows
    for name in path:
        (actual,) = (each for each in rows if each.name == name)
        rows = actual.inside
    return actual


def test_the_plan_shows_the_inside_and_counts_it_once():
    plan = planned({"block": BLOCK})
    assert [(r.name, depth) for r, depth in plan.walk()] == [
        ("block", 0),
        ("body", 1),
        ("conv1", 2),
        ("drop", 2),
        ("add", 1),
        ("mean", 0),
        ("score", 0),
    ]
    assert find(plan, "block").params == find(plan, "block", "body", "conv1").params == 3 * 3 * 4 * 4 + 4
    assert find(plan, "block").macs == 16 * 16 * 3 * 3 * 4 * 4
    assert plan.params == 148 + 4 * 10 + 10
    assert "    conv1" in str(plan)


def test_copies_are_counted_each():
    plan = planned({"stage": row("convzoo.layers.Repeat", times=3, body={"block": BLOCK})})
    assert [inner.name for inner in find(plan, "stage").inside] == ["block_1", "block_2", "block_3"]
    assert find(plan, "stage").params == 3 * 148
    assert [inner.receptive_field for inner in find(plan, "stage").inside] == [(3, 3), (5, 5), (7, 7)]


def test_the_table_shows_the_first_copy_and_the_others_as_one():
    rows = {
        "stage": row("convzoo.layers.Repeat", times=3, body={"block": BLOCK}),
        "dense": row("convzoo.layers.DenselyConnected", times=2, body={"conv": conv(2, 3)}),
    }
    lines = [line.split() for line in str(planned(rows)).splitlines()]
    names = [line[0] for line in lines]
    assert names[3:10] == ["stage", "block_1", "body", "conv1", "drop", "add", "block_2"]
    assert lines[9] == ["block_2", "…", "block_3", "2", "×", "Residual", "16×16×4", "296", "73.7k", "6,144", "7×7"]
    assert names[10:14] == ["dense", "conv_1", "concatenate_1", "conv_2"]
    assert lines[13][1:6] == ["1", "×", "Conv2D", "16×16×8", "110"]


def test_a_join_sees_what_any_branch_sees():
    """One branch sees the pixels from 2 before to 0, the other from 0 to 2 after: together five."""
    before = row("convzoo.layers.Conv2D", filters=4, kernel_size=3, padding=[[2, 0], [2, 0]])
    after = row("convzoo.layers.Conv2D", filters=4, kernel_size=3, padding=[[0, 2], [0, 2]])
    branches = {"before": {"conv": before}, "after": {"conv": after}}
    plan = planned({"fork": row("convzoo.layers.Branches", branches=branches, merge="add")})
    assert find(plan, "fork", "before").receptive_field == (3, 3)
    assert find(plan, "fork").receptive_field == (5, 5)


def test_branches_of_different_strides_cannot_be_joined():
    """On a map of one cell the sizes agree all the same."""
    branches = {"down": {"conv": conv(4, 1, strides=2)}, "itself": {}}
    with pytest.raises(UserError, match="`concatenate` joins branches of different strides: 2×2, 1×1 pixels"):
        planned({"fork": row("convzoo.layers.Branches", branches=branches)}, (1, 1, 4))


def test_stride_reaches_the_sites_of_all_branches():
    rows = axes.apply({"down": DOWN, "fork": FORK}, stride=1)
    assert find(planned(rows), "down").output_shape == (16, 16, 8)
    assert find(planned(rows), "fork").output_shape == (16, 16, 16)


def test_pooling_fills_the_sites_of_body_and_shortcut_alike():
    plan = planned(axes.apply({"down": DOWN}, pooling=MAX))
    for chain, name in (("body", "conv1"), ("shortcut", "project")):
        convolution, pool = find(plan, "down", chain).inside
        assert (convolution.name, convolution.output_shape) == (name, (16, 16, 8))
        assert (pool.name, pool.kind, pool.output_shape) == (f"{name}_pool", "MaxPooling2D", (8, 8, 8))


def test_pooling_reaches_rows_of_branches():
    average = {"kind": "average", "row": row("convzoo.layers.AveragePooling2D")}
    fork = axes.apply({"fork": FORK}, pooling=average)["fork"]["branches"]
    assert list(fork["down"]) == ["conv", "conv_pool"]
    assert fork["pool"]["pool"] == {**FORK["branches"]["pool"]["pool"], "_target_": "convzoo.layers.AveragePooling2D"}
    assert FORK["branches"]["pool"]["pool"]["_target_"] == "convzoo.layers.MaxPooling2D"


def test_dropout_reaches_the_template_of_copies():
    rows = {"stage": row("convzoo.layers.Repeat", times=2, body={"block": BLOCK})}
    model = assemble({**axes.apply(rows, dropout=0.1), **END}, (8, 8, 4), 10)
    rates = [layer.rate for layer in model._flatten_layers() if isinstance(layer, keras.layers.Dropout)]
    assert rates == [0.1, 0.1]
    plan = planned(axes.apply(rows, dropout=0))
    assert "Dropout" not in {inner.kind for inner, _ in plan.walk()}


def test_the_axes_are_described_by_rows_inside_rows():
    kinds = {"max": row("convzoo.layers.MaxPooling2D")}
    assert axes.describe({"fork": FORK}, kinds)["stride"] == 2
    assert axes.describe({"block": BLOCK}, kinds)["dropout"] == 0.3


def test_shared_settings_reach_rows_of_branches():
    fork = apply_shared({"fork": FORK}, {"Conv2D": {"use_bias": False}})["fork"]
    assert fork["branches"]["down"]["conv"]["use_bias"] is False


def test_a_target_inside_branches_is_checked():
    branches = {"a": {"b": row("keras.layers.Lambda")}}
    with pytest.raises(UserError, match=r"`model\.layers\.fork\.branches\.a\.b\._target_=keras\.layers\.Lambda`"):
        apply_shared({"fork": row("convzoo.layers.Branches", branches=branches)}, {})


def test_what_cannot_be_built_inside_is_named():
    block = row("convzoo.layers.Residual", body={"deep": row("keras.layers.Conv2D", filters=4, kernel_size=9)})
    with pytest.raises(UserError, match=r"row `block` of network cannot be built: `body`: `deep`: .*negative"):
        planned({"block": block}, (8, 8, 4))


@pytest.mark.parametrize(
    ("name", "row", "field", "jump", "padding"),
    [("alexnet", "pool5", 195, 32, 64), ("vgg16", "pool5", 212, 32, 90), ("resnet50", "conv5_x", 483, 32, 241)],
)
def test_receptive_fields_of_araujo_et_al(name, row, field, jump, padding):
    """The table of the Distill article; its ResNet-50 pads its pool by 0, not 1, before: 239 for our 241."""
    actual = find(plan(name), row)
    assert (actual.receptive_field, actual.jump, actual.padding) == ((field, field), (jump, jump), (padding, padding))


def test_a_join_whose_branches_are_not_aligned_says_so():
    """TensorFlow's "same" pads a 3×3 window with stride 2 behind the image alone: its centre is one pixel further."""
    rows = planned({"down": DOWN})
    assert find(rows, "down", "add").gap == 1
    assert "add: its branches are not aligned, their centres are 1 px apart" in str(rows)
    half = {**DOWN["body"]["conv1"], "_target_": "convzoo.layers.Conv2D", "padding": "half"}
    assert find(planned({"down": {**DOWN, "body": {"conv1": half}}}), "down", "add").gap == 0


def test_layers_that_look_at_the_whole_image_see_all_of_it():
    for layer in (row("convzoo.layers.SqueezeExcite", ratio=2), row("keras.layers.GlobalMaxPooling2D", keepdims=True)):
        assert find(planned({"conv": conv(4, 3), "layer": layer}), "layer").receptive_field == (18, 18)


def test_max_blur_pooling_sees_what_its_blur_reaches():
    """Three cells under the max, and one more on either side under the blur of three."""
    pool = row("convzoo.layers.MaxBlurPooling2D", pool_size=3, strides=2, padding="same")
    assert find(planned({"pool": pool}), "pool").receptive_field == (5, 5)


def test_connections_are_those_that_lecun_et_al_count():
    actual = {each.name: each.connections for each in plan("lenet5").rows if each.connections}
    assert actual == dict(C1=122_304, S2=5_880, C3=151_600, S4=2_000, C5=48_120, F6=10_164, output=840)
    assert sum(actual.values()) == 340_908


def test_bytes_of_weights_and_outputs():
    actual = find(planned({"bn": row("keras.layers.BatchNormalization"), "conv": conv(8, 3)}), "bn")
    assert (actual.weight_bytes, actual.activation_bytes) == (
        4 * 4 * 4,
        16 * 16 * 4 * 4,
    )  # γ, β, mean, variance
    assert "weights 0.00 MB, all outputs of one image" in str(planned({}))


def test_bytes_are_those_of_the_precision_in_force():
    single = plan("allconv")
    keras.config.set_dtype_policy("mixed_bfloat16")
    half = plan("allconv")
    assert half.rows[1].activation_bytes * 2 == single.rows[1].activation_bytes
    assert half.rows[1].weight_bytes == single.rows[1].weight_bytes


def test_training_keeps_what_a_gradient_reads():
    """A convolution's input, a ReLU's output, a normalization's input; a sum's inputs are of no use to it."""
    body = {
        "conv": conv(4, 3),
        "bn": row("keras.layers.BatchNormalization"),
        "relu": row("keras.layers.ReLU"),
        "last": conv(4, 1),
    }
    actual = planned({"residual": row("convzoo.layers.Residual", body=body)})
    read = ["what conv reads", "what bn reads", "what relu gives, which last reads"]
    assert actual.backward_bytes == len(read) * 16 * 16 * 4 * 4 + 4 * 4  # and the four means, which the scores read
    assert actual.training_bytes(8) - actual.training_bytes(7) == actual.backward_bytes + 16 * 16 * 4 * 4
