"""Addresses of stores: those that work, those that are refused with a line, and how a person opens one."""

import shlex
import socket
import sqlite3
import threading
from pathlib import Path

import pytest

from convzoo import UserError
from convzoo.tracking import model_registry, tables
from convzoo.tracking.addresses import check_store, how_to_open
from convzoo.tracking.errors import one_line
from convzoo.tracking.store import get_status, open_store
from convzoo.tracking.tables import check_recorded


@pytest.mark.parametrize(
    ("uri", "rule"),
    [
        ("sqlite:///a?b.db", "`?`"),
        ("sqlite:///mlflow.db?timeout=60", "`?`"),
        ("sqlite:///file:a.db?mode=ro&uri=true", "`?`"),
        ("sqlite:///a%20b.db", "`%20`"),
        ("sqlite:///a%3Fb.db", "`%3F`"),
        ("sqlite:///:memory:", "`:memory:`"),
        ("sqlite:///nowhere/a.db", "there is no folder"),
        ("sqlite:///.", "is a folder"),
        ("sqlite:///", "must be sqlite:///file"),
        ("mlflow.db", "must be sqlite:///file"),
        ("databricks", "must be sqlite:///file"),
        ("file:///tmp/mlruns", "must be sqlite:///file"),
        ("http://[::1", "must be sqlite:///file or the address of a server"),
        ("http://", "no MLflow server answers"),
        ("http://127.0.0.1:99999", "no MLflow server answers"),
        ("http://127.0.0.1:port", "the address of a server"),
        ("http://a b:5000", "the address of a server"),
        ("http://me:secret@127.0.0.1:9", "no MLflow server answers"),
        ("http://me:secret@[::1", "the address of a server"),
    ],
)
def test_check_store_refuses_with_a_line(tmp_path, monkeypatch, uri, rule):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as raised:
        check_store(uri)
    message = str(raised.value)
    assert message.startswith("`tracking.uri")
    assert rule in message
    assert "\n" not in message
    assert "secret" not in message
    assert list(tmp_path.iterdir()) == []


def test_check_store_refuses_what_speaks_no_http():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            connection.sendall(b"SSH-2.0-OpenSSH_9.0\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(UserError, match=r"no MLflow server answers there \(.+\)$"):
            check_store(f"http://127.0.0.1:{server.getsockname()[1]}")
        thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["my runs #1.db", "50% off.db", "опыт.db", "a&b;c.db", "it's.db"])
def test_open_store_takes_other_names(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    client = open_store(f"sqlite:///{name}")
    client.create_experiment("mine")
    assert [path.name for path in tmp_path.glob("*.db")] == [name]
    with sqlite3.connect(name) as file:
        assert ("mine",) in file.execute("SELECT name FROM experiments").fetchall()


def test_check_store_says_what_a_user_without_home_needs(tmp_path, monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(UserError, match="HOME"):
        check_store(f"sqlite:///{tmp_path}/mlflow.db")


@pytest.mark.parametrize("name", ["mlflow.db", "my runs #1/m.db", "it's $HOME.db", "a&b.db"])
def test_how_to_open_prints_a_command_that_can_be_pasted(name):
    command = how_to_open(f"sqlite:///{name}", "1").strip().splitlines()[0]
    assert shlex.split(command, comments=True)[-1] == f"sqlite:///{name}"


def test_how_to_open_and_serve_show_no_password():
    uri = "http://me:secret@host:5000/"
    assert how_to_open(uri, "1", "2") == "http://me:***@host:5000/#/experiments/1/runs/2"
    run = type("Run", (), {"id": "3"})
    assert "secret" not in model_registry.how_to_serve(uri, "digits", 1, run)


def test_how_to_serve_prints_a_command_that_can_be_pasted():
    run = type("Run", (), {"id": "3"})
    command = model_registry.how_to_serve("sqlite:///my runs #1.db", "my digits", 2, run).splitlines()[1]
    words = shlex.split(command, comments=True)
    assert words[0] == "MLFLOW_TRACKING_URI=sqlite:///my runs #1.db"
    assert words[5] == "models:/my digits/2"


@pytest.mark.parametrize("error", [RuntimeError(), RuntimeError("  "), ValueError("no http://me:secret@host there")])
def test_one_line_is_never_empty_and_shows_no_password(error):
    assert one_line(error) in ("RuntimeError", "no http://me:***@host there")


def test_check_recorded_leaves_other_tables_to_mlflow(tmp_path):
    (tmp_path / "mlflow.db").touch()
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert check_recorded(uri, run="0" * 32, study=None) is None
    assert check_recorded(uri, study="mine") is None


def test_check_recorded_asks_nothing_of_what_waits(tmp_path, monkeypatch):
    with sqlite3.connect(tmp_path / "mlflow.db") as file:
        file.executescript("CREATE TABLE runs (run_uuid TEXT); CREATE TABLE experiments (name TEXT);")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with pytest.raises(UserError, match=r"no study 'mine'.*holds none"):
        check_recorded(uri, study="mine")
    monkeypatch.setattr(tables.journal, "pending_journals", lambda uri: ["a run"])
    assert check_recorded(uri, study="mine") is None


@pytest.mark.integration
def test_a_relative_store_is_the_one_of_the_present_folder(tmp_path, monkeypatch):
    """MLflow keeps connections by the address; in two folders the same relative address names two files."""
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        open_store("sqlite:///mlflow.db").create_experiment(folder)
    for folder in ("first", "second"):
        monkeypatch.chdir(tmp_path / folder)
        names = {each.name for each in open_store("sqlite:///mlflow.db").search_experiments()}
        assert names == {"Default", folder}


def test_a_store_that_is_offline_is_so_in_its_own_folder_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    get_status("sqlite:///mlflow.db").offline_reason = "unplugged"
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert get_status("sqlite:///mlflow.db").offline_reason is None
    assert get_status(f"sqlite:///{tmp_path}/mlflow.db").offline_reason == "unplugged"
