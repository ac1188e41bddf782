"""What the plan counts, shows and warns of."""

import pytest
from plans import plan
from sampling import sample

from convzoo.models import names
from convzoo.models.registry import plan_rows

CONV = {"_target_": "keras.layers.Conv2D", "filters": 4, "kernel_size": 3, "padding": "same"}
DENSE = {"_target_": "keras.layers.Dense", "units": 10}
MEAN = {"_target_": "keras.layers.GlobalAveragePooling2D"}


def planned_rows(*layers, image_shape=(8, 8, 4), classes=10):
    rows = {f"row{i}": row if isinstance(row, dict) else {"_target_": row} for i, row in enumerate(layers)}
    return plan_rows(rows, image_shape, classes, "rows").rows


@pytest.mark.parametrize(
    ("row", "values"),
    [
        ({"_target_": "keras.layers.Flatten"}, 256),
        ({"_target_": "keras.layers.Reshape", "target_shape": [256]}, 256),
        ({"_target_": "keras.layers.Reshape", "target_shape": [4, 4, 16]}, 256),
        ({"_target_": "keras.layers.Permute", "dims": [3, 1, 2]}, 256),
        ({"_target_": "keras.layers.GlobalAveragePooling2D"}, 256),
        ({"_target_": "keras.layers.GlobalMaxPooling2D", "keepdims": True}, 256),
        ({"_target_": "keras.layers.BatchNormalization"}, 256),
        ({"_target_": "keras.layers.GroupNormalization", "groups": 2}, 256),
        ({"_target_": "keras.layers.LayerNormalization", "axis": [1, 2, 3]}, 256),
        ({"_target_": "convzoo.layers.GlobalContrastNormalization"}, 256),
        ({"_target_": "convzoo.layers.ChannelPadding", "filters": 6}, 256),
        ({"_target_": "convzoo.layers.ChannelPooling2D", "pool_size": 2}, 256),
        ({"_target_": "keras.layers.MaxPooling2D", "pool_size": 3, "strides": 1}, 6 * 6 * 4 * 9),
        ({"_target_": "convzoo.layers.Branches", "merge": "add", "branches": {"a": {}, "b": {}}}, 512),
    ],
)
def test_other_of_a_row_is_the_values_that_it_reads(row, values):
    fully_connected = {"_target_": "convzoo.layers.FullyConnected", "units": 10}
    assert planned_rows(row, fully_connected)[0].other_reads == values


def test_flatten_of_1800_values_reads_1800():
    conv, flat, _ = planned_rows(
        {**CONV, "filters": 8, "padding": "valid"}, "keras.layers.Flatten", DENSE, image_shape=(17, 17, 1)
    )
    assert flat.output_shape == (1800,)
    assert (flat.other_reads, flat.connections) == (1800, 0)
    assert flat.receptive_field == conv.receptive_field == (3, 3)


@pytest.mark.parametrize(
    "flatten",
    ["keras.layers.Flatten", {"_target_": "keras.layers.Reshape", "target_shape": [-1]}],
)
def test_dense_layer_after_flatten_sees_the_map_once(flatten):
    """By hand: 3 pixels, and 7 cells further at a jump of 1."""
    rows = planned_rows(CONV, flatten, "keras.layers.ReLU", DENSE, DENSE)
    assert [row.receptive_field for row in rows] == [(3, 3), (3, 3), (3, 3), (10, 10), (10, 10)]


def test_padding_of_layers_of_its_own_moves_the_receptive_field():
    rows = planned_rows(
        {"_target_": "keras.layers.ZeroPadding2D", "padding": [[2, 1], [3, 0]]},
        {**CONV, "padding": "valid"},
        {"_target_": "keras.layers.Cropping2D", "cropping": 1},
        MEAN,
        DENSE,
    )
    assert [row.padding for row in rows[:3]] == [(2, 3), (2, 3), (1, 2)]


@pytest.mark.parametrize(
    ("row", "kind", "activation"),
    [
        ({**CONV, "activation": "elu"}, "Conv2D elu", "elu"),
        ({**CONV, "activation": "linear"}, "Conv2D", None),
        (CONV, "Conv2D", None),
        ({"_target_": "keras.layers.Activation", "activation": "relu6"}, "Activation relu6", "relu6"),
        (
            {"_target_": "keras.layers.SeparableConv2D", "filters": 2, "kernel_size": 3, "activation": "tanh"},
            "tanh",
            "tanh",
        ),
        (
            {"_target_": "convzoo.layers.MLPConv2D", "filters": [4, 4], "kernel_size": 3, "activation": "elu"},
            "elu",
            "elu",
        ),
    ],
)
def test_the_plan_shows_the_activation_of_a_row(row, kind, activation):
    rows = {"first": row, "mean": MEAN, "score": DENSE}
    planned = plan_rows(rows, (8, 8, 4), 10, "rows")
    assert planned.rows[0].activation == activation
    (line,) = [line for line in str(planned).splitlines() if line.startswith("first")]
    assert f"{kind} " in line


@pytest.mark.parametrize(
    "row",
    [
        {"_target_": "convzoo.layers.ConvNormActivation", "filters": 4, "kernel_size": 3, "activation": "elu"},
        {"_target_": "convzoo.layers.Residual", "activation": "elu", "body": {"conv": CONV}},
        {"_target_": "convzoo.layers.Repeat", "times": 3, "body": {"conv": {**CONV, "activation": "elu"}}},
    ],
)
def test_the_plan_shows_the_activations_inside_a_composite_row(row):
    table = str(plan_rows({"block": row, "mean": MEAN, "score": DENSE}, (8, 8, 4), 10, "rows"))
    assert " elu " in table


@pytest.mark.parametrize("name", ["lenet", "nin", "alexnet", "resnet20", "enet", "xception", "inception_v4"])
def test_the_table_fits_80_columns(name):
    planned = plan(name)
    lines = str(planned).splitlines()
    assert max(map(len, lines)) <= 80
    totals = [line.split() for line in lines if line.startswith("total")]
    assert [words[1:3] for words in totals] == [[f"{planned.params:,}", f"{planned.macs:,}"]]


def test_row_that_is_too_wide_takes_two_lines():
    name = "a_name_of_a_row_that_is_as_long_as_a_sentence_of_a_paper"
    lines = str(plan_rows({name: CONV, "mean": MEAN, "score": DENSE}, (8, 8, 4), 10, "rows")).splitlines()
    assert max(map(len, lines)) <= 80
    place = lines.index(f"{name}  Conv2D")
    assert lines[place + 1].split() == ["8×8×4", "148", "9,216", "0", "3×3"]


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (9_999, "9,999"), (16_384, "16.4k"), (99_960, "100k"), (999_600, "1.00M"), (15_470_264_320, "15.5G")],
)
def test_large_counts_are_shown_in_three_digits(count, text):
    from convzoo.models.planning import _abbreviate

    assert _abbreviate(count) == text


@pytest.mark.parametrize(("name", "first"), [("googlenet", "inception_5a"), ("resnet18", "conv5_1")])
def test_images_too_small_for_a_network_are_noted(name, first):
    (note,) = plan(name, image_shape=(32, 32, 3)).notes
    assert note.startswith(f"{name} is made for larger images than 32×32: from {first} on, ")


@pytest.mark.slow
@pytest.mark.parametrize("name", sample(names(), 5))
def test_no_network_is_too_large_for_its_own_images(name):
    planned = plan(name)
    assert not [note for note in planned.notes if "larger images" in note]
    assert max(map(len, str(planned).splitlines())) <= 80
