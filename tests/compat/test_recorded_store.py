"""A store that the first edition recorded is read, resumed and delivered to."""

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import mlflow
import pytest
from compare import ROOT
from record import ARCHIVE, STOPPED, STUDY, THREADS, unpack


@pytest.fixture
def store(tmp_path: Path) -> mlflow.MlflowClient:
    """The recorded store in the folder of the test."""
    unpack(tmp_path)
    return mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")


def run(program: str, *words: str, folder: Path) -> str:
    """What a command prints that ends with 0, on the backend and with the threads of the recorded runs."""
    command = [sys.executable, str(ROOT / program), *words]
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_NUM_INTRAOP_THREADS": THREADS}
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stdout


def find_runs(store: mlflow.MlflowClient, study: str) -> list[mlflow.entities.Run]:
    return store.search_runs([store.get_experiment_by_name(study).experiment_id])


def test_recorded_archive_is_small_and_names_no_machine():
    assert ARCHIVE.stat().st_size < 300_000
    with tarfile.open(ARCHIVE) as archive:
        texts = {each.name: archive.extractfile(each).read().decode(errors="replace") for each in archive}
    assert {"mlflow.sql"} < set(texts)
    for name, text in texts.items():
        assert not re.search(r"/(tmp|home|root)/", text), name


@pytest.mark.slow
def test_evaluate_reads_a_recorded_run(store, tmp_path):
    (finished,) = [each for each in find_runs(store, "convzoo") if each.info.status == "FINISHED"]
    run("evaluate.py", f"run={finished.info.run_id}", "images=20", "shift=1", folder=tmp_path)
    metrics = store.get_run(finished.info.run_id).data.metrics
    assert metrics["evaluate_accuracy"] == pytest.approx(metrics["test_accuracy"], abs=0.01)  # 3 of 360 images


@pytest.mark.slow
def test_evaluate_reads_a_recorded_study(store, tmp_path):
    before = {each.info.run_id for each in find_runs(store, STUDY)}
    text = run("evaluate.py", f"study={STUDY}", folder=tmp_path)
    assert re.search(r"\bmax\b", text)
    assert re.search(r"\bl2\b", text)
    assert len(before) == 4
    assert (tmp_path / "reports" / STUDY / "report.html").exists()


@pytest.mark.slow
def test_stopped_run_goes_on_and_spool_is_delivered(store, tmp_path):
    (checkpoints,) = (tmp_path / "checkpoints").iterdir()
    assert list((tmp_path / "spool").glob("*/journal.jsonl"))
    text = run("train.py", *STOPPED, "optimizer=adamw", folder=tmp_path)  # the default of that time
    resumed = re.findall(r"^(?:going on after|resuming from) epoch.*", text, re.MULTILINE)
    refused = [line for line in text.splitlines() if checkpoints.name in line]
    assert len(resumed) + len(refused) == 1, text
    runs = [each for each in find_runs(store, "convzoo") if each.data.params["seed"] == "7"]
    assert "FINISHED" in [each.info.status for each in runs]
    (delivered,) = [each for each in find_runs(store, STUDY) if each.data.params["pooling"] == "average"]
    assert delivered.info.status == "FINISHED"
    assert {"test_accuracy", "test_loss"} < delivered.data.metrics.keys()
    points = store.get_metric_history(delivered.info.run_id, "train_loss")
    assert [point.step for point in points] == [1, 2]
    assert {file.path for file in store.list_artifacts(delivered.info.run_id)} == {
        "config.yaml",
        "plan.txt",
        "rows.yaml",
    }
    assert not list((tmp_path / "spool").glob("*/journal.jsonl"))
