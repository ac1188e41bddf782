"""The three axes: design by example, rows written out by hand."""

import re

import pytest

from convzoo import UserError
from convzoo.models import axes, build, plan, registry

MAX = {"kind": "max", "row": {"_target_": "convzoo.layers.MaxPooling2D"}}
STRIDED = {"kind": "strided", "row": {"_target_": "convzoo.layers.StridedConv2D"}}


def conv(**settings):
    return {"_target_": "keras.layers.Conv2D", "filters": 8, "kernel_size": 3, **settings}


def pool(kind="Average", **settings):
    return {"_target_": f"convzoo.layers.{kind}Pooling2D", "role": "pool", **settings}


def drop(rate, role="dropout"):
    return {"_target_": "keras.layers.Dropout", "rate": rate, "role": role}


NORM = {"_target_": "keras.layers.BatchNormalization"}
RELU = {"_target_": "keras.layers.ReLU"}


def test_paper_leaves_every_row_as_it_stands():
    rows = {"conv": conv(strides=2, role="strided"), "pool": pool(pool_size=3), "drop": drop(0.5)}
    assert axes.apply(rows) == rows


def test_pooling_replaces_a_pool_and_keeps_its_window():
    rows = {"pool": pool(pool_size=3, strides=2, padding="ceil", name_of_old=1)}
    assert axes.apply(rows, pooling=MAX) == {"pool": pool("Max", pool_size=3, strides=2, padding="ceil")}


def test_pooling_leaves_pools_that_are_no_sites():
    stem = {"_target_": "convzoo.layers.AveragePooling2D", "pool_size": 3}
    result = axes.apply({"stem": stem, "p": pool(pool_size=2)}, pooling=MAX)
    assert result == {"stem": stem, "p": pool("Max", pool_size=2)}


def inserted(strides):
    return pool("Max", pool_size=3, strides=strides, padding="same")


@pytest.mark.parametrize(
    ("rows", "order"),
    [
        ({"c": conv(strides=2, role="strided", activation="relu"), "n": NORM}, ["c", "c_pool", "n"]),
        (
            {"c": conv(strides=2, role="strided"), "n": NORM, "r": RELU, "d": drop(0.5)},
            ["c", "n", "r", "c_pool", "d"],
        ),
        ({"c": conv(strides=2, role="strided"), "n": NORM, "e": conv()}, ["c", "n", "c_pool", "e"]),
        ({"c": conv(strides=2, role="strided"), "e": conv()}, ["c", "c_pool", "e"]),
        ({"c": conv(strides=2, role="strided")}, ["c", "c_pool"]),
    ],
)
def test_a_pool_follows_a_strided_site_after_its_activation(rows, order):
    result = axes.apply(rows, pooling=MAX)
    assert list(result) == order
    assert result["c"]["strides"] == 1
    assert result["c_pool"] == inserted(2)


def test_strided_leaves_a_strided_site():
    rows = {"c": conv(strides=2, role="strided")}
    assert axes.apply(rows, pooling=STRIDED) == rows


def test_two_strided_sites_in_a_row_each_get_their_pool():
    rows = {"a": conv(strides=2, role="strided"), "b": conv(strides=3, role="strided")}
    result = axes.apply(rows, pooling=MAX)
    assert list(result) == ["a", "a_pool", "b", "b_pool"]
    assert (result["a_pool"]["strides"], result["b_pool"]["strides"]) == (2, 3)


def test_stride_sets_strides_at_every_site_and_nothing_else():
    rows = {
        "a": conv(strides=2, role="strided"),
        "b": conv(strides=2),
        "p": pool(pool_size=3, strides=2, padding="same"),
    }
    assert axes.apply(rows, stride=3) == {
        "a": conv(strides=3, role="strided"),
        "b": conv(strides=2),
        "p": pool(pool_size=3, strides=3, padding="same"),
    }


def test_stride_and_pooling_together():
    result = axes.apply({"c": conv(strides=2, role="strided")}, stride=4, pooling=MAX)
    assert result["c"]["strides"] == 1
    assert result["c_pool"] == inserted(4)


def test_rows_inside_rows_are_reached_alike():
    rows = {
        "unit": {
            "_target_": "convzoo.layers.Residual",
            "body": {"conv1": conv(strides=2, role="strided", activation="relu"), "drop": drop(0.3)},
            "shortcut": {"proj": conv(kernel_size=1, strides=2, role="strided")},
        }
    }
    unit = axes.apply(rows, stride=4, pooling=MAX, dropout=0)["unit"]
    assert list(unit["body"]) == ["conv1", "conv1_pool"]
    assert list(unit["shortcut"]) == ["proj", "proj_pool"]
    assert unit["body"]["conv1_pool"] == unit["shortcut"]["proj_pool"] == inserted(4)


def test_dropout_reaches_its_own_rows():
    rows = {"in": drop(0.2, "input_dropout"), "a": drop(0.5), "b": drop(0.25)}
    assert axes.apply(rows, dropout=0.1) == {"in": drop(0.2, "input_dropout"), "a": drop(0.1), "b": drop(0.1)}
    assert axes.apply(rows, input_dropout=0.1) == {**rows, "in": drop(0.1, "input_dropout")}


def test_a_rate_of_zero_builds_no_layer():
    rows = {"in": drop(0.2, "input_dropout"), "a": drop(0.5), "b": drop(0)}
    assert list(axes.apply(rows)) == ["in", "a"]
    assert list(axes.apply(rows, dropout=0)) == ["in"]
    assert list(axes.apply(rows, dropout=0.5)) == ["in", "a", "b"]


def test_rows_given_are_not_changed():
    rows = {"c": conv(strides=2, role="strided"), "d": drop(0.5)}
    axes.apply(rows, stride=3, pooling=MAX, dropout=0.1)
    assert rows == {"c": conv(strides=2, role="strided"), "d": drop(0.5)}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(stride=2), "`stride=2`: no row of plain"),
        (dict(pooling=MAX), "`pooling=max`: no row of plain"),
        (dict(dropout=0.5), "`dropout=0.5`: no row of plain"),
        (dict(input_dropout=0.0), "`input_dropout=0.0`: no row of plain"),
    ],
)
def test_an_axis_that_no_row_refers_to_is_refused(settings, words):
    with pytest.raises(UserError, match=words):
        axes.apply({"conv": conv()}, network="plain", **settings)


def test_an_axis_is_not_refused_for_the_papers_own_value():
    rows = {"p": pool("Max", pool_size=2), "d": drop(0.5)}
    assert axes.apply(rows, pooling=MAX, dropout=0.5) == rows


@pytest.mark.parametrize(
    "settings",
    [
        dict(stride=0),
        dict(stride=1.5),
        dict(stride=True),
        dict(stride="two"),
        dict(dropout=1),
        dict(dropout=-0.1),
        dict(dropout="half"),
        dict(input_dropout=True),
    ],
)
def test_impossible_axis_values_are_refused_by_name(settings):
    ((axis, value),) = settings.items()
    with pytest.raises(UserError, match=f"`{axis}` must be .*Received: {axis}={value!r}"):
        axes.apply({"p": pool(pool_size=2), "d": drop(0.5), "i": drop(0.2, "input_dropout")}, **settings)


def test_an_inserted_pool_takes_no_other_row_s_name():
    rows = {"c": conv(strides=2, role="strided"), "c_pool": RELU}
    with pytest.raises(UserError, match="`c_pool`"):
        axes.apply(rows, pooling=MAX)


def test_a_strided_site_without_a_stride_has_keras_s_default():
    assert axes.apply({"c": conv(role="strided")}, pooling=MAX)["c_pool"] == inserted(1)


def test_an_unknown_axis_in_a_row_is_refused():
    with pytest.raises(UserError, match="'droput'"):
        axes.apply({"d": drop(0.5, "droput")})


# Springenberg et al. 2014 define their networks by these identities (section 3, table 2).
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("allconv_c_base", "strided"), ("allconv_c_all", "paper")),
        (("allconv", "max"), ("allconv_c_base", "paper")),
        (("allconv_c_strided", "max"), ("allconv_c_base", "paper")),
    ],
)
def test_identities_of_all_cnn_c(one, other):
    def layers(name, pooling):
        return [
            (type(layer).__name__, {k: v for k, v in layer.get_config().items() if k != "name"})
            for layer in build(name, pooling=pooling).layers
        ]

    def costs(name, pooling):
        return [(row.kind, row.output_shape, row.params, row.macs) for row in plan(name, pooling=pooling).rows]

    assert layers(*one) == layers(*other)
    assert costs(*one) == costs(*other)


def test_every_kind_plans_at_every_kind_of_site():
    for name in ("allconv_c_strided", "lenet"):  # convolutions with strides, and pools
        for kind in registry.pooling_kinds():
            assert plan(name, pooling=kind, image_shape=(32, 32, 3)).rows


@pytest.mark.parametrize(
    ("settings", "described"),
    [
        (dict(), dict(stride=2, pooling="max", dropout=0.5, input_dropout=0)),
        (dict(pooling="l2", stride=3, dropout=0), dict(stride=3, pooling="l2", dropout=0, input_dropout=0)),
    ],
)
def test_axes_are_described_in_plain_numbers_and_words(settings, described):
    assert registry.describe(registry.compose_network("nin", None, None, settings)) == described


def test_pools_of_two_kinds_are_described_as_the_papers():
    assert registry.describe(registry.compose_network("nin_caffe"))["pooling"] == "paper"


def test_a_kind_that_was_asked_for_is_described_by_its_name():
    """Two kinds may be of one class: only the name tells them apart."""
    rows = axes.apply({"p": pool(pool_size=2)}, pooling={**MAX, "kind": "mine"})
    assert axes.describe(rows, {"max": MAX["row"]}, "mine")["pooling"] == "mine"
    assert axes.describe(rows, {"max": MAX["row"]})["pooling"] == "max"


def test_strided_sites_describe_their_pooling_as_strided():
    assert axes.describe({"c": conv(strides=2, role="strided")}, {}) == {
        "stride": 2,
        "pooling": "strided",
        "dropout": 0,
        "input_dropout": 0,
    }


def test_a_value_that_is_the_same_operation_as_another_is_said():
    notes = plan("lenet", pooling="weighted").notes
    assert [note.split(":")[0] for note in notes] == ["pool1", "pool2"]
    assert all("AveragePooling2D" in note for note in notes)
    assert plan("nin", pooling="weighted").notes == []


def test_a_stride_row_is_reached_by_stride_alone():
    rows = {"capsules": {"_target_": "convzoo.layers.PrimaryCapsules", "strides": 2, "role": "stride"}}
    assert axes.apply(rows, stride=1)["capsules"]["strides"] == 1
    assert axes.describe(rows, {}) == {"stride": 2, "pooling": "none", "dropout": 0, "input_dropout": 0}
    with pytest.raises(UserError, match="`pooling=max`: no row of net refers to this axis"):
        axes.apply(rows, pooling=MAX, network="net")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"dropout": 1.5}, "`dropout`"),
        ({"dropout": True}, "`dropout`"),
        ({"input_dropout": "half"}, "`input_dropout`"),
        ({"stride": 0}, "`stride`"),
        ({"input_dropout": 0.1}, "`input_dropout=0.1`: no row of net"),
        (
            {"pooling": {"kind": "max", "row": {}}, "model": {"name": "net", "layers": {"a": {"_target_": "x"}}}},
            "no row",
        ),
    ],
)
def test_check_config_refuses_axes_without_keras(change, told):
    with pytest.raises(UserError, match=re.escape(told)):
        axes.check_config({**CONFIG, **change})


CONFIG = {
    "model": {
        "name": "net",
        "layers": {
            "pool": {"_target_": "x", "role": "pool"},
            "deep": {"_target_": "x", "body": {"drop": {"_target_": "y"}}},
        },
        "shared": {"y": {"role": "dropout"}},
    },
    "pooling": {"kind": "paper", "row": None},
    **dict.fromkeys(("stride", "dropout", "input_dropout"), "paper"),
}


@pytest.mark.parametrize(
    "change",
    [{}, {"dropout": 0.5}, {"stride": 3}, {"model": 3, "dropout": 0.5}, {"model": {"layers": [1]}, "dropout": 0.5}],
)
def test_check_config_leaves_the_rest_to_apply(change):
    assert axes.check_config({**CONFIG, **change}) is None
