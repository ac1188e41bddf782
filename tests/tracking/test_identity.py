"""Identity: what decides a result, and nothing else."""

import copy
from types import SimpleNamespace

import pytest

from convzoo.tracking.identity import RunIdentity
from convzoo.tracking.run_names import run_name, setting_name

SETTINGS = {
    "recipe": {
        "name": "fast",
        "epochs": 9,
        "batch_size": 9,
        "optimizer": {"_target_": "keras.optimizers.SGD", "learning_rate": 0.1, "momentum": 0.9},
        "schedule": {"_target_": "convzoo.training.Constant"},
        "augmentation": {},
        "preprocessing": {},
    },
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
    return RunIdentity(settings, {"rows": rows}, {"stride": 2}, PLAN, "0f", precision, backend).tags


@pytest.mark.parametrize(
    "change",
    [
        ("study", "two"),
        ("tracking.uri", "x"),
        ("data.directory", "/x"),
        ("recipe.name", "mine"),
        ("recipe.epochs", 8),
        ("data.epochs", 8),
        ("data.extra_tests", ["/x.npz"]),  # the digest of the images has them
        ("data.train", "train[:90%]"),  # so it has these
        ("data.test", "validation"),
        ("data.mirror", "https://host/"),
    ],
)
def test_names_places_and_overridden_defaults_do_not_count(change):
    assert tags(change) == tags()


def test_identity_holds_on_stall_only_if_it_is_stop():
    """A warning changes no result; a training that may end early is another one."""
    assert tags(("on_stall", "warn")) == tags()
    assert tags(("on_stall", "stop"))["identity"] != tags()["identity"]
    settings = {**SETTINGS, "on_stall": "stop"}
    assert RunIdentity(settings, {"rows": ROWS}, {}, PLAN, "0f", "float32", "jax").params["on_stall"] == "stop"


def test_identity_holds_test_views_only_if_translate():
    """Runs without views, and those recorded with `test_flip`, keep the identity that they had before `test_views`."""
    assert tags(("test_views", "none")) == tags()
    flipped = {**SETTINGS, "test_flip": True}
    flip, alias = (
        RunIdentity(settings, {"rows": ROWS}, {}, PLAN, "0f", "float32", "jax")
        for settings in ({**flipped, "test_views": "flip"}, flipped)
    )
    assert (flip.tags, flip.params) == (alias.tags, alias.params)
    assert tags(("test_views", "translate"))["identity"] != tags()["identity"]


@pytest.mark.parametrize(
    "other",
    [
        tags(("epochs", 3)),
        tags(("recipe.optimizer.momentum", 0.8)),
        tags(("recipe.augmentation", {"a": {"_target_": "b"}})),
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


@pytest.mark.parametrize(
    ("key", "one", "other"),
    [
        ("data.fraction", 1, 1.0),
        ("recipe.label_smoothing", 0, -0.0),
        ("recipe.image_scales", [0.5, 1], [0.5, 1.0]),
        ("recipe.optimizer", {"_target_": "x", "momentum": 0}, {"_target_": "x", "momentum": -0.0}),
        ("recipe.preprocessing", {"a": [{"x": 2}]}, {"a": [{"x": 2.0}]}),
        ("learning_rate", 1, 1.0),
        ("test_shift", 2, 2.0),
    ],
)
def test_equal_numbers_are_one_identity_cell_and_param(key, one, other):
    def recorded(value):
        section, _, last = key.rpartition(".")
        settings = {**SETTINGS, section: {**SETTINGS[section], last: value}} if section else {**SETTINGS, key: value}
        identity = RunIdentity(settings, {"rows": ROWS}, {}, PLAN, "0f", "float32", "jax")
        return identity.tags, {key: str(value) for key, value in identity.params.items()}

    assert recorded(one) == recorded(other)


def test_equal_numbers_are_one_identity_and_param():
    def recorded(one, zero):
        rows = {"a": {"_target_": "x", "rate": zero, "body": {"b": {"_target_": "y", "sizes": [one, {"z": zero}]}}}}
        branches = {"c": {"_target_": "convzoo.layers.Branches", "branches": {"d": {"e": {"_target_": "f", "g": one}}}}}
        identity = RunIdentity(
            SETTINGS, {"rows": rows | branches}, {"dropout": zero, "stride": one}, PLAN, "0f", "float32", "jax"
        )
        return identity.tags, {key: str(value) for key, value in identity.params.items()}

    assert recorded(1, 0) == recorded(1.0, -0.0) == recorded(1.0, 0.0)
    assert recorded(1, 0)[0] != recorded(True, False)[0]


@pytest.mark.parametrize(
    ("words", "param"),
    [
        (("1", "1.0", "+1", "1."), "1"),
        (("0", "-0.0", "0e3"), "0"),
        (("5e-4", "0.0005", ".0005"), "0.0005"),
        (("nan",), "nan"),
        (("'1.0'",), "'1.0'"),
        (("[1,2]",), "[1,2]"),
        (("relu",), "relu"),
    ],
)
def test_typed_numbers_are_one_param(words, param):
    def recorded(word):
        typed = [f"data.fraction={word}"]
        return RunIdentity(SETTINGS, {"rows": ROWS}, {}, PLAN, "0f", "float32", "jax", typed).params["data.fraction"]

    assert {str(recorded(word)) for word in words} == {param}


def test_the_order_of_rows_inside_rows_counts():
    def nested(body):
        return tags(rows={"unit": {"_target_": "x", "body": body}})["identity"]

    assert nested(ROWS) != nested(dict(reversed(ROWS.items())))


def test_the_order_of_heads_counts():
    """They are drawn in that order."""
    a, b = ({"after": after, "layers": {"score": {"_target_": "keras.layers.Dense"}}} for after in "ab")

    def cell(heads):
        return RunIdentity(SETTINGS, {"rows": ROWS, "heads": heads}, {}, PLAN, "0f", "float32", "jax").tags["cell"]

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
    params = RunIdentity(SETTINGS, {"rows": ROWS}, {"stride": 2}, PLAN, "0f", "float32", "jax").params
    assert (params["epochs"], params["batch_size"], params["learning_rate"]) == (2, 16, 0.1)
    assert (params["model"], params["recipe"], params["data"], params["stride"]) == ("net", "fast", "digits", 2)
    assert all(isinstance(value, int | float | str) for value in params.values())


def test_run_name_starts_with_axes():
    words = ["model=allconv", "dropout=0.5", "+stride=2", "pooling=l2", "seed=1", "study=mine", "tracking.uri=http://x"]
    assert run_name("allconv", 1, words) == "l2 · s2 · d0.5 · allconv · seed 1"
    assert run_name("lenet", 0, ["model=lenet"]) == "lenet · seed 0"
    nested = ["data=digits", "data.fraction=0.3", "model.layers.conv1.strides=2"]
    assert setting_name("lenet", nested) == "model.layers.conv1.strides=2 · lenet · data=digits · data.fraction=0.3"


def test_run_name_has_key_where_value_says_little():
    words = ["pooling=paper", "stride=paper", "dropout=0"]
    assert setting_name("nin", words) == "pooling=paper · stride=paper · d0 · nin"


def test_run_name_starts_with_the_part_that_is_left_out():
    words = ["model=nin", "dropout=0.5", "ablate=augmentation.flip"]
    assert run_name("nin", 1, words) == "no augmentation.flip · d0.5 · nin · seed 1"
    assert setting_name("nin", ["ablate=recipe.schedule"]) == "no schedule · nin"
    assert setting_name("nin", ["ablate=nothing"]) == "full recipe · nin"


def test_part_that_is_left_out_is_a_param_and_no_identity():
    """The recipe without the part decides the result, so that it has one identity however it was typed."""

    def identity(part, *words):
        settings = {**SETTINGS, "ablate": part}
        return RunIdentity(settings, {"rows": ROWS}, {}, PLAN, "0f", "float32", "jax", words)

    assert identity("schedule").params["ablate"] == "schedule"
    assert identity("nothing", "ablate=nothing").params["ablate"] == "nothing"
    assert "ablate" not in identity("nothing").params
    assert identity("schedule").tags == identity("nothing").tags


def test_order_of_augmentations_counts():
    rows = {"flip": {"_target_": "x"}, "cutout": {"_target_": "y"}}
    assert tags(("recipe.augmentation", rows)) != tags(("recipe.augmentation", dict(reversed(rows.items()))))


def test_params_name_optimizer_schedule_and_augmentation():
    settings = copy.deepcopy(SETTINGS)
    settings["recipe"]["augmentation"] = {
        "flip": {"_target_": "convzoo.data.RandomFlip"},
        "cut": {"_target_": "convzoo.data.Cutout", "size": 8},
    }
    params = RunIdentity(settings, {"rows": ROWS}, {}, PLAN, "0f", "float32", "jax").params
    assert (params["optimizer"], params["schedule"]) == ("SGD", "Constant")
    assert params["augmentation"] == "RandomFlip + Cutout"
    assert params["recipe.augmentation.cut.size"] == 8
    assert params["recipe.optimizer.momentum"] == 0.9


@pytest.mark.parametrize("part", ["identity", "cell"])
def test_tags_are_those_of_a_run_that_has_axis_for_role(part):
    rows = {name: {"a": {"_target_": "x", name: "pool"}, "b": {"_target_": "y"}} for name in ("role", "axis")}
    assert tags(rows=rows["role"])[part] == tags(rows=rows["axis"])[part] != tags(rows={"a": {"_target_": "x"}})[part]


def tuned(digest="d1", freeze=(), new_head=False, path="a.keras"):
    settings = {**SETTINGS, "weights": path, "freeze": list(freeze), "new_head": new_head}
    return RunIdentity(settings, {"rows": ROWS}, {"stride": 2}, PLAN, "0f", "float32", "tensorflow", (), digest)


def test_weights_count_by_their_digest_and_not_their_place():
    identities = [tuned(), tuned("d2"), tuned(freeze=["conv*"]), tuned(new_head=True)]
    assert len({each.tags["identity"] for each in identities} | {tags()["identity"]}) == 5
    assert tuned(path="b.keras").tags == tuned().tags
    params = tuned(freeze=["conv*", "*/bn*"]).params
    assert (params["weights"], params["freeze"]) == ("d1", "conv*, */bn*")


def test_recipe_without_fine_tuning_has_its_former_identity():
    assert tags(("recipe.finetuning", None)) == tags()
    assert tags(("recipe.finetuning", {"head_epochs": 1, "body_rate": 1.0})) != tags()
