"""A project's folder that is moved, copied or restored: its runs are found, and no other folder is written to."""

import contextlib
import shutil
import sqlite3
import subprocess

import pytest
from fault_processes import Store

from convzoo import UserError
from convzoo.tracking.outbox import worker
from convzoo.tracking.run import Run, RunSpec, find_run


@pytest.fixture
def project(empty, tmp_path, monkeypatch):
    """A project's folder, its name not plain, with a finished run and one that was stopped."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "my project [1]"
    folder.mkdir()
    shutil.copy(empty, folder / "mlflow.db")
    record(folder, "finished", "first")
    with contextlib.suppress(KeyboardInterrupt):
        record(folder, "stopped", "half", stop=True)
    return folder


def record(folder, identity, text, stop=False):
    """Makes a run, or goes on with it, with a file."""
    uri = f"sqlite:///{folder}/mlflow.db"
    with Run.start(RunSpec(uri, "mine", identity, {}, {"identity": identity}, resume=True, force=True)) as run:
        run.log_text(f"said: {text}", "config.yaml")
        if stop:
            raise KeyboardInterrupt
    return run.id


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def latest(folder):
    return find_run(f"sqlite:///{folder}/mlflow.db", "latest").read_settings()["said"]


def test_a_moved_project_finds_its_runs_and_makes_new_ones(project, capsys):
    moved = project.with_name("moved")
    project.rename(moved)
    assert latest(moved) == "first"
    assert "was moved or copied: the files of its runs are those in" in capsys.readouterr().out
    new = record(moved, "new", "second")
    assert latest(moved) == "second"
    assert not project.exists()
    assert (moved / "mlartifacts" / new / "artifacts" / "config.yaml").exists()
    uris = {run.info.artifact_uri for run in Store(f"sqlite:///{moved}/mlflow.db").runs("mine")}
    assert all(uri.startswith(f"{moved.as_uri()}/mlartifacts/") for uri in uris)  # so MLflow's pages find them too
    record(moved, "third", "third")
    assert "was moved" not in capsys.readouterr().out


def test_a_copied_project_writes_nothing_into_the_original(project):
    before = files(project)
    copy = project.with_name("copy")
    shutil.copytree(project, copy)
    record(copy, "stopped", "whole")
    record(copy, "new", "second")
    run = find_run(f"sqlite:///{copy}/mlflow.db", "latest")
    (copy / "report.html").write_text("report")
    run.log_files([copy / "report.html"], "evaluation")
    assert files(project) == before
    assert latest(copy) == "second"
    texts = {path.read_text() for path in copy.glob("mlartifacts/*/artifacts/config.yaml")}
    assert texts == {"said: first", "said: whole", "said: second"}


def test_a_store_without_its_files_is_refused_with_the_command(project, tmp_path):
    before = files(project)
    other = tmp_path / "it's other"
    other.mkdir()
    shutil.copy(project / "mlflow.db", other)
    with pytest.raises(UserError, match="was moved or copied without the files of its runs, which lie in") as error:
        latest(other)
    with pytest.raises(UserError, match="without the files of its runs"):
        worker.flush_pending(f"sqlite:///{other}/mlflow.db")  # before a training
    _, _, command = str(error.value).partition("copy them: ")
    subprocess.run(command, shell=True, check=True)
    assert latest(other) == "first"
    record(other, "new", "second")
    assert files(project) == before


def test_a_project_reached_by_another_path_stays_as_it_is(project, tmp_path, capsys):
    (tmp_path / "link").symlink_to(project)
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / "mlflow.db").symlink_to(project / "mlflow.db")
    for place in ("link", "file"):
        assert latest(tmp_path / place) == "first"
    assert "was moved" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "location", ["s3://bucket/mlartifacts", "mlflow-artifacts:/1", "file:///elsewhere/mlruns", None]
)
def test_files_away_from_the_store_stay_where_they_are(project, location):
    with contextlib.closing(sqlite3.connect(project / "mlflow.db", isolation_level=None)) as file:
        file.execute("UPDATE experiments SET artifact_location = ? WHERE name = 'mine'", (location,))
    with pytest.raises(UserError, match="there is no run 'x'"):
        find_run(f"sqlite:///{project}/mlflow.db", "x")
    with contextlib.closing(sqlite3.connect(project / "mlflow.db")) as file:
        assert (location,) in file.execute("SELECT artifact_location FROM experiments").fetchall()
