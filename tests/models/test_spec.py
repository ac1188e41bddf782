import logging

import pytest

from convzoo import UserError
from convzoo.models.spec import (
    expand_blocks,
    has_only_rows,
    iter_rows,
    map_rows,
    rename_axis_keys,
    roles_of,
    warn_of_axis_keys,
)

INNER = {"_target_": "convzoo.layers.Conv2D", "strides": 2, "role": "strided"}
TREE = {
    "unit": {"_target_": "convzoo.layers.Residual", "body": {"conv": INNER}},
    "drop": {"_target_": "keras.layers.Dropout", "rate": 0.5, "role": "dropout"},
}


def test_iter_rows_yields_outer_rows_before_inner_ones():
    assert [row["_target_"].rpartition(".")[2] for row in iter_rows(TREE)] == ["Residual", "Conv2D", "Dropout"]


def test_roles_of_a_tree_include_those_of_inner_rows():
    assert roles_of(TREE) == {"strided", "dropout"}


def test_map_rows_changes_inner_rows_and_copies():
    changed = map_rows(TREE, lambda row: {**row, "seen": True})
    assert changed["unit"]["body"]["conv"]["seen"]
    assert changed["unit"]["seen"]
    assert "seen" not in INNER


@pytest.mark.parametrize("value", [{}, {"a": 1}, {"a": {}}, [], None, "row"])
def test_is_table_refuses_what_has_no_rows(value):
    assert not has_only_rows(value)


@pytest.mark.parametrize("role", ["pool", "strided", "stride", "dropout", "input_dropout"])
def test_axis_key_with_a_role_is_read_as_role_with_one_warning(role, caplog):
    rows = {"a": {"_target_": "x", "axis": role}, "b": {"_target_": "y", "branches": [{"c": {"axis": role}}]}}
    assert rename_axis_keys({"layers": rows}) == {
        "layers": {"a": {"_target_": "x", "role": role}, "b": {"_target_": "y", "branches": [{"c": {"role": role}}]}}
    }
    with caplog.at_level(logging.WARNING, "convzoo"):
        warn_of_axis_keys({"layers": rows})
    (record,) = caplog.records
    assert record.message == "`axis` of a row is now called `role`: rename the key in your file"


@pytest.mark.parametrize("axis", [-1, [1, 2], "rows"])
def test_axis_key_of_a_layer_stays_without_a_warning(axis, caplog):
    rows = {"norm": {"_target_": "x", "axis": axis}}
    warn_of_axis_keys(rows)
    assert rename_axis_keys(rows) == rows
    assert not caplog.records


BLOCK = {"_target_": "convzoo.layers.BasicBlock", "filters": 8, "strides": 2, "shortcut_type": "pad"}


def expand(row, shared=None):
    return expand_blocks({"layers": {"block": row}, "shared": shared or {}})["layers"]["block"]


def test_block_row_becomes_a_residual_row():
    conv = {"_target_": "convzoo.layers.Conv2D", "filters": 8, "kernel_size": 3}
    conv |= {"padding": "half", "use_bias": False, "kernel_initializer": "he_normal"}
    norm = {"_target_": "convzoo.layers.BatchNormalization", "momentum": 0.9, "epsilon": 1e-5}
    assert expand(BLOCK) == {
        "_target_": "convzoo.layers.Residual",
        "activation": "relu",
        "body": {
            "conv1": {**conv, "strides": 2, "role": "strided"},
            "bn1": norm,
            "relu1": {"_target_": "keras.layers.ReLU"},
            "conv2": conv,
            "bn2": norm,
        },
        "shortcut": {
            "subsample": {
                "_target_": "convzoo.layers.MaxPooling2D",
                "pool_size": 1,
                "strides": 2,
                "role": "strided",
            },
            "pad": {"_target_": "convzoo.layers.ChannelPadding", "filters": 8},
        },
    }


def test_block_row_may_change_the_rows_inside():
    extra = {"_target_": "keras.layers.ReLU"}
    body = expand({**BLOCK, "body": {"conv2": {"kernel_size": 5}, "extra": extra, "bn1": None}})["body"]
    assert (body["conv2"]["kernel_size"], body["conv2"]["filters"]) == (5, 8)
    assert list(body) == ["conv1", "bn1", "relu1", "conv2", "bn2", "extra"]
    assert body["bn1"] is None


def test_block_arguments_win_over_shared_ones():
    shared = {"BatchNormalization": {"momentum": 0.5, "epsilon": 0.1}, "BasicBlock": {"dropout": 0.25, "strides": 3}}
    model = expand_blocks({"layers": {"block": {**BLOCK, "momentum": 0.7}}, "shared": shared})
    body = model["layers"]["block"]["body"]
    assert (body["bn1"]["momentum"], body["bn1"]["epsilon"]) == (0.7, 0.1)
    assert (body["drop1"]["rate"], body["conv1"]["strides"]) == (0.25, 2)
    assert list(model["shared"]) == ["BatchNormalization"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"filtres": 3}, "`filtres` is not an argument of BasicBlock; did you mean filters"),
        ({"filters": "many"}, "`filters` must be a positive integer. Received: filters='many'"),
        ({"shortcut_type": "padding"}, "`shortcut_type` must be one of .*Received: shortcut_type='padding'"),
        ({"shortcut": "pad"}, "`shortcut` must be a mapping from names to rows. Received: shortcut='pad'"),
        ({"dropout": 1}, "`dropout` must be None or a rate"),
    ],
)
def test_block_row_with_a_wrong_argument_is_refused(change, message):
    with pytest.raises(UserError, match=f"`model.layers.block`: {message}"):
        expand({**BLOCK, **change})
