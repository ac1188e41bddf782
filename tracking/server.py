"""Starts an MLflow server for a team, which asks everyone for a name and a password.

It listens on this machine alone unless --host says otherwise. The first start creates the administrator's password and
prints it. The folder holds that password, the users, the key that signs their sessions, and, unless --store and
--artifacts name other places, runs and artifacts. A user with a password can read and write everything.
"""

import argparse
import importlib.util
import os
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class ServerOptions:
    """The address of a server, and the places of its runs and files.

    Attributes:
        folder: of the server; it is created if it does not exist.
        host: the address to listen on.
        port: the port to listen on.
        store: `postgresql://user:password@host/database`, or another store of MLflow's; None is a sqlite file in the
            folder.
        artifacts: a folder, or an `s3://…` of MLflow's; None is a folder in the folder.
    """

    folder: str
    host: str = "127.0.0.1"
    port: int = 5000
    store: str | None = None
    artifacts: str | None = None


def server_command(options: ServerOptions, extra: Sequence[str] = ()) -> tuple[list[str], dict[str, str]]:
    """Return the words that start the server, and the environment variables that they need.

    Args:
        options: of the server.
        extra: further words for `mlflow server`.
    """
    folder = Path(options.folder).absolute()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _read_or_create(folder / "auth.ini", AUTH.format(folder=folder))
    environment = {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": _read_or_create(folder / "admin-password", secrets.token_urlsafe(16)),
        _SESSIONS: _read_or_create(folder / "sessions-key", secrets.token_hex(32)),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    words = [sys.executable, "-m", "mlflow", "server", "--app-name=basic-auth"]
    words += [f"--host={options.host}", f"--port={options.port}"]
    words += [f"--backend-store-uri={options.store or f'sqlite:///{folder}/mlflow.db'}"]
    words += [f"--artifacts-destination={options.artifacts or folder / 'artifacts'}", *extra]
    return words, environment


def _read_or_create(path: Path, default: str) -> str:
    """Return the text of a file of the server's, which is created if it does not exist. Nobody else may read it."""
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(default)
    return path.read_text()


def main() -> None:
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
    arguments, extra = parser.parse_known_args()
    if importlib.util.find_spec("flask_wtf") is None:
        parser.exit(2, "error: passwords need packages that are not installed: pip install 'convzoo[server]'\n")
    is_first_start = not (Path(arguments.folder) / "admin-password").exists()
    words, environment = server_command(ServerOptions(**vars(arguments)), extra)
    if is_first_start:
        print(f"the password of the user admin: {environment['MLFLOW_AUTH_ADMIN_PASSWORD']}", flush=True)
    os.execve(words[0], words, {**os.environ, **environment})


if __name__ == "__main__":
    main()
