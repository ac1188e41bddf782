"""The store of runs: a sqlite file or an MLflow server, how it is opened and how a person opens it."""

import logging
import os
import re
import shutil
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from .. import UserError
from . import dashboard

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
_HEALTH_SECONDS = 5


def how_to_open(uri, experiment_id, run_id=None):
    """How to see a run, or the charts of an experiment's runs, in MLflow's pages."""
    page = f"#/experiments/{experiment_id}/runs" + (f"/{run_id}" if run_id else dashboard.query("convzoo-runs"))
    if _is_server(uri):
        return f"{uri.rstrip('/')}/{page}"
    return f"\n  mlflow server --workers 1 --backend-store-uri {uri}\n  http://127.0.0.1:5000/{page}"


def check_store(uri):
    """Refuses a store that cannot be there, before anything is waited for.

    Raises:
        UserError: naming `tracking.uri`.
    """
    if _is_server(uri):
        _check_server(uri)
    elif not (path := sqlite_path(uri)):
        raise UserError(f"`tracking.uri` must be sqlite:///file or the address of a server. Received: {uri!r}")
    elif not path.parent.is_dir():
        raise UserError(f"`tracking.uri={uri}`: there is no folder {path.parent}")


def check_recorded(uri):
    """Refuses a store that cannot be there, or is a file that is not.

    Raises:
        UserError: naming `tracking.uri`.
    """
    check_store(uri)
    if (path := sqlite_path(uri)) and not path.exists():
        raise UserError(f"`tracking.uri={uri}`: there is no {path}; nothing has been recorded there")


def open_store(uri):
    """MLflow's client of a store.

    Raises:
        UserError: it cannot be reached or opened.
    """
    check_store(uri)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    import mlflow

    for name in ("mlflow", "alembic"):  # importing it sets its own level
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        if (path := sqlite_path(uri)) and not path.exists():
            _create(path)
        client = mlflow.MlflowClient(uri)
        client.search_experiments(max_results=1)
    except Exception as error:
        raise UserError(f"`tracking.uri={uri}` cannot be opened: {str(error).strip().splitlines()[0]}") from error
    return client


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
        raise UserError(f"`tracking.uri={uri}`: no MLflow server answers there ({error})") from error


def mlflow_error():
    """The class of what MLflow raises."""
    from mlflow.exceptions import MlflowException

    return MlflowException
