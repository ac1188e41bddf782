"""A sqlite file that no MLflow of this version can use is refused before a training begins."""

import contextlib
import sqlite3

import pytest

from convzoo import UserError
from convzoo.tracking import errors, tables
from convzoo.tracking.outbox import worker


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(path, revision=None, rows=0):
    """A file with the tables of a store, as far as they are looked at."""
    with contextlib.closing(sqlite3.connect(path)) as file, file:
        file.execute("CREATE TABLE alembic_version (version_num TEXT)")
        file.execute("INSERT INTO alembic_version VALUES (?)", [revision or tables.schema_revision()])
        for table in ("experiments", "runs", "metrics", "params", "tags"):
            file.execute(f"CREATE TABLE {table} (name TEXT)")
            file.executemany(f"INSERT INTO {table} VALUES (?)", [["x" * 1000]] * rows)
    return f"sqlite:///{path}"


def test_store_of_this_schema_passes(folder):
    worker.flush_pending(make(folder / "mlflow.db"))
    worker.flush_pending(f"sqlite:///{folder}/new.db")


@pytest.mark.parametrize("what", ["older schema", "newer schema", "other program", "torn pages"])
def test_store_that_no_mlflow_reads_is_refused(folder, what):
    path = folder / "mlflow.db"
    uri = make(path, "0123456789ab" if "schema" in what else None, rows=20)
    if what == "other program":
        with contextlib.closing(sqlite3.connect(path)) as file, file:
            file.execute("DROP TABLE alembic_version")
    if what == "torn pages":
        data = path.read_bytes()
        path.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))
    with pytest.raises(UserError, match=r"is damaged or of another version of MLflow .*mlflow db upgrade"):
        worker.flush_pending(uri)


def test_locked_store_is_not_refused(folder):
    uri = make(folder / "mlflow.db")
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        tables.check_tables(uri)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "BAD_REQUEST: (raised as a result of Query-invoked autoflush; consider)\n"
            "(psycopg.errors.StringDataRightTruncation) value too long for type character varying(250)\n[SQL: x]",
            "value too long for type character varying(250)",
        ),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("http://me:secret@host is away", "http://me:***@host is away"),
    ],
)
def test_one_line_names_the_cause_and_shows_no_secret(text, line):
    assert errors.one_line(ValueError(text)) == line


def test_one_line_names_the_file():
    assert errors.one_line(FileNotFoundError(2, "No such file or directory", "x/y")) == "No such file or directory: x/y"
