"""A training as a function call, as in a notebook."""

import os
import pickle
import sys

import mlflow
import numpy as np
import pytest

import convzoo
from convzoo import UserError, compose_settings, run_training
from convzoo.experiments.run_result import RunResult, Status

TINY = {"model": "lenet", "data": "digits", "data__fraction": 0.1, "epochs": 1, "checkpoints__seconds": 0}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_run_training_returns_recorded_metrics(folder):
    words = list(sys.argv)
    result = run_training(**TINY, study="mine")
    assert isinstance(result, RunResult)
    assert (result.status, result.experiment) == (Status.FINISHED, "mine")
    recorded = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db").get_run(result.run_id).data.metrics
    assert recorded["test_accuracy"] == result.metrics["test_accuracy"]
    assert [epoch["train_loss"] for epoch in result.history] == [recorded["train_loss"]]
    assert result.load_model().input_shape == (None, 32, 32, 1)
    assert pickle.loads(pickle.dumps(result)) == result
    assert sys.argv == words

    again = run_training(**TINY, study="mine")
    assert (again.status, again.run_id) == (Status.REUSED, result.run_id)
    assert again.metrics["test_accuracy"] == result.metrics["test_accuracy"]


@pytest.mark.integration
def test_run_training_records_further_tests(folder, capsys):
    """Copies of one image are all right or all wrong: Wilson's interval of 0 or 50 of 50 is 7.13 % wide."""
    images, labels = np.full((50, 32, 32, 1), 100, np.uint8), np.full(50, 7)
    np.savez(folder / "copies.npz", x=images, y=labels)
    result = run_training(**TINY, data__extra_tests=["copies.npz"])
    accuracy = result.metrics["test_copies_accuracy"]
    assert accuracy in (0, 1)
    interval = "0.00% to 7.13%" if accuracy == 0 else "92.87% to 100.00%"
    line = f"test copies accuracy {accuracy:.2%}, 95 % interval {interval} (50 images)"
    assert line in capsys.readouterr().out.splitlines()
    run = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db").get_run(result.run_id)
    assert run.data.metrics["test_copies_accuracy"] == accuracy
    assert "data.extra_tests" not in run.data.params
    contexts = [tag.value for each in run.inputs.dataset_inputs for tag in each.tags]
    assert sorted(contexts) == ["test", "test_copies", "train", "validation"]

    scores = (result.load_model()(images, training=False)).numpy().argmax(axis=1)
    assert (scores == labels).mean() == accuracy


def test_run_training_refuses_a_metric_of_a_further_test(folder):
    np.savez(folder / "mine.npz", x=np.zeros((1, 32, 32, 1), np.uint8), y=[0])
    row = {"_target_": "keras.metrics.SparseCategoricalAccuracy"}
    with pytest.raises(UserError, match=r"`metrics.mine_accuracy`: .* that convzoo records itself"):
        run_training(**TINY, data__extra_tests=["mine.npz"], metrics={"mine_accuracy": row})


def test_run_training_returns_a_plan_without_a_run(folder, capsys):
    result = run_training(model="lenet", data="digits", plan="json")
    assert (result.status, result.run_id) == (Status.PLANNED, None)
    assert '"name": "lenet"' in capsys.readouterr().out
    assert list(folder.iterdir()) == []
    with pytest.raises(UserError, match="planned"):
        result.load_model()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"dropout": 1.5}, "`dropout`"),
        ({"model": "alcnn"}, "allcnn|allconv"),
        ({"epochs": 0}, "`epochs` must be"),
        ({"study": "pooling_kinds"}, "is a sweep"),
        ({"model": None}, "model"),
        ({"recipe": 3}, "recipe"),
        ({"tracking": None}, "tracking"),
        ({"model": "lenet", "recipe": "he2014"}, "he2015"),
        ({"recipe": "paper", "model": "alexnet_cifar"}, "no recipe of its own"),
    ],
)
def test_run_training_refuses_wrong_settings(folder, overrides, message):
    with pytest.raises(UserError, match=message):
        run_training(**{"model": "lenet", "data": "digits", **overrides})
    assert list(folder.iterdir()) == []


@pytest.mark.integration
def test_run_training_accepts_composed_settings(folder):
    settings = compose_settings(**TINY, study="mine")
    assert (settings.epochs, settings.data.fraction) == (1, 0.1)
    result = run_training(settings, seed=1)
    assert result.name.endswith(" · seed 1")
    assert mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db").get_run(result.run_id).data.params["seed"] == "1"
    assert "epochs=1" in result.name


def test_overrides_of_composed_settings_change_what_follows(folder):
    settings = compose_settings(model="lenet", data="digits")
    assert run_training(settings, recipe__epochs=3, plan="json").status == Status.PLANNED
    both = compose_settings(model="lenet", data="digits", recipe__epochs=3, recipe__optimizer__learning_rate=0.5)
    assert (both.epochs, both.learning_rate) == (3, 0.5)
    wide = compose_settings(model="wrn_16_4", data="cifar10")  # its rows refer to a number of the network
    assert run_training(wide, seed=1, plan="json").name == "wrn_16_4"
    assert run_training(wide, model="lenet", plan="json").name == "lenet"


def test_changed_settings_are_refused(folder):
    settings = compose_settings(model="lenet", data="digits").model_copy(update={"epochs": 7})
    with pytest.raises(UserError, match="pass what differs as overrides"):
        run_training(settings)


def test_password_of_a_store_is_not_kept(folder, monkeypatch):
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(name, "")
    for overrides in (
        {"tracking": {"uri": "http://me:secret@host:5000"}},
        {"tracking__uri": "http://me:secret@host:5000"},
    ):
        settings = compose_settings(model="lenet", **overrides)
        assert settings.tracking.uri == "http://host:5000"
        assert "secret" not in str(settings.overrides)
        assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "secret"


@pytest.mark.integration
def test_run_training_records_in_the_folder_of_each_call(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        result = run_training(**TINY)
        client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/{name}/mlflow.db")
        assert client.get_run(result.run_id).info.status == "FINISHED"
        assert not (tmp_path / name / "spool").exists()


def test_run_training_takes_values_of_python(folder):
    path = folder / "a b, (1)"
    settings = compose_settings(
        model="lenet",
        recipe__early_stopping=None,
        recipe__image_scales=[0.5, 1],
        epochs=2,
        checkpoints__directory=path,
        study=" a ",
    )
    assert settings.checkpoints.directory == str(path)
    assert settings.study == " a "
    assert settings.recipe.early_stopping is None
    assert settings.recipe.image_scales == [0.5, 1]


def test_package_names_its_lazy_exports():
    assert {"run_training", "compose_settings", "RunResult"} <= set(dir(convzoo))
    with pytest.raises(AttributeError, match="no attribute 'train_everything'"):
        _ = convzoo.train_everything
