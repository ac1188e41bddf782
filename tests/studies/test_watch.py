"""How a sweep stands, from what its jobs told."""

import os
import pickle
import subprocess
import sys
import time

import pytest

from convzoo.studies import jobs
from convzoo.studies.watch import Board, Watch


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "multirun" / "now"


def begin(folder, number, monkeypatch, at):
    monkeypatch.setattr(time, "time", lambda: at)
    jobs.begin(folder / str(number), ["model=lenet", f"seed={number}"])


def end(folder, number, monkeypatch, at, **outcome):
    monkeypatch.setattr(time, "time", lambda: at)
    jobs.end(folder / str(number), outcome)


def test_done_running_failed_the_best_and_the_time_left(folder, monkeypatch, capsys):
    board = Board(jobs.Jobs(folder, 6))
    board.look()
    assert capsys.readouterr().out == ""
    begin(folder, 0, monkeypatch, 100)
    begin(folder, 1, monkeypatch, 100)
    board.look()
    assert capsys.readouterr().out == "── 0 of 6 done, 2 running\n\n"
    end(folder, 0, monkeypatch, 110, found=False, val_accuracy=0.5, name="lenet seed=0")
    begin(folder, 2, monkeypatch, 110)
    end(folder, 1, monkeypatch, 130, found=False, val_accuracy=0.25, name="lenet seed=1")
    begin(folder, 3, monkeypatch, 130)
    board.look()
    # Two took 20 s on average. Two wait, one runs since 20 s and one since now: 20·2 + 0 + 20 s, by two at a time.
    said = "── 2 of 6 done, 2 running; best on validation: 50.00%, lenet seed=0; about 0:00:30 left\n\n"
    assert capsys.readouterr().out == said
    board.look()
    assert capsys.readouterr().out == ""

    end(folder, 2, monkeypatch, 131, failed="too small")
    end(folder, 3, monkeypatch, 132, stopped="SIGTERM")
    begin(folder, 4, monkeypatch, 132)
    end(folder, 4, monkeypatch, 133, elsewhere="another process is training this run")
    begin(folder, 5, monkeypatch, 133)
    end(folder, 5, monkeypatch, 133, found=True, val_accuracy=None, name="lenet seed=5")
    (folder / "3" / "output.txt").write_text("epoch 1\n")
    board.close()
    out, err = capsys.readouterr()
    assert "seed=4: left out, another process is training this run" in out
    assert "3 of 6 done, 1 before, 1 failed, 1 stopped, 1 left to another process; best" in out
    assert "left\n" not in out
    assert err.splitlines()[0] == "failed: model=lenet seed=2: too small"
    assert err.splitlines()[1].startswith("stopped: model=lenet seed=3: SIGTERM (")
    assert board.lacking() == "1 of 6 runs failed, 1 of 6 runs stopped"
    assert [path.name for path in folder.iterdir()] == ["3"]  # all else is of no more use


def test_of_a_sweep_that_went_well_no_folder_is_left(folder, monkeypatch):
    board = Board(jobs.Jobs(folder, 6))
    for number in range(6):
        begin(folder, number, monkeypatch, 0)
        end(folder, number, monkeypatch, 1, found=False, val_accuracy=1.0, name="x")
        (folder / str(number) / "output.txt").write_text("epoch 1\n")
    (folder / "multirun.yaml").write_text("")
    board.close()
    assert board.lacking() == ""
    assert not folder.parent.exists()


def test_one_that_is_left_tells_what_becomes_of_its_jobs(folder, monkeypatch):
    board, queue = Board(jobs.Jobs(folder, 6)), Board(jobs.Jobs(folder, 6), queued=True)
    assert board.leave() == ""
    begin(folder, 0, monkeypatch, 0)
    assert board.leave() == "the same command makes what is missing"
    assert queue.leave().startswith("jobs in the queue go on, and")
    assert (folder / "0" / "job.json").exists()
    assert board.lacking() == "6 of 6 runs lost"


def test_what_a_sweep_before_told_in_the_same_folder_counts_no_more(folder, monkeypatch):
    begin(folder, 0, monkeypatch, 0)
    end(folder, 0, monkeypatch, 1, failed="long ago")
    (folder / "notes.txt").write_text("mine")
    board = Board(jobs.Jobs(folder, 1))
    board.look()
    assert board.jobs.ended == {}
    begin(folder, 0, monkeypatch, 2)
    end(folder, 0, monkeypatch, 3, found=False, val_accuracy=1.0, name="x")
    board.close()
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_it_looks_by_itself(folder, monkeypatch, capsys):
    monkeypatch.setattr("convzoo.studies.watch._LOOK_SECONDS", 0.01)
    board = Board(jobs.Jobs(folder, 6))
    board.watch()
    jobs.begin(folder / "0", ["seed=0"])
    until = time.monotonic() + 10
    while not (said := capsys.readouterr().out) and time.monotonic() < until:
        time.sleep(0.01)
    board.close()
    assert "0 of 6 done, 1 running" in said


def test_a_callback_travels_without_its_sweep(folder):
    watch = Watch()
    watch.total, watch.board = 3, Board(jobs.Jobs(folder, 3))
    watch.board.watch()
    there = pickle.loads(pickle.dumps(watch))
    watch.board.close()
    assert (there.total, there.board) == (None, None)


def test_what_a_job_prints_goes_into_its_folder_and_comes_back(tmp_path):
    code = (
        "import os, subprocess, sys\n"
        "from convzoo.studies.jobs import printing_to\n"
        "for word in 'ab':\n"
        "    with printing_to('.'):\n"
        "        print(word)\n"
        "        sys.stderr.write('told\\n')\n"
        "        subprocess.run(['echo', 'native'])\n"
        "print('here')\n"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=os.environ)
    assert (run.stdout, run.stderr) == ("here\n", "")
    lines = (tmp_path / "output.txt").read_text().split()
    assert sorted(lines) == ["a", "b", "native", "native", "told", "told"]
