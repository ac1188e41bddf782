"""What a journal says after its process has ended, however that was."""

import os
import signal
import subprocess
import sys

import pytest

from convzoo.tracking.__main__ import main as list_waiting
from convzoo.tracking.outbox import journal
from convzoo.tracking.outbox.journal import Journal

BEGIN = {"do": "begin", "uri": "sqlite:///x.db", "study": "mine", "name": "a run", "tags": {}, "params": {}}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def left(epochs):
    """The folder of a journal whose process was killed."""
    code = f"""if True:
        import os, signal
        from convzoo.tracking.outbox.journal import Journal
        journal = Journal.new({BEGIN})
        journal.note_delivery("the run", "7")
        for epoch in range({epochs}):
            journal.append({{"do": "epoch", "step": epoch}})
        os.kill(os.getpid(), signal.SIGKILL)
    """
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    return journal._folders()[0]


def test_journal_keeps_what_a_killed_process_wrote():
    left(3)
    (found,) = journal.orphaned_journals("sqlite:///x.db")
    assert [record.get("step") for record in found.records] == [None, 0, 1, 2]
    assert (found.run, found.experiment, found.pending_count, found.has_ended) == ("the run", "7", 3, False)
    assert list(journal.orphaned_journals("sqlite:///x.db")) == []  # it is ours now
    found.remove()
    assert not os.path.exists("spool")


@pytest.mark.parametrize("words", ['{"do": "beg', '{"do": "begin"}\n\0\0\0\n{"do": "end"}\n'])
def test_a_line_that_is_none_ends_it(words):
    folder = left(3)
    (folder / "journal.jsonl").write_text(words)
    found = Journal.read(folder)
    assert found is None or found.records == [{"do": "begin"}]


def test_what_did_not_come_to_a_line_goes_with_the_next(folder):
    (left(0) / "journal.jsonl").write_text('{"do": "beg')
    (folder / "spool" / f"1-{os.getpid()}").mkdir()  # of a process that is about to write its first
    mine = Journal.new(BEGIN)
    mine.remove()
    assert [path.name for path in (folder / "spool").iterdir()] == [f"1-{os.getpid()}"]


def test_that_of_another_store_is_not_for_us():
    left(0)
    assert list(journal.orphaned_journals("sqlite:///y.db")) == []


def test_that_of_a_living_process_is_its_own():
    mine = Journal.new(BEGIN)
    assert list(journal.orphaned_journals()) == []
    assert [each.begin["name"] for each in journal.pending_journals("sqlite:///x.db")] == ["a run"]
    mine.close()
    (found,) = journal.orphaned_journals()
    found.remove()


def test_a_line_that_was_cut_off_does_not_count():
    path = left(2) / "journal.jsonl"
    path.write_text(path.read_text()[:-3])
    (found,) = journal.orphaned_journals()
    assert [record.get("step") for record in found.records] == [None, 0]
    found.remove()


def test_without_its_note_all_is_delivered_again():
    (left(2) / "taken").write_text("{")
    (found,) = journal.orphaned_journals()
    assert (found.run, found.pending_count) == (None, 3)
    found.remove()


def test_tracking_command_lists_what_waits(capfd):
    assert list_waiting([]) == 0
    folder = left(2)
    assert list_waiting([]) == 2
    assert f"spool/{folder.name}: a run, 2 records for sqlite:///x.db" in capfd.readouterr().out
