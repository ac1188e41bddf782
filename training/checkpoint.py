"""Checkpoints on disk: all that decides the next step of a training, so that it resumes bit by bit."""

import contextlib
import errno
import hashlib
import io
import json
import os
import re
import shutil
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, NamedTuple, TextIO, TypeVar

import numpy as np
import pydantic

from .. import UserError
from ..settings.schema import Schema, parse
from . import backend

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

MAX_TO_KEEP = 2

_FOLDER = re.compile("[0-9a-f]{16}-[0-9a-f]{8}")  # identity and origin of a run
_FILE = re.compile(r"epoch-(\d+)(?:-step-(\d+))?-([0-9a-f]{16})\.npz")
_TEMPORARY_FILE = "writing"
_LOCK_FILE = "lock"
_IDLE_FILE = "idle.json"
_MAX_TRIES = 10
_MIN_CHECKS = 10  # before checkpoints count as stale, whatever the clock says
_DAY = 24 * 3600
# The exceptions that a damaged file raises in its readers; UserError is a ValueError.
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile)


class BusyError(UserError):
    """Another process uses the folder."""

    elsewhere = True  # a sweep leaves the run to it


class Facts(Schema):
    """The part of a checkpoint that is no array. A training adds its own facts by a subclass.

    Attributes:
        history: metrics of the epochs so far, one mapping per epoch.
        device: as returned by `backend.describe_device`.
    """

    model_config = pydantic.ConfigDict(extra="allow", allow_inf_nan=True)

    history: list[dict[str, float]]
    device: dict[str, str] | None = None


FactsT = TypeVar("FactsT", bound=Facts)


class Checkpoint(NamedTuple, Generic[FactsT]):
    """A checkpoint as it was read.

    Attributes:
        arrays: the arrays that were written.
        facts: an instance of the schema.
    """

    arrays: list[np.ndarray]
    facts: FactsT


class _Idle(Schema):
    """Time that a run's checkpoints have been unused, as far as commands observed it.

    Attributes:
        changed: modification time of the newest file.
        seconds: number of seconds without a change, as counted.
        last_look: time of the last check.
    """

    changed: float
    seconds: float
    last_look: float


class Checkpoints:
    """Checkpoints of one run in a folder of their own: a context that one process at a time may enter.

    A checkpoint is written to a temporary file and renamed. Its name holds a digest of its content. A damaged
    checkpoint is reported, and the one before it is used. The last two are kept; `remove` deletes all once the run is
    done.

    Args:
        folder: folder of the run; created if it does not exist.
        min_seconds: shortest time between two checkpoints, except for the last epoch's; 0 writes one per epoch.
            Default 30.
        discard_existing: whether to delete existing checkpoints on entry; default False.
        epochs: number of epochs of the run, or None if it is unknown (default).
        device: as returned by `backend.describe_device`; None (default) is not compared.

    Attributes:
        history: metrics of the epochs that are done, one mapping per epoch.
        clock: returns seconds; tests replace it.

    Raises:
        BusyError: on entry: another process uses the folder.
        UserError: on entry: the folder cannot be created or written to.

    Example:
        with Checkpoints("checkpoints/run", min_seconds=0) as checkpoints:
            checkpoint = checkpoints.read()  # None at first
            checkpoints.history.append({"train_loss": 2.3})
            checkpoints.write([np.zeros(3)], {"best_accuracy": 0.1})
    """

    def __init__(
        self,
        folder: Path | str,
        min_seconds: float = 30.0,
        discard_existing: bool = False,
        epochs: int | None = None,
        device: dict[str, str] | None = None,
    ):
        self.folder = Path(folder)
        self.min_seconds = min_seconds
        self.discard_existing = discard_existing
        self.epochs = epochs
        self.device = device
        self.clock: Callable[[], float] = time.monotonic
        self.history: list[dict[str, float]] = []
        self._has_write_error = False
        self._has_old_lock = False
        self._last_write = 0.0
        self._lock: TextIO

    @classmethod
    def from_config(cls, settings: Mapping[str, Any], key: str, device: dict[str, str] | None = None) -> "Checkpoints":
        """Return the checkpoints of a run, and remove the stale ones of other runs.

        Args:
            settings: the resolved config; `checkpoints`, `resume` and `epochs` are used.
            key: identity and origin of the run, the name of its folder.
            device: as returned by `backend.describe_device`; default None.
        """
        config = settings["checkpoints"]
        directory = Path(config["directory"])
        if config["days"] is not None:
            remove_stale(directory, config["days"], excluded=key)
        discard_existing = settings["resume"] == "never"
        return cls(directory / key, config["seconds"], discard_existing, settings["epochs"], device)

    def __enter__(self) -> "Checkpoints":
        self._acquire_lock()
        while not self._owns_lock():  # the process that held it finished and removed the folder
            self._lock.close()
            self._acquire_lock()
        self._last_write = self.clock()
        if self.discard_existing:
            self._has_old_lock = False
            self._clear()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        if not self._is_locked_by_other() and not self._list_paths():
            with contextlib.suppress(NotADirectoryError):
                for name in (_LOCK_FILE, _TEMPORARY_FILE, _IDLE_FILE):
                    (self.folder / name).unlink(missing_ok=True)
            self._remove_empty_folders()
        self._lock.close()

    def _acquire_lock(self) -> None:
        path = self.folder / _LOCK_FILE
        try:
            for _ in range(_MAX_TRIES):
                self.folder.mkdir(parents=True, exist_ok=True)
                self._has_old_lock = path.exists()
                with contextlib.suppress(FileNotFoundError):  # another process removed the empty folder
                    self._lock = path.open("w")
                    break
            else:
                raise FileNotFoundError(errno.ENOENT, "another process keeps removing it")
        except OSError as error:
            raise self._write_error(error) from error
        if fcntl:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                self._lock.close()
                raise BusyError(
                    f"another process is training this run; its checkpoints are in {self.folder}"
                ) from error

    def _owns_lock(self) -> bool:
        """Return whether the lock file in the folder is the one that this object has locked."""
        if self._lock.closed:
            return False
        try:
            stat = (self.folder / _LOCK_FILE).stat()
        except OSError:
            return False
        return os.path.samestat(stat, os.fstat(self._lock.fileno()))

    def _is_locked_by_other(self) -> bool:
        """Return whether another process has created the folder again, after it was removed."""
        return (self.folder / _LOCK_FILE).exists() and not self._owns_lock()

    @property
    def has_partial_run(self) -> bool:
        """True if the run was started here and not finished, even if it was killed before its first checkpoint."""
        return self._has_old_lock or bool(self._list_paths())

    @property
    def has_final_checkpoint(self) -> bool:
        """True if the checkpoint of the last epoch exists."""
        return any(self._match(path)[1] == self.epochs for path in self._list_paths())

    def check_device(self) -> None:
        """Refuse to resume on another device, or with another number of threads, than the training started with.

        Sums of floating-point numbers depend on them, so the weights would be those of neither.

        Raises:
            UserError: the device differs; the message names both and the remedy.
        """
        recorded = self._read_device()
        if not recorded or not self.device or recorded == self.device:
            return
        is_same_kind = {**recorded, "threads": ""} == {**self.device, "threads": ""}
        differs_in_threads = is_same_kind and recorded.get("threads", "").isdecimal()
        remedy = (
            f"`{backend.format_threads_setting(recorded['threads'])}` in the environment"
            if differs_in_threads
            else "the same device"
        )
        raise UserError(
            f"{self.folder}: this training was started on {_format_device(recorded)} and would be resumed on "
            f"{_format_device(self.device)}, which gives other weights: resume it with {remedy}, or start over with "
            "`resume=never`"
        )

    def list_other_origins(self, former_identity: str | None = None) -> list[Path]:
        """Return the folders with checkpoints of the same run, written by other code or other versions.

        Args:
            former_identity: hash by which a former version knew the run; default None.
        """
        identities = {self.folder.name.partition("-")[0], former_identity} - {None}
        candidates = [folder for identity in identities for folder in self.folder.parent.glob(f"{identity}-*")]
        folders = [folder for folder in candidates if _FOLDER.fullmatch(folder.name)]
        return sorted(folder for folder in folders if folder != self.folder and any(folder.glob("epoch-*.npz")))

    def _read_device(self) -> dict[str, str] | None:
        """Return the device of the newest checkpoint, or None; its arrays are not read."""
        for path in self._list_paths():
            with contextlib.suppress(*_UNREADABLE), np.load(path, allow_pickle=False) as archive:
                return _parse_facts(archive, Facts, path).device
        return None

    def read(self, schema: type[FactsT] = Facts) -> Checkpoint[FactsT] | None:  # type: ignore[assignment]
        """Read the newest undamaged checkpoint, and set `history` to its history.

        Args:
            schema: a subclass of `Facts` (default), which the facts must match; a checkpoint that does not is skipped.

        Returns:
            A `Checkpoint`, or None if there is none.
        """
        for path in self._list_paths():
            try:
                data = path.read_bytes()
                if compute_digest(data) != self._match(path)[3]:
                    raise UserError("the digest differs")
                with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                    facts = _parse_facts(archive, schema, path)
                    arrays = [archive[f"a{number}"] for number in range(len(archive.files) - 1)]
            except _UNREADABLE:
                print(f"warning: {path} is damaged or was altered; using the checkpoint before it", flush=True)
                continue
            self.history[:] = facts.history
            return Checkpoint(arrays, facts)
        return None

    def is_due(self) -> bool:
        """Return whether `min_seconds` have passed since the last checkpoint."""
        return self.clock() - self._last_write >= self.min_seconds

    def write(self, arrays: list[np.ndarray], facts: Mapping[str, Any], steps: int = 0, is_last: bool = False) -> None:
        """Write a checkpoint, which also holds `history` and `device`.

        If that fails, because the disk is full, say, it prints a warning; the training continues and existing
        checkpoints stay. A folder that was removed is created again.

        Args:
            arrays: arrays to store; those of a type that NumPy lacks, such as bfloat16, are stored as float32.
            facts: a mapping that JSON can hold.
            steps: number of steps of the current epoch that are done; default 0.
            is_last: whether the training ends here, be it before its last epoch; default False.
        """
        named_arrays = {
            f"a{number}": array.astype("float32") if array.dtype.kind == "V" else array
            for number, array in enumerate(arrays)
        }
        text = json.dumps({**facts, "history": self.history, "device": self.device}).encode()
        buffer = io.BytesIO()
        np.savez(buffer, facts=np.frombuffer(text, np.uint8), **named_arrays)  # type: ignore[arg-type]
        data = buffer.getvalue()
        step_part = f"-step-{steps:05d}" if steps else ""
        epoch = self.epochs if is_last and self.epochs else len(self.history)
        try:
            if not self._owns_lock():
                self._lock.close()
                self._acquire_lock()
            self._write_file(data, self.folder / f"epoch-{epoch:05d}{step_part}-{compute_digest(data)}.npz")
            self._has_write_error = False
        except UserError as error:
            if not self._has_write_error:
                print(f"warning: {error}; training continues without a new checkpoint", flush=True)
            self._has_write_error = True
        self._last_write = self.clock()

    def _write_file(self, data: bytes, path: Path) -> None:
        temporary = self.folder / _TEMPORARY_FILE
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            for old in self._list_paths()[MAX_TO_KEEP:]:
                old.unlink()
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)  # a partial file would use the space that is free
            raise self._write_error(error) from error

    def _write_error(self, error: OSError) -> UserError:
        return UserError(f"`checkpoints.directory`: {self.folder} cannot be written to: {error.strerror or error}")

    def remove(self) -> None:
        """Delete the folder, since the run is done, and the folder of all runs if it is empty then."""
        if self._is_locked_by_other():
            return
        with contextlib.suppress(OSError):
            for path in reversed(self._list_paths()):  # the final checkpoint shows that the run is done, so it is last
                path.unlink()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._remove_empty_folders()

    def _remove_empty_folders(self) -> None:
        for folder in (self.folder, self.folder.parent):
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _clear(self) -> None:
        for path in self._list_paths():
            path.unlink()

    @staticmethod
    def _match(path: Path) -> tuple[str, int, int, str]:
        """Return the parts of a checkpoint's name: the whole, the epoch, the step and the digest."""
        match = _FILE.fullmatch(path.name)
        assert match
        return match[0], int(match[1]), int(match[2] or 0), match[3]

    def _list_paths(self) -> list[Path]:
        """Return the paths of the checkpoints, newest first."""
        paths = [path for path in self.folder.glob("*.npz") if _FILE.fullmatch(path.name)]
        return sorted(paths, key=lambda path: self._match(path)[1:3], reverse=True)


def can_resume(settings: Mapping[str, Any], key: str) -> bool:
    """Return whether there is a checkpoint that a run may resume from.

    Args:
        settings, key: as for `Checkpoints.from_config`.
    """
    folder = Path(settings["checkpoints"]["directory"]) / key
    return settings["resume"] != "never" and any(_FILE.fullmatch(path.name) for path in folder.glob("*.npz"))


def remove_stale(directory: Path, days: float, excluded: str = "", now: Callable[[], float] = time.time) -> None:
    """Remove the checkpoints of runs that have been idle for `days`, and print a line for each.

    A clock may be wrong by years. So each check adds to a run's idle time only the time since the last check, and at
    most a tenth of `days`: a clock alone never makes a checkpoint stale.

    Args:
        directory: folder of all runs' checkpoints.
        days: days since the last checkpoint of a run.
        excluded: name of the folder that is not removed; default none.
        now: returns seconds since 1970; default `time.time`. For tests.
    """
    for folder in directory.glob("*-*"):
        if folder.name == excluded or not _FOLDER.fullmatch(folder.name):
            continue
        with contextlib.suppress(OSError, UserError):  # it is in use, or belongs to another user
            idle_seconds = _count_idle_seconds(folder, now(), days * _DAY / _MIN_CHECKS)
            if idle_seconds >= days * _DAY:
                with Checkpoints(folder) as stale:
                    stale.remove()
                if not folder.exists():
                    print(f"{folder} removed: nobody resumed it for {idle_seconds / _DAY:,.0f} days", flush=True)


def _count_idle_seconds(folder: Path, now: float, maximum: float) -> float:
    """Return the seconds that a run's folder has been unused; time since the last check counts up to `maximum`."""
    changed = max((path.stat().st_mtime for path in folder.iterdir() if path.name != _IDLE_FILE), default=0.0)
    path = folder / _IDLE_FILE
    try:
        idle = parse(_Idle, json.loads(path.read_bytes()), str(path))
    except (OSError, ValueError):
        idle = None
    if idle is None or idle.changed != changed:
        idle = _Idle(changed=changed, seconds=0.0, last_look=changed)
    seconds = idle.seconds + min(max(now - idle.last_look, 0.0), maximum)
    path.write_text(json.dumps({"changed": changed, "seconds": seconds, "last_look": now}))
    return seconds


def _parse_facts(archive: Mapping[str, np.ndarray], schema: type[FactsT], path: Path) -> FactsT:
    return parse(schema, json.loads(bytes(archive["facts"]).decode()), str(path))


def _format_device(device: Mapping[str, str]) -> str:
    threads = device.get("threads")
    return f"{threads} thread{'s' * (threads != '1')}" if threads else device.get("device", "another device")


def compute_digest(data: bytes) -> str:
    """Return the digest that the name of a checkpoint holds: 16 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()
