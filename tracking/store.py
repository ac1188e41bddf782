"""The store of runs, a sqlite file or an MLflow server: how it is opened, and where its experiments and files are."""

import contextlib
import functools
import logging
import os
import re
import shutil
import tempfile
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import UserError
from . import known_servers
from .addresses import absolute_uri, check_store, has_worked_before, is_server, shown, sqlite_path
from .errors import LOGIN_CODES, StoreUnavailableError, has_no_answer, is_refused, mlflow_error, one_line
from .moved_store import FILES_FOLDER
from .tables import damaged_store

for _name, _value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # MLflow's own 7 retries take four minutes and create a second run if an answer is lost. The outbox retries instead.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}.items():
    os.environ.setdefault(_name, _value)
# Messages about a file that this version of MLflow can never read.
_NO_STORE = "malformed|not a database|database schema|alembic|No such revision|no such (table|column)|does not exist"


@dataclass
class StoreStatus:
    """The state of a store, as this process knows it.

    Attributes:
        offline_reason: why a store that worked before accepts nothing now; None if it is online.
    """

    offline_reason: str | None = None


def get_status(uri: str) -> StoreStatus:
    """Return the status of a store; one object for each address."""
    return _status_of(absolute_uri(uri))


@functools.cache
def _status_of(uri: str) -> StoreStatus:
    return StoreStatus()


def open_store(uri: str, force: bool = False) -> Any:
    """Open a store.

    Args:
        uri: address of the store.
        force: try even if this process knows that the store is offline.

    Returns:
        An `mlflow.MlflowClient`.

    Raises:
        StoreUnavailableError: the store worked before and does not answer now.
        UserError: it cannot be reached or opened, is damaged, or belongs to another version of MLflow.
    """
    if (reason := get_status(uri).offline_reason) and not force:
        raise StoreUnavailableError(f"`tracking.uri={shown(uri)}` is unreachable: {reason}")
    check_store(uri)
    _silence_loggers()
    import mlflow

    _silence_loggers()  # importing MLflow sets its own levels
    try:
        if (path := sqlite_path(uri)) and not path.exists():
            _create_file(path)
        client = mlflow.MlflowClient(absolute_uri(uri))  # MLflow keeps connections by the address, in any folder
        if path and force:
            client._tracking_client.store.engine.dispose()  # its connections may be to a file that was replaced
        client.search_experiments(max_results=1)
    except Exception as error:
        raise _opening_error(uri, error) from error
    if is_server(uri):
        known_servers.note_answer(uri)
    return client


def _opening_error(uri: str, error: Exception) -> UserError:
    if getattr(error, "error_code", None) in LOGIN_CODES:
        return UserError(
            f"`tracking.uri={shown(uri)}` does not know this user or this password; they are read from "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )
    if re.search(_NO_STORE, str(error)) and not has_no_answer(error):
        return damaged_store(uri, one_line(error))
    kind = UserError if is_refused(error) or not has_worked_before(uri) else StoreUnavailableError
    return kind(f"`tracking.uri={shown(uri)}` cannot be opened: {one_line(error)}")


@contextlib.contextmanager
def unavailable_as_user_error(uri: str) -> Iterator[None]:
    """Turn errors of a store that has stopped answering into `StoreUnavailableError`."""
    try:
        yield
    except mlflow_error() as error:
        if is_refused(error):
            raise
        raise StoreUnavailableError(f"`tracking.uri={shown(uri)}` does not answer: {one_line(error)}") from error


def get_or_create_experiment(client: Any, uri: str, study: str) -> str:
    """Return MLflow's id of a study's experiment, which is created if it does not exist.

    Raises:
        UserError: the experiment was deleted in MLflow.
    """
    if not client.get_experiment_by_name(study):
        path = sqlite_path(uri)
        location = (path.parent / FILES_FOLDER).as_uri() if path else None
        tags = {"mlflow.experimentKind": "custom_model_development"}  # MLflow's pages open for training, not for chats
        try:
            return client.create_experiment(study, location, tags)
        except mlflow_error():
            if not client.get_experiment_by_name(study):  # else another process has just created it
                raise
    experiment = client.get_experiment_by_name(study)
    if experiment.lifecycle_stage == "deleted":
        raise UserError(f"`study={study}`: this experiment was deleted in MLflow; restore it or choose another name")
    return experiment.experiment_id


def artifact_repository(client: Any, run: str) -> Any:
    """Return MLflow's repository of a run's files.

    The store, which may be a stranger's, says where the files lie. They must lie below a folder named by the run's id,
    as in MLflow's stores, so that no existing file is overwritten. MLflow's client has no such rule and caches 1,024
    repositories.

    Args:
        client: an `mlflow.MlflowClient`.
        run: MLflow's id of the run.

    Raises:
        UserError: the files would lie elsewhere.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    uri = client.get_run(run).info.artifact_uri or ""
    parts = urllib.parse.urlparse(uri)
    path = parts.path if parts.scheme else uri
    if not (re.fullmatch("[0-9a-f]{32}", run) and path.endswith(f"/{run}/artifacts")):
        raise UserError(
            f"a store must have the files of run {run:.40} in …/{run:.40}/artifacts. Received: {uri!r:.200}"
        )
    return get_artifact_repository(uri, client.tracking_uri)


def _create_file(path: Path) -> None:
    """Create an empty store and move it into place in one step: two processes must not both create its tables."""
    import mlflow

    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
        opened, copy = Path(folder) / "opened.db", Path(folder) / "copy.db"
        mlflow.MlflowClient(f"sqlite:///{opened}").search_experiments(max_results=1)
        shutil.copyfile(opened, copy)  # MLflow keeps the other one open
        try:
            os.link(copy, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without links; two processes then race for a moment
            if not path.exists():
                os.replace(copy, path)


def _silence_loggers() -> None:
    """Silence the libraries' messages about a store that does not answer; this package prints its own."""
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
