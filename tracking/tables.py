"""The tables of a sqlite store, read without MLflow, which takes seconds to import and to complain."""

import contextlib
import functools
import importlib.util
import re
import sqlite3
from pathlib import Path

from .. import UserError
from ..settings.text import did_you_mean, find_near_words
from .addresses import LOCK_TIMEOUT_S, check_store, shown, sqlite_path
from .errors import has_no_answer, one_line
from .outbox import journal

_MAX_LISTED = 20  # studies that an error message lists


def check_tables(uri: str) -> None:
    """Refuse a sqlite file that is no store of the installed version of MLflow.

    Raises:
        UserError: the message names `tracking.uri`.
    """
    path = sqlite_path(uri)
    if not (path and path.exists() and path.stat().st_size):
        return
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=LOCK_TIMEOUT_S)) as file:
            (revision,) = file.execute("SELECT version_num FROM alembic_version").fetchone() or ("none",)
            for table in ("experiments", "runs", "metrics", "params", "tags"):
                file.execute(f"SELECT * FROM {table} ORDER BY rowid DESC LIMIT 1").fetchall()
    except sqlite3.DatabaseError as error:
        if not has_no_answer(error):
            raise damaged_store(uri, one_line(error)) from error
        return
    if revision != (expected := schema_revision()) and expected:
        raise damaged_store(uri, f"its schema is {revision!s:.20}, not {expected}")


def damaged_store(uri: str, reason: str) -> UserError:
    """Return the error of a file that is damaged or has another version's tables."""
    return UserError(
        f"`tracking.uri={shown(uri)}` is damaged or of another version of MLflow ({reason}): restore a backup, upgrade "
        f"it with `mlflow db upgrade {shown(uri)}`, or name another store"
    )


@functools.cache
def schema_revision() -> str | None:
    """Return the revision of the tables that the installed MLflow needs, read from its migrations; None if unclear."""
    spec = importlib.util.find_spec("mlflow")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "store" / "db_migrations" / "versions"
    texts = [path.read_text() for path in folder.glob("*.py")]
    revisions = {match[1] for text in texts if (match := re.search(r'^revision = "(\w+)"', text, re.MULTILINE))}
    parents = {match[1] for text in texts if (match := re.search(r'^down_revision = "(\w+)"', text, re.MULTILINE))}
    newest = revisions - parents
    return next(iter(newest)) if len(newest) == 1 else None


def check_recorded(uri: str, run: str | None = None, study: str | None = None) -> None:
    """Refuse a run or a study that a sqlite store does not hold. Servers are asked later.

    Args:
        uri: address of the store.
        run: MLflow's id of a run, or "latest", which is not looked up here.
        study: name of a study.

    Raises:
        UserError: the message names `tracking.uri`, `run` or `study`.
    """
    check_store(uri)
    if not (path := sqlite_path(uri)):
        return
    if not path.exists():
        raise UserError(f"`tracking.uri={shown(uri)}`: there is no {path}; nothing has been recorded there")
    if journal.pending_journals(uri):
        return  # the run may be in the outbox
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", timeout=LOCK_TIMEOUT_S, uri=True)) as file:
            if run not in (None, "latest") and not _has_run(file, run):
                raise no_run(uri, run)
            if study is not None:
                names = [name for (name,) in file.execute("SELECT name FROM experiments")]
                if study not in names:
                    raise no_study(uri, study, names)
    except sqlite3.Error:
        return  # another version's tables, or a file that is being written: MLflow reports it


def _has_run(connection: sqlite3.Connection, run: str | None) -> bool:
    return connection.execute("SELECT 1 FROM runs WHERE run_uuid = ?", [run]).fetchone() is not None


def no_run(uri: str, run: str | None) -> UserError:
    """Return the error of a run that is not in the store."""
    return UserError(f"there is no run {run!r} in {shown(uri)}; `run=latest` is the newest finished one")


def no_study(uri: str, study: str, names: list[str]) -> UserError:
    """Return the error of a study that is not in the store.

    Args:
        uri: address of the store.
        study: name that was asked for.
        names: names of the experiments in the store.
    """
    names = sorted(set(names) - {"Default", "reports"})
    suggestion = did_you_mean(find_near_words(study, names))
    listed = f"{', '.join(names[:_MAX_LISTED])}{' …' if len(names) > _MAX_LISTED else ''}"
    studies = f"studies there: {listed}" if names else "it holds none"
    return UserError(f"there is no study {study!r} in {shown(uri)}; {suggestion or studies}")
