"""Runs in a real store."""

import contextlib
import errno

import mlflow
import numpy as np
import pytest

from convzoo import UserError
from convzoo.data import Dataset, Split
from convzoo.tracking import store, study_page
from convzoo.tracking.outbox import operations, worker
from convzoo.tracking.outbox.worker import DeliveryWorker
from convzoo.tracking.results import result_of_journal
from convzoo.tracking.run import Run, RunSpec, find_run


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"


def status(uri, run):
    return mlflow.MlflowClient(uri).get_run(run.id).info.status


def test_a_run_that_ends_is_finished_and_found_as_the_latest(uri):
    with Run.start(RunSpec(uri, "study", "first", {"stride": 2}, {"identity": "i"})) as run:
        run.log_metrics({"val_accuracy": 0.5}, 1)
        run.log_text("hello: there", "config.yaml")
        assert status(uri, run) == "RUNNING"
    assert status(uri, run) == "FINISHED"
    found = find_run(uri, "latest")
    assert (found.id, found.name) == (run.id, "first")
    assert found.read_settings() == {"hello": "there"}
    assert find_run(uri, run.id).id == run.id


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join(['*' + a] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BOMB, "YAML must hold fewer than 100,000 values, aliases written out"),
        (f"a: {'x' * 1_000_000}", "YAML must be no larger than 1,000,000 bytes"),
        ("a: !!python/object/apply:os.system [echo]", "YAML cannot be read"),
        ("[1, 2]", r"YAML must be a mapping. Received: \[1, 2\]"),
    ],
)
def test_what_a_stranger_s_store_holds_is_read_within_bounds(uri, text, told):
    with Run.start(RunSpec(uri, "study", "a run", {}, {})) as run:
        run.log_text(text, "config.yaml")
        run.log_text(text, "rows.yaml")
    found = find_run(uri, run.id)
    with pytest.raises(UserError, match=f"run {run.id}: {told.replace('YAML', 'config.yaml')}"):
        found.read_settings()
    with pytest.raises(UserError, match=f"run {run.id}: {told.replace('YAML', 'rows.yaml')}"):
        found.loss_class_name()


@pytest.mark.parametrize("loss", ["3", "{_target_: [os.system]}", '"${oc.env:PATH}"'])
def test_a_loss_of_a_stranger_s_is_a_name(uri, loss):
    with Run.start(RunSpec(uri, "study", "a run", {}, {})) as run:
        run.log_text(f"loss: {loss}", "rows.yaml")
    with pytest.raises(UserError, match=r"rows.yaml: `loss(\._target_)?` should be .*. Received: (3|\[|'\$)"):
        find_run(uri, run.id).loss_class_name()


def test_run_tag_reaches_the_store(uri):
    with Run.start(RunSpec(uri, "study", "tagged", {}, {"identity": "tagged"})) as run:
        run.set_tag("convzoo.not_learning", "it stayed at chance")
    assert mlflow.MlflowClient(uri).get_run(run.id).data.tags["convzoo.not_learning"] == "it stayed at chance"
    assert (
        result_of_journal(run._pending.journal).not_learning == "it stayed at chance"
    )  # as a run that waits for its store


def test_the_latest_run_is_found_by_reading_one(uri, monkeypatch):
    for artifacts in ("full", "light"):
        with Run.start(RunSpec(uri, "study", "last", {}, {"identity": artifacts, "artifacts": artifacts})):
            pass
    search, counts = mlflow.MlflowClient.search_runs, []

    def counted(*args, **options):
        runs = search(*args, **options)
        counts.append(len(runs))
        return runs

    monkeypatch.setattr(mlflow.MlflowClient, "search_runs", counted)
    latest = find_run(uri, "latest")
    assert mlflow.MlflowClient(uri).get_run(latest.id).data.tags["identity"] == "full"
    assert sum(counts) == 1


def test_a_report_is_not_the_latest_run(uri):
    with Run.start(RunSpec(uri, "study", "last", {}, {"identity": "j"})) as run:
        pass
    with study_page.lock_page(uri, "study") as page:
        page.log_report({"report.txt": "words"}, "**answer**")
    assert find_run(uri, "latest").id == run.id


def test_an_error_ends_it_failed_with_the_reason(uri):
    with pytest.raises(ZeroDivisionError), Run.start(RunSpec(uri, "study", "second", {}, {})) as run:
        raise ZeroDivisionError("division by zero")
    assert status(uri, run) == "FAILED"
    assert mlflow.MlflowClient(uri).get_run(run.id).data.tags["failure"] == "ZeroDivisionError: division by zero"


def test_one_that_failed_may_go_on_with_the_epochs_that_it_lacks(uri):
    def stopped():
        with Run.start(RunSpec(uri, "study", "stopped", {}, {"identity": "stopped"})) as run:
            for epoch in (1, 2):
                run.log_epoch(epoch, {"train_loss": epoch})
            raise ValueError("full")

    with pytest.raises(ValueError, match="full") as error:
        stopped()
    run = find_run(uri, error.value.run_id)
    with Run.start(RunSpec(uri, "study", "stopped", {}, {"identity": "stopped"}, resume=True)) as again:
        for epoch in (1, 2, 3):
            again.log_epoch(epoch, {"train_loss": 10 * epoch})
    client = mlflow.MlflowClient(uri)
    history = [(point.step, point.value) for point in client.get_metric_history(run.id, "train_loss")]
    assert (again.id, status(uri, run), history) == (run.id, "FINISHED", [(1, 1), (2, 2), (3, 30)])
    assert "failure" not in client.get_run(run.id).data.tags


def test_one_whose_settings_are_typed_in_other_words_goes_on(uri):
    """MLflow refuses other words for a param that a run has."""
    for words in ("5e-4", "0.0005"):
        with contextlib.suppress(ZeroDivisionError):
            params = {"recipe.weight_decay": words} | ({"also": words} if words == "0.0005" else {})
            with Run.start(RunSpec(uri, "study", "typed", params, {"identity": "typed"}, resume=True)) as run:
                assert words == "0.0005" or 1 / 0
    run = mlflow.MlflowClient(uri).get_run(run.id)
    assert (run.info.status, run.data.params) == ("FINISHED", {"recipe.weight_decay": "5e-4", "also": "0.0005"})


def test_metrics_of_any_names_are_logged(uri):
    """Classes of a user's own pictures may be called anything."""
    with Run.start(RunSpec(uri, "study", "classes", {}, {})):
        pass
    names = ["dogs (small)", "C++", "C##", "猫", "it's"]
    find_run(uri, "latest").log_metrics({f"accuracy/{name}": number for number, name in enumerate(names)})
    found = mlflow.MlflowClient(uri).get_run(find_run(uri, "latest").id).data.metrics
    plain = ["dogs _small_", "C__ 2", "C__ 3", "猫", "it_s"]
    assert found == {f"accuracy/{name}": number for number, name in enumerate(plain)}


def test_what_one_that_goes_on_measures_at_its_end_is_there_once(uri):
    """It was killed between its last metrics and its end, and is tested again at another time."""
    for seconds in (1.0, 2.0):
        with (
            contextlib.suppress(ZeroDivisionError),
            Run.start(RunSpec(uri, "study", "e", {}, {"identity": "e"}, resume=True)) as run,
        ):
            run.log_metrics({"test_accuracy": 0.5, "training_seconds": seconds}, 6)
            assert seconds == 2.0 or 1 / 0
    client = mlflow.MlflowClient(uri)
    for key in ("test_accuracy", "training_seconds"):
        assert [point.step for point in client.get_metric_history(run.id, key)] == [6]


def test_an_interrupt_ends_it_killed(uri):
    with pytest.raises(KeyboardInterrupt), Run.start(RunSpec(uri, "study", "third", {}, {})) as run:
        raise KeyboardInterrupt
    assert status(uri, run) == "KILLED"


def test_an_interrupt_before_it_began_leaves_nothing_running(uri, monkeypatch):
    wait = DeliveryWorker._wait

    def interrupted(*args):
        monkeypatch.setattr(DeliveryWorker, "_wait", wait)
        raise KeyboardInterrupt

    monkeypatch.setattr(DeliveryWorker, "_wait", interrupted)
    monkeypatch.setattr(DeliveryWorker, "flush_pending", lambda self: None)
    with pytest.raises(KeyboardInterrupt):
        Run.start(RunSpec(uri, "early", "x", {}, {"identity": "i"}))
    client = mlflow.MlflowClient(uri)
    (run,) = client.search_runs([client.get_experiment_by_name("early").experiment_id])
    assert run.info.status == "KILLED"


def test_the_test_part_is_recognised(uri):
    pictures = Split(np.zeros((2, 4, 4, 1), np.uint8), np.array([0, 1], np.int32))
    with Run.start(RunSpec(uri, "study", "fourth", {}, {})) as run:
        for part in ("train", "validation", "test"):
            run.log_dataset(Dataset("tiny", ("a", "b"), pictures, None, pictures, "made up"), part)
    run = find_run(uri, run.id)
    assert run.is_test_data(pictures)
    assert not run.is_test_data(Split(pictures.x + np.uint8(1), pictures.y))
    names = [each.dataset.name for each in mlflow.MlflowClient(uri).get_run(run.id).inputs.dataset_inputs]
    assert sorted(names) == ["tiny/test", "tiny/train"]


def test_a_run_without_a_model_says_so(uri):
    with Run.start(RunSpec(uri, "study", "fifth", {}, {})) as run:
        pass
    with pytest.raises(UserError, match=f"{run.id} has no model.keras"), find_run(uri, run.id).download("model.keras"):
        pass


def test_a_run_that_was_to_keep_no_model_says_so(uri):
    with Run.start(RunSpec(uri, "study", "light", {}, {})) as run:
        run.log_text("tracking: {artifacts: light}", "config.yaml")
    with (
        pytest.raises(UserError, match="has no model, because studies record none; train it again with `tracking"),
        find_run(uri, run.id).download("model.keras"),
    ):
        pass


def test_a_deleted_study_is_refused(uri):
    with Run.start(RunSpec(uri, "gone", "x", {}, {})) as run:
        pass
    mlflow.MlflowClient(uri).delete_experiment(run.experiment_id)
    with pytest.raises(UserError, match="`study=gone`"):
        Run.start(RunSpec(uri, "gone", "y", {}, {"identity": "i"}))
    with pytest.raises(UserError, match="`study=gone`"), Run.start(RunSpec(uri, "gone", "y", {}, {})) as run:
        refused(run)


def refused(run):
    """A training of which the store has been asked meanwhile."""
    assert run.id is None
    run.check()


def test_a_training_does_not_wait_for_a_file(tmp_path, monkeypatch):
    """It has begun, and come to an end, before the file is opened."""
    uri, opened, open_store = f"sqlite:///{tmp_path}/mlflow.db", [], worker.open_store

    def late(*args, **settings):
        opened.append(True)
        return open_store(*args, **settings)

    monkeypatch.setattr(worker, "open_store", late)
    with Run.start(RunSpec(uri, "study", "quick", {}, {})) as run:
        run.log_epoch(1, {"loss": 1.0})
        assert not opened
    assert opened
    assert mlflow.MlflowClient(uri).get_run(run.id).data.metrics == {"loss": 1.0}


def test_a_file_that_cannot_be_made_is_told(tmp_path, monkeypatch):
    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(store, "_create_file", full)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with (
        pytest.raises(UserError, match="cannot be opened: No space left"),
        Run.start(RunSpec(uri, "study", "y", {}, {})),
    ):
        pass


@pytest.mark.parametrize("bad", ["file:///x", "sqlite:///{}/none/mlflow.db", "http://127.0.0.1:9"])
def test_a_store_that_cannot_be_is_refused(tmp_path, bad):
    with pytest.raises(UserError, match="`tracking\\.uri"):
        Run.start(RunSpec(bad.format(tmp_path), "study", "x", {}, {}))


def test_data_set_entered_by_two_processes_is_logged(uri, monkeypatch):
    """MLflow looks whether the store has the set, and enters it; between the two the other process was quicker."""
    split = Split(np.zeros((2, 2, 2, 1), np.uint8), np.zeros(2, np.int32))
    data = Dataset("black", ("a",), split, None, split, "nowhere")
    with Run.start(RunSpec(uri, "study", "quicker", {}, {})) as other:
        other.log_dataset(data, "test")
    with Run.start(RunSpec(uri, "study", "raced", {}, {})) as run:
        pass
    client, misses = mlflow.MlflowClient(uri), ["UNIQUE constraint failed: datasets.name"]
    log, record = client.log_inputs, other._pending.journal.records[1]

    def quicker(*arguments):
        if misses:
            raise mlflow.exceptions.MlflowException(misses.pop())
        return log(*arguments)

    monkeypatch.setattr(client, "log_inputs", quicker)
    operations.apply_record(client, run._pending, record)
    assert find_run(uri, run.id).is_test_data(split)
    monkeypatch.setattr(client, "log_inputs", lambda *_: (_ for _ in ()).throw(mlflow.exceptions.MlflowException("no")))
    with pytest.raises(mlflow.exceptions.MlflowException, match="no"):
        operations.apply_record(client, run._pending, record)
