"""Identity: what decides a result, and nothing else."""

import copy
from types import SimpleNamespace

import pytest

from convzoo.tracking.record import record
from convzoo.tracking.run import run_name

SETTINGS = {
    "recipe": {"name": "fast", "epochs": 9, "batch_size": 9, "learning_rate": 9, "momentum": 0.9, "preprocess": {}},
    "data": {"name": "digits", "fraction": 1.0, "directory": None, "epochs": 40},
    "epochs": 2,
    "batch_size": 16,
    "learning_rate": 0.1,
    "seed": 0,
    "select": "last",
    "test_shift": 0,
    "test_flip": False,
    "study": "one",
    "tracking": {"uri": "sqlite:///a.db"},
}
ROWS = {"a": {"_target_": "keras.layers.ReLU"}, "b": {"_target_": "keras.layers.ELU"}}
PLAN = SimpleNamespace(name="net", params=1, macs=2)


def tags(change=None, rows=ROWS, precision="float32", backend="tensorflow"):
    settings = copy.deepcopy(SETTINGS)
    if change:
        *parents, key = change[0].split(".")
        part = settings
        for parent in parents:
            part = part[parent]
        part[key] = change[1]
    return record(settings, {"rows": rows}, {"stride": 2}, PLAN, "0f", precision, backend)[1]


@pytest.mark.parametrize(
    "change",
    [
        ("study", "two"),
        ("tracking.uri", "x"),
        ("data.directory", "/x"),
        ("recipe.name", "mine"),
        ("recipe.epochs", 8),
        ("data.epochs", 8),
    ],
)
def test_names_places_and_overridden_defaults_do_not_count(change):
    assert tags(change) == tags()


@pytest.mark.parametrize(
    "other",
    [
        tags(("epochs", 3)),
        tags(("recipe.momentum", 0.8)),
        tags(("data.fraction", 0.5)),
        tags(("select", "best")),
        tags(precision="mixed_bfloat16"),
        tags(backend="jax"),
        tags(rows=dict(reversed(ROWS.items()))),
        tags(rows={**ROWS, "a": {"_target_": "keras.layers.ELU"}}),
    ],
)
def test_what_decides_a_result_counts(other):
    assert other["identity"] != tags()["identity"]
    assert other["cell"] != tags()["cell"]


def test_the_order_of_rows_inside_rows_counts():
    def nested(body):
        return tags(rows={"unit": {"_target_": "x", "body": body}})["identity"]

    assert nested(ROWS) != nested(dict(reversed(ROWS.items())))


def test_the_order_of_heads_counts():
    """They are drawn in that order."""
    a, b = ({"after": after, "layers": {"score": {"_target_": "keras.layers.Dense"}}} for after in "ab")

    def cell(heads):
        return record(SETTINGS, {"rows": ROWS, "heads": heads}, {}, PLAN, "0f", "float32", "jax")[1]["cell"]

    assert cell({"one": a, "two": b}) != cell({"two": b, "one": a})
    assert cell({"one": a}) == cell({"one": dict(reversed(a.items()))})


def test_the_order_of_branches_counts():
    """In it their channels are joined."""

    def cell(branches):
        return tags(rows={"fork": {"_target_": "convzoo.layers.Branches", "branches": branches}})["cell"]

    assert cell({"x": ROWS, "y": {}}) != cell({"y": {}, "x": ROWS})


def test_a_cell_is_the_identity_without_the_seed():
    assert tags(("seed", 1))["identity"] != tags()["identity"]
    assert tags(("seed", 1))["cell"] == tags()["cell"]


def test_params_hold_what_was_taken_not_the_recipe_s_default():
    params, _ = record(SETTINGS, {"rows": ROWS}, {"stride": 2}, PLAN, "0f", "float32", "jax")
    assert (params["epochs"], params["batch_size"], params["learning_rate"]) == (2, 16, 0.1)
    assert (params["model"], params["recipe"], params["data"], params["stride"]) == ("net", "fast", "digits", 2)
    assert all(isinstance(value, int | float | str) for value in params.values())


def test_run_names_read():
    words = ["model=allconv", "pooling=l2", "dropout=0.5", "seed=1", "study=mine", "tracking.uri=http://x"]
    assert run_name("allconv", 1, words) == "allconv pooling=l2 dropout=0.5 seed=1"
    assert run_name("lenet", 0, ["model=lenet"]) == "lenet seed=0"
