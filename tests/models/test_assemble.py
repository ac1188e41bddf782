"""Rows to models: shared settings, refusals."""

import pytest

from convzoo import UserError
from convzoo.models import targets
from convzoo.models.assemble import assemble, expand
from convzoo.models.targets import ALLOWED

CONV = {"_target_": "keras.layers.Conv2D", "filters": 2, "kernel_size": 3}


def test_a_row_s_own_argument_wins_over_the_shared_one():
    rows = expand({"a": CONV, "b": {**CONV, "padding": "valid"}}, {"Conv2D": {"padding": "same", "strides": 2}})
    assert rows["a"] == {**CONV, "padding": "same", "strides": 2}
    assert rows["b"] == {**CONV, "padding": "valid", "strides": 2}


def test_shared_settings_reach_rows_inside_rows():
    rows = {"unit": {"_target_": "convzoo.layers.L2Pooling2D", "body": {"a": CONV}}}
    assert expand(rows, {"Conv2D": {"strides": 2}})["unit"]["body"]["a"] == {**CONV, "strides": 2}


def test_a_shared_setting_that_reaches_no_row_is_refused():
    with pytest.raises(UserError, match=r"`model.shared.Dense` reaches no row"):
        expand({"a": CONV}, {"Dense": {"units": 3}})


@pytest.mark.parametrize("rows", [None, 3, {}, {"a": 3}, {"a": {"filters": 2}}, {"a": {"_target_": 3}}])
def test_what_is_no_table_is_refused(rows):
    with pytest.raises(UserError, match=r"`model.layers"):
        expand(rows, {})


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({**CONV, "filters": "many"}, "`a`"),
        ({**CONV, "fliters": 3}, "`a`.*fliters"),
        ({**CONV, "kernel_size": 40}, r"`a`.*40×40.*32×32 map that the image"),
        ({**CONV, "padding": "sme"}, "`a`.*sme"),
        ({"_target_": "convzoo.layers.MaxPooling2D", "pool_size": 40}, r"`a`.*40×40.*32×32"),
    ],
)
def test_a_row_that_cannot_be_built_is_named_in_one_line(row, words):
    with pytest.raises(UserError, match=words) as refused:
        assemble({"a": row}, (32, 32, 3), 10)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.open",
        "builtins.getattr",
        "builtins.eval",
        "subprocess.run",
        "pickle.loads",
        "numpy.load",
        "functools.partial",
        "keras.layers.Lambda",
        "keras.layers.TFSMLayer",
        "keras.layers.TorchModuleWrapper",
        "keras.layers.StringLookup",
        "keras.src.layers.core.lambda_layer.Lambda",
        "keras.utils.get_file",
        "keras.saving.load_model",
        "keras.Model",
        "convzoo.layers.keras.layers.Lambda",
        "convzoo.layers.os.system",
        "convzoo.models.targets.importlib.import_module",
        "convzoo.layers.padding.output_size",
        "convzoo.layers.CapsuleMarginLoss",
        "convzoo.train.main",
        "hydra.utils.instantiate",
        "hydra.utils.call",
        "Conv2D",
        "",
    ],
)
@pytest.mark.parametrize("place", [lambda row: row, lambda row: {**CONV, "kernel_initializer": [{"x": row}]}])
def test_targets_outside_the_list_are_refused(target, place):
    with pytest.raises(UserError, match="not among the layers"):
        assemble({"a": place({"_target_": target})}, (32, 32, 3), 10)


@pytest.mark.parametrize(
    "extra",
    [
        {"_partial_": True},
        {"_args_": [3]},
        {"_recursive_": True},
        {"_convert_": "all"},
        {"name": "other"},
        {"kernel_initializer": {"class_name": "Zeros", "config": {}}},
        {"kernel_regularizer": {"module": "os", "class_name": "system", "config": {}}},
    ],
)
def test_other_ways_to_name_a_class_are_refused(extra):
    with pytest.raises(UserError, match="is not a key that a row may have"):
        assemble({"a": {**CONV, **extra}}, (32, 32, 3), 10)


def test_an_interpolation_that_hides_a_target_stays_a_string(tmp_path):
    hidden = "${oc.create:{_target_:builtins.open,file:%s,mode:w}}" % (tmp_path / "opened")
    with pytest.raises(UserError, match="`a`"):
        assemble({"a": {**CONV, "kernel_initializer": hidden}}, (32, 32, 3), 10)
    assert not (tmp_path / "opened").exists()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"a": CONV}, r"10 class scores; `a` gives \(30, 30, 2\)"),
        ({"a": {"_target_": "convzoo.layers.FullyConnected", "units": 9}}, r"10 class scores; `a` gives \(9,\)"),
    ],
)
def test_what_gives_no_class_scores_is_refused(rows, words):
    with pytest.raises(UserError, match=words):
        assemble(rows, (32, 32, 3), 10)


def test_keras_s_own_axis_reaches_the_layer():
    rows = {
        "norm": {"_target_": "keras.layers.BatchNormalization", "axis": 1},
        "fc": {"_target_": "convzoo.layers.FullyConnected", "units": 10, "axis": "pool"},
    }
    assert assemble(rows, (5, 4, 3), 10).get_layer("norm").gamma.shape == (5,)


def test_every_allowed_target_is_a_layer():
    import keras

    import convzoo.layers

    for target, cls in ALLOWED.items():
        package, _, name = target.rpartition(".")
        found = getattr({"keras.layers": keras.layers, "convzoo.layers": convzoo.layers}[package], name)
        assert found is cls
        assert issubclass(found, keras.Layer), target


def test_a_file_allows_nothing(monkeypatch, tmp_path):
    """Importing runs code, so what may be imported is typed; a file may come from a stranger."""
    (tmp_path / "mine_of_a_stranger.py").write_text("raise SystemExit('it ran')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="`allow` counts on the command line alone"):
        targets.allow(["mine_of_a_stranger.Layer"], ["model=mine"])
    with pytest.raises(SystemExit, match="it ran"):
        targets.allow(["mine_of_a_stranger.Layer"], ["allow=[mine_of_a_stranger.Layer]"])
