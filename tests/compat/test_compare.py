"""The comparison of two commits reports each kind of difference."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import compare
import numpy as np
import probe
import pytest


def make_plan(**changes: Any) -> dict[str, Any]:
    """A plan of one layer, as the probe gives it, of which a field of its layer or its totals was changed."""
    layer = {"kind": "Conv2D", "name": "conv1", "output_shape": [8, 8, 4], "params": 40, "padding": [1, 1]}
    totals = {"params": 40, "macs": 2304}
    return {
        "totals": {key: changes.get(f"total_{key}", value) for key, value in totals.items()},
        "layers": [{key: changes.get(key, value) for key, value in layer.items()}],
    }


def make_refusal(code: int = 2, key: str | None = "stride") -> dict[str, Any]:
    return {"code": code, "key": key, "text": "error: a word of advice"}


def write_weights(file: Path, *arrays: np.ndarray) -> dict[str, Any]:
    """Weights as the probe gives them."""
    np.savez(file, **{f"{number:04d}": array for number, array in enumerate(arrays)})
    return {"file": str(file), "metrics": {"test_loss": "0x1.0p+1"}, "steps": 10}


def test_equal_plans_do_not_differ():
    refused = {"net stride=1": make_refusal()}
    assert compare.compare_plans({"net": make_plan(), **refused}, {"net": make_plan(), **refused}) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "Dense"),
        ("name", "conv2"),
        ("output_shape", [8, 8, 5]),
        ("params", 41),
        ("padding", [1, 0]),
        ("total_params", 41),
        ("total_macs", 0),
    ],
)
def test_changed_field_of_a_plan_is_a_difference(field, value):
    (line,) = compare.compare_plans({"net": make_plan()}, {"net": make_plan(**{field: value})})
    assert line.startswith("net: ")
    assert field.removeprefix("total_") in line


def test_missing_layer_of_a_plan_is_a_difference():
    short = {**make_plan(), "layers": []}
    assert compare.compare_plans({"net": make_plan()}, {"net": short}) == ["net: 1 layers became 0"]


def test_renamed_kinds_and_layers_do_not_differ(monkeypatch):
    monkeypatch.setitem(compare.KINDS, "Conv2D", "Convolution")
    monkeypatch.setitem(compare.NAMES, "conv1", "conv")
    new = make_plan(kind="Convolution", name="conv")
    assert compare.compare_plans({"net": make_plan()}, {"net": new}) == []
    assert len(compare.compare_plans({"net": make_plan()}, {"net": make_plan()})) == 1


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (make_refusal(), make_refusal(code=1), "exit code 2 became 1"),
        (make_refusal(), make_refusal(key="pooling"), "key 'stride' became 'pooling'"),
        (make_refusal(), make_refusal(key=None), "key 'stride' became None"),
        (make_refusal(), make_plan(), "refused on the old side alone"),
        (make_plan(), make_refusal(), "refused on the new side alone"),
    ],
)
def test_changed_refusal_is_a_difference(old, new, words):
    (line,) = compare.compare_plans({"net stride=1": old}, {"net stride=1": new})
    assert words in line


def test_refused_paper_setting_is_a_difference_on_both_sides():
    (line,) = compare.compare_plans({"net": make_refusal()}, {"net": make_refusal()})
    assert "the paper's own setting is refused" in line


def test_renamed_key_of_a_refusal_does_not_differ(monkeypatch):
    monkeypatch.setitem(compare.KEYS, "stride", "strides")
    assert compare.compare_refusals("net", make_refusal(), make_refusal(key="strides")) == []


@pytest.mark.parametrize("results", [{}, {"net": {"crash": "ValueError"}}])
@pytest.mark.parametrize("compared", [compare.compare_plans, compare.compare_weights, compare.compare_commands])
def test_same_failure_on_both_sides_is_a_difference(compared, results):
    lines = compared(results, results, ["net"])
    assert [("old" in line, "new" in line) for line in lines[-2:]] == [(True, False), (False, True)]


@pytest.mark.parametrize("compared", [compare.compare_plans, compare.compare_commands])
def test_result_missing_on_one_side_is_a_difference(compared):
    both = {"net stride=1": make_refusal()}
    assert compared({**both, "other": make_refusal()}, both)[0] == "other: not measured on the new side"


def test_equal_weights_do_not_differ(tmp_path):
    array = np.ones((2, 3), "float32")
    sides = [{"net": write_weights(tmp_path / f"{side}.npz", array, array)} for side in ("old", "new")]
    assert compare.compare_weights(*sides, ["net"]) == []


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (np.float32([[0.0, 1.0]]), "weight 0001 (1, 2): 1 values"),  # 0 for -0: alike as numbers, not as bytes
        (np.float32([[-0.0, np.nextafter(np.float32(1), np.float32(2))]]), "weight 0001 (1, 2): 1 values"),
        (np.float32([[-0.0], [1.0]]), "(1, 2) became float32 (2, 1)"),
        (np.float64([[-0.0, 1.0]]), "float32 (1, 2) became float64"),
        (None, "2 weights became 1"),
    ],
)
def test_changed_weight_is_a_difference(tmp_path, new, words):
    first, second = np.ones(3, "float32"), np.float32([[-0.0, 1.0]])
    old = {"net": write_weights(tmp_path / "old.npz", first, second)}
    arrays = [first] if new is None else [first, new]
    (line,) = compare.compare_weights(old, {"net": write_weights(tmp_path / "new.npz", *arrays)})
    assert words in line


@pytest.mark.parametrize("change", [{"metrics": {"test_loss": "0x1.1p+1"}}, {"steps": 9}])
def test_changed_metric_or_number_of_steps_is_a_difference(tmp_path, change):
    old = write_weights(tmp_path / "old.npz", np.ones(3))
    (line,) = compare.compare_weights({"net": old}, {"net": {**old, **change}})
    assert f"{next(iter(change))} " in line


def test_network_without_weights_is_a_difference(tmp_path):
    old = write_weights(tmp_path / "old.npz")
    assert compare.compare_weights({"net": old}, {"net": old}) == ["net: there are no weights"]


def test_renamed_paths_are_those_of_the_new_side(tmp_path):
    file = tmp_path / "weights.npz"
    np.savez(file, **{"net/block_1/conv1/kernel": np.ones(2), "net/conv1/kernel": np.zeros(2)})
    compare.rename_paths(file, {r"block_(\d)/conv1": r"basic_\1/conv1"})
    with np.load(file) as arrays:
        assert arrays.files == ["net/basic_1/conv1/kernel", "net/conv1/kernel"]
        assert arrays["net/basic_1/conv1/kernel"].all()


@pytest.mark.parametrize(
    ("new", "words"),
    [(make_refusal(code=1), "exit code 2 became 1"), (make_refusal(key="seed"), "key 'stride' became 'seed'")],
)
def test_changed_answer_to_a_mistake_is_a_difference(new, words):
    (line,) = compare.compare_commands({"train stride=0": make_refusal()}, {"train stride=0": new})
    assert words in line


def test_command_that_is_no_mistake_is_a_difference():
    done = make_refusal(code=0, key=None)
    (line,) = compare.compare_commands({"train": done}, {"train": done})
    assert "not refused on the old side" in line


def test_probe_of_another_tree_is_a_difference(tmp_path):
    sides = compare.Sides(*(compare.Side(name, tmp_path / name, tmp_path / name / "none") for name in ("old", "new")))
    for side in (sides.old, sides.new):
        side.folder.mkdir()
    comparison = compare.run_check("plans", sides, is_sample=True)
    (line,) = comparison.differences
    assert line.startswith("old: the probe of plans ")


def test_unknown_commit_is_not_checked_out(tmp_path):
    with pytest.raises(LookupError, match=r"0123456789 is not in the history|git is not installed"):
        compare.Sides.check_out(tmp_path, commit="0123456789")


def test_draws_of_five_days_are_all_networks():
    names = [f"net{number}" for number in range(12)]
    days = [compare.draw_networks(names, datetime(2026, 1, day, tzinfo=UTC)) for day in range(1, 6)]
    assert sorted(name for drawn, _ in days for name in drawn) == sorted(names)
    assert "by the date" in days[0][1]


@pytest.mark.parametrize(
    ("message", "key"),
    [
        ("error: `stride=8`: `conv5` is 3×3", "stride"),
        ("error: `+model.foo=3`: unknown", "model.foo"),
        ("error: `seed=[1` cannot be read", "seed"),
        ("error: `allow=[a, b]`", "allow"),
        ("error: nothing is named", None),
    ],
)
def test_key_of_a_message_is_its_first_quoted_word(message, key):
    assert probe.find_key(message) == key
