"""The facts of a model card: the command that repeats a run, and the card that `evaluate.py` writes."""

import re
import shlex
from pathlib import Path

import mlflow
import pytest

from convzoo import evaluate, train
from convzoo.experiments.card_facts import make_command
from convzoo.tracking.results import RecordedSplit, Result

DIGITS = {"data": {"source": "digits", "directory": None}}


def make_result(environment=None, **params):
    params = {"model": "lenet", "seed": "3", "precision": "float32", "batch_size": "64"} | params
    return Result(
        None, None, "a run", "FINISHED", params, {}, "", "", "", "full", 0.0, None, "", environment=environment or {}
    )


def command_of(words, settings=DIGITS, splits=(), **changes):
    return make_command(make_result(**changes), settings, splits, words)


def test_command_states_what_depends_on_the_machine():
    words = ["data=digits", "batch_size=auto", "pooling=l2"]
    expected = "python train.py model=lenet data=digits batch_size=64 pooling=l2 precision=float32 seed=3"
    assert command_of(words) == expected
    assert command_of(["precision=auto"]) == "python train.py model=lenet precision=float32 seed=3"
    assert command_of([], environment={"backend": "jax"}).startswith("KERAS_BACKEND=jax python train.py")


def test_command_can_add_and_remove_rows():
    command = command_of(["~model.layers.drop1", "model.layers.conv1.dilation_rate=2"])
    assert shlex.split(command)[3:5] == ["~model.layers.drop1", "++model.layers.conv1.dilation_rate=2"]


def test_command_names_no_folder_or_class_of_the_machine():
    settings = {"data": {"source": "files", "directory": "/home/me"}, "allow": ["mine.Layer"], "study": "tiny"}
    command = command_of(["data=files", "weights=/home/me/x.keras"], settings, [RecordedSplit("test_b", "0")])
    assert "/home" not in command
    assert "mine" not in command
    for word in ("study=tiny", "weights=…", "data.directory=…", "data.extra_tests=[…]", "allow=[…]"):
        assert word in shlex.split(command)


@pytest.mark.parametrize(
    "word",
    ["--config-dir=x", "hydra.run.dir=x", "allow=[os.x]", "tracking.uri=x", "a\nb=1", "$(x)=1", "epochs=1\x1b[2J"],
)
def test_command_is_none_when_a_recorded_word_is_strange(word):
    assert command_of(["data=digits", word]) is None


def test_command_names_the_configs_of_networks_of_ones_own():
    assert shlex.split(command_of([], model="mine"))[2:4] == ["--config-dir=…", "model=mine"]
    assert command_of(["weights=run:ab"]) == "python train.py model=lenet weights=run:ab precision=float32 seed=3"


def test_command_quotes_values_for_the_shell():
    command = command_of(["data.note=$(rm -rf x); echo `x`"])
    assert shlex.split(command)[3] == "data.note=$(rm -rf x); echo `x`"


def test_command_is_none_without_words_or_seed():
    assert command_of(None) is None
    assert command_of([], seed="") is None


@pytest.mark.integration
def test_evaluate_writes_a_card_and_records_it(command_line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, error = command_line(train, ["model=lenet", "data=digits", "epochs=1", "seed=5"])
    assert code == 0, error
    printed = re.search(r"test accuracy ([\d.]+%), 95 % interval ([\d.]+% to [\d.]+%) \((\d+) images\)", out)
    code, out, error = command_line(evaluate, ["run=latest", "card=true", "shift=1", "images=20"])
    assert (code, error) == (0, "")
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (run,) = client.search_runs(["1"])
    path = tmp_path / "reports" / run.info.run_id / "model_card.md"
    assert f"Model card: {path.relative_to(tmp_path)}" in out
    stored = client.download_artifacts(run.info.run_id, "evaluation/model_card.md")
    text = path.read_text()
    assert Path(stored).read_text() == text
    assert f"| test accuracy | {' | '.join(printed.groups())} |" in text
    assert "| parameters | 61,706 |" in text
    assert re.search(r"python train.py model=lenet data=digits epochs=1 precision=\w+ seed=5", text)
    test = next(each.dataset for each in run.inputs.dataset_inputs if each.dataset.name == "digits/test")
    assert f"| test | 360 | {test.digest} |" in text
    assert "one run of one seed (5)" in text
