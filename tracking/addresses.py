"""Addresses of stores: `sqlite:///file` or `http(s)://host`. They are checked here without importing MLflow."""

import contextlib
import http.client
import os
import re
import shlex
import sqlite3
import urllib.error
import urllib.request
from pathlib import Path

from .. import UserError
from ..settings.text import printable, without_password
from . import charts, known_servers, moved_store
from .errors import StoreUnavailableError

HEALTH_TIMEOUT_S = LOCK_TIMEOUT_S = 5


def shown(text: object) -> str:
    """Return a text as it may be printed: without passwords and without control characters."""
    return without_password(printable(text))


def is_server(uri: str) -> bool:
    """Return whether a store is an MLflow server."""
    return re.match(r"https?://", uri) is not None


def sqlite_path(uri: str) -> Path | None:
    """Return the file of a sqlite store; None for a server.

    Example:
        >>> sqlite_path("sqlite:////tmp/mlflow.db"), sqlite_path("http://host:5000")
        (PosixPath('/tmp/mlflow.db'), None)
    """
    match = re.fullmatch(r"sqlite:///(.+)", uri)
    return Path(match[1]).absolute() if match else None


def absolute_uri(uri: str) -> str:
    """Return the address of a store by the whole path of its file, so that it holds in any folder.

    Example:
        >>> absolute_uri("sqlite:////tmp/mlflow.db"), absolute_uri("http://host:5000")
        ('sqlite:////tmp/mlflow.db', 'http://host:5000')
    """
    path = sqlite_path(uri)
    return f"sqlite:///{path}" if path else uri


def file_id(uri: str) -> tuple[int, int] | None:
    """Return the device and inode of a sqlite file, which tell a replaced file apart; None if there is no file."""
    path = sqlite_path(uri)
    try:
        return (path.stat().st_dev, path.stat().st_ino) if path else None
    except OSError:
        return None


def how_to_open(uri: str, experiment_id: str | None, run_id: str | None = None) -> str:
    """Describe how to open a run in MLflow, or the charts of an experiment.

    Args:
        uri: address of the store.
        experiment_id: MLflow's id of the experiment.
        run_id: MLflow's id of the run; None opens the charts.

    Returns:
        The address of the page; for a sqlite file also the command that starts a server, on a line before it.
    """
    page = f"#/experiments/{experiment_id}/runs" + (f"/{run_id}" if run_id else charts.view_query("convzoo-runs"))
    if is_server(uri):
        return f"{shown(uri.rstrip('/'))}/{page}"
    return f"\n  mlflow server --workers 1 --backend-store-uri {shlex.quote(uri)}\n  http://127.0.0.1:5000/{page}"


def explain_store_choice(uri: str) -> list[str]:
    """Return a line that names MLflow's environment variable if it chose the store, else no line."""
    is_from_environment = os.environ.get("MLFLOW_TRACKING_URI") == uri
    return [f"runs are in {shown(uri)}, as MLFLOW_TRACKING_URI says"] * is_from_environment


def check_store(uri: str) -> None:
    """Refuse an address that cannot be a store, before anything takes long.

    Raises:
        StoreUnavailableError: the store worked before, for a command in this folder.
        UserError: the message names `tracking.uri`.
    """
    _check_home()
    if is_server(uri):
        return _check_server(uri)
    if not (path := sqlite_path(uri)):
        raise UserError(
            f"`tracking.uri` must be sqlite:///file or the address of a server. Received: {shown(repr(uri))}"
        )
    if fault := _name_fault(uri):
        raise UserError(f"`tracking.uri` must name a file without {fault}. Received: {shown(repr(uri))}")
    if not path.parent.is_dir():
        raise UserError(f"`tracking.uri={shown(uri)}`: there is no folder {path.parent}")
    if path.is_dir():
        raise UserError(f"`tracking.uri={shown(uri)}` must name a file, and {path} is a folder")
    if path.exists():
        return _check_file(uri, path)
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"`tracking.uri={shown(uri)}`: the folder {path.parent} cannot be written to")
    return None


def check_reachable(uri: str) -> None:
    """Refuse an address that cannot be a store. A store that worked before may be unavailable: records are buffered.

    Raises:
        UserError: the message names `tracking.uri`.
    """
    with contextlib.suppress(StoreUnavailableError):
        check_store(uri)


def has_worked_before(uri: str) -> bool:
    """Return whether a sqlite file exists, or a server has answered a command in this folder."""
    path = sqlite_path(uri)
    return path.exists() if path else known_servers.has_answered(uri)


def _check_home() -> None:
    """Refuse a user without a home folder, as in some containers: MLflow needs one."""
    try:
        Path.home()
    except RuntimeError as error:
        raise UserError(
            "this user has no home folder, which MLflow needs: set the environment variable HOME, as in HOME=/tmp"
        ) from error


def _name_fault(uri: str) -> str | None:
    """Return the part of an address that SQLAlchemy would not read as part of the file's name; None if all is well."""
    if "?" in uri:
        return "`?`, which begins options of SQLAlchemy"
    if escape := re.search("%[0-9A-Fa-f]{2}", uri):
        return f"`{escape[0]}`, which stands for another letter"
    return "the name `:memory:`, which is no file" if uri == "sqlite:///:memory:" else None


def _check_server(uri: str) -> None:
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=HEALTH_TIMEOUT_S).close()
    except urllib.error.HTTPError:
        return  # it answers; the client reports what is wrong
    except (ValueError, http.client.InvalidURL) as error:
        rule = "must be sqlite:///file or the address of a server, as http://host:5000"
        raise UserError(f"`tracking.uri={shown(uri)}` {rule}: {_reason(error)}") from error
    except (OSError, http.client.HTTPException) as error:
        kind = StoreUnavailableError if has_worked_before(uri) else UserError
        raise kind(f"`tracking.uri={shown(uri)}`: no MLflow server answers there ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    return shown(str(error).strip() or type(error).__name__)


def _check_file(uri: str, path: Path) -> None:
    """Refuse a file that is locked or no database. MLflow itself would retry for two minutes."""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=LOCK_TIMEOUT_S, isolation_level=None)) as file:
            file.execute("PRAGMA schema_version")
            moved_store.update_paths(file, uri, path)
    except sqlite3.DatabaseError as error:
        kind = StoreUnavailableError if "locked" in str(error) else UserError
        raise kind(f"`tracking.uri={shown(uri)}` cannot be opened: {error}") from error
