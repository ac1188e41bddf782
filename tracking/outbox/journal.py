"""The records of a run, on disk until the store has them.

    spool/RUN/journal.jsonl   a record a line, in the order in which they were made
    spool/RUN/taken           how many of them the store has, as which run, and which of them it refused
    spool/RUN/files/          the files that the records name
    spool/RUN/lock            locked by the process that makes the run
    spool/lock                locked by the process that delivers the journals of others
    spool/servers             addresses of servers that have answered a command in this folder

Nothing is forced onto the disk: a power cut may lose the last seconds, which the training repeats from its checkpoint.
Whatever is read is checked first (`schema`): a damaged line stays where it is and is reported. A folder is removed only
when the store has everything in it, or when it never held anything.
"""

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from ... import UserError
from ...settings.paths import path_below
from ...settings.schema import parse
from .. import heartbeat
from . import schema

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

SPOOL = "spool"
_MAX_ATTEMPTS = 10
_NO_LINE = "journal.jsonl has no whole line"
Record = dict[str, Any]


class Journal:
    """The file of one run's records. One thread may append while another one acknowledges.

    Attributes:
        folder: of the journal.
        records: mappings, each with the action that it `do`es; the first begins the run, the last ends it.
        delivered: number of records, from the first on, that the store has.
        refused: the records among them that the store refused, a mapping from position in `records` to the reason.
        run: MLflow's id of the run; None before the store has it.
        experiment: MLflow's id of the study's experiment; None before the store has it.
        is_on_disk: whether all records are on disk.

    Args:
        folder: of the journal.
        lock: an open file that is locked, or None.
    """

    def __init__(self, folder: Path, lock: IO[str] | None = None):
        self.folder = Path(folder)
        self.lock = lock
        self.records: list[Record] = []
        self.delivered = 0
        self.refused: dict[int, str] = {}
        self.run: str | None = None
        self.experiment: str | None = None
        self.is_on_disk = True
        self._second_folder: Path | None = None  # for files that do not fit into the first
        self._file_count = 0

    @classmethod
    def new(cls, begin: Mapping[str, Any]) -> "Journal":
        """Create a journal of this process from its first record."""
        name = f"{time.time_ns():x}-{os.getpid()}"
        journal = cls(Path(SPOOL).absolute() / name)
        try:
            journal.lock = _create_locked(journal.folder)
        except OSError as error:
            journal._use_memory(error)
        journal.append({**begin, "journal": name, **heartbeat.lease_tags()})
        return journal

    @classmethod
    def read(cls, folder: Path, lock: IO[str] | None = None) -> "Journal | None":
        """Read the journal that a process left; None if it has no first record.

        A damaged line is a record that does nothing, with the reason.
        """
        journal = cls(folder, lock)
        with contextlib.suppress(OSError):
            lines = _whole_lines((journal.folder / "journal.jsonl").read_bytes())
            journal.records = [_parse_record(line, number, folder) for number, line in enumerate(lines)]
        if not journal.records or journal.begin["do"] != "begin":
            return None
        with contextlib.suppress(OSError, ValueError, RecursionError, UserError):  # else all is delivered again
            position = parse(schema.Position, json.loads((journal.folder / "taken").read_bytes()), "taken")
            is_plausible = position.records <= len(journal.records) + 1  # 1 for an end that the journal lacks
            if is_plausible and (position.run or not position.records):
                journal.delivered = min(position.records, len(journal.records))
                journal.run, journal.experiment = position.run, position.experiment
                journal.refused = {number: "" for number in position.refused if 0 < number < position.records}
        return journal

    @property
    def begin(self) -> Record:
        """The first record."""
        return self.records[0]

    @property
    def has_ended(self) -> bool:
        """True if the last record ends the run."""
        return self.records[-1]["do"] == "end"

    @property
    def relative_folder(self) -> str:
        """The folder, relative to the one in which the command was given."""
        return os.path.relpath(self.folder)

    @property
    def pending_count(self) -> int:
        """Number of records that the store does not have."""
        return len(self.records) - self.delivered + len(self.refused)

    def append(self, record: Record) -> None:
        """Add a record."""
        if self.is_on_disk:
            try:
                with (self.folder / "journal.jsonl").open("a") as file:
                    file.write(json.dumps(record) + "\n")
            except OSError as error:
                self._use_memory(error)
        self.records.append(record)

    def new_file(self, name: str) -> tuple[Path, str]:
        """Return the path of a new file that goes with a record, and the word by which the record names it."""
        self._file_count += 1
        word = f"{self._file_count}-{time.time_ns():x}/{name}"
        path = (self._second_folder or self.folder) / "files" / word
        path.parent.mkdir(parents=True)
        return path, word

    def file(self, word: str) -> Path:
        """Return the path of a file by the word of its record.

        Raises:
            UserError: there is no such file, or it would be outside of `files/`.
        """
        for folder in filter(None, (self.folder, self._second_folder)):
            path = path_below(folder / "files", word)
            if path.is_file():
                return path
        raise UserError(f"there is no file {os.path.relpath(self.folder / 'files' / word)}")

    def move_to_temporary_folder(self, error: OSError) -> None:
        """Put further files into a temporary folder; raise the error if that is so already."""
        if self._second_folder:
            raise error
        self._second_folder = Path(tempfile.mkdtemp(prefix="convzoo-"))
        self._use_memory(error)

    def note_delivery(self, run: str | None = None, experiment: str | None = None, records: int = 1) -> None:
        """Note that the store has the next records; with the first of them, as which run."""
        self.delivered += records
        self.run, self.experiment = run or self.run, experiment or self.experiment
        self._save_position()

    def refuse(self, number: int, reason: str) -> None:
        """Note that the store refuses a record, so that the next ones can be delivered."""
        self.refused[number] = reason
        self.delivered = max(self.delivered, number + 1)
        self._save_position()

    def accept(self, number: int) -> None:
        """Note that the store has a record that it refused before."""
        del self.refused[number]
        self._save_position()

    def rewind(self, records: int) -> None:
        """Note that the store has lost all records but the first so many."""
        self.delivered = records
        self.refused = {number: reason for number, reason in self.refused.items() if number < records}
        self._save_position()

    def reset(self) -> None:
        """Note that the store has no run of this journal: the run belongs to another process now, or is gone."""
        self.run, self.experiment = None, None
        self.rewind(0)

    def remove(self) -> None:
        """Remove the folder, and the spool if nothing else is in it."""
        for folder in filter(None, (self.folder, self._second_folder)):
            shutil.rmtree(folder, ignore_errors=True)
        self.close()
        if self.folder.parent.name != SPOOL:
            return
        with contextlib.suppress(OSError):
            _remove_empty_folders(self.folder.parent)
            if os.listdir(self.folder.parent) == ["lock"]:
                (self.folder.parent / "lock").unlink()
            self.folder.parent.rmdir()

    def close(self) -> None:
        """Release the lock."""
        if self.lock:
            self.lock.close()

    def _save_position(self) -> None:
        position = {
            "records": self.delivered,
            "run": self.run,
            "experiment": self.experiment,
            "refused": sorted(self.refused),
        }
        with contextlib.suppress(OSError), (self.folder / "taken").open("w") as file:
            file.write(json.dumps(position))

    def _use_memory(self, error: OSError) -> None:
        if not self.is_on_disk:
            return
        self.is_on_disk = False
        if not self.folder.exists():
            self.folder = Path(tempfile.mkdtemp(prefix="convzoo-"))
        reason = f"{SPOOL}/ cannot be written to ({error.strerror or error})"
        print(f"warning: {reason}: what waits for the store is in memory alone", flush=True)


def orphaned_journals(uri: str | None = None) -> Iterator[Journal]:
    """Yield the journals whose process is gone, the oldest first, each locked for the caller.

    Args:
        uri: address of their store; None is any.
    """
    for folder in _folders():
        with contextlib.suppress(OSError):
            lock = _try_lock(folder / "lock")
            if lock is None and fcntl:
                continue
            journal = Journal.read(folder, lock) if folder.exists() else None
            if journal and uri in (None, journal.begin["uri"]) and (fcntl or not heartbeat.is_live(journal.begin)):
                yield journal
            elif lock:
                lock.close()


def pending_journals(uri: str | None = None) -> list[Journal]:
    """Return the journals on disk, whether their process is alive or not, the oldest first.

    Args:
        uri: address of their store; None is any.
    """
    on_disk = [journal for folder in _folders() if (journal := Journal.read(folder))]
    return [journal for journal in on_disk if uri in (None, journal.begin["uri"])]


@contextlib.contextmanager
def delivery_lock() -> Iterator[None]:
    """Let one process at a time deliver the journals of others."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # no spool, or none that can be written to
            lock = stack.enter_context((Path(SPOOL) / "lock").open("w"))
            if fcntl:
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def unreadable_folders() -> list[tuple[Path, str]]:
    """Return the folders of the spool that hold something but no readable first record, each with the reason."""
    unreadable: list[tuple[Path, str]] = []
    for folder in _folders():
        with contextlib.suppress(OSError):
            if not _has_content(folder) or Journal.read(folder):
                continue
            lock = _try_lock(folder / "lock")
            if lock is None and fcntl:
                continue  # its process is alive
            with lock or contextlib.nullcontext():
                lines = _whole_lines((folder / "journal.jsonl").read_bytes())
            reason = _parse_record(lines[0], 0, folder).get("reason", "") if lines else _NO_LINE
            unreadable.append((folder, reason))
    return unreadable


def _folders() -> list[Path]:
    """Return the folders with a journal, the oldest first. Links are not followed: they may lead out of the spool."""
    paths = sorted(Path(SPOOL).absolute().glob("*/journal.jsonl"))
    return [path.parent for path in paths if path.is_file() and not (path.is_symlink() or path.parent.is_symlink())]


def _whole_lines(data: bytes) -> list[bytes]:
    """Return the lines of a journal, without a last line that was cut off when its process was killed."""
    *lines, rest = data.split(b"\n")
    start = b'{"do": "'
    is_cut_off = rest[: len(start)] == start[: len(rest)] and all(32 <= byte < 127 for byte in rest)
    return lines if is_cut_off else [*lines, rest]


def _parse_record(line: bytes, number: int, folder: Path) -> Record:
    """Return the record of a line; a damaged line becomes a record that does nothing, with the reason."""
    where = f"{SPOOL}/{Path(folder).name}/journal.jsonl, line {number + 1}"
    try:
        record = json.loads(line.decode())
        schema.check_record(record, where, first=not number)
    except UserError as error:
        return {"do": "damaged", "reason": str(error)}
    except (ValueError, RecursionError) as error:
        reason = "is not UTF-8" if isinstance(error, UnicodeError) else "is no JSON"
        return {"do": "damaged", "reason": f"{where} {reason}"}
    return record


def _has_content(folder: Path) -> bool:
    """Return whether a folder of the spool holds anything: a line, damaged or not, or a file."""
    journal = folder / "journal.jsonl"
    if journal.is_symlink() or (journal.exists() and not journal.is_file()):
        return True
    return (journal.exists() and bool(_whole_lines(journal.read_bytes()))) or any((folder / "files").glob("**/*"))


def _remove_empty_folders(spool: Path) -> None:
    """Remove the folders of processes that were killed before the first line of their journal."""
    for folder in spool.iterdir():
        pid = folder.name.rpartition("-")[2]
        if folder.is_symlink() or not pid.isdigit() or heartbeat.is_running(int(pid)) or _has_content(folder):
            continue
        if (lock := _try_lock(folder / "lock")) or not fcntl:
            shutil.rmtree(folder, ignore_errors=True)
        if lock:
            lock.close()


def _create_locked(folder: Path) -> IO[str] | None:
    """Create the folder of a journal, and return its locked file."""
    for attempt in range(_MAX_ATTEMPTS):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return _try_lock(folder / "lock")
        except FileNotFoundError:  # another process has just removed the empty spool
            if attempt == _MAX_ATTEMPTS - 1:
                raise
    return None


def _try_lock(path: Path) -> IO[str] | None:
    """Return the file, open and locked; None if another process has locked it, or its file system has no locks.

    A system without `fcntl` returns the open file without a lock.
    """
    file = path.open("a")
    if fcntl:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return None
    return file
