"""A training whose numbers overflow ends at that step, and says where."""

import mlflow
import pytest

from convzoo import train
from convzoo.tracking.results import NOT_LEARNING_TAG
from convzoo.training import learning_check

SGD = ["optimizer=sgd", "batch_size=128"]


@pytest.mark.integration
def test_a_loss_that_is_no_number_ends_the_run(command_line, tmp_path, monkeypatch):
    """The first update of a rate of 1e30 leaves weights whose loss is no number, at the second step."""
    monkeypatch.chdir(tmp_path)
    words = ["model=lenet", "data=digits", "data.fraction=0.3", "epochs=2"]
    schedule = [*SGD, "schedule=constant", "learning_rate=1e30", "precision=float32"]
    code, _, errors = command_line(train, [*words, *schedule])
    assert code == 2
    (line,) = [line for line in errors.splitlines() if line.startswith("error:")]
    assert line.startswith(("error: the loss is nan: ", "error: the loss is inf: "))
    assert "`" in line
    assert "learning_rate=" in line
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (run,) = client.search_runs([each.experiment_id for each in client.search_experiments()])
    assert run.info.status == "FAILED"
    assert run.data.metrics == {}
    assert "the loss is" in run.data.tags["failure"]


@pytest.mark.integration
@pytest.mark.parametrize("validation", ["0.1", "0"])
def test_run_fails_when_the_last_update_overflows(command_line, tmp_path, monkeypatch, validation):
    """The only step has a finite loss; the weights that it leaves are not finite."""
    monkeypatch.chdir(tmp_path)
    words = ["model=lenet", "data=digits", "data.fraction=0.1", "epochs=1", "precision=float32"]
    rate = [*SGD, "schedule=constant", "learning_rate=1e30", "recipe.optimizer.l2=1e30"]
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    words += [f"data.validation={validation}", f"tracking.uri={uri}"]
    code, out, errors = command_line(train, [*words, *rate])
    assert code == 2
    (line,) = [line for line in errors.splitlines() if line.startswith("error:")]
    assert "the weights of layer `" in line
    assert "learning_rate=" in line
    assert "test accuracy" not in out
    client = mlflow.MlflowClient(uri)
    (run,) = client.search_runs([each.experiment_id for each in client.search_experiments()])
    assert run.info.status == "FAILED"
    assert "test_loss" not in run.data.metrics


@pytest.mark.slow
def test_runs_that_do_not_learn_are_tagged_and_finished(command_line, tmp_path, monkeypatch):
    """A first layer of zeros in front of a ReLU has no gradient. Six epochs are of three steps each."""
    learning_check._print_once.cache_clear()
    monkeypatch.chdir(tmp_path)
    words = ["-m", "model=lenet", "data=digits", "data.fraction=0.3", "epochs=6", "precision=float32", "study=mine"]
    dead = [*SGD, "+model.layers.conv1.kernel_initializer=zeros", "schedule=constant"]
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    code, out, _ = command_line(train, [*words, *dead, "on_stall=warn,stop", f"tracking.uri={uri}"])
    assert code == 0
    assert out.count("warning: 18 steps in all (6 epochs of 3 steps); most networks need some hundreds to learn") == 1
    assert out.count("warning: the network does not learn: after epoch 2 of 6 ") == 2
    assert out.count("Training stops here (on_stall=stop)") == 1
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("mine")
    runs = [run for run in client.search_runs([experiment.experiment_id]) if "convzoo.report" not in run.data.tags]
    stopped = {"on_stall" in run.data.params: run for run in runs}
    for stops, epochs in ((False, 6), (True, 2)):
        run = stopped[stops]
        assert run.info.status == "FINISHED"
        assert run.data.tags[NOT_LEARNING_TAG].startswith("training ended with training accuracy ")
        assert ("on_stall=stop ended it after epoch 2 of 6" in run.data.tags[NOT_LEARNING_TAG]) == stops
        assert [point.step for point in client.get_metric_history(run.info.run_id, "test_accuracy")] == [epochs]
        assert len(client.get_metric_history(run.info.run_id, "train_loss")) == epochs


@pytest.mark.integration
def test_the_other_runs_of_a_sweep_go_on(command_line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    words = ["-m", "model=lenet", "data=digits", "data.fraction=0.3", "epochs=1", "precision=float32", "study=mine"]
    words += SGD
    code, out, errors = command_line(train, [*words, f"tracking.uri={uri}", "learning_rate=1e30,0.01"])
    assert code == 2
    assert errors.splitlines()[-1] == "error: 1 of 2 runs failed"
    assert "── 1 of 2 done, 1 failed" in out
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("mine")
    runs = [run for run in client.search_runs([experiment.experiment_id]) if "convzoo.report" not in run.data.tags]
    found = {float(run.data.params["learning_rate"]): run.info.status for run in runs}
    assert found == {1e30: "FAILED", 0.01: "FINISHED"}
    assert not (tmp_path / "checkpoints").exists()
