"""A server for a team, and the database behind it."""

import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from fault_processes import Command, Server, Store, Writer, lines

POSTGRES = Path(__file__).with_name("postgres")
KEPT = ("config.yaml", "learning_curves.png", "model.keras", "plan.txt", "rows.yaml")
RUN = ("model=lenet", "data=digits", "epochs=2")
READ, WRITE = "/api/2.0/mlflow/experiments/search?max_results=5", "/api/2.0/mlflow/experiments/create"


class TeamServer(Server):
    """One that `python -m convzoo.tracking.server` starts."""

    def command(self):
        return [sys.executable, "-m", "convzoo.tracking.server", "team", f"--port={self.port}", *self.words]

    def password(self):
        return (self.folder / "team" / "admin-password").read_text()


def status(address, path, data=None):
    """What a server answers a stranger, an HTTP status."""
    request = urllib.request.Request(address + path, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def known(monkeypatch, server, password=None):
    """From here on requests of this process and its children have a name and a password."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password or server.password())


@pytest.fixture
def team(tmp_path, request):
    pytest.importorskip("psycopg", reason="wants the extra `server`")
    server = TeamServer(tmp_path, "--workers=1", *getattr(request, "param", ()))
    yield server
    if server.process and server.process.poll() is None:
        server.kill()


@pytest.mark.slow
def test_who_has_no_password_reads_and_writes_nothing(team, tmp_path, monkeypatch):
    team.start()
    assert status(team.address, READ) == 401
    assert status(team.address, WRITE, b'{"name": "mine"}') == 401
    assert status(team.address, "/api/2.0/mlflow-artifacts/artifacts?path=") == 401
    with pytest.raises(OSError, match="refused"):  # it listens on this machine's loopback alone
        urllib.request.urlopen(team.address.replace("127.0.0.1", "127.0.0.2"), timeout=5)
    begun = time.monotonic()
    for password in (None, "wrong"):
        if password:
            known(monkeypatch, team, password)
        stranger = Command(tmp_path, *RUN, f"tracking.uri={team.address}")
        stranger.end(2)
        (line,) = lines(stranger.err.read_text(), "error:")
        assert "does not know this user or this password" in line
    assert time.monotonic() - begun < 90
    known(monkeypatch, team)
    Command(tmp_path, *RUN, f"tracking.uri={team.address}").end()
    (run,) = Store(team.address).runs()
    Store(team.address).assert_whole(run, 2, KEPT)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "team").iterdir() if path.is_file()}
    assert {modes[name] for name in ("admin-password", "sessions-key", "auth.ini")} == {0o600}
    assert (tmp_path / "team").stat().st_mode & 0o777 == 0o700


@pytest.fixture(scope="module")
def database():
    """The address of a PostgreSQL of its own."""
    pytest.importorskip("psycopg", reason="wants the extra `server`")
    if os.geteuid():
        pytest.skip("a PostgreSQL of its own wants root")
    started = subprocess.run([POSTGRES, "start"], stdout=subprocess.PIPE, text=True)
    if started.returncode:
        pytest.skip("there is no PostgreSQL")
    yield started.stdout.strip()
    subprocess.run([POSTGRES, "stop"], check=True)


@pytest.mark.slow
def test_database_is_killed_while_many_write(database, team, tmp_path, monkeypatch):
    team.words = (*team.words, f"--store={database}")
    team.start()
    known(monkeypatch, team)
    writers = [Writer(tmp_path, team.address, f"study{number}", epochs=50, pause=0.5) for number in range(4)]
    for writer in writers:
        writer.until("^begun")
    subprocess.run([POSTGRES, "kill"], check=True)
    for writer in writers:
        writer.until("^warning: ")
    subprocess.run([POSTGRES, "again"], check=True)
    texts = [writer.end() for writer in writers]
    assert [len(lines(text, "warning:")) for text in texts] == [1] * 4
    outcome = r"all that waited has arrived, \d+ records|the next command that reaches it delivers"
    assert [len(re.findall(outcome, text)) for text in texts] == [1] * 4, texts
    Writer(tmp_path, team.address, "next").end()  # for those that ended before the database was back
    store = Store(team.address)
    for number in range(4):
        (run,) = store.runs(f"study{number}")
        store.assert_whole(run, 50)
