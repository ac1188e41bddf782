"""Rows to models: shared settings, refusals."""

import numpy as np
import pytest
from omegaconf import OmegaConf

from convzoo import UserError
from convzoo.models import allowlist, loading, registry
from convzoo.models.allowlist import ALLOWED
from convzoo.models.builder import apply_shared, assemble

CONV = {"_target_": "keras.layers.Conv2D", "filters": 2, "kernel_size": 3}


def test_a_row_s_own_argument_wins_over_the_shared_one():
    rows = apply_shared({"a": CONV, "b": {**CONV, "padding": "valid"}}, {"Conv2D": {"padding": "same", "strides": 2}})
    assert rows["a"] == {**CONV, "padding": "same", "strides": 2}
    assert rows["b"] == {**CONV, "padding": "valid", "strides": 2}


def test_shared_settings_reach_rows_inside_rows():
    rows = {"unit": {"_target_": "convzoo.layers.L2Pooling2D", "body": {"a": CONV}}}
    assert apply_shared(rows, {"Conv2D": {"strides": 2}})["unit"]["body"]["a"] == {**CONV, "strides": 2}


def test_a_shared_setting_that_reaches_no_row_is_refused():
    with pytest.raises(UserError, match=r"`model.shared.Dense` reaches no row"):
        apply_shared({"a": CONV}, {"Dense": {"units": 3}})


@pytest.mark.parametrize("rows", [None, 3, {}, {"a": 3}, {"a": {"filters": 2}}, {"a": {"_target_": 3}}])
def test_what_is_no_table_is_refused(rows):
    with pytest.raises(UserError, match=r"`model.layers"):
        apply_shared(rows, {})


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
        "convzoo.models.allowlist.importlib.import_module",
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
        "fc": {"_target_": "convzoo.layers.FullyConnected", "units": 10, "role": "pool"},
    }
    assert assemble(rows, (5, 4, 3), 10).get_layer("norm").gamma.shape == (5,)


def test_every_allowed_target_is_a_layer():
    import keras

    import convzoo.layers

    for target, cls in ALLOWED.items():
        package, _, name = target.rpartition(".")
        actual = getattr({"keras.layers": keras.layers, "convzoo.layers": convzoo.layers}[package], name)
        assert actual is cls
        assert issubclass(actual, keras.Layer), target


def test_a_file_allows_nothing(monkeypatch, tmp_path):
    """Importing runs code, so what may be imported is typed; a file may come from a stranger."""
    (tmp_path / "mine_of_a_stranger.py").write_text("raise SystemExit('it ran')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="`allow` can only be set on the command line"):
        allowlist.allow_classes(["mine_of_a_stranger.Layer"], ["model=mine"])
    with pytest.raises(SystemExit, match="it ran"):
        allowlist.allow_classes(["mine_of_a_stranger.Layer"], ["allow=[mine_of_a_stranger.Layer]"])


PRELU = {"_target_": "keras.layers.PReLU"}
CONSTANT = {"_target_": "keras.initializers.Constant", "value": 0.25}


def assembled(row, **more):
    rows = {"first": row, **more, "fc": {"_target_": "convzoo.layers.FullyConnected", "units": 10}}
    return assemble(apply_shared(rows, {}), (4, 4, 2), 10)


@pytest.mark.parametrize(
    ("initializer", "low", "high"),
    [
        (CONSTANT, 0.25, 0.25),
        ({"_target_": "keras.initializers.RandomUniform", "minval": 2, "maxval": 3}, 2, 3),
        ({"_target_": "keras.initializers.VarianceScaling", "scale": 1e-9, "mode": "fan_out"}, -0.01, 0.01),
        ({"_target_": "keras.initializers.Ones"}, 1, 1),
    ],
)
def test_a_row_states_an_initializer_with_arguments(initializer, low, high):
    alpha = assembled({**PRELU, "alpha_initializer": initializer}).get_layer("first").alpha
    assert low <= np.min(alpha) <= np.max(alpha) <= high


def test_shared_initializer_reaches_rows_and_copies(tmp_path):
    rows = {"repeat": {"_target_": "convzoo.layers.Repeat", "times": 2, "body": {"act": PRELU}}}
    rows = {**rows, "fc": {"_target_": "convzoo.layers.FullyConnected", "units": 10}}
    model = assemble(apply_shared(rows, {"PReLU": {"alpha_initializer": CONSTANT}}), (4, 4, 2), 10)
    assert [float(np.min(each.alpha)) for each in model.get_layer("repeat").copies] == [0.25, 0.25]
    model.save(tmp_path / "model.keras")
    layer = loading.load(tmp_path / "model.keras").get_layer("repeat").copies[1]
    assert (type(layer.alpha_initializer).__name__, layer.alpha_initializer.value) == ("Constant", 0.25)


def test_a_random_initializer_draws_anew_in_each_copy():
    kernels = {"_target_": "keras.initializers.RandomNormal", "stddev": 0.05}
    body = {"conv": {**CONV, "padding": "same", "kernel_initializer": kernels}}
    model = assembled({"_target_": "convzoo.layers.Repeat", "times": 2, "body": body})
    first, second = (np.array(copy.kernel) for copy in model.get_layer("first").copies)
    assert (first != second).all()


@pytest.mark.parametrize(
    ("initializer", "words"),
    [
        ({"_target_": "os.system", "command": "true"}, "must be one of keras.initializers.Constant"),
        ({"_target_": "keras.initializers.get", "identifier": "zeros"}, "must be one of"),
        ({"_target_": "keras.initializers.deserialize", "config": {}}, "must be one of"),
        ({"_target_": "keras.initializers.Initializer"}, "must be one of"),
        ({"_target_": "keras.layers.Dense", "units": 3}, "must be one of"),
        ({"_target_": ["keras.initializers.Constant"]}, "must be one of"),
        ({"value": 3}, "must be one of"),
        ({"class_name": "Constant", "config": {"value": 1}}, "is not a key that a row may have"),
        ({**CONSTANT, "_partial_": True}, "is not a key that a row may have"),
        ({**CONSTANT, "registered_name": "x"}, "is not a key that a row may have"),
        ({**CONSTANT, "valu": 1}, "there are: value"),
        ({"_target_": "keras.initializers.Zeros", "seed": 1}, "there are: none"),
        ({**CONSTANT, "value": CONSTANT}, "must be a number"),
        ({**CONSTANT, "value": [1, 2]}, "must be a number"),
        ({**CONSTANT, "value": "0.25"}, "must be a number"),
        ({**CONSTANT, "value": float("nan")}, "must be a number"),
        ({**CONSTANT, "value": 10**400}, "must be a number"),
        ({"_target_": "keras.initializers.VarianceScaling", "mode": "fan_up"}, "fan_up"),
        ({"_target_": "keras.initializers.VarianceScaling", "mode": ["fan_in"]}, "must be a word"),
    ],
)
def test_an_initializer_that_is_not_allowed_is_refused(initializer, words):
    with pytest.raises(UserError, match=words) as refused:
        assembled({**PRELU, "alpha_initializer": initializer})
    assert "`model.layers.first.alpha_initializer" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("key", ["activation", "shared_axes", "body"])
def test_an_initializer_is_refused_where_no_initializer_belongs(key):
    with pytest.raises(UserError, match="not among the layers"):
        assembled({**PRELU, key: CONSTANT})


def test_an_initializer_is_no_row():
    with pytest.raises(UserError, match="not among the layers"):
        assembled(CONSTANT)


@pytest.mark.parametrize("name", ["a/b", "a b", "сеть", "", "a\nb", "a:b", "x" * 101])
@pytest.mark.parametrize(
    "place",
    [
        lambda name: {name: PRELU},
        lambda name: {"block": {"_target_": "convzoo.layers.Repeat", "times": 2, "body": {name: PRELU}}},
        lambda name: {"block": {"_target_": "convzoo.layers.Branches", "branches": {name: {"act": PRELU}}}},
    ],
)
def test_a_row_s_name_that_a_backend_refuses_is_refused(name, place):
    with pytest.raises(UserError, match="the name of a row must have English letters"):
        assembled(PRELU, **place(name))


@pytest.mark.parametrize("name", ["a/b", "a b", "сеть", "", "_x", 3, "a\nb", "x" * 101, ["a"], None])
def test_a_model_s_name_that_a_backend_refuses_is_refused(name):
    config = registry.compose_network("lenet")
    config.model.name = name
    with pytest.raises(UserError, match=r"`model\.name` must have English letters"):
        registry.rows(config)


@pytest.mark.parametrize("name", ["LeNet-5", "net_2.1", "0"])
def test_a_model_s_name_that_backends_take_is_taken(name):
    config = registry.compose_network("lenet")
    config.model.name = name
    network, plan = registry.network(config)
    assert plan.name == name
    assert assemble(network["rows"], (32, 32, 1), 10, name).name == name


@pytest.mark.parametrize(
    ("key", "one", "same"),
    [
        ("dropout", 0, -0.0),
        ("dropout", 0, 0.0),
        ("model.layers.drop1.rate", 0, -0.0),
        ("model.layers.pool1.strides", 2, 2.0),
        ("model.layers.pool1.pool_size", [3, 3], [3.0, 3]),
        ("stride", 1, 1.0),
    ],
)
def test_a_number_typed_in_two_ways_makes_the_same_rows(key, one, same):
    configs = [registry.compose_network("nin") for _ in range(2)]
    for config, value in zip(configs, (one, same), strict=True):
        OmegaConf.update(config, key, value)
    rows, others = (str(registry.network(config)[0]) for config in configs)
    assert rows == others
