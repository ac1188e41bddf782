"""The progress of a sweep, from the records of its jobs."""

import os
import pickle
import subprocess
import sys
import time
from datetime import timedelta

import pytest
from omegaconf import OmegaConf

from convzoo.experiments import jobs
from convzoo.experiments.estimate import Estimate
from convzoo.experiments.run_result import RunResult, Status
from convzoo.experiments.sweep import SweepCallback, SweepError, SweepProgress


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "multirun" / "now"


def begin(folder, number, monkeypatch, at):
    monkeypatch.setattr(time, "time", lambda: at)
    jobs.record_start(folder / str(number), ["model=lenet", f"seed={number}"])


def end(folder, number, monkeypatch, at, status, **fields):
    monkeypatch.setattr(time, "time", lambda: at)
    jobs.record_end(folder / str(number), RunResult(status, **fields))


def test_progress_counts_jobs_and_estimates_time_left(folder, monkeypatch, capsys):
    progress = SweepProgress(jobs.Jobs(folder, 6))
    progress.update()
    assert capsys.readouterr().out == ""
    begin(folder, 0, monkeypatch, 100)
    begin(folder, 1, monkeypatch, 100)
    progress.update()
    assert capsys.readouterr().out == "── 0 of 6 done, 2 running\n\n"
    end(folder, 0, monkeypatch, 110, Status.FINISHED, val_accuracy=0.5, name="lenet seed=0")
    begin(folder, 2, monkeypatch, 110)
    end(folder, 1, monkeypatch, 130, Status.FINISHED, val_accuracy=0.25, name="lenet seed=1")
    begin(folder, 3, monkeypatch, 130)
    progress.update()
    # Two took 20 s on average. Two wait, one runs since 20 s and one since now: 20·2 + 0 + 20 s, by two at a time.
    said = "── 2 of 6 done, 2 running; best validation accuracy: 50.00%, lenet seed=0; about 0:00:30 left\n\n"
    assert capsys.readouterr().out == said
    progress.update()
    assert capsys.readouterr().out == ""

    end(folder, 2, monkeypatch, 131, Status.FAILED, message="too small")
    end(folder, 3, monkeypatch, 132, Status.STOPPED, message="SIGTERM")
    begin(folder, 4, monkeypatch, 132)
    end(folder, 4, monkeypatch, 133, Status.ELSEWHERE, message="another process is training this run")
    begin(folder, 5, monkeypatch, 133)
    end(folder, 5, monkeypatch, 133, Status.REUSED, val_accuracy=None, name="lenet seed=5")
    (folder / "3" / "output.txt").write_text("epoch 1\n")
    progress.close()
    out, err = capsys.readouterr()
    assert "seed=4: skipped, another process is training this run" in out
    assert "3 of 6 done, 1 reused, 1 failed, 1 stopped, 1 trained by another process; best" in out
    assert "left\n" not in out
    assert err.splitlines()[0] == "failed: model=lenet seed=2: too small"
    assert err.splitlines()[1].startswith("stopped: model=lenet seed=3: SIGTERM (")
    assert progress.describe_incomplete() == "1 of 6 runs failed, 1 of 6 runs stopped"
    assert [path.name for path in folder.iterdir()] == ["3"]  # all else is of no more use


def test_close_removes_folder_of_successful_sweep(folder, monkeypatch):
    progress = SweepProgress(jobs.Jobs(folder, 6))
    for number in range(6):
        begin(folder, number, monkeypatch, 0)
        end(folder, number, monkeypatch, 1, Status.FINISHED, val_accuracy=1.0, name="x")
        (folder / str(number) / "output.txt").write_text("epoch 1\n")
    (folder / "multirun.yaml").write_text("")
    progress.close()
    assert progress.describe_incomplete() == ""
    assert not folder.parent.exists()


def test_abandon_says_what_happens_to_jobs(folder, monkeypatch):
    progress, queue = SweepProgress(jobs.Jobs(folder, 6)), SweepProgress(jobs.Jobs(folder, 6), is_queued=True)
    assert progress.abandon() == ""
    begin(folder, 0, monkeypatch, 0)
    assert progress.abandon() == "the same command runs what is missing"
    assert queue.abandon().startswith("jobs in the queue continue, and")
    assert (folder / "0" / "job.json").exists()
    assert progress.describe_incomplete() == "6 of 6 runs lost"


def test_jobs_ignore_records_of_earlier_sweep(folder, monkeypatch):
    begin(folder, 0, monkeypatch, 0)
    end(folder, 0, monkeypatch, 1, Status.FAILED, message="long ago")
    (folder / "notes.txt").write_text("mine")
    progress = SweepProgress(jobs.Jobs(folder, 1))
    progress.update()
    assert progress.jobs.ended == {}
    begin(folder, 0, monkeypatch, 2)
    end(folder, 0, monkeypatch, 3, Status.FINISHED, val_accuracy=1.0, name="x")
    progress.close()
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_start_polling_updates_in_a_thread(folder, monkeypatch, capsys):
    monkeypatch.setattr("convzoo.experiments.sweep._POLL_SECONDS", 0.01)
    progress = SweepProgress(jobs.Jobs(folder, 6))
    progress.start_polling()
    jobs.record_start(folder / "0", ["seed=0"])
    until = time.monotonic() + 10
    while not (said := capsys.readouterr().out) and time.monotonic() < until:
        time.sleep(0.01)
    progress.close()
    assert "0 of 6 done, 1 running" in said


@pytest.mark.parametrize(
    ("weights", "word"),
    [("run:latest", "weights=run:latest"), (None, "weights=one.keras,run:latest"), (None, "++weights='run:latest',b")],
)
def test_sweep_from_the_latest_run_is_refused(weights, word):
    """The latest run is that before in the sweep: seed 2 would start from what seed 1 has trained."""
    config = OmegaConf.create({"weights": weights, "hydra": {"overrides": {"task": ["seed=1,2", word]}}})
    with pytest.raises(SweepError) as error:
        SweepCallback().on_multirun_start(config)
    assert str(error.value).startswith("`weights` must not be run:latest in a sweep or study")
    assert "\n" not in str(error.value)


def test_callback_is_pickled_without_its_progress(folder):
    callback = SweepCallback()
    callback.total, callback.progress = 3, SweepProgress(jobs.Jobs(folder, 3))
    callback.progress.start_polling()
    there = pickle.loads(pickle.dumps(callback))
    callback.progress.close()
    assert (there.total, there.progress) == (None, None)


def test_redirect_output_writes_into_job_folder(tmp_path):
    code = (
        "import os, subprocess, sys\n"
        "from convzoo.experiments.jobs import redirect_output\n"
        "for word in 'ab':\n"
        "    with redirect_output('.'):\n"
        "        print(word)\n"
        "        sys.stderr.write('told\\n')\n"
        "        subprocess.run(['echo', 'native'])\n"
        "print('here')\n"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=os.environ)
    assert (run.stdout, run.stderr) == ("here\n", "")
    lines = (tmp_path / "output.txt").read_text().split()
    assert sorted(lines) == ["a", "b", "native", "native", "told", "told"]


def test_progress_scales_time_left_by_estimate(folder, monkeypatch):
    """Six runs of 10 or 100 s, cheap ones first: after one that took twice as long, 2·(10 + 400) s are left."""
    cells = {frozenset({"model=lenet"}): 10.0, frozenset({"model=nin"}): 100.0}
    estimate = Estimate(6, 2, seconds=2 * 10.0 + 4 * 100.0, cell_seconds=cells)
    progress = SweepProgress(jobs.Jobs(folder, 6), estimate=estimate)
    begin(folder, 0, monkeypatch, 100)
    end(folder, 0, monkeypatch, 120, Status.FINISHED, val_accuracy=None, name="lenet")
    progress.jobs.update()
    assert str(progress).endswith(f"about {timedelta(seconds=2 * 410)} left")
    begin(folder, 1, monkeypatch, 120)  # another lenet, since 5 s
    monkeypatch.setattr(time, "time", lambda: 125)
    progress.jobs.update()
    assert str(progress).endswith(f"about {timedelta(seconds=2 * 410 - 5)} left")


def test_progress_escapes_message_of_job(folder, monkeypatch, capsys):
    progress = SweepProgress(jobs.Jobs(folder, 2))
    begin(folder, 0, monkeypatch, 100)
    end(folder, 0, monkeypatch, 120, Status.FAILED, message="no \x1b[2J at http://me:secret@host")
    progress.update()
    out, err = capsys.readouterr()
    assert "no \\x1b[2J at http://me:***@host" in err
    assert "\x1b" not in out + err
