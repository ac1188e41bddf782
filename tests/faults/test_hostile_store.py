"""A store of a stranger, which says where a run's files are to be written: over nothing that is there."""

import contextlib
import sqlite3

import pytest
from fault_processes import Command, Store, lines

from convzoo import UserError
from convzoo.tracking import store
from convzoo.tracking.run import Run, RunSpec, find_run

ID = "0123456789abcdef0123456789abcdef"
ELSEWHERE = [
    "{victim}",
    "file://{victim}",
    "file://{victim}?/{run}/artifacts",
    "file://{victim}#/{run}/artifacts",
    "{victim}/{run}/artifacts/..",
    "{victim}/{run}/artifacts/",
    "{victim}/other/artifacts",
    "",
]
AS_EVER = [
    "mlflow-artifacts:/1/{run}/artifacts",
    "s3://bucket/path/1/{run}/artifacts",
    "file:///shared/{run}/artifacts",
]


@pytest.fixture
def victim(tmp_path):
    """A folder with a file of a name that a run has files of."""
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "config.yaml").write_text("mine")
    return tmp_path / "victim"


def lies(database, place):
    """Has a store say of each run that its files lie in a place."""
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as file:
        said = f"replace('{place}', '{{run}}', NEW.run_uuid)"
        change = f"UPDATE runs SET artifact_uri = {said} WHERE run_uuid = NEW.run_uuid"
        file.execute(f"CREATE TRIGGER lies AFTER INSERT ON runs BEGIN {change}; END")


@pytest.mark.parametrize("place", ELSEWHERE)
def test_files_are_written_below_a_folder_of_the_run_s_own(tmp_path, uri, victim, place):
    lies(tmp_path / "mlflow.db", place.replace("{victim}", str(victim)))
    with (
        pytest.raises(UserError, match=r"must have the files of run [0-9a-f]{32} in"),
        Run.start(RunSpec(uri, "mine", "a", {}, {})) as run,
    ):
        run.log_text("theirs", "config.yaml")
    assert [(path.name, path.read_text()) for path in victim.iterdir()] == [("config.yaml", "mine")]
    (found,) = Store(uri).runs("mine")
    (tmp_path / "report.html").write_text("theirs")
    with pytest.raises(UserError, match="must have the files"):
        find_run(uri, found.info.run_id).log_files([tmp_path / "report.html"], None)
    assert [path.name for path in victim.iterdir()] == ["config.yaml"]


def test_trigger_leads_plain_mlflow_outside(tmp_path, uri, victim):
    lies(tmp_path / "mlflow.db", str(victim))
    client = Store(uri).client
    run = client.create_run(client.create_experiment("mine")).info.run_id
    client.log_text(run, "theirs", "config.yaml")
    assert (victim / "config.yaml").read_text() == "theirs"


class Client:
    """One whose store says that a run's files lie in a place."""

    tracking_uri = "http://127.0.0.1:9"

    def __init__(self, place):
        self.place = place

    def get_run(self, run):
        info = type("Info", (), {"artifact_uri": self.place.replace("{run}", run)})
        return type("Run", (), {"info": info})


@pytest.mark.parametrize("place", AS_EVER)
def test_where_stores_have_files_is_good(place):
    assert store.artifact_repository(Client(place), ID).artifact_uri.endswith(f"/{ID}/artifacts")


@pytest.mark.parametrize("run", ["..", "src", f"../{ID}", ID[:-1]])
def test_an_id_that_is_a_folder_of_ours_is_refused(run):
    with pytest.raises(UserError, match="must have the files"):
        store.artifact_repository(Client("file:///home/me/{run}/artifacts"), run)


@pytest.mark.slow
def test_a_server_that_lies(server, tmp_path, victim):
    lies(server.folder / "server.db", f"file://{victim}")
    server.start()
    command = Command(tmp_path, "model=lenet", "data=digits", "epochs=200", f"tracking.uri={server.address}")
    command.end(2)
    (line,) = lines(command.err.read_text(), "error:")
    assert "must have the files of run" in line
    assert [(path.name, path.read_text()) for path in victim.iterdir()] == [("config.yaml", "mine")]
