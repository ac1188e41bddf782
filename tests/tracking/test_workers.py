"""Eight processes that write into one store at once."""

import contextlib
import subprocess
import sys

import mlflow
import pytest

WORKERS, RUNS, EPOCHS = 8, 2, 5
CODE = f"""
import sys
from types import SimpleNamespace
import numpy as np
from convzoo.data import Split
from convzoo.tracking.run import Run, RunSpec
pictures = Split(np.zeros((2, 2, 2, 1), np.uint8), np.zeros(2, np.int32))
data = SimpleNamespace(name="black", source="nowhere", test=pictures)
for i in range({RUNS}):
    name = f"{{sys.argv[2]}}-{{i}}"
    with Run.start(RunSpec(sys.argv[1], "race", name, {{"i": i}}, {{"identity": name}})) as run:
        for epoch in range({EPOCHS}):
            run.log_epoch(epoch, {{"train_loss": epoch}})
        run.log_dataset(data, "test")
        run.log_text("words", "config.yaml")
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["file", "server"])
def test_eight_writers_lose_nothing_from_the_very_first(tmp_path, kind, serving):
    store = ("server", "--backend-store-uri=sqlite:///server.db", "--artifacts-destination=kept")
    with serving(tmp_path, *store) if kind == "server" else contextlib.nullcontext("sqlite:///mlflow.db") as uri:
        writers = [
            subprocess.Popen([sys.executable, "-c", CODE, uri, str(number)], cwd=tmp_path, stderr=subprocess.PIPE)
            for number in range(WORKERS)
        ]
        for writer in writers:
            err = writer.communicate(timeout=240)[1]
            assert writer.returncode == 0, err.decode()[-2000:]
        client = mlflow.MlflowClient(uri if kind == "server" else f"sqlite:///{tmp_path}/mlflow.db")
        (race,) = [each for each in client.search_experiments() if each.name == "race"]
        runs = client.search_runs([race.experiment_id])
        assert sorted(run.info.run_name for run in runs) == sorted(
            f"{number}-{i}" for number in range(WORKERS) for i in range(RUNS)
        )
        for run in runs:
            assert run.info.status == "FINISHED"
            losses = client.get_metric_history(run.info.run_id, "train_loss")
            assert [(point.step, point.value) for point in losses] == [(e, e) for e in range(EPOCHS)]
            assert [each.dataset.name for each in run.inputs.dataset_inputs] == ["black/test"]
            assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["config.yaml"]
    assert not list(tmp_path.glob(".mlflow.db-*"))
