"""A study in a real store: what is done, what was begun, what failed."""

import os
import signal
import subprocess
import sys

import mlflow
import pytest

from convzoo import UserError
from convzoo.tracking import EVERYDAY, delivery, environment, study
from convzoo.tracking.lease import OwnedError
from convzoo.tracking.run import Run, find


@pytest.fixture
def uri(tmp_path):
    return f"sqlite:///{tmp_path}/mlflow.db"


def finished(uri, name, identity="i", **tags):
    with Run(uri, name, "a run", {"seed": 0}, {"identity": identity, **tags}) as run:
        run.metrics({"test_accuracy": 0.5}, 1)
    return run.id


def test_a_run_that_is_done_is_found_by_its_identity_in_its_study(uri):
    assert study.reusable(uri, "mine", "i") is None
    run = finished(uri, "mine")
    found = study.reusable(uri, "mine", "i")
    assert (found.id, found.metrics, found.params, found.status) == (
        run,
        {"test_accuracy": 0.5},
        {"seed": "0"},
        "FINISHED",
    )
    assert study.reusable(uri, "mine", "other") is None
    assert study.reusable(uri, "other", "i") is None
    assert study.reusable(uri, "mine", "i", rerun=True) is None


def test_a_run_without_its_model_will_not_do_where_one_is_asked_for(uri, capsys):
    light = finished(uri, "mine", artifacts="light")
    assert study.reusable(uri, "mine", "i").id == light
    assert study.reusable(uri, "mine", "i", artifacts="full") is None
    assert "kept no model and is made again" in capsys.readouterr().out
    full = finished(uri, "mine", artifacts="full")
    assert study.reusable(uri, "mine", "i", artifacts="full").id == full
    finished(uri, "mine", "other", artifacts="light")
    assert find(uri, "latest").id == full  # of those that can be looked at again


def test_the_time_of_a_run_is_that_of_its_training(uri):
    with Run(uri, "mine", "a run", {"seed": 0}, {"identity": "i"}) as run:
        run.metrics({"test_accuracy": 0.5, "training_seconds": 7.5}, 1)
    assert study.results(uri, "mine")[0].seconds == 7.5


def test_everyday_runs_are_made_again(uri):
    finished(uri, EVERYDAY)
    assert study.reusable(uri, EVERYDAY, "i") is None


def test_of_a_run_that_was_being_closed_the_end_is_found_where_runs_are_made_again(uri):
    """Its checkpoints lie there to the last epoch, and the newest run is the one that they are of."""
    assert study.reusable(uri, EVERYDAY, "i", trained=True) is None
    done = finished(uri, EVERYDAY)
    finished(uri, EVERYDAY, "other")
    assert study.reusable(uri, EVERYDAY, "i", trained=True).id == done
    assert study.reusable(uri, EVERYDAY, "i", rerun=True, trained=True).id == done
    with pytest.raises(KeyboardInterrupt), Run(uri, EVERYDAY, "a run", {"seed": 0}, {"identity": "i"}):
        raise KeyboardInterrupt
    assert study.reusable(uri, EVERYDAY, "i", trained=True) is None  # they are of the one that was stopped


def test_a_run_of_other_code_is_told_and_made_again(uri, capsys):
    finished(uri, "mine", code="0123456789")
    assert study.reusable(uri, "mine", "i") is None
    assert "is of other code (0123456, not" in capsys.readouterr().out
    finished(uri, "mine", code=environment.code())
    assert study.reusable(uri, "mine", "i") is not None


def left(uri, folder):
    """The id of a run that a process left which was killed."""
    code = """if True:
        import os, signal, sys
        from convzoo.tracking.run import Run
        run = Run(sys.argv[1], "mine", "a run", {}, {"identity": "i"})
        print(run.id, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    killed = subprocess.run([sys.executable, "-c", code, uri], cwd=folder, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    return killed.stdout.split()[-1]  # before it a slow machine says that it waits for the store


def test_a_run_that_was_left_is_gone_on_with_or_ended(uri, tmp_path):
    def statuses():
        return {result.id: result.status for result in study.results(uri, "mine")}

    old = left(uri, tmp_path)
    assert statuses() == {old: "RUNNING"}
    with Run(uri, "mine", "a run", {}, {"identity": "other"}) as other:
        assert statuses() == {old: "KILLED", other.id: "RUNNING"}
    with Run(uri, "mine", "a run", {}, {"identity": "i"}, go_on=True) as again:
        assert again.id == old
        assert statuses() == {old: "RUNNING", other.id: "FINISHED"}
    assert statuses() == {old: "FINISHED", other.id: "FINISHED"}


def test_a_run_that_was_left_and_is_not_gone_on_with_stays_killed(uri, tmp_path):
    old = left(uri, tmp_path)
    with Run(uri, "mine", "a run", {}, {"identity": "i"}) as new:
        assert {result.id: result.status for result in study.results(uri, "mine")} == {old: "KILLED", new.id: "RUNNING"}


def test_a_run_that_a_process_makes_is_left_to_it(uri):
    with Run(uri, "mine", "a run", {}, {"identity": "i"}) as run:
        with pytest.raises(OwnedError, match=f"another process makes this run: .* {os.getpid()} "):
            Run(uri, "mine", "a run", {}, {"identity": "i"}, go_on=True)
        assert [(each.id, each.status) for each in study.results(uri, "mine")] == [(run.id, "RUNNING")]
    with pytest.raises(OwnedError, match="has just made"):
        Run(uri, "mine", "a run", {}, {"identity": "i"})
    with Run(uri, "mine", "a run", {}, {"identity": "i"}, again=True) as again:
        assert again.id != run.id
    tags = mlflow.MlflowClient(uri).get_experiment(run.experiment_id).tags
    assert not [key for key in tags if key.startswith("convzoo.claim")]


def test_a_run_that_a_process_makes_is_left_to_it_however_long_the_look_takes(uri, monkeypatch):
    monkeypatch.setattr(delivery, "START_SECONDS", 0.0)  # as where a machine's cores are all busy
    with Run(uri, "mine", "a run", {}, {"identity": "i"}) as run:
        with pytest.raises(OwnedError, match="another process makes this run"):
            Run(uri, "mine", "a run", {}, {"identity": "i"}).__exit__(None, None, None)
        assert [each.id for each in study.results(uri, "mine")] == [run.id]


def test_a_failure_is_kept_once_and_not_where_a_run_has_it(uri):
    words = ["model=study/lenet", "stride=8", "seed=1"]
    for _ in range(2):
        study.keep_failure(uri, "mine", words, UserError("too small"))
    with pytest.raises(ValueError, match="later") as caught, Run(uri, "mine", "began", {}, {}):
        raise ValueError("later")
    study.keep_failure(uri, "mine", words, caught.value)
    kept = {result.name: (result.status, result.failure) for result in study.results(uri, "mine")}
    assert kept == {
        "lenet stride=8 seed=1": ("FAILED", "UserError: too small"),
        "began": ("FAILED", "ValueError: later"),
    }
    assert len(study.results(uri, "mine")) == 2


def test_what_a_file_says_is_written_down_once(uri):
    assert study.said(uri, "mine") is None
    page = study.begin(uri, "mine", ["pooling", "seed"], {"claims": [1]})
    study.begin(uri, "mine", ["pooling", "seed"], {"claims": [2]})
    assert study.said(uri, "mine") == {"claims": [1]}
    assert "viewStateShareKey=convzoo-runs" in page
    client = mlflow.MlflowClient(uri)
    tags = client.get_experiment_by_name("mine").tags
    assert {key for key in tags if key.startswith("mlflow.sharedViewState.")} == {
        "mlflow.sharedViewState.convzoo-runs",
        "mlflow.sharedViewState.convzoo-cells",
    }


def test_a_study_that_is_not_there_is_refused(uri):
    with pytest.raises(UserError, match="there is no study 'nothing'"):
        study.results(uri, "nothing")
