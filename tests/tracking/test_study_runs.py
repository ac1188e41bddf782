"""A study in a real store: what is done, what was begun, what failed."""

import os
import signal
import subprocess
import sys
import time

import mlflow
import pytest

from convzoo import UserError
from convzoo.tracking import DEFAULT_EXPERIMENT, environment, study_runs
from convzoo.tracking.heartbeat import OwnedError
from convzoo.tracking.outbox import worker
from convzoo.tracking.run import Run, RunSpec, find_run


@pytest.fixture
def uri(tmp_path):
    return f"sqlite:///{tmp_path}/mlflow.db"


def finished(uri, name, identity="i", **tags):
    with Run.start(RunSpec(uri, name, "a run", {"seed": 0}, {"identity": identity, **tags})) as run:
        run.log_metrics({"test_accuracy": 0.5}, 1)
    return run.id


def find_reusable(uri, study, identity, **policy):
    """The run that stands for a new one, and the reason that none does."""
    return study_runs.find_reusable(uri, study, identity, study_runs.ReusePolicy(**policy))


def test_finished_run_is_found_by_identity_in_its_study(uri):
    assert find_reusable(uri, "mine", "i").result is None
    run = finished(uri, "mine")
    found = find_reusable(uri, "mine", "i").result
    assert (found.id, found.metrics, found.params, found.status) == (
        run,
        {"test_accuracy": 0.5},
        {"seed": "0"},
        "FINISHED",
    )
    assert find_reusable(uri, "mine", "other").result is None
    assert find_reusable(uri, "other", "i").result is None
    assert find_reusable(uri, "mine", "i", force=True).result is None


def test_run_without_a_model_is_not_reused_where_one_is_asked(uri):
    light = finished(uri, "mine", artifacts="light")
    assert find_reusable(uri, "mine", "i").result.id == light
    result, reason = find_reusable(uri, "mine", "i", artifacts="full")
    assert (result, "kept no model and is made again" in reason) == (None, True)
    full = finished(uri, "mine", artifacts="full")
    assert find_reusable(uri, "mine", "i", artifacts="full").result.id == full
    finished(uri, "mine", "other", artifacts="light")
    assert find_run(uri, "latest").id == full  # of those that can be looked at again


def test_the_time_of_a_run_is_that_of_its_training(uri):
    with Run.start(RunSpec(uri, "mine", "a run", {"seed": 0}, {"identity": "i"})) as run:
        run.log_metrics({"test_accuracy": 0.5, "training_seconds": 7.5}, 1)
    assert study_runs.find_results(uri, "mine")[0].seconds == 7.5


def test_everyday_runs_are_made_again(uri):
    finished(uri, DEFAULT_EXPERIMENT)
    assert find_reusable(uri, DEFAULT_EXPERIMENT, "i").result is None


def test_end_of_a_closing_run_is_found_among_repeats(uri):
    """Its checkpoints lie there to the last epoch, and the newest run is the one that they are of."""
    assert find_reusable(uri, DEFAULT_EXPERIMENT, "i", has_final_checkpoint=True).result is None
    done = finished(uri, DEFAULT_EXPERIMENT)
    finished(uri, DEFAULT_EXPERIMENT, "other")
    assert find_reusable(uri, DEFAULT_EXPERIMENT, "i", has_final_checkpoint=True).result.id == done
    assert find_reusable(uri, DEFAULT_EXPERIMENT, "i", force=True, has_final_checkpoint=True).result.id == done
    with (
        pytest.raises(KeyboardInterrupt),
        Run.start(RunSpec(uri, DEFAULT_EXPERIMENT, "a run", {"seed": 0}, {"identity": "i"})),
    ):
        raise KeyboardInterrupt
    assert (
        find_reusable(uri, DEFAULT_EXPERIMENT, "i", has_final_checkpoint=True).result is None
    )  # they are of the one that was stopped


def test_a_run_of_other_code_is_told_and_made_again(uri):
    finished(uri, "mine", code="0123456789")
    result, reason = find_reusable(uri, "mine", "i")
    assert (result, "is of other code (0123456, not" in reason) == (None, True)
    ours = finished(uri, "mine", code=environment.code_version())
    assert find_reusable(uri, "mine", "i").result.id == ours
    client = mlflow.MlflowClient(uri)
    client.set_tag(ours, "version.mlflow", "0.0.1")
    assert find_reusable(uri, "mine", "i").result.id == ours
    client.set_tag(ours, "version.keras", "0.0.1")
    result, reason = find_reusable(uri, "mine", "i")
    assert (result, f"run {ours} is of other versions (keras 0.0.1, not " in reason) == (None, True)
    with Run.start(
        RunSpec(uri, "mine", "a run", {"seed": 0}, {"identity": "i"}, resume=True)
    ) as again:  # not `OwnedError`
        assert again.id != ours


def left(uri, folder):
    """The id of a run that a process left which was killed."""
    code = """if True:
        import os, signal, sys
        from convzoo.tracking.run import Run, RunSpec
        run = Run.start(RunSpec(sys.argv[1], "mine", "a run", {}, {"identity": "i"}))
        print(run.id, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    killed = subprocess.run([sys.executable, "-c", code, uri], cwd=folder, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    return killed.stdout.split()[-1]  # before it a slow machine says that it waits for the store


@pytest.mark.integration
def test_a_run_that_was_left_is_gone_on_with_or_ended(uri, tmp_path):
    def statuses():
        return {result.id: result.status for result in study_runs.find_results(uri, "mine")}

    old = left(uri, tmp_path)
    assert statuses() == {old: "RUNNING"}
    with Run.start(RunSpec(uri, "mine", "a run", {}, {"identity": "other"})) as other:
        assert statuses() == {old: "KILLED", other.id: "RUNNING"}
    with Run.start(RunSpec(uri, "mine", "a run", {}, {"identity": "i"}, resume=True)) as again:
        assert again.id == old
        assert statuses() == {old: "RUNNING", other.id: "FINISHED"}
    assert statuses() == {old: "FINISHED", other.id: "FINISHED"}


@pytest.mark.integration
def test_abandoned_run_stays_killed(uri, tmp_path):
    old = left(uri, tmp_path)
    with Run.start(RunSpec(uri, "mine", "a run", {}, {"identity": "i"})) as new:
        assert {result.id: result.status for result in study_runs.find_results(uri, "mine")} == {
            old: "KILLED",
            new.id: "RUNNING",
        }


def test_a_run_that_a_process_makes_is_left_to_it(uri):
    with Run.start(RunSpec(uri, "mine", "a run", {}, {"identity": "i"})) as run:
        with pytest.raises(OwnedError, match=f"another process makes this run: .* {os.getpid()} "):
            Run.start(RunSpec(uri, "mine", "a run", {}, {"identity": "i"}, resume=True))
        assert [(each.id, each.status) for each in study_runs.find_results(uri, "mine")] == [(run.id, "RUNNING")]
    with pytest.raises(OwnedError, match="has just made"):
        Run.start(RunSpec(uri, "mine", "a run", {}, {"identity": "i"}))
    with Run.start(RunSpec(uri, "mine", "a run", {}, {"identity": "i"}, force=True)) as again:
        assert again.id != run.id
    tags = mlflow.MlflowClient(uri).get_experiment(run.experiment_id).tags
    assert not [key for key in tags if key.startswith("convzoo.claim")]


def test_run_of_a_live_process_is_left_to_it_after_a_long_look(uri, monkeypatch):
    monkeypatch.setattr(worker, "START_TIMEOUT_S", 0.0)  # as where a machine's cores are all busy
    with Run.start(RunSpec(uri, "mine", "a run", {}, {"identity": "i"})) as run:
        with pytest.raises(OwnedError, match="another process makes this run"):
            Run.start(RunSpec(uri, "mine", "a run", {}, {"identity": "i"})).__exit__(None, None, None)
        assert [each.id for each in study_runs.find_results(uri, "mine")] == [run.id]


def test_a_failure_is_kept_once_and_not_where_a_run_has_it(uri):
    words = ["model=study/lenet", "stride=8", "seed=1"]
    for _ in range(2):
        study_runs.log_failure(uri, "mine", words, UserError("too small"))
    with pytest.raises(ValueError, match="later") as caught, Run.start(RunSpec(uri, "mine", "began", {}, {})):
        raise ValueError("later")
    study_runs.log_failure(uri, "mine", words, caught.value)
    kept = {result.name: (result.status, result.failure) for result in study_runs.find_results(uri, "mine")}
    assert kept == {
        "s8 · lenet · seed 1": ("FAILED", "UserError: too small"),
        "began": ("FAILED", "ValueError: later"),
    }
    assert len(study_runs.find_results(uri, "mine")) == 2


def test_what_a_file_says_is_written_down_once(uri):
    assert study_runs.recorded_spec(uri, "mine") is None
    page = study_runs.set_up_study(uri, "mine", ["pooling", "seed"], {"claims": [1]})
    study_runs.set_up_study(uri, "mine", ["pooling", "seed"], {"claims": [2]})
    assert study_runs.recorded_spec(uri, "mine") == {"claims": [1]}
    assert "viewStateShareKey=convzoo-runs" in page
    client = mlflow.MlflowClient(uri)
    tags = client.get_experiment_by_name("mine").tags
    assert {key for key in tags if key.startswith("mlflow.sharedViewState.")} == {
        "mlflow.sharedViewState.convzoo-runs",
        "mlflow.sharedViewState.convzoo-cells",
    }


def test_sweeps_of_a_study_are_recorded_once_each(uri):
    assert study_runs.recorded_grids(uri, "mine") == []
    first, second = {"settings": {"seed": ["0", "1"]}}, {"settings": {"seed": ["2"], "model": ["lenet"]}}
    # Several tags hold the long one.
    long = {"settings": {"seed": [str(n) for n in range(5000)], "model": ["nin"], "dropout": ["0"]}}
    for grid in (first, second, long, first):
        study_runs.set_up_study(uri, "mine", ["seed"], None, grid)
    recorded = sorted(study_runs.recorded_grids(uri, "mine"), key=lambda grid: len(grid["settings"]))
    assert recorded == [first, second, long]


def test_tag_that_somebody_else_wrote_is_read_as_what_it_is(uri):
    client = mlflow.MlflowClient(uri)
    study_runs.set_up_study(uri, "mine", ["seed"])
    experiment = client.get_experiment_by_name("mine").experiment_id
    for text, value in {"no JSON": "no JSON", "[" * 4000: "[" * 4000, "5": 5, "{": "{"}.items():
        client.set_experiment_tag(experiment, study_runs.SPEC_TAG, text)
        client.set_experiment_tag(experiment, f"{study_runs.GRID_TAG_PREFIX}x", text)
        assert study_runs.recorded_spec(uri, "mine") == value
        assert study_runs.recorded_grids(uri, "mine") == [value]


def test_result_has_reason_time_and_environment_of_its_run(uri):
    finished(uri, "mine", **{"convzoo.not_learning": "the loss stays at 2.303"})
    (result,) = study_runs.find_results(uri, "mine")
    assert result.not_learning == "the loss stays at 2.303"
    assert abs(result.started / 1000 - time.time()) < 600
    assert result.environment["machine"] == environment.describe_machine()
    assert result.environment["python"] == environment.package_versions()["python"]
    finished(uri, "mine", "other")
    assert study_runs.find_results(uri, "mine")[0].not_learning is None


def test_run_that_was_logged_by_hand_is_read(uri):
    client = mlflow.MlflowClient(uri)
    study_runs.set_up_study(uri, "mine", ["seed"])
    experiment = client.get_experiment_by_name("mine").experiment_id
    for source in ("no JSON", "5", '{"uri": "x"}'):
        data = mlflow.entities.Dataset("by hand", "digest", "local", source)
        client.log_inputs(client.create_run(experiment).info.run_id, [mlflow.entities.DatasetInput(data, [])])
    assert [(result.status, result.pictures) for result in study_runs.find_results(uri, "mine")] == [
        ("RUNNING", "")
    ] * 3


def test_speeds_leave_out_run_that_was_logged_by_hand(uri):
    client = mlflow.MlflowClient(uri)
    study_runs.set_up_study(uri, "mine", ["seed"])
    experiment = client.get_experiment_by_name("mine").experiment_id
    tags = {"backend": "tensorflow", "machine": environment.describe_machine()}
    for macs, speed in ((None, 5.0), ("many", 5.0), ("9" * 30, 5.0), ("7", -1.0), ("7", float("nan")), ("7", 5.0)):
        run = client.create_run(experiment, tags=tags).info.run_id
        for key, value in {"precision": "float32", "macs": macs}.items():
            if value is not None:
                client.log_param(run, key, value)
        client.log_metric(run, "images_per_second", speed)
        client.set_terminated(run)
    assert study_runs.recorded_speeds(uri, "float32", "tensorflow") == [(7, 5.0)]


def test_a_study_that_is_not_there_is_refused(uri):
    with pytest.raises(UserError, match="there is no study 'nothing'"):
        study_runs.find_results(uri, "nothing")
