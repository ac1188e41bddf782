"""A store that is killed, refuses, loses its answers, is locked or full: nothing is lost, and nothing is silent."""

import contextlib
import json
import re
import shutil
import signal
import socket
import sqlite3
import threading
import time

import pytest
from fault_processes import Command, Store, Writer, lines, wait_for
from sampling import rarely

KEPT = ("config.yaml", "learning_curves.png", "model.keras", "plan.txt", "rows.yaml")
RUN = ("model=lenet", "data=digits")


def told(text, uri):
    """What is told of a store: lines that warn of it, lines that say that all has arrived."""
    return lines(text, "warning:", uri), lines(text, uri, "takes what is recorded again")


@pytest.mark.slow
def test_a_server_that_is_killed_in_mid_run_and_comes_back(server, tmp_path):
    server.start()
    uri = f"tracking.uri={server.address}"
    command = Command(tmp_path, *RUN, "epochs=120", uri)
    command.until(r"^epoch +3/120")
    server.kill()
    command.until("^warning: ")
    command.until(r"^epoch +20/120")
    command.process.send_signal(signal.SIGSTOP)  # else it may be done before the server has started
    server.start()
    command.process.send_signal(signal.SIGCONT)
    warned, arrived = told(command.end(), server.address)
    assert (len(warned), len(arrived)) == (1, 1)
    assert re.search(r"all that waited has arrived, \d+ records", arrived[0])
    (run,) = Store(server.address).runs()
    Store(server.address).assert_whole(run, 120, KEPT)
    assert [path.name for path in (tmp_path / "spool").iterdir() if path.name != "lock"] == ["servers"]


@rarely
@pytest.mark.slow
def test_a_training_that_is_killed_while_the_server_is_gone(server, tmp_path):
    server.start()
    words = (*RUN, "epochs=60", "checkpoints.seconds=0", f"tracking.uri={server.address}")
    command = Command(tmp_path, *words)
    command.until(r"^epoch +3/60")
    server.kill()
    command.until(r"^epoch 10/60")
    command.kill()
    again = Command(tmp_path, *words)  # still without the server: it goes on from the checkpoint
    again.until("^resuming from epoch 1[01]")
    again.until("^epoch 14/60")
    again.kill()
    server.start()
    text = Command(tmp_path, *words).end()
    assert lines(text, "resuming from epoch")
    assert len(lines(text, "what waited in spool/ has arrived")) == 2
    store = Store(server.address)
    (run,) = store.runs()
    store.assert_whole(run, 60, KEPT)


@pytest.mark.slow
def test_sweep_without_its_server_is_delivered_later(server, tmp_path):
    server.start()
    words = ("-m", *RUN, "epochs=5", "seed=0,1,2,3", "study=mine", f"tracking.uri={server.address}")
    sweep = Command(tmp_path, *words)
    sweep.until("^── 1 of 4 done")
    server.kill()
    text = sweep.end()
    assert [len(found) for found in told(text, server.address)] == [1, 0]
    assert lines(text, "for", server.address, "in spool/: the next command that reaches it delivers")
    assert "── 4 of 4 done" in text
    again = Command(tmp_path, *words)  # what the study holds cannot be known
    again.end(2)
    assert len(lines(again.err.read_text(), "error:", "no MLflow server answers there")) == 1
    server.start()
    text = Command(tmp_path, *words).end()
    assert text.count(": done before, test accuracy") == 4
    store = Store(server.address)
    assert len(store.runs("mine")) == 4
    for run in store.runs("mine"):
        store.assert_whole(run, 5)


@rarely
@pytest.mark.slow
def test_runs_wait_for_a_server_that_refuses_from_the_start(server, tmp_path):
    never = Command(tmp_path, *RUN, "epochs=2", f"tracking.uri={server.address}")
    never.end(2)
    assert len(lines(never.err.read_text(), "error:", "no MLflow server answers there")) == 1
    server.start()
    Writer(tmp_path, server.address, "first").end()
    server.kill()
    for study in ("second", "third"):
        text = Writer(tmp_path, server.address, study).end()
        assert [len(found) for found in told(text, server.address)] == [1, 0]
        assert lines(text, f"1 run for {server.address} in spool/: the next command that reaches it delivers")
    server.start()
    text = Writer(tmp_path, server.address, "fourth").end()
    assert len(lines(text, "what waited in spool/ has arrived")) == 2
    store = Store(server.address)
    for study in ("first", "second", "third", "fourth"):
        (run,) = store.runs(study)
        store.assert_whole(run, 20)


class Lossy:
    """A proxy before a server that cuts a connection when the request is through, before the answer is: every third."""

    def __init__(self, port):
        self.port, self.answers, self.lost = port, 0, 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.socket.accept()
                threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client):
        server = socket.create_connection(("127.0.0.1", self.port))
        with client, server, contextlib.suppress(OSError):
            threading.Thread(target=self._copy, args=(client, server), daemon=True).start()
            while answer := server.recv(65536):
                self.answers += 1
                if self.answers > 20 and self.answers % 3 == 0:
                    self.lost += 1
                    break
                client.sendall(answer)
            for end in (client, server):
                end.shutdown(socket.SHUT_RDWR)  # closing alone waits for the thread that reads

    def _copy(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)


@pytest.mark.slow
def test_answers_that_are_lost(server, tmp_path):
    """What was asked for is done and asked for again, until the network is sound."""
    server.start()
    proxy = Lossy(server.port)
    with contextlib.closing(proxy.socket):
        writers = [Writer(tmp_path, proxy.address, f"study{number}", epochs=40, pause=0.5) for number in range(3)]
        for writer in writers:
            writer.end()
        assert proxy.lost > 15
        proxy.answers = -1_000_000
        Writer(tmp_path, proxy.address, "other").end()  # what was left at their ends, it delivers
    store = Store(server.address)
    for number in range(3):
        (run,) = store.runs(f"study{number}")
        store.assert_whole(run, 40)


@pytest.mark.integration
def test_training_does_not_wait_for_a_store_that_is_gone(tmp_path):
    """The connection stays open and nothing answers: the worst that a server can do."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        uri = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        (tmp_path / "spool").mkdir()
        (tmp_path / "spool" / "servers").write_text(f"{uri}\n")
        writer = Writer(tmp_path, uri, epochs=500)
        text = writer.end()
    assert len(lines(text, "warning:", "timed out")) == 1
    assert float(re.search("^waited (.*)", text, re.MULTILINE)[1]) < 2  # seconds, for 500 epochs
    assert lines(text, f"1 run for {uri} in spool/")


@pytest.mark.slow
def test_a_locked_store_gets_all_once_it_is_free(tmp_path, uri):
    writer = Writer(tmp_path, uri, epochs=40, pause=0.05)
    writer.until("^begun")
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db", timeout=20, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        writer.until("^warning: .*database is locked")  # after the 20 s that MLflow tries
        writer.until("^waited")
        other.execute("ROLLBACK")
    text = writer.end()
    assert [len(found) for found in told(text, uri)] == [1, 1]
    store = Store(uri)
    (run,) = store.runs("mine")
    store.assert_whole(run, 40)
    assert not (tmp_path / "spool").exists()


@pytest.mark.slow
def test_a_store_on_a_full_disk_gets_all_once_there_is_room(tmp_path, small, empty):
    shutil.copy(empty, small)
    uri = f"sqlite:///{small}/mlflow.db"
    writer = Writer(tmp_path, uri, epochs=600, pause=0.03)  # slowly: what waits has to arrive before its end
    writer.until("^begun")
    with (small / "filling").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    writer.until("^warning: .*full")
    (small / "filling").unlink()
    text = writer.end()
    assert [len(found) for found in told(text, uri)] == [1, 1]
    store = Store(uri)
    (run,) = store.runs("mine")
    store.assert_whole(run, 600)


@pytest.mark.slow
def test_what_a_killed_process_left_is_delivered_by_the_next(tmp_path, uri):
    """By another folder's command it is not: the spool is the folder's."""
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        writer = Writer(tmp_path, uri, epochs=20, pause=0.2)
        writer.until("^begun")  # after the 20 s that MLflow tries
        time.sleep(2)
        writer.kill()
        other.execute("ROLLBACK")
    assert [path.name for path in (tmp_path / "spool").glob("*/journal.jsonl")]
    text = Writer(tmp_path, uri, "another").end()
    assert len(lines(text, "a run: what waited in spool/ has arrived")) == 1
    store = Store(uri)
    (run,) = store.runs("mine")
    points = store.client.get_metric_history(run.info.run_id, "train_loss")
    assert run.info.status == "KILLED"
    assert 5 <= len(points) <= 12
    assert [point.step for point in points] == list(range(1, len(points) + 1))
    assert not (tmp_path / "spool").exists()


@pytest.mark.integration
def test_a_spool_that_cannot_be_written_to_is_told(tmp_path, uri):
    (tmp_path / "spool").write_text("a file is in its way")
    text = Writer(tmp_path, uri).end()
    assert len(lines(text, "warning: spool/ cannot be written to")) == 1
    store = Store(uri)
    (run,) = store.runs("mine")
    store.assert_whole(run, 20)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["removed", "moved away", "put back in place", "put back by a rename"])
def test_sqlite_store_replaced_during_a_run_gets_all_of_it(tmp_path, uri, how):
    """As by someone who returns to a backup, or tidies up."""
    file, backup = tmp_path / "mlflow.db", tmp_path / "backup.db"
    shutil.copy(file, backup)
    writer = Writer(tmp_path, uri, epochs=30, pause=0.3)
    writer.until("^begun")
    wait_for(lambda: file.stat().st_mtime > backup.stat().st_mtime + 1, "nothing is written")
    time.sleep(3)
    if how == "removed":
        file.unlink()
    elif how == "moved away":
        file.rename(tmp_path / "away.db")
    elif how == "put back in place":
        shutil.copyfile(backup, file)
    else:
        backup.rename(file)
    text = writer.end() + Writer(tmp_path, uri, "another").end()  # where it was not there in time, that delivers
    assert len(lines(text, "warning:", "written again from its first record")) == 1, text
    store = Store(uri)
    (run,) = store.runs("mine")
    store.assert_whole(run, 30)
    assert not (tmp_path / "spool").exists()


def _leave_journal(tmp_path, uri, *records):
    """The spool of a process that is gone."""
    folder = tmp_path / "spool" / "1-999999"
    folder.mkdir(parents=True)
    begin = {"do": "begin", "uri": uri, "study": "old", "name": "n" * 300, "params": {}, "at": 1_700_000_000_000}
    begin |= {"tags": {"identity": "o", "code": "c"}, "journal": "x", "owner": "m 1 2", "heartbeat": "1700000000"}
    text = "".join(f"{json.dumps(record)}\n" for record in (begin, *records))
    (folder / "journal.jsonl").write_text(text)
    return folder


@pytest.mark.slow
def test_record_that_cannot_be_delivered_holds_up_no_other(tmp_path, uri):
    """A file of the spool is missing, a line is damaged, and a path leads out of it."""
    bad = {"do": "file", "file": "1-x/gone.txt", "folder": None}, {"do": "file", "file": "/etc/passwd"}
    epoch = {"do": "epoch", "metrics": {"train_loss": 1.0}, "step": 1, "at": 1_700_000_000_001}
    folder = _leave_journal(tmp_path, uri, *bad, [], epoch)
    before = (folder / "journal.jsonl").read_bytes()
    for study in ("mine", "another"):
        text = Writer(tmp_path, uri, study).end()
        assert len(lines(text, "warning:", "takes nothing now of", "rm -r spool/1-999999")) == 1
    assert (folder / "journal.jsonl").read_bytes() == before
    store = Store(uri)
    for study in ("mine", "another"):
        (run,) = store.runs(study)
        store.assert_whole(run, 20)
    (run,) = store.runs("old")
    assert (run.info.status, run.data.metrics, len(run.info.run_name)) == ("KILLED", {"train_loss": 1.0}, 250)
    assert store.client.list_artifacts(run.info.run_id) == []
