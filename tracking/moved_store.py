"""A sqlite store that was moved or copied, together with the folder of its runs' files.

MLflow stores absolute paths. With the old paths, a copied store would overwrite the files of the original, and a moved
store would create the old folder again.
"""

import contextlib
import re
import shlex
import sqlite3
import urllib.parse
import urllib.request
from pathlib import Path

from .. import UserError
from ..settings.text import printable

FILES_FOLDER = "mlartifacts"  # beside a sqlite store, with a folder for each run
# The (table, column) pairs that hold absolute paths below that folder.
_PATH_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def update_paths(connection: sqlite3.Connection, uri: str, path: Path) -> None:
    """Change the paths in a store that was moved or copied to the folder where it is now.

    Args:
        connection: an open connection to the store, without implicit transactions.
        uri: address of the store.
        path: file of the store.

    Raises:
        UserError: the files of its runs are still in the old folder.
    """
    new_folder = path.parent / FILES_FOLDER
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchone():
        return  # not a store; MLflow reports it
    try:
        locations = connection.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
    except sqlite3.OperationalError:
        return  # a store of another version of MLflow; `check_tables` reports it
    current_folders = [folder / FILES_FOLDER for folder in (path.parent, path.resolve().parent)]
    for (location,) in locations:
        old_folder = _files_folder(location)
        if old_folder is None or any(_is_same_folder(old_folder, folder) for folder in current_folders):
            continue
        _check_files_copied(connection, uri, location, old_folder, new_folder)
        _replace_location(connection, location, new_folder)
        print(f"{uri} was moved or copied: the files of its runs are those in {new_folder}", flush=True)


def _check_files_copied(
    connection: sqlite3.Connection, uri: str, location: str, old_folder: Path, new_folder: Path
) -> None:
    """Refuse a store if the files of a finished run lie in the old folder alone."""
    runs = connection.execute(
        "SELECT run_uuid FROM runs WHERE status = 'FINISHED' AND substr(artifact_uri, 1, ?) = ?",
        (len(location) + 1, f"{location}/"),
    )
    for (run,) in runs:
        if re.fullmatch("[0-9a-f]{32}", run) and (old_folder / run).is_dir() and not (new_folder / run).is_dir():
            source, target = shlex.quote(f"{old_folder}/."), shlex.quote(str(new_folder))
            raise UserError(
                f"`tracking.uri={uri}` was moved or copied without the files of its runs, which lie in "
                f"{printable(old_folder)}; copy them: mkdir -p {target} && cp -rn {printable(source)} {target}"
            )


def _replace_location(connection: sqlite3.Connection, location: str, new_folder: Path) -> None:
    below, length = f"{location}/", len(location) + 1
    connection.execute("BEGIN IMMEDIATE")
    for table, column in _PATH_COLUMNS:
        try:
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                (new_folder.as_uri(), length, location, length, below),
            )
        except sqlite3.OperationalError as error:
            if "no such" not in str(error):  # another version of MLflow may lack the column
                raise
    connection.execute("COMMIT")


def _files_folder(location: object) -> Path | None:
    """Return the folder that an experiment's location names if this package made it, else None."""
    if (
        not isinstance(location, str)
        or not location.startswith("file:///")
        or not location.endswith(f"/{FILES_FOLDER}")
    ):
        return None
    return Path(urllib.request.url2pathname(urllib.parse.urlparse(location).path))


def _is_same_folder(one: Path, other: Path) -> bool:
    with contextlib.suppress(OSError):
        return one.resolve() == other.resolve() or one.samefile(other)
    return False
