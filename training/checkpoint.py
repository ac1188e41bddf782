"""What a killed training goes on from: everything that decides its next step, on disk."""

import contextlib
import errno
import hashlib
import io
import json
import os
import re
import shutil
import time
from pathlib import Path

import numpy as np

from .. import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_FOLDER = re.compile("[0-9a-f]{16}-[0-9a-f]{8}")  # of a run, by its identity and that of the code
_NAME = re.compile(r"epoch-(\d+)(?:-step-(\d+))?-([0-9a-f]{16})\.npz")
KEPT = 2
_TRIES = 10


class BusyError(UserError):
    """Another process has the folder."""

    elsewhere = True  # a sweep leaves the run to it


class Checkpoints:
    """The checkpoints of one run, in a folder of their own, as a context that one process at a time may enter.

    A checkpoint is written beside and renamed, and its name holds a digest of what it holds: one that is torn or was
    altered is told and the one before it taken. The last two are kept, all are gone once the run is done.

    Args:
        folder: made if it is not there.
        seconds: the least time between two, the last epoch apart; 0 keeps each epoch.
        forgets: whether what is there is forgotten on entering.
        clock: seconds, for tests.
        epochs: how many the run has, if that is known.

    Raises:
        BusyError: on entering, another process is in it.
        UserError: the folder cannot be made or written to.
    """

    def __init__(self, folder, seconds=30.0, forgets=False, clock=time.monotonic, epochs=None):
        self.folder, self.seconds, self.forgets, self.clock = Path(folder), seconds, forgets, clock
        self.epochs = epochs
        self.history = []  # of the epochs that were done, the metrics, a mapping each
        self._lock, self._left = None, False

    def __enter__(self):
        self._enter()
        while not self._is_ours():  # the process that had it was done and took the folder away
            self._lock.close()
            self._enter()
        self._written = self.clock()
        if self.forgets:
            self._left = False
            self._clear()
        return self

    def __exit__(self, *error):
        if not self._found():
            for name in ("lock", "writing"):
                (self.folder / name).unlink(missing_ok=True)
            self._remove_empty()
        self._lock.close()

    def _enter(self):
        try:
            for _ in range(_TRIES):
                self.folder.mkdir(parents=True, exist_ok=True)
                self._left = (self.folder / "lock").exists()
                with contextlib.suppress(FileNotFoundError):  # another process took the empty folder away
                    self._lock = (self.folder / "lock").open("w")
                    break
            else:
                raise FileNotFoundError(errno.ENOENT, "it is taken away again and again")
        except OSError as error:
            raise self._refused(error) from error
        if fcntl:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                self._lock.close()
                raise BusyError(
                    f"another process is training this run; its checkpoints are in {self.folder}"
                ) from error

    def _is_ours(self):
        """Whether the lock that is held is the one that lies in the folder."""
        try:
            there = (self.folder / "lock").stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(self._lock.fileno()))

    @property
    def begun(self):
        """Whether the run was begun here and not ended: it was killed, be it before its first checkpoint."""
        return self._left or bool(self._found())

    @property
    def trained(self):
        """Whether the checkpoint of the last epoch is there."""
        return any(int(_NAME.fullmatch(path.name)[1]) == self.epochs for path in self._found())

    def read(self):
        """The newest intact checkpoint, as (arrays, facts), or None; `history` becomes what it was then."""
        for path in self._found():
            data = path.read_bytes()
            if _digest(data) != _NAME.fullmatch(path.name)[3]:
                print(f"warning: {path} is torn or was altered; the checkpoint before it is taken", flush=True)
                continue
            with np.load(io.BytesIO(data), allow_pickle=False) as held:
                facts = json.loads(bytes(held["facts"]).decode())
                arrays = [held[f"a{number}"] for number in range(len(held.files) - 1)]
            self.history[:] = facts.pop("history")
            return arrays, facts
        return None

    def due(self):
        """Whether it is time for the next."""
        return self.clock() - self._written >= self.seconds

    def write(self, arrays, facts, steps=0):
        """Keeps what `read` then gives, with `history`.

        Args:
            arrays: a list of NumPy arrays; those of a type that NumPy lacks, as bfloat16, are kept as float32.
            facts: a mapping that JSON can hold.
            steps: of the epoch after those of `history`.

        Raises:
            UserError: there is no room, or the folder cannot be written to; what was there stays.
        """
        held = {
            f"a{number}": array.astype("float32") if array.dtype.kind == "V" else array
            for number, array in enumerate(arrays)
        }
        text = json.dumps({**facts, "history": self.history}).encode()
        buffer = io.BytesIO()
        np.savez(buffer, facts=np.frombuffer(text, np.uint8), **held)
        data = buffer.getvalue()
        within = f"-step-{steps:05d}" if steps else ""
        self._keep(data, self.folder / f"epoch-{len(self.history):05d}{within}-{_digest(data)}.npz")
        self._written = self.clock()

    def _keep(self, data, path):
        beside = self.folder / "writing"
        try:
            with beside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
            for old in self._found()[KEPT:]:
                old.unlink()
        except OSError as error:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)  # a half one would fill what is left
            raise self._refused(error) from error

    def _refused(self, error):
        return UserError(f"`checkpoints.directory`: {self.folder} cannot be written to: {error.strerror or error}")

    def remove(self):
        """Takes the folder away, and that of all runs if it was the last: the run is done."""
        with contextlib.suppress(OSError):
            for path in reversed(self._found()):  # the last epoch's says that the run is done until all else is gone
                path.unlink()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._remove_empty()

    def _remove_empty(self):
        for folder in (self.folder, self.folder.parent):
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _clear(self):
        for path in self._found():
            path.unlink()

    def _found(self):
        """Paths of the checkpoints, the newest first."""
        found = [match for path in self.folder.glob("*.npz") if (match := _NAME.fullmatch(path.name))]
        found.sort(key=lambda match: (int(match[1]), int(match[2] or 0)), reverse=True)
        return [self.folder / match[0] for match in found]


def of(settings, identity):
    """The `Checkpoints` of a run, as a config's `checkpoints` and `resume` want them.

    Args:
        settings: the resolved config.
        identity: of the run and of the code, a word.
    """
    where = settings["checkpoints"]
    directory = Path(where["directory"])
    if where["days"] is not None:
        clear_stale(directory, where["days"], but=identity)
    forgets = settings["resume"] == "never"
    return Checkpoints(directory / identity, where["seconds"], forgets, epochs=settings["epochs"])


def clear_stale(directory, days, but="", now=time.time):
    """Removes the checkpoints of runs that nobody has gone on with for so many days, and says so.

    Args:
        directory: that of all runs' checkpoints.
        days: since the last of a run's was written.
        but: the run that keeps its own, by the name of its folder.
        now: seconds since 1970, for tests.
    """
    for folder in directory.glob("*-*"):
        if folder.name == but or not _FOLDER.fullmatch(folder.name):
            continue
        with contextlib.suppress(OSError, UserError):  # it is in use, or not for us to remove
            age = now() - max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
            if age > days * 24 * 3600:
                with Checkpoints(folder) as stale:
                    stale.remove()
                if not folder.exists():
                    print(f"{folder} removed: nothing went on from there for {age / 24 / 3600:,.0f} days", flush=True)


def _digest(data):
    return hashlib.blake2b(data, digest_size=8).hexdigest()
