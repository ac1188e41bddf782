"""The store of runs: a sqlite file or an MLflow server, how it is opened and how a person opens it."""

import contextlib
import logging
import os
import re
import shutil
import sqlite3
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from .. import UserError
from . import dashboard, journal

for _name, _value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # Its own 7 take four minutes, and make a second run where an answer was lost; the spool tries again and knows.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}.items():
    os.environ.setdefault(_name, _value)
_REFUSALS = ("INVALID_PARAMETER_VALUE", "INVALID_STATE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS")
_STRANGERS = ("UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED", "PERMISSION_DENIED", "ENDPOINT_NOT_FOUND", "NOT_FOUND")
_HEALTH_SECONDS = _LOCK_SECONDS = 5
AWAY = {}  # by its address, why a store that has been there takes nothing now, as this process knows


class AwayError(UserError):
    """A store that has been there does not answer now."""


def how_to_open(uri, experiment_id, run_id=None):
    """How to see a run, or the charts of an experiment's runs, in MLflow's pages."""
    page = f"#/experiments/{experiment_id}/runs" + (f"/{run_id}" if run_id else dashboard.query("convzoo-runs"))
    if _is_server(uri):
        return f"{uri.rstrip('/')}/{page}"
    return f"\n  mlflow server --workers 1 --backend-store-uri {uri}\n  http://127.0.0.1:5000/{page}"


def check_store(uri):
    """Refuses a store that cannot be there, before anything is waited for.

    Raises:
        AwayError: it was there before, for a command in this folder.
        UserError: naming `tracking.uri`.
    """
    if _is_server(uri):
        _check_server(uri)
    elif not (path := sqlite_path(uri)):
        raise UserError(f"`tracking.uri` must be sqlite:///file or the address of a server. Received: {uri!r}")
    elif not path.parent.is_dir():
        raise UserError(f"`tracking.uri={uri}`: there is no folder {path.parent}")
    elif path.exists():
        _check_file(uri, path)
    elif not os.access(path.parent, os.W_OK):
        raise UserError(f"`tracking.uri={uri}`: the folder {path.parent} cannot be written to")


def check_recorded(uri):
    """Refuses a store that cannot be there, or is a file that is not.

    Raises:
        UserError: naming `tracking.uri`.
    """
    check_store(uri)
    if (path := sqlite_path(uri)) and not path.exists():
        raise UserError(f"`tracking.uri={uri}`: there is no {path}; nothing has been recorded there")


def open_store(uri, again=False):
    """MLflow's client of a store.

    Args:
        uri: the store.
        again: whether to look even where this process knows that it is away.

    Raises:
        AwayError: it was there before and does not answer now.
        UserError: it cannot be reached or opened.
    """
    if uri in AWAY and not again:
        raise AwayError(f"`tracking.uri={uri}` takes nothing: {AWAY[uri]}")
    check_store(uri)
    _quiet()
    import mlflow

    _quiet()  # importing it sets its own level
    try:
        if (path := sqlite_path(uri)) and not path.exists():
            _create(path)
        client = mlflow.MlflowClient(uri)
        client.search_experiments(max_results=1)
    except Exception as error:
        if getattr(error, "error_code", None) in _STRANGERS[:2]:
            raise UserError(
                f"`tracking.uri={uri}` does not know this user or this password; they are taken from "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            ) from error
        kind = UserError if refused(error) or not _was_there(uri) else AwayError
        raise kind(f"`tracking.uri={uri}` cannot be opened: {one_line(error)}") from error
    if _is_server(uri):
        journal.note_answer(uri)
    return client


@contextlib.contextmanager
def answering(uri):
    """Turns into an `AwayError` what is raised within it because a store has ceased to answer."""
    try:
        yield
    except mlflow_error() as error:
        if refused(error):
            raise
        raise AwayError(f"`tracking.uri={uri}` does not answer: {one_line(error)}") from error


def experiment_of(client, uri, study):
    """The id of a study's experiment, made if it is not there."""
    if not client.get_experiment_by_name(study):
        path = sqlite_path(uri)
        place = (path.parent / "mlartifacts").as_uri() if path else None
        kind = {"mlflow.experimentKind": "custom_model_development"}  # MLflow's pages open for training, not for chats
        try:
            return client.create_experiment(study, place, kind)
        except mlflow_error():
            if not client.get_experiment_by_name(study):  # else another worker was quicker
                raise
    found = client.get_experiment_by_name(study)
    if found.lifecycle_stage == "deleted":
        raise UserError(f"`study={study}`: this experiment was deleted in MLflow; restore it or take another name")
    return found.experiment_id


def repository(client, run):
    """MLflow's repository of a run's files, to write into.

    The store says where it is, and may be a stranger's: it is below a folder of the run's own id, as MLflow's stores
    have it, so that no file that was there before is written over. MLflow's client has no such rule, and keeps the
    repositories of 1,024 runs.

    Args:
        client: MLflow's client.
        run: MLflow's id of the run.

    Raises:
        UserError: it would be elsewhere.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    uri = client.get_run(run).info.artifact_uri
    parts = urllib.parse.urlparse(uri)
    path = parts.path if parts.scheme else uri
    if not (re.fullmatch("[0-9a-f]{32}", run) and path.endswith(f"/{run}/artifacts")):
        raise UserError(
            f"a store must have the files of run {run:.40} in …/{run:.40}/artifacts. Received: {uri!r:.200}"
        )
    return get_artifact_repository(uri, client.tracking_uri)


def _create(path):
    """Makes an empty store and puts it in place in one step: two processes that fill the tables of one tear it."""
    import mlflow

    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
        made, whole = Path(folder) / "made.db", Path(folder) / "whole.db"
        mlflow.MlflowClient(f"sqlite:///{made}").search_experiments(max_results=1)
        shutil.copyfile(made, whole)  # MLflow keeps the other open
        try:
            os.link(whole, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without links: two that begin at once are then told apart by a moment
            if not path.exists():
                os.replace(whole, path)


def _is_server(uri):
    return re.match(r"https?://", uri) is not None


def sqlite_path(uri):
    """The file of a store that is one, else None."""
    match = re.fullmatch(r"sqlite:///(.+)", uri)
    return Path(match[1]).absolute() if match else None


def _check_server(uri):
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=_HEALTH_SECONDS).close()
    except urllib.error.HTTPError:
        return  # it answers: what it makes of us is for the client to say
    except OSError as error:
        kind = AwayError if _was_there(uri) else UserError
        raise kind(f"`tracking.uri={uri}`: no MLflow server answers there ({error})") from error


def _check_file(uri, path):
    """MLflow itself tries for two minutes."""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=_LOCK_SECONDS)) as file:
            file.execute("PRAGMA schema_version")
    except sqlite3.DatabaseError as error:
        kind = AwayError if "locked" in str(error) else UserError
        raise kind(f"`tracking.uri={uri}` cannot be opened: {error}") from error


def _was_there(uri):
    path = sqlite_path(uri)
    return path.exists() if path else journal.has_answered(uri)


def _quiet():
    """What libraries tell of a store that does not answer is told in our words."""
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


def refused(error):
    """Whether a store answered that it will not take this, ever; else it may take it later."""
    if isinstance(error, UserError):
        return not isinstance(error, AwayError)
    return getattr(error, "error_code", None) in (*_REFUSALS, *_STRANGERS)


def is_strange(error):
    """Whether a server does not know the user or his password, or does not let him."""
    return getattr(error, "error_code", None) in _STRANGERS


def one_line(error):
    """What is wrong, in at most a line."""
    text = str(error).strip() or type(error).__name__
    ended = r"timed out|Remote end closed connection|Connection reset by peer|Broken pipe|too many \d+ error"
    if cause := re.search(rf"\[Errno -?\d+\] ([^'\")>]+)|({ended})", text):
        return cause[1] or cause[2]  # within MLflow's words, within urllib3's
    if cause := re.search(r"\((?:\w+\.)+\w*Error\) ([^\n]+)", text):
        return cause[1]  # the database's, within SQLAlchemy's
    return " ".join(text.splitlines()[0].split())[:200]


def mlflow_error():
    """The class of what MLflow raises."""
    from mlflow.exceptions import MlflowException

    return MlflowException
