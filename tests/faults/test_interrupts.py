"""Ctrl-C and its like at awkward moments: the command ends within ten seconds, and the same command goes on."""

import contextlib
import signal
import sqlite3
import sys
import time

import pytest
from fault_processes import Command, Process, Store, Writer, lines
from sampling import sample
from small_run import CALL, EPOCHS, KEPT, STEPS, WORDS, Aimed, assert_nothing_was_lost

CODES = {"INT": 130, "TERM": 143, "HUP": 129}
# signal, moment, where the next command goes on
MOMENTS = [
    ("INT", ("after", "convzoo.training.steps.base:TrainStep.train_on_batches", 15), "from epoch 2, step 21"),
    ("TERM", ("after", "convzoo.training.steps.base:TrainStep.train_on_batches", 1), "from epoch 2, step 25"),
    ("HUP", ("before", "convzoo.training.predictor:Predictor.__call__", 1), "from epoch 2, validation"),
    ("TERM", ("after", "convzoo.training.predictor:Predictor.__call__", 2), "from epoch 4, step 5"),
    ("INT", ("before", "convzoo.training.checkpoint:Checkpoints.write", 1), "from epoch 5, step 5"),
    ("INT", ("before", "convzoo.training.predictor:Predictor.__call__", 3), "after epoch 6, the last"),
    ("TERM", ("before", "keras:Model.save", 1), "after epoch 6, the last"),
]


def ended(process, code):
    """What was printed, once the process has ended, within ten seconds of the signal."""
    process.until("^hit ")
    text = process.end(code)
    assert time.time() - float(lines(text, "hit ")[0].split()[1]) < 10
    assert "Traceback" not in process.err.read_text()
    return text


@pytest.mark.slow
def test_one_at_any_moment(place, whole):
    uri, words = f"sqlite:///{place}/mlflow.db", (*WORDS, "study=hit")
    before = None
    for name, moment, after in MOMENTS:
        process = Aimed(place, name, moment, *words)
        text = ended(process, CODES[name])
        assert "stopped: the interrupted run is recorded as KILLED" in process.err.read_text()
        (run,) = Store(uri).runs("hit")
        assert run.info.status == "KILLED"
        assert before is None or lines(text, f"resuming {before}")
        before = after
    assert lines(Command(place, *words).end(), f"resuming {before}")
    assert_nothing_was_lost(place, uri, "hit", whole)


@pytest.mark.slow
@pytest.mark.parametrize("names", sample(["INT+TERM", "INT+INT", "TERM+TERM"], 3))
def test_the_second_ends_at_once(place, whole, names):
    """A call that takes a minute is not waited for; what was kept before it is."""
    uri, words = f"sqlite:///{place}/mlflow.db", (*WORDS, f"study={names}")
    moment = ("after", "convzoo.training.steps.base:TrainStep.train_on_batches", 15)
    ended(Aimed(place, names, moment, *words), CODES[names[: names.index("+")]])
    (run,) = Store(uri).runs(names)
    assert run.info.status == "KILLED"
    assert lines(Command(place, *words).end(), "resuming from epoch 2")
    assert_nothing_was_lost(place, uri, names, whole)


@pytest.mark.slow
def test_one_before_the_first_step(place, whole):
    """It waits for the first call, which TensorFlow compiles, and ends behind it."""
    uri, words = f"sqlite:///{place}/mlflow.db", (*WORDS, "study=first")
    ended(Aimed(place, "TERM", ("before", "convzoo.training.steps.base:TrainStep.train_on_batches", 1), *words), 143)
    assert [run.info.status for run in Store(uri).runs("first")] == ["KILLED"]
    assert lines(Command(place, *words).end(), "resuming from epoch 1, step 5")
    assert_nothing_was_lost(place, uri, "first", whole)


@pytest.mark.slow
def test_one_ends_a_sweep_and_the_same_command_goes_on(place, whole):
    """`whole` is a recorded run, by which the time is estimated: a try would call the steps that are counted here."""
    uri, words = f"sqlite:///{place}/mlflow.db", ("-m", *WORDS, "study=swept", "seed=1,2,3")
    call = EPOCHS * STEPS // CALL + 15  # of the second run
    ended(Aimed(place, "INT", ("after", "convzoo.training.steps.base:TrainStep.train_on_batches", call), *words), 130)
    assert [run.info.status for run in Store(uri).runs("swept")] == ["FINISHED", "KILLED"]
    text = Command(place, *words).end()
    assert text.count(": done before, test accuracy") == 1
    assert lines(text, "resuming from epoch 2, step 21")
    runs = Store(uri).runs("swept")
    assert [run.data.params["seed"] for run in runs] == ["1", "2", "3"]
    for run in runs:
        Store(uri).assert_whole(run, EPOCHS, KEPT)


WAITS = """if True:
    import signal, sys
    from convzoo.training import signals
    from convzoo.tracking.run import Run, RunSpec
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with signals.defer_interrupts() as interrupts:
        print("begins", flush=True)
        tags = dict.fromkeys(sys.argv[2:], "i")
        with Run.start(RunSpec(sys.argv[1], "mine", "a run", {}, tags), poll=interrupts.check) as run:
            print("begun", flush=True)
            while True:
                signal.sigtimedwait([], 0.1)
                interrupts.check()
"""


@pytest.mark.slow
def test_a_store_that_does_not_answer_is_not_waited_for(tmp_path, uri):
    """It is locked by another, for which MLflow would wait 20 seconds."""
    process = Process(tmp_path, sys.executable, "-c", WAITS, uri)
    process.until("^begun")
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        process.process.send_signal(signal.SIGINT)
        process.process.wait(60)
        assert time.monotonic() - begun < 10
        other.execute("ROLLBACK")
    assert lines(process.text, f"1 run for {uri} in spool/")
    Writer(tmp_path, uri, "other").end()
    assert [run.info.status for run in Store(uri).runs("mine")] == ["KILLED"]


@pytest.mark.slow
def test_one_ends_the_wait_for_a_file(tmp_path, uri):
    """A run of a study begins once its file says that no other process makes it; this one is locked."""
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        process = Process(tmp_path, sys.executable, "-c", WAITS, uri, "identity")
        process.until("^begins")
        time.sleep(2)
        begun = time.monotonic()
        process.process.send_signal(signal.SIGINT)
        process.process.wait(60)
        assert time.monotonic() - begun < 10
        other.execute("ROLLBACK")
    assert "begun" not in process.text
    Writer(tmp_path, uri, "other").end()
    assert {run.info.status for run in Store(uri).runs("mine")} <= {"KILLED"}
