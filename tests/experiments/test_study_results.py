"""A study as a data frame: one row a run, typed columns."""

import mlflow
import pandas as pd
import pytest

import convzoo
from convzoo import UserError


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    """A store with three runs that are logged by MLflow alone."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"
    client = mlflow.MlflowClient(uri)
    experiment = client.create_experiment("mine")
    runs = [
        ({"model": "lenet", "dropout": "0", "seed": "0", "nesterov": "True"}, {"test_accuracy": 0.5, "epochs": 5}),
        ({"model": "nin", "dropout": "0.25", "seed": "1", "nesterov": "False"}, {"test_accuracy": 0.75}),
        ({"model": "nin", "dropout": "1e-3", "pool": "3x", "seed": "2"}, {}),
    ]
    for number, (params, metrics) in enumerate(runs):
        run = client.create_run(experiment, start_time=1_764_547_200_000 + number * 1000, run_name=f"run {number}")
        for key, value in {**params, "epochs": "5"}.items():
            client.log_param(run.info.run_id, key, value)
        for key, value in metrics.items():
            client.log_metric(run.info.run_id, key, value)
        if number == 1:
            client.set_tag(run.info.run_id, "convzoo.not_learning", "at chance")
        client.set_terminated(run.info.run_id, "FINISHED" if metrics else "FAILED")
    return uri


def test_results_has_a_row_a_run_with_typed_columns(uri):
    frame = convzoo.results("mine", uri)
    assert frame["name"].tolist() == ["run 2", "run 1", "run 0"]  # the newest first
    assert frame["status"].tolist() == ["FAILED", "FINISHED", "FINISHED"]
    types = {name: str(frame[name].dtype) for name in frame}
    assert types["seed"] == types["epochs"] == "Int64"
    assert types["dropout"] == types["test_accuracy"] == types["metric.epochs"] == "Float64"
    assert types["nesterov"] == "boolean"
    assert types["model"] == types["pool"] == types["not_learning"] == types["run_id"] == "string"
    assert frame["dropout"].tolist() == [0.001, 0.25, 0.0]
    assert frame["seed"].tolist() == [2, 1, 0]
    assert frame["test_accuracy"].isna().tolist() == [True, False, False]
    assert frame["not_learning"].tolist()[1:2] == ["at chance"]
    assert frame["nesterov"].isna().sum() == 1
    assert frame["started"][2] == pd.Timestamp("2025-12-01", tz="UTC")
    assert frame.groupby("model")["test_accuracy"].mean().to_dict() == {"lenet": 0.5, "nin": 0.75}
    assert list(frame.columns[:7]) == ["run_id", "name", "status", "model", "dropout", "pool", "nesterov"]


def test_results_reads_store_of_environment(uri, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert len(convzoo.results("mine")) == 3


def test_results_refuses_unknown_study(uri):
    with pytest.raises(UserError, match="did you mean mine"):
        convzoo.results("mime", uri)


def test_results_name_the_left_out_part_before_its_params(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = mlflow.MlflowClient(uri)
    experiment = client.create_experiment("parts")
    for part, rows in (("nothing", "RandomFlip"), ("augmentation.flip", "none")):
        run = client.create_run(experiment)
        for key, value in {"augmentation": rows, "seed": "0", "ablate": part}.items():
            client.log_param(run.info.run_id, key, value)
    frame = convzoo.results("parts", uri)
    assert [*frame][3:6] == ["ablate", "augmentation", "seed"]
    assert set(frame["ablate"]) == {"nothing", "augmentation.flip"}
