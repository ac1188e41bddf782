"""Starts an MLflow server for a team, which asks everyone for a name and a password.

It listens on this machine alone unless it is told otherwise. In its folder are the administrator's password, which is
made and said at the first start, the users, what signs their sessions, and, unless --store and --artifacts say where
else, runs and artifacts. Who has a password reads and writes everything; who has none, nothing.
"""

import argparse
import importlib.util
import os
import secrets
import sys
from pathlib import Path

AUTH = """\
[mlflow]
default_permission = EDIT
database_uri = sqlite:///{folder}/users.db
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
"""
_SESSIONS = "MLFLOW_FLASK_SERVER_SECRET_KEY"


def command(folder, host="127.0.0.1", port=5000, store=None, artifacts=None, more=()):
    """The words that start the server, and what they need in the environment.

    Args:
        folder: of the server, made if it is not there.
        host: the address that it listens on.
        port: the port.
        store: `postgresql://user:password@host/database`, or another of MLflow's; None is a sqlite file in the folder.
        artifacts: a folder, or an `s3://…` of MLflow's; None is a folder in the folder.
        more: further words for `mlflow server`.

    Returns:
        (words, environment).
    """
    folder = Path(folder).absolute()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _kept(folder / "auth.ini", AUTH.format(folder=folder))
    environment = {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": _kept(folder / "admin-password", secrets.token_urlsafe(16)),
        _SESSIONS: _kept(folder / "sessions-key", secrets.token_hex(32)),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    words = [sys.executable, "-m", "mlflow", "server", "--app-name=basic-auth", f"--host={host}", f"--port={port}"]
    words += [f"--backend-store-uri={store or f'sqlite:///{folder}/mlflow.db'}"]
    words += [f"--artifacts-destination={artifacts or folder / 'artifacts'}", *more]
    return words, environment


def _kept(path, made):
    """What a file of the server's says; what is made for it, if it is not there. Nobody else may read it."""
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(made)
    return path.read_text()


def main():
    parser = argparse.ArgumentParser(
        prog="python -m convzoo.tracking.server",
        description=__doc__,
        epilog="Further words go to `mlflow server`, as --workers=1.",
    )
    parser.add_argument("folder", help="of the server")
    parser.add_argument("--host", default="127.0.0.1", help="that it listens on; default: this machine alone")
    parser.add_argument("--port", type=int, default=5000)
    parser.add_argument("--store", help="where runs are kept, as postgresql://user:password@host/database")
    parser.add_argument("--artifacts", help="where files are kept, a folder or as s3://bucket/path")
    told, more = parser.parse_known_args()
    if importlib.util.find_spec("flask_wtf") is None:
        parser.exit(2, "error: passwords need packages that are not installed: pip install 'convzoo[server]'\n")
    first = not (Path(told.folder) / "admin-password").exists()
    words, environment = command(told.folder, told.host, told.port, told.store, told.artifacts, more)
    if first:
        print(f"the password of the user admin: {environment['MLFLOW_AUTH_ADMIN_PASSWORD']}", flush=True)
    os.execve(words[0], words, {**os.environ, **environment})


if __name__ == "__main__":
    main()
