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
