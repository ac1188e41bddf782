"""`kill -9`, and the same command again: it goes on in the same MLflow run and ends with the very weights."""

import random
import time

import pytest
from fault_processes import Command, Store, lines
from sampling import rarely, sample
from small_run import BEGUN, WORDS, Aimed, assert_nothing_was_lost

MOMENTS = {
    "start": [
        ("after", "convzoo.training.checkpoint:Checkpoints.__enter__", 1),
        ("half", "journal.jsonl", 1),
        ("before", "mlflow:MlflowClient.create_run", 1),
        ("after", "mlflow:MlflowClient.create_run", 1),
        ("after", "mlflow.store.artifact.local_artifact_repo:LocalArtifactRepository.log_artifact", 1),
        ("before", "convzoo.training.steps.base:TrainStep.train_on_batches", 1),
    ],
    "epoch": [
        ("after", "convzoo.training.steps.base:TrainStep.train_on_batches", 5),
        ("after", "convzoo.training.steps.base:TrainStep.train_on_batches", 14),
        ("before", "convzoo.training.predictor:Predictor.__call__", 1),
        ("after", "convzoo.training.predictor:Predictor.__call__", 2),
        ("after", "convzoo.training.steps.base:TrainStep.train_on_batches", 10),
    ],
    "checkpoint": [
        ("half", "writing", 1),
        ("before", "os:fsync", 2),
        ("before", "pathlib:Path.replace", 1),
        ("after", "pathlib:Path.replace", 1),
        ("before", "pathlib:Path.unlink", 1),
        ("after", "convzoo.training.checkpoint:Checkpoints.write", 1),
    ],
    "record": [
        ("half", "journal.jsonl", 10),
        ("half", "taken", 9),
        ("before", "mlflow:MlflowClient.log_batch", 2),
        ("after", "mlflow:MlflowClient.log_batch", 2),
        ("before", "sqlalchemy.orm:Session.commit", 12),
        ("after", "sqlalchemy.orm:Session.commit", 12),
        ("after", "convzoo.tracking.run:Run.log_epoch", 1),
    ],
    "end": [
        ("before", "convzoo.training.predictor:Predictor.__call__", 7),
        ("after", "convzoo.training.predictor:Predictor.__call__", 1),
        ("after", "convzoo.tracking.run:Run.log_metrics", 1),
        ("before", "h5py:File.close", 1),
        ("after", "keras:Model.save", 1),
        ("before", "mlflow:MlflowClient.set_terminated", 1),  # of what the one before left
        ("before", "mlflow:MlflowClient.set_terminated", 2),
    ],
    "close": [("after", "mlflow:MlflowClient.set_terminated", 1), ("before", "shutil:rmtree", 2)],
}


@pytest.mark.slow
@pytest.mark.parametrize("part", MOMENTS)
def test_aimed(place, whole, part):
    for moment in sample(MOMENTS[part], 3):
        Aimed(place, "KILL", moment, *WORDS, f"study={part}").end(-9)
    Command(place, *WORDS, f"study={part}").end()
    assert_nothing_was_lost(place, f"sqlite:///{place}/mlflow.db", part, whole)


@rarely
@pytest.mark.slow
def test_an_everyday_run_that_is_killed_while_it_is_closed(place, whole):
    """The same command finds that run, where it would make a new one each time; not one before."""
    uri = f"sqlite:///{place}/mlflow.db"
    Command(place, *WORDS).end()
    Aimed(place, "KILL", ("before", "mlflow:MlflowClient.set_terminated", 1), *WORDS).end(-9)
    for moment in (
        ("before", "convzoo.training.checkpoint:Checkpoints.remove", 1),
        ("before", "pathlib:Path.unlink", 2),
    ):
        text = Aimed(place, "KILL", moment, *WORDS).end(-9)
    assert not lines(text, "resuming")
    assert lines(Command(place, *WORDS).end(), "done before")
    assert [run.info.status for run in Store(uri).runs()] == ["FINISHED"] * 2
    Store(uri).client.delete_run(Store(uri).runs()[0].info.run_id)
    assert_nothing_was_lost(place, uri, "convzoo", whole)


@pytest.mark.slow
@pytest.mark.parametrize("seed", sample(range(4), 4))
def test_at_random(place, whole, seed):
    """At any time from the first line to the end; a run that comes to its end is held against the whole one."""
    draw, cuts, studies = random.Random(seed), [], 0
    while len(cuts) < 5:
        studies += 1
        while len(cuts) < 5:
            command = Command(place, *WORDS, f"study=random-{seed}-{studies}")
            command.until(f"{BEGUN}|done before")
            time.sleep(cut := draw.uniform(0, whole[2]))
            if command.process.poll() is not None:
                break
            command.kill()
            cuts.append(cut)
        Command(place, *WORDS, f"study=random-{seed}-{studies}").end()
        assert_nothing_was_lost(place, f"sqlite:///{place}/mlflow.db", f"random-{seed}-{studies}", whole)
    print("killed after", *(f"{cut:.3f}" for cut in cuts), "s")
