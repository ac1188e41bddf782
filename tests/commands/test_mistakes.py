"""Mistakes on the command line: one line that names the key, exit code 2, no run recorded."""

import pytest

from convzoo import evaluate, train

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
    ("model=resnet20 epochs=${model.layers}", ["`epochs`", "an integer", "…"]),
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
    ("recipe.shift=40", ["`recipe.shift`", "32"]),
    ("test_shift=32", ["`test_shift`", "32 pixels"]),
    ("test_shift=-1", ["`test_shift`"]),
    ("test_flip=2", ["`test_flip`"]),
    ("data=digits test_flip=true", ["`test_flip`", "digits"]),
    ("checkpoints.days=soon", ["`checkpoints.days`", "days"]),
    ("tracking.artifacts=none", ["`tracking.artifacts`", "light"]),
    ("seed=4294967296", ["`seed`"]),
    ("recipe.preprocess.normalization._target_=os.system plan=true", ["os.system"]),
    ("+recipe.preprocess.x.scale=1", ["`recipe.preprocess.x`"]),
    ("+recipe.preprocess.conv1._target_=keras.layers.ReLU", ["keras.layers.ReLU"]),
    ("+recipe.preprocess.conv1._target_=keras.layers.Rescaling", ["`recipe.preprocess.conv1`"]),
    ("data=digits data.fraction=0.1 recipe.preprocess.normalization.axis=7", ["`normalization`"]),
    ("allow=3", ["`allow`", "package.module.Class"]),
    ("allow=[nowhere.Layer]", ["`allow=nowhere.Layer`", "nowhere"]),
    ("allow=[os.getcwd]", ["`allow=os.getcwd`", "no class of layers"]),
    ("plan=maybe", ["`plan`"]),
    ("plan=nowhere/x.png", ["`plan=nowhere/x.png`", "No such file"]),
    ("study=", ["`study`"]),
    ("recipe.schedule=linear", ["`recipe.schedule`", "cosine"]),
    ("recipe.boundaries=[5,3]", ["`recipe.boundaries`"]),
    ("recipe.schedule=steps", ["`recipe.schedule=steps`", "`recipe.boundaries` names none"]),
    ("model=nin epochs=1 recipe.sizes=[0.5,1]", ["`recipe.sizes` are 2", "`epochs=1`"]),
    ("recipe.sizes=[]", ["`recipe.sizes`", "the last of them 1"]),
    ("recipe.sizes=[1.5,1]", ["`recipe.sizes`"]),
    ("recipe.sizes=0.5", ["`recipe.sizes`"]),
    ("data=digits model=lenet recipe.sizes=[0.75,1]", ["`recipe.sizes`", "24×24", "fc1"]),
    ("data=digits model=nin recipe.sizes=[0.01,1]", ["`recipe.sizes`", "0.01", "32×32"]),
    ("recipe.preprocess=3", ["`recipe.preprocess`"]),
    ("+recipe.momentun=3", ["`recipe.momentun`", "momentum"]),
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
    from convzoo.models import zoo

    def broken(config):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(zoo, "rows", broken)
    with pytest.raises(ZeroDivisionError, match="ours"):
        command_line(train, ["plan=true"])
