"""One journal on its way to a store that refuses, loses or has given away what it brings."""

import contextlib
import json
import os

import pytest
from memory_store import Faulty, MemoryStore
from mlflow.exceptions import MlflowException

from convzoo import UserError
from convzoo.tracking import heartbeat
from convzoo.tracking.outbox import journal as journals
from convzoo.tracking.outbox import operations, transfer
from convzoo.tracking.outbox.journal import Journal
from convzoo.tracking.outbox.pending_run import PendingRun
from convzoo.tracking.outbox.transfer import Transfer, deliver_orphan
from convzoo.tracking.results import history, search

BEGIN = {"do": "begin", "uri": "memory", "study": "mine", "name": "a run", "tags": {"identity": "i"}, "params": {}}
END = {"do": "end", "status": "FINISHED", "at": 9}


class Clock:
    seconds, wall = 1000.0, 1_800_000_000.0


@pytest.fixture(autouse=True)
def clock(tmp_path, monkeypatch):
    """A folder of its own, and the clocks of this process."""
    monkeypatch.chdir(tmp_path)
    clock = Clock()
    monkeypatch.setattr(heartbeat, "clock", lambda: clock.seconds)
    monkeypatch.setattr(heartbeat.time, "time", lambda: clock.wall + clock.seconds)
    monkeypatch.setattr(heartbeat.time, "sleep", lambda seconds: setattr(clock, "seconds", clock.seconds + seconds))
    monkeypatch.setattr(
        operations, "get_or_create_experiment", lambda client, uri, study: client.experiment_of(uri, study)
    )
    monkeypatch.setattr(operations, "artifact_repository", lambda client, run: Repository(client, run))
    monkeypatch.setattr(heartbeat, "_heartbeats_seen", {})
    opened, new = [], Journal.new
    monkeypatch.setattr(Journal, "new", lambda begin: opened.append(new(begin)) or opened[-1])
    yield clock
    for journal in opened:
        journal.close()


class Repository:
    def __init__(self, client, run):
        self.client, self.run = client, run

    def log_artifact(self, path, folder=None):
        self.client.log_artifact(self.run, os.path.basename(path))


@pytest.fixture
def store():
    return Faulty(MemoryStore())


@pytest.fixture
def lines():
    return []


@pytest.fixture
def sender(store, lines):
    """The transfer of a journal of this process."""
    return Transfer(PendingRun(Journal.new(BEGIN)), lambda: store, lines.append)


def epoch(step, at=None):
    return {"do": "epoch", "metrics": {"train_loss": float(step)}, "step": step, "at": at or step}


def log(sender, *values):
    for value in values:
        sender.journal.append(value)
    sender.deliver()


def points(store, run, key="train_loss"):
    return [(point.step, point.value) for point in store.get_metric_history(run, key)]


def left(store, lines, *values, raw=b""):
    """What a killed process left, after the next command; the folder of its journal."""
    journal = Journal.new(BEGIN)
    for value in values:
        journal.append(value)
    with (journal.folder / "journal.jsonl").open("ab") as file:
        file.write(raw)
    journal.close()
    deliver_all(store, lines)
    return journal.folder


def deliver_all(store, lines):
    for journal in journals.orphaned_journals("memory"):
        deliver_orphan(journal, lambda: store, lines.append)
        journal.close()


def only_run(store):
    (run,) = store.search_runs(["1"])
    return run


def test_transfer_after_a_takeover_makes_a_run_of_its_own(store, sender, lines, clock):
    log(sender, epoch(1), epoch(2))
    taken = sender.journal.run
    clock.seconds += 186  # suspended
    for key, value in {"owner": "other 1 1", "journal": "theirs", "heartbeat": heartbeat.heartbeat_now()}.items():
        store.set_tag(taken, key, value)
    theirs = store.get_run(taken).data.tags
    sender.deliver()  # nothing waits: the heartbeat alone finds out
    assert (len(lines), "other 1 1 has taken over run" in lines[0]) == (1, True)
    log(sender, epoch(3), END)
    assert sender.journal.run != taken
    assert points(store, taken) == [(1, 1), (2, 2)]
    assert points(store, sender.journal.run) == [(1, 1), (2, 2), (3, 3)]
    tags = store.get_run(taken).data.tags
    assert {key: tags[key] for key in theirs} == theirs, "it beat on another process's heart"
    assert store.get_run(sender.journal.run).info.status == "FINISHED"


@pytest.mark.parametrize("kind", ["epoch", "end"])
def test_transfer_stopped_in_a_write_marks_its_points(store, sender, clock, kind):
    """It looked at the owner, was suspended, and wrote when the run was another's; readers drop what it wrote."""
    log(sender, epoch(1))
    run = sender.journal.run

    def suspend():
        clock.seconds += 400
        for key, value in {"owner": "other 1 1", "journal": "theirs"}.items():
            store.store.set_tag(run, key, value)
        store.store.log_batch(run, metrics=[records_point(2, 20.0, at=500)])

    store.at_write = 0, "before", suspend
    log(sender, epoch(2), *([END] if kind == "end" else []))
    assert [point.value for point in history(store, run, "train_loss")] == [1, 20]
    (theirs,) = [result for result in search(store, "1") if result.id == run]
    assert theirs.metrics["train_loss"] == 20
    assert points(store, sender.journal.run) == [(1, 1), (2, 2)]
    assert sender.journal.run != run


def records_point(step, value, at):
    from mlflow.entities import Metric

    return Metric("train_loss", value, at, step)


@pytest.mark.parametrize("step", [-3600, 3600, 86_400])
def test_heart_beats_on_when_the_wall_clock_steps(store, sender, clock, step):
    log(sender, epoch(1))
    clock.wall += step
    beats = set()
    for _ in range(6):
        clock.seconds += heartbeat.HEARTBEAT_INTERVAL_S
        sender.deliver()
        beats.add(store.get_run(sender.journal.run).data.tags["heartbeat"])
    assert len(beats) == 6


@pytest.mark.parametrize("step", [-86_400, -3600, 0, 3600, 86_400])
def test_live_run_of_another_machine_is_left_alone_by_any_clock(store, sender, clock, step, monkeypatch):
    """Its heart beats by its own clock, which is wrong by hours; the other process watches it."""
    log(sender, epoch(1))
    clock.wall += step
    monkeypatch.setattr(heartbeat, "_machine_id", lambda: "elsewhere")

    def tags():
        clock.seconds += 1
        beat = 1_800_000_000 + clock.seconds // heartbeat.HEARTBEAT_INTERVAL_S * heartbeat.HEARTBEAT_INTERVAL_S
        store.set_tag(sender.journal.run, "heartbeat", f"{beat:.3f}")
        return store.get_run(sender.journal.run).data.tags

    assert not heartbeat.wait_until_owner_gone(tags)
    assert heartbeat.reap_stale_runs(store, "1") == []


@pytest.mark.parametrize("step", [0, 3600])
def test_dead_remote_run_is_closed_after_it_was_watched(store, sender, clock, step, monkeypatch):
    log(sender, epoch(1))
    clock.wall += step
    monkeypatch.setattr(heartbeat, "_machine_id", lambda: "elsewhere")
    clock.seconds += 181
    assert heartbeat.reap_stale_runs(store, "1") == []  # a clock may have stepped
    clock.seconds += 2 * heartbeat.HEARTBEAT_INTERVAL_S
    assert heartbeat.reap_stale_runs(store, "1") == ["a run"]


def test_run_that_was_taken_for_gone_runs_again(store, sender, clock):
    log(sender, epoch(1))
    store.set_terminated(sender.journal.run, "KILLED")
    log(sender, epoch(2))
    assert store.get_run(sender.journal.run).info.status == "RUNNING"


BAD = {
    "missing file": {"do": "file", "file": "1-x/gone.txt", "folder": None},
    "absolute path": {"do": "file", "file": "/etc/passwd"},
    "path above": {"do": "file", "file": "../../../secret"},
    "link": {"do": "file", "file": "link"},
    "unknown kind": {"do": "dance"},
    "no mapping": 5,
    "empty mapping": {},
    "list": [[]],
    "text as metric": {"do": "epoch", "metrics": {"train_loss": "x"}, "step": 1},
    "list as kind": {"do": []},
    "huge step": {"do": "epoch", "metrics": {"train_loss": 1.0}, "step": 10**30},
    "refused metric": {"do": "metrics", "metrics": {"bad": 1.0}, "step": 1, "at": 1},
    "set without a name": {"do": "data", "set": {"x": "y"}, "part": "test"},
}


@pytest.mark.parametrize("what", BAD)
def test_bad_record_holds_up_nothing_but_itself(store, lines, tmp_path, what):
    store.refused = ("bad",)
    (tmp_path / "secret").write_text("mine")
    journal = Journal.new(BEGIN)
    (journal.folder / "files").mkdir()
    (journal.folder / "files" / "link").symlink_to(tmp_path / "secret")
    for record in (epoch(1), BAD[what], epoch(2), END):
        journal.append(record)
    journal.close()
    left(store, lines, epoch(1), epoch(2), END)  # a good one behind it
    assert len(store.search_runs(["1"])) == 2
    for run in store.search_runs(["1"]):
        assert points(store, run.info.run_id) == [(1, 1), (2, 2)]
        assert run.info.status == "FINISHED"
        assert store.store.state["runs"][run.info.run_id]["files"] == {}
    assert [folder.name for folder in journals._folders()] == [journal.folder.name]
    told = [line for line in lines if "takes nothing now of" in line]
    assert len(told) == 1
    assert f"rm -r spool/{journal.folder.name}" in told[0]
    lines.clear()
    deliver_all(store, lines)  # the next command tries again, and says so
    assert [len(lines), len(store.search_runs(["1"]))] == [1, 2]


@pytest.mark.parametrize("raw", [b"\xff\n", b"\xff", b"\0\0\0\0", b'{"do": "epoch", "st\xff', b"[" * 100_000 + b"\n"])
def test_damaged_bytes_are_kept_and_told(store, lines, raw):
    folder = left(store, lines, epoch(1), END, raw=raw)
    assert points(store, only_run(store).info.run_id) == [(1, 1)]
    assert (folder / "journal.jsonl").read_bytes().endswith(raw)
    assert len([line for line in lines if "line 4 is no" in line]) == 1


def test_line_that_was_cut_off_is_no_damage(store, lines):
    folder = left(store, lines, epoch(1), raw=b'{"do": "epoch", "metr')
    assert not folder.exists()
    assert only_run(store).info.status == "KILLED"


@pytest.mark.parametrize("line", [b"\xff\n", b"{}\n", b"5\n", b'{"do": "begin", "uri": "memory"}\n', b"\xff"])
def test_journal_without_a_first_record_is_kept_and_named(line):
    folder = journals.Path("spool/a-99999999")
    folder.mkdir(parents=True)
    (folder / "journal.jsonl").write_bytes(line)
    Journal.new(BEGIN).remove()  # which clears what was never begun
    ((named, reason),) = journals.unreadable_folders()
    assert (named.name, "line 1" in reason) == ("a-99999999", True)
    assert (folder / "journal.jsonl").read_bytes() == line


def test_folder_with_files_and_no_journal_is_kept():
    (journals.Path("spool/a-99999999/files/1-x")).mkdir(parents=True)
    Journal.new(BEGIN).remove()
    assert journals.Path("spool/a-99999999").exists()


@pytest.mark.parametrize(
    "taken", ["5", "[]", "{}", '{"records": 99, "run": "x", "experiment": "1"}', "\0", "[" * 100_000]
)
def test_note_that_is_none_delivers_all_again(store, lines, taken):
    journal = Journal.new(BEGIN)
    sender = Transfer(PendingRun(journal), lambda: store)
    log(sender, epoch(1))
    journal.append(epoch(2))
    (journal.folder / "taken").write_text(taken)
    journal.close()
    deliver_all(store, lines)
    assert points(store, only_run(store).info.run_id) == [(1, 1), (2, 2)]
    assert not journal.folder.exists()


def test_store_without_the_run_gets_all_of_it_again(store, sender, lines):
    before = store.store.backup()
    log(sender, epoch(1), epoch(2))
    store.store.restore(before)
    log(sender, epoch(3), END)
    assert points(store, only_run(store).info.run_id) == [(1, 1), (2, 2), (3, 3)]
    assert "written again from its first record" in lines[0]


def test_store_that_lost_the_last_records_gets_them_again(store, sender, lines):
    log(sender, epoch(1))
    before = store.store.backup()
    log(sender, epoch(2), epoch(3))
    store.store.restore(before)
    log(sender, epoch(4), END)
    assert points(store, only_run(store).info.run_id) == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert "the store has 2 of 4 records" in lines[0]


def test_run_that_was_deleted_is_refused_with_the_command(store, sender):
    log(sender, epoch(1))
    store.store.state["runs"][sender.journal.run]["info"]["lifecycle_stage"] = "deleted"
    sender.journal.append(epoch(2))
    with pytest.raises(UserError, match=f"mlflow runs restore --run-id {sender.journal.run}"):
        sender.deliver()


@pytest.mark.parametrize("length", [250, 251, 300, 70_000])
def test_long_names_are_cut_and_stay_different(store, lines, length):
    name = "n" * length
    begin = {**BEGIN, "name": name, "params": {name: name, f"{name}2": "\0"}, "tags": {"identity": "i", "x": name}}
    journal = Journal.new(begin)
    log(Transfer(PendingRun(journal), lambda: store, lines.append), END)
    run = only_run(store)
    assert len(run.info.run_name) == 250
    assert len(run.data.params) == 2
    assert all(len(key) <= 250 and len(value) <= 6000 and "\0" not in value for key, value in run.data.params.items())
    assert (len(run.data.tags["x"]) <= 8000, lines) == (True, [])


def test_many_records_of_metrics_go_in_few_writes(store, lines):
    writes = []
    log_batch = store.store.log_batch
    store.store.log_batch = lambda *args, **kwargs: (writes.append(kwargs), log_batch(*args, **kwargs))
    left(store, lines, *[epoch(step) for step in range(1, 1001)], END)
    assert len(points(store, only_run(store).info.run_id)) == 1000
    assert len(writes) <= 12


def test_store_that_takes_nothing_sets_no_record_aside(store, sender):
    log(sender, epoch(1))
    store.is_away = True
    sender.journal.append(epoch(2))
    with pytest.raises(MlflowException, match="refused"):
        sender.deliver()
    assert (sender.journal.pending_count, sender.journal.refused) == (1, {})
    store.is_away = False
    log(sender, END)
    assert points(store, sender.journal.run) == [(1, 1), (2, 2)]


def test_record_that_fails_once_is_tried_again(store, sender, lines):
    log(sender, epoch(1))
    store.refused = ("hiccup",)
    log(sender, {"do": "metrics", "metrics": {"hiccup": 1.0}, "step": 1, "at": 1}, epoch(2))
    assert points(store, sender.journal.run) == [(1, 1), (2, 2)]
    store.refused = ()
    log(sender, END)
    assert points(store, sender.journal.run, "hiccup") == [(1, 1)]
    assert (sender.is_done, sender.journal.pending_count, lines) == (True, 0, [])


def test_clock_counts_the_sleep_of_the_machine(monkeypatch):
    monkeypatch.undo()
    if hasattr(heartbeat.time, "CLOCK_BOOTTIME"):
        assert abs(heartbeat.clock() - heartbeat.time.clock_gettime(heartbeat.time.CLOCK_BOOTTIME)) < 5


def test_spool_of_the_former_format_is_delivered(store, lines):
    folder = journals.Path("spool/a-99999999")
    folder.mkdir(parents=True)
    begin = {
        **BEGIN,
        "go_on": False,
        "again": False,
        "at": 1,
        "journal": "x",
        "owner": "m 1 2",
        "heartbeat": "1700000000",
    }
    run = store.create_run(store.experiment_of("memory", "mine"), 1, {"owner": "m 1 2", "journal": "x"}, "a run")
    text = "\n".join(json.dumps(record) for record in (begin, epoch(1), epoch(2), END))
    (folder / "journal.jsonl").write_text(f"{text}\n")
    (folder / "taken").write_text(json.dumps({"records": 1, "run": run.info.run_id, "experiment": "1"}))
    deliver_all(store, lines)
    assert points(store, run.info.run_id) == [(1, 1), (2, 2)]
    assert (only_run(store).info.status, folder.exists()) == ("FINISHED", False)


def test_batch_is_bounded():
    assert transfer.BATCH <= 250  # as many points as a tag can list, on both sides


@pytest.mark.parametrize("skew", [-200, 600])
def test_claimed_waits_for_a_claim_of_another_clock(store, clock, skew):
    claim = {"owner": "other 1 1", "heartbeat": f"{heartbeat.time.time() + skew:.3f}"}
    store.set_experiment_tag("1", "convzoo.claim.cell.theirs", json.dumps(claim))
    start = clock.seconds
    with heartbeat.claim_cell(store, "1", "cell"):
        assert 3 * heartbeat.HEARTBEAT_INTERVAL_S <= clock.seconds - start < 4 * heartbeat.HEARTBEAT_INTERVAL_S
    assert store.get_experiment("1").tags == {}


def test_claimed_is_refused_when_another_process_has_the_claim(store):
    claim = {"owner": "other 1 1", "heartbeat": heartbeat.heartbeat_now()}
    store.set_experiment_tag("1", "convzoo.claim.cell.theirs", json.dumps(claim))
    with pytest.raises(heartbeat.OwnedError), heartbeat.claim_cell(store, "1", "cell"):
        pass
    assert list(store.get_experiment("1").tags) == ["convzoo.claim.cell.theirs"]


@pytest.mark.parametrize(
    "claim", ["[]", "{", json.dumps({"owner": f"{heartbeat._machine_id()} 1 0", "heartbeat": "1"})]
)
def test_claimed_passes_over_a_claim_of_nobody(store, clock, claim):
    store.set_experiment_tag("1", "convzoo.claim.cell.theirs", claim)
    start = clock.seconds
    with heartbeat.claim_cell(store, "1", "cell"):
        assert clock.seconds == start
    assert store.get_experiment("1").tags == {}


def test_transfer_repeats_a_large_write_that_broke_off(store, sender):
    """Three records of 500 metrics each go in two writes; the store goes away before the second."""
    log(sender)
    keys = [f"m{number:03d}" for number in range(500)]
    for step in (1, 2, 3):
        sender.journal.append({"do": "epoch", "metrics": dict.fromkeys(keys, float(step)), "step": step, "at": step})
    run = only_run(store).info.run_id
    store.at_write = (1, "before", lambda: setattr(store, "is_away", True))
    with pytest.raises(MlflowException):
        sender.deliver()
    store.is_away = False
    assert len(points(store, run, keys[0])) == 2  # the first write came through
    sender.journal.close()
    deliver_all(store, [])  # another process knows what the disk and the store say
    assert {key: points(store, run, key) for key in keys} == {key: [(1, 1), (2, 2), (3, 3)] for key in keys}


@pytest.mark.parametrize("bad_steps", [(2,), (1, 3)])
def test_transfer_sets_aside_a_record_that_gets_no_answer(store, sender, lines, clock, bad_steps):
    log(sender)
    store.silent = ("bad",)
    for step in (1, 2, 3, 4):
        key = "bad" if step in bad_steps else "train_loss"
        sender.journal.append({"do": "epoch", "metrics": {key: float(step)}, "step": step, "at": step})
    sender.journal.append(END)
    for _ in range(2 * len(bad_steps)):
        clock.seconds += 60
        with contextlib.suppress(MlflowException):
            sender.deliver()
    run = only_run(store)
    good_steps = {1, 2, 3, 4} - {*bad_steps}
    assert {step for step, _ in points(store, run.info.run_id)} == good_steps
    assert (run.info.status, sorted(sender.journal.refused)) == ("FINISHED", list(bad_steps))
    assert "timed out" in lines[0]
