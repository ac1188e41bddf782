"""A training whose numbers overflow ends at that step, and says where."""

import mlflow

from convzoo import train


def test_a_loss_that_is_no_number_ends_the_run(command_line, tmp_path, monkeypatch):
    """The first update of a rate of 1e30 leaves weights whose loss is no number, at the second step."""
    monkeypatch.chdir(tmp_path)
    words = ["model=lenet", "data=digits", "data.fraction=0.3", "epochs=2"]
    schedule = ["recipe.schedule=constant", "learning_rate=1e30", "precision=float32"]
    code, _, errors = command_line(train, [*words, *schedule])
    assert code == 2
    (line,) = [line for line in errors.splitlines() if line.startswith("error:")]
    assert line.startswith(("error: the loss is nan: ", "error: the loss is inf: "))
    assert "`" in line
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (run,) = client.search_runs([each.experiment_id for each in client.search_experiments()])
    assert run.info.status == "FAILED"
    assert run.data.metrics == {}
    assert "the loss is" in run.data.tags["failure"]


def test_the_other_runs_of_a_sweep_go_on(command_line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    words = ["-m", "model=lenet", "data=digits", "data.fraction=0.3", "epochs=1", "precision=float32", "study=mine"]
    code, out, errors = command_line(train, [*words, f"tracking.uri={uri}", "learning_rate=1e30,0.01"])
    assert code == 2
    assert errors.splitlines()[-1] == "error: 1 of 2 runs failed"
    assert "── 1 of 2 done, 1 failed" in out
    client = mlflow.MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("mine").experiment_id])
    found = {float(run.data.params["learning_rate"]): run.info.status for run in runs}
    assert found == {1e30: "FAILED", 0.01: "FINISHED"}
    assert not (tmp_path / "checkpoints").exists()
