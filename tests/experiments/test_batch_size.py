"""A run that does not fit into memory, and the batch size that `batch_size=auto` chooses."""

import mlflow
import pytest

from convzoo import UserError, compose_settings, run_training, train
from convzoo.experiments.run_result import Status
from convzoo.models import plan
from convzoo.tracking.run import Run
from convzoo.training import memory

TINY = {
    "model": "lenet",
    "data": "digits",
    "data__fraction": 0.1,
    "epochs": 1,
    "precision": "float32",
    "tracking__artifacts": "light",
    "checkpoints__seconds": 0,
    "study": "mine",
}


@pytest.fixture
def set_free(tmp_path, monkeypatch):
    """Sets the memory that is free to what a batch size takes, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    settings = compose_settings(**TINY).model_dump()
    need = memory.TrainingMemory.from_plan(plan("lenet", image_shape=(32, 32, 1)), settings)

    def fit(batch_size):
        monkeypatch.setattr(memory, "find_free_memory", lambda: need.most_bytes(batch_size))

    return fit


def recorded(result, folder):
    return mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db").get_run(result.run_id).data


@pytest.mark.integration
def test_run_beyond_memory_is_refused_in_one_line(tmp_path, monkeypatch, command_line):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(memory, "find_free_memory", lambda: 10**6)
    words = ["model=lenet", "data=digits", "data.fraction=0.1", "epochs=1", "study=mine"]
    code, _, error = command_line(train, words)
    assert (code, error.count("\n")) == (2, 1)
    assert "training lenet on 64 images at a time takes at least" in error
    assert "and 1.0 MB are free here. Use batch_size=" in error
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.integration
def test_auto_batch_size_is_recorded_as_a_number(set_free, tmp_path, capsys):
    set_free(16)
    result = run_training(**TINY, batch_size="auto")
    assert "batch_size=auto: 16, the largest that fits into memory" in capsys.readouterr().out.splitlines()
    assert recorded(result, tmp_path).params["batch_size"] == "16"
    again = run_training(**TINY, batch_size=16)
    assert (again.status, again.run_id) == (Status.REUSED, result.run_id)

    set_free(64)  # runs of a cell have one batch size, whatever fits when they start
    other_seed = run_training(**TINY, batch_size="auto", seed=1)
    assert recorded(other_seed, tmp_path).params["batch_size"] == "16"
    other_study = run_training(**{**TINY, "study": "another"}, batch_size="auto")
    assert recorded(other_study, tmp_path).params["batch_size"] == "64"  # the recipe's


@pytest.mark.integration
def test_auto_batch_size_resumes_with_the_interrupted_run_s(set_free, tmp_path, monkeypatch, capsys):
    settings = {**TINY, "epochs": 2, "batch_size": "auto"}
    set_free(32)
    with monkeypatch.context() as patch:
        patch.setattr(Run, "log_epoch", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run_training(**settings)
    set_free(64)
    capsys.readouterr()
    result = run_training(**settings)
    lines = capsys.readouterr().out.splitlines()
    assert "batch_size=auto: 32, as in the recorded or interrupted run" in lines
    assert any(line.startswith("resuming from epoch 2") for line in lines)
    assert recorded(result, tmp_path).params["batch_size"] == "32"


def interrupt(*_):
    raise KeyboardInterrupt


def test_auto_batch_size_needs_a_number_in_the_recipe():
    with pytest.raises(UserError, match=r"`batch_size=auto`.*Received: recipe\.batch_size=auto"):
        compose_settings(recipe__batch_size="auto")
    with pytest.raises(UserError, match=r"`batch_size` must be an integer from 1 to .*, or auto\. .*batch_size='many'"):
        compose_settings(batch_size="many")
