"""Mistakes on the command line: one line that names the key, exit code 2, no run recorded."""

import importlib
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from convzoo import evaluate, train
from convzoo.experiments import runner

MISTAKES = [
    ("foo=1", ["`foo`", "epochs"]),
    ("+foo=1", ["`foo`", "epochs"]),
    ("~foo", ["`foo`"]),
    ("+seed=2", ["`seed`", "without the +"]),
    ("model=alcnn", ["`model=alcnn`", "allconv"]),
    ("model=lenet,nin", ["`model=lenet,nin`", "-m"]),
    ("model=null", ["Config group"]),
    ("model=[1,2]", ["`model=[1,2]`", "a word"]),
    ("model=[[1]]", ["`model=[[1]]`", "a word"]),
    ("recipe=[null]", ["`recipe=[null]`"]),
    ("model={a:1}", ["`model"]),
    ("~model", ["`model`", "missing"]),
    ("pooling=l3", ["`pooling=l3`", "l2"]),
    ("data=imagenet", ["`data=imagenet`", "cifar10"]),
    ("recipe=slow", ["`recipe=slow`", "fast"]),
    ("model.layers.conv1.kernel=3", ["`model.layers.conv1.kernel`", "model.layers.conv1.kernel_size"]),
    ("~model.layers.conv99", ["`model.layers.conv99`", "model.layers.conv"]),
    ("model.layers=3", ["`model.layers`"]),
    ("model.layers.conv1=3", ["`model.layers.conv1`"]),
    ("model.layers.conv1.filters=many", ["`conv1`"]),
    ("model.layers.conv1.filters=${nothing}", ["nothing"]),
    ("+model.layers.x._target_=os.system", ["os.system"]),
    ("model.layers.conv1._target_=keras.layers.Lambda", ["keras.layers.Lambda"]),
    ("model.shared=3", ["`model.shared`"]),
    ("stride=8", ["`conv5`", "3×3", "1×1", "`drop2`"]),
    ("stride=0", ["`stride`", "stride=0"]),
    ("dropout=1.5", ["`dropout`", "dropout=1.5"]),
    ("dropout=half", ["`dropout`", "'half'"]),
    ("model=nin input_dropout=0.1", ["`input_dropout=0.1`", "nin"]),
    ("epochs=0", ["`epochs`", "epochs=0"]),
    ("epochs=abc", ["`epochs`", "'abc'"]),
    ("model=inception_v3 epochs=${model.layers}", ["`epochs`", "an integer", "…"]),
    ("batch_size=-1", ["`batch_size`"]),
    ("learning_rate=0", ["`learning_rate`"]),
    ("seed=1.5", ["`seed`"]),
    ("precision=int8", ["`precision`", "mixed_bfloat16"]),
    ("select=first", ["`select`", "best"]),
    ("select=best data.validation=0", ["`select=best`", "`data.validation=0`"]),
    ("~data.validation select=best", ["validation"]),
    ("~model.name", ["`model.name`"]),
    ("model.name=3", ["`model.name`"]),
    ("model=lenet ~model.layers.score", ["10 class scores", "`fc2`", "84"]),
    ("model=lenet model.layers.score.units=5", ["10 class scores", "`score`", "5"]),
    ("~model.layers.mean", ["10 class scores", "`score`", "6, 6, 10"]),
    ("pooling=max pooling.row=null", ["`pooling.row`"]),
    ("pooling=max pooling.row=3", ["`pooling.max`"]),
    ("pooling=max pooling.kind=paper", ["`pooling.row`"]),
    ("+model.layers.image._target_=keras.layers.ReLU", ["`model.layers.image`"]),
    ("+model.foo=3", ["`model.foo`", "shared"]),
    ("+model.loss._target_=keras.losses.Foo", ["keras.losses.Foo"]),
    ("+model.heads.aux.after=conv1", ["`model.heads.aux`", "layers"]),
    ("+model.layers.conv1.name=foo", ["`model.layers.conv1.name`"]),
    ("recipe.augmentation.translate.pixels=40", ["`recipe.augmentation.translate.pixels`", "32"]),
    ("test_shift=32", ["`test_shift`", "32 pixels"]),
    ("test_shift=-1", ["`test_shift`"]),
    ("test_flip=2", ["`test_flip`"]),
    ("on_stall=halt", ["`on_stall`", "warn, stop", "'halt'"]),
    ("on_stall=true", ["`on_stall`", "warn, stop"]),
    ("data=digits test_flip=true", ["`test_flip=true`", "digits"]),
    ("data=digits test_views=flip", ["`test_views=flip`", "digits", "`data.augment.flip`"]),
    ("data.augment.shift=false test_views=translate", ["`test_views=translate`", "`data.augment.shift`"]),
    ("test_views=shift", ["`test_views`", "none, flip, translate"]),
    ("test_views=translate test_flip=true", ["`test_flip=true`", "`test_views=flip`"]),
    ("checkpoints.days=soon", ["`checkpoints.days`", "days"]),
    ("tracking.artifacts=none", ["`tracking.artifacts`", "light"]),
    ("seed=4294967296", ["`seed`"]),
    ("recipe.preprocessing.normalization._target_=os.system plan=true", ["os.system"]),
    ("+recipe.preprocessing.x.scale=1", ["`recipe.preprocessing.x`"]),
    ("+recipe.preprocessing.conv1._target_=keras.layers.ReLU", ["keras.layers.ReLU"]),
    ("+recipe.preprocessing.conv1._target_=keras.layers.Rescaling", ["`recipe.preprocessing.conv1`"]),
    ("data=digits data.fraction=0.1 recipe.preprocessing.normalization.axis=7", ["`normalization`"]),
    ("allow=3", ["`allow`", "package.module.Class"]),
    ("allow=[nowhere.Layer]", ["`allow=nowhere.Layer`", "nowhere"]),
    ("allow=[os.getcwd]", ["`allow=os.getcwd`", "must be a subclass of Layer"]),
    ("plan=maybe", ["`plan`"]),
    ("plan=nowhere/x.png", ["`plan=nowhere/x.png`", "No such file"]),
    ("study=", ["`study`"]),
    ("schedule=step", ["`schedule=step`", "restarts"]),
    ("recipe.boundaries=[5,3]", ["`recipe.boundaries`", "recipe.schedule.boundaries now"]),
    (
        "recipe.schedule._target_=convzoo.training.Step",
        ["`recipe.schedule._target_=", "did you mean convzoo.training.Steps?"],
    ),
    ("model=nin epochs=1 recipe.image_scales=[0.5,1]", ["`recipe.image_scales` has 2 entries", "epochs=1"]),
    ("recipe.image_scales=[]", ["`recipe.image_scales`", "the last of them 1"]),
    ("recipe.image_scales=[1.5,1]", ["`recipe.image_scales`"]),
    ("recipe.image_scales=0.5", ["`recipe.image_scales`"]),
    ("data=digits model=lenet recipe.image_scales=[0.75,1]", ["`recipe.image_scales`", "24×24", "fc1"]),
    ("data=digits model=nin recipe.image_scales=[0.01,1]", ["`recipe.image_scales`", "0.01", "32×32"]),
    ("recipe.preprocessing=3", ["`recipe.preprocessing`"]),
    ("+recipe.label_smothing=3", ["`recipe.label_smothing`", "label_smoothing"]),
    ("optimizer=sgd recipe.optimizer.momentun=0.9", ["`recipe.optimizer.momentun`", "momentum"]),
    ("data.fraction=0", ["`data.fraction`"]),
    ("data.validation=-1", ["`data.validation`"]),
    ("data.augment=1", ["`data.augment`"]),
    ("data.image_shape=3", ["`data.image_shape`"]),
    ("+data.foo=1", ["`data.foo`"]),
    ("data=digits data.image_shape=[8,8,1]", ["3×3"]),
    ("tracking.uri=foo data=digits data.fraction=0.1", ["`tracking.uri`", "'foo'"]),
    ("tracking.uri=http://127.0.0.1:9 data=digits data.fraction=0.1", ["127.0.0.1:9", "no MLflow server"]),
    ("seed=[1", ["`seed=[1`"]),
    ("-m seed=range(1,1000000000000)", ["at most 100,000 runs", "seed=range(1,1000000000000)"]),
    ("-m seed=range(1,1e300)", ["at most 100,000 runs"]),
    ("-m seed=shuffle(range(0,9,1e-9))", ["at most 100,000 runs"]),
    ("-m seed=range(1000) epochs=range(1,1001)", ["at most 100,000 runs", "1,000,000"]),
    ("foo", ["`foo`"]),
    ("=x", ["key=value"]),
    (".=", ["`.=`", "key=value"]),
    ("lr=0.1", ["`lr`", "did you mean learning_rate=0.1?"]),
    ("recipe.optimizer.lr=0.1", ["`recipe.optimizer.lr`", "learning_rate"]),
    ("optimizer=adagrd", ["`optimizer=adagrd`", "adam"]),
    ("recipe.optimizer=adam", ["`recipe.optimizer`", "optimizer=adam"]),
    ("recipe.nesterov=true", ["`recipe.nesterov`", "recipe.optimizer.nesterov now"]),
    ("recipe.lookahead=0.5", ["`recipe.lookahead`", "mapping"]),
    ("optimizer=sgd recipe.optimizer.momentum=2", ["`recipe.optimizer.momentum`", "below 1"]),
    ("--epochs 3", ["write epochs=3"]),
    ("data=cifar-10", ["did you mean cifar10?"]),
    ("image=cat.png", ["`image`", "evaluate.py"]),
    (
        "model=lenet model.layers.conv1.use_bias=false",
        ["to add it: python train.py model=lenet", " +model.layers.conv1.use_bias=false"],
    ),
    (
        "model=lenet model.layers.conv1.kernal_size=3",
        ["did you mean model.layers.conv1.kernel_size=3?", "to add it: python train.py ", " +model.layers"],
    ),
    ("study=a,b", ["-m", """'study="a,b"'"""]),
    ("seed=a(b", ["`seed=a(b`", """'seed="a(b"'"""]),
    ("data=files data.directory=a,b", ["a,b", "-m"]),
    (f"epochs={'[' * 900}", ["`epochs`", "levels"]),
    ("hydra.verbose=[nan]", ["`hydra.verbose`"]),
    ("hydra.output_subdir=[nan]", ["hydra.output_subdir"]),
    ("hydra.job.chdir=nan", ["hydra.job.chdir"]),
]


@pytest.mark.parametrize(("words", "told"), MISTAKES, ids=[words for words, _ in MISTAKES])
def test_a_mistake_is_one_line_that_names_the_key(monkeypatch, command_line, tmp_path, words, told):
    monkeypatch.chdir(tmp_path)
    # Whether the set is there is looked up before the plan is made, and most sets are not there.
    plan = [] if "data=digits" in words or "plan=" in words else ["plan=true"]
    code, _, err = command_line(train, [*words.split(), *plan])
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    assert len(err) < 2500
    assert all(word in err for word in told), err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], ["`run=latest`"]),
        (["run=latest"], ["mlflow.db", "nothing has been recorded"]),
        (["rum=latest"], ["`rum`", "run"]),
        (["run=latest", "+data.fraction=0.5"], ["`data.fraction`"]),
        (["run=latest", "+foo=1"], ["`foo`"]),
        (["run=latest", "study=pooling_kinds"], ["`study=NAME`"]),
        (["study=pooling_kinds", "image=cat.png"], ["`image`", "`run=ID`"]),
    ],
)
def test_evaluate_tells_what_is_missing(monkeypatch, command_line, tmp_path, words, told):
    monkeypatch.chdir(tmp_path)
    code, _, err = command_line(evaluate, words)
    assert code == 2
    assert all(word in err for word in told), err
    assert not list(tmp_path.iterdir())


def test_a_bug_is_no_mistake_of_the_users(monkeypatch, command_line):
    from convzoo.models import registry

    def broken(config):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(registry, "resolve", broken)
    with pytest.raises(ZeroDivisionError, match="ours"):
        command_line(train, ["plan=true"])


def test_error_without_message_names_its_type_and_the_command(monkeypatch, command_line):
    from convzoo.settings import hydra_internals

    def broken(*args, **kwargs):
        raise RecursionError

    monkeypatch.setattr(hydra_internals.CheckedLoader, "load_configuration", broken)
    code, _, err = command_line(train, ["seed=1"])
    assert (code, err) == (2, "error: `seed=1`: RecursionError\n")


@pytest.mark.parametrize("name", ["IMG (1).jpg", "кот.png", "a=b.png", "2024"])
def test_a_picture_of_any_name_is_looked_for(monkeypatch, command_line, tmp_path, name):
    monkeypatch.chdir(tmp_path)
    code, _, err = command_line(train, ["model=lenet", "data=files", f"data.directory={name}"])
    assert code == 2
    assert name in err
    assert "key=value" not in err


@pytest.mark.parametrize("words", [[], ["-m", "seed=0,1", "plan=true"]])
def test_a_command_whose_reader_left_ends_without_a_word(monkeypatch, command_line, tmp_path, words):
    calls = []

    def closed(composed, is_watched):
        calls.append(composed.config.seed)
        raise BrokenPipeError

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runner, "run_composed", closed)
    assert command_line(train, ["model=lenet", "data=digits", *words])[::2] == (141, "")
    assert calls == [0]  # the other runs of a sweep are not failed by it


@pytest.mark.parametrize("uri", ["sqlite:///mlflow.db", "sqlite:////tmp/a.db", "http://host:5000"])
def test_store_path_is_absolute_when_hydra_changes_folder(monkeypatch, tmp_path, uri):
    from convzoo.cli import command

    monkeypatch.chdir(tmp_path)
    config = OmegaConf.create({"tracking": {"uri": uri}})
    for started_in, wanted in ((tmp_path, uri), ("/", uri.replace("///mlflow", f"///{tmp_path}/mlflow"))):
        hydra = SimpleNamespace(runtime=SimpleNamespace(cwd=str(started_in)))
        monkeypatch.setattr(command.HydraConfig, "get", lambda hydra=hydra: hydra)
        command._keep_store_in_place(config)
        assert config.tracking.uri == wanted


def test_console_commands_are_functions():
    scripts = tomllib.loads((Path(train.__file__).parent / "pyproject.toml").read_text())["project"]["scripts"]
    for target in scripts.values():
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function))
    assert set(scripts) == {"convzoo-train", "convzoo-evaluate"}
