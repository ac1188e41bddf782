"""Who makes a run, where several processes and machines share a store. Another machine is one in namespaces of its own:
another name, other processes.
"""

import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from fault_processes import Command, Process, Store, lines, wait_for

from convzoo.tracking.results import history

APART = (
    "unshare",
    "--uts",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "sh",
    "-c",
    'hostname other; exec "$@"',
    "",
)
MAKER = """if True:
    import sys, time
    from convzoo.tracking.heartbeat import OwnedError
    from convzoo.tracking.run import Run, RunSpec
    uri, identity, seconds, go_on = sys.argv[1], sys.argv[2], float(sys.argv[3]), len(sys.argv) > 4
    try:
        with Run.start(RunSpec(uri, "mine", "a run", {}, {"identity": identity}, resume=go_on)) as run:
            print("makes", run.id, flush=True)
            run.log_epoch(1, {"train_loss": 1.0})
            time.sleep(seconds)
    except OwnedError as error:
        print("left out:", error, flush=True)
"""

# Its arguments: seconds between heartbeats, seconds of a lease, the store, epochs, seconds of an epoch.
RECORDER = """if True:
    import sys, time
    from convzoo.tracking import heartbeat
    heartbeat.HEARTBEAT_INTERVAL_S, heartbeat.EXPIRY_S = int(sys.argv[1]), int(sys.argv[2])
    from convzoo.tracking.run import Run, RunSpec
    uri, epochs, pause = sys.argv[3], int(sys.argv[4]), float(sys.argv[5])
    with Run.start(RunSpec(uri, "mine", "a run", {}, {"identity": "i"}, resume=True, force=True)) as run:
        print("makes", run.id, flush=True)
        for epoch in range(1, epochs + 1):
            time.sleep(pause)
            run.log_epoch(epoch, {"train_loss": float(epoch)})
            print("epoch", epoch, flush=True)
        time.sleep(3)
    print("made", run.id, flush=True)
"""


@pytest.fixture
def apart():
    """What stands before a command to give it on another machine."""
    if not shutil.which("unshare") or subprocess.run([*APART, "true"], capture_output=True).returncode:
        pytest.skip("no namespaces of one's own here")
    return APART


def maker(folder, uri, *words, before=()):
    folder.mkdir(exist_ok=True)
    return Process(folder, *before, sys.executable, "-c", MAKER, uri, *words)


@pytest.mark.slow
def test_only_dead_runs_of_other_machines_are_taken_over(tmp_path, uri, apart):
    there = maker(tmp_path / "there", uri, "i", "60", before=apart)
    there.until("^makes")
    assert "left out: another process makes this run: other-" in maker(tmp_path / "here", uri, "i", "0", "go on").end()
    assert "makes " in maker(tmp_path / "here", uri, "j", "0").end()
    there.kill()
    assert "left out" in maker(tmp_path / "here", uri, "i", "0", "go on").end()  # so far nobody can know
    store = Store(uri)
    (run,) = [run for run in store.runs("mine") if run.data.tags["identity"] == "i"]
    assert run.info.status == "RUNNING"
    assert time.time() - float(run.data.tags["heartbeat"]) < 60
    store.client.set_tag(run.info.run_id, "heartbeat", f"{time.time() - 181:.0f}")
    assert f"makes {run.info.run_id}" in maker(tmp_path / "here", uri, "i", "0", "go on").end()
    assert store.client.get_run(run.info.run_id).info.status == "FINISHED"


@pytest.mark.slow
def test_a_long_run_is_heard_of_again_and_again(tmp_path, uri):
    there = maker(tmp_path / "there", uri, "i", "60")
    there.until("^makes")
    store = Store(uri)

    def beat():
        return float(store.runs("mine")[0].data.tags["heartbeat"])

    first = beat()
    wait_for(lambda: beat() > first, "the heart does not beat")
    assert 29 <= beat() - first <= 40
    there.kill()


@pytest.mark.slow
def test_of_many_that_begin_a_cell_at_once_one_makes_it(tmp_path, uri, apart):
    for cell in ("a", "b", "c"):
        makers = [
            maker(tmp_path / f"{cell}{number}", uri, cell, "1", before=apart if number % 2 else ())
            for number in range(6)
        ]
        texts = [each.end() for each in makers]
        said = [re.search("^(left|makes) ", text, re.MULTILINE)[1] for text in texts]  # it may wait for the file first
        assert sorted(said) == ["left"] * 5 + ["makes"], texts
    store = Store(uri)
    assert sorted(run.data.tags["identity"] for run in store.runs("mine")) == ["a", "b", "c"]
    assert {run.info.status for run in store.runs("mine")} == {"FINISHED"}
    tags = store.client.get_experiment_by_name("mine").tags
    assert not [key for key in tags if key.startswith("convzoo.claim")]


@pytest.mark.slow
def test_commands_with_one_store_share_a_study(tmp_path, uri):
    words = ("-m", "model=lenet", "data=digits", "data.fraction=0.2", "epochs=3", "study=mine", f"tracking.uri={uri}")
    seeds = ("seed=0,1,2,3,4,5", "seed=5,4,3,2,1,0")
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    commands = [Command(folder, *words, seed) for folder, seed in zip(folders, seeds, strict=True)]
    texts = [command.end() for command in commands]
    runs = Store(uri).runs("mine")
    assert sorted(run.data.params["seed"] for run in runs) == list("012345"), texts
    assert {run.info.status for run in runs} == {"FINISHED"}
    made = [len(re.findall("^test accuracy", text, re.MULTILINE)) for text in texts]
    assert sum(made) == 6
    assert min(made) >= 1


@pytest.mark.slow
def test_a_study_that_is_killed_goes_on_and_closes_what_was_left(tmp_path, uri):
    words = (
        "-m",
        "model=lenet",
        "data=digits",
        "epochs=30",
        "study=mine",
        "checkpoints.seconds=0",
        f"tracking.uri={uri}",
    )
    sweep = Command(tmp_path, *words, "seed=0,1")
    sweep.until("^── 1 of 2 done")
    sweep.until(r"(?s)1 of 2 done.*^epoch +5/30")
    sweep.process.send_signal(signal.SIGKILL)
    sweep.process.wait()
    store = Store(uri)
    first, second = store.runs("mine")
    assert [first.info.status, second.info.status] == ["FINISHED", "RUNNING"]
    Command(tmp_path, *words, "seed=7").end()
    assert store.client.get_run(second.info.run_id).info.status == "KILLED"
    text = Command(tmp_path, *words, "seed=0,1").end()
    assert text.count(": done before, test accuracy") == 1
    assert lines(text, "resuming from epoch")
    runs = store.runs("mine")
    assert [run.data.params["seed"] for run in runs] == ["0", "1", "7"]
    for run in runs:
        store.assert_whole(run, 30)


@pytest.mark.slow
def test_process_stopped_beyond_its_lease_leaves_each_step_once(tmp_path, server, apart):
    """It is suspended while it trains, another machine takes its run over, and it wakes."""
    server.start()

    def record(folder, epochs, pause, before=()):
        (tmp_path / folder).mkdir()
        words = map(str, (2, 10, server.address, epochs, pause))
        return Process(tmp_path / folder, *before, sys.executable, "-c", RECORDER, *words)

    stopped = record("here", epochs=40, pause=0.5)
    stopped.until("^epoch 5$")
    time.sleep(1)
    stopped.process.send_signal(signal.SIGSTOP)
    time.sleep(11)
    other = record("there", epochs=20, pause=0.2, before=apart)
    other.until("^epoch 10$")
    stopped.process.send_signal(signal.SIGCONT)
    other.end()
    text = stopped.end()
    assert len(lines(text, "warning: other-", "has taken over run")) == 1
    taken, own = (re.search("^made (.*)", each.text, re.MULTILINE)[1] for each in (other, stopped))
    assert re.search("^makes (.*)", text, re.MULTILINE)[1] == taken
    store = Store(server.address)
    assert {run.info.run_id: run.info.status for run in store.runs("mine")} == {taken: "FINISHED", own: "FINISHED"}
    for run, epochs in ((taken, 20), (own, 40)):
        points = history(store.client, run, "train_loss")
        assert [(point.step, point.value) for point in points] == [(step, step) for step in range(1, epochs + 1)]
    assert not list(tmp_path.glob("*/spool/*/journal.jsonl"))
