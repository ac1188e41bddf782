"""The page of a study follows its runs, and a store that is away harms nothing."""

import json
import time
from types import SimpleNamespace

import mlflow
import pytest

from convzoo.experiments import evaluator, study_page
from convzoo.tracking import heartbeat, study_runs
from convzoo.tracking.run import Run, RunSpec


@pytest.fixture
def uri(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return f"sqlite:///{tmp_path}/mlflow.db"


def record(uri, pooling, accuracy, study="mine"):
    params = {"model": "nin", "pooling": pooling, "seed": 0, "macs": 1000, "parameters": 10}
    with Run.start(RunSpec(uri, study, pooling, params, {"cell": pooling})) as run:
        run.log_metrics({"test_accuracy": accuracy, "training_seconds": 1.0})


def description(uri, study="mine"):
    return mlflow.MlflowClient(uri).get_experiment_by_name(study).tags.get("mlflow.note.content", "")


def test_page_follows_runs_and_links_report_at_end(uri):
    study_runs.set_up_study(uri, "mine", ["pooling"], {"question": "Which?", "sweep": {"pooling": ["max", "l2"]}})
    record(uri, "max", 0.5)
    study_page.update_page(uri, "mine")
    assert "1 finished runs in 1 cells; 1 of 2 runs of the grid are missing." in description(uri)
    assert "interactive report" not in description(uri)
    record(uri, "l2", 0.75)
    study_page.finish_page(uri, "mine")
    assert description(uri).startswith("**best of 2 cells: l2, 75.00%**\n\n[interactive report](#/experiments/")
    record(uri, "max", 1.0)  # the newer run of a cell and seed counts
    study_page.finish_page(uri, "mine")
    assert "|max|100.00|" in description(uri)


def test_page_of_default_experiment_is_left_alone(uri):
    record(uri, "max", 0.5, "convzoo")
    study_page.finish_page(uri, "convzoo")
    assert description(uri, "convzoo") == ""


def test_page_that_cannot_be_written_is_a_warning(uri, monkeypatch, capsys):
    record(uri, "max", 0.5)
    monkeypatch.setattr(study_page, "read_report", lambda *_: 1 / 0)
    study_page.finish_page(uri, "mine")
    assert "warning: the page of mine in MLflow was not written: division by zero" in capsys.readouterr().out
    assert description(uri) == ""
    tags = mlflow.MlflowClient(uri).get_experiment_by_name("mine").tags
    assert not [key for key in tags if key.startswith("convzoo.claim")]


def claim_elsewhere(uri, monkeypatch, releases_after):
    """Claims the page for a live process, which releases it after a number of waits; each wait takes half a second."""
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("mine").experiment_id
    client.set_experiment_tag(experiment, "convzoo.claim.page.other", json.dumps(heartbeat.lease_tags()))
    waits = []

    def sleep(seconds):
        waits.append(seconds)
        if len(waits) == releases_after:
            client.delete_experiment_tag(experiment, "convzoo.claim.page.other")

    monkeypatch.setattr(heartbeat, "time", SimpleNamespace(sleep=sleep, time=time.time))  # of no other module
    monkeypatch.setattr(heartbeat, "clock", lambda: len(waits) / 2)
    return waits


def test_final_page_waits_for_another_writer(uri, monkeypatch, capsys):
    record(uri, "max", 0.5)
    waits = claim_elsewhere(uri, monkeypatch, releases_after=30)
    study_page.finish_page(uri, "mine")
    assert len(waits) == 30
    assert "warning" not in capsys.readouterr().out
    assert description(uri).startswith("**best of 1 cells: nin, 50.00%**\n\n[interactive report](#/experiments/")


@pytest.mark.integration
def test_report_is_printed_while_another_process_writes(uri, monkeypatch, capsys, tmp_path):
    record(uri, "max", 0.5)
    claim_elsewhere(uri, monkeypatch, releases_after=1000)
    evaluator.report_study(uri, ["mine"])
    report, _, warning = capsys.readouterr().out.partition("warning: ")
    assert "50.00" in report
    assert (tmp_path / "reports" / "mine" / "report.html").exists()
    assert warning == (
        "the report is not in MLflow: another process is writing the page of mine; repeat the command later\n"
    )
