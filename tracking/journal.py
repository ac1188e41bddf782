"""What a run records, on disk until the store has it.

    spool/RUN/journal.jsonl   a record a line, in the order in which they were made
    spool/RUN/taken           how many of them the store has taken, and as which run
    spool/RUN/files/          what goes with them
    spool/RUN/lock            held by the process that makes the run
    spool/lock                held by the one that delivers what others left
    spool/servers             addresses that answered a command that was given here

Nothing is forced onto the disk: after a power cut the last seconds may lack, and the training's checkpoint, which goes
on from before them, brings them again.
"""

import contextlib
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

from . import lease

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

SPOOL = "spool"
_TRIES = 10


class Journal:
    """The records of one run. One thread may append while another takes.

    Attributes:
        records: mappings, each with what it `do`es: the first is to begin the run, and the last to end it.
        taken: how many of them the store has.
        run, experiment: MLflow's ids of the run, once it is there.
        kept: whether all of it is on disk.

    Args:
        folder: its own.
        lock: an open file that is locked, or None.
    """

    def __init__(self, folder, lock=None):
        self.folder, self.lock, self.kept = Path(folder), lock, True
        self._elsewhere = None  # for files, where this folder takes none
        self.records, self.taken, self.run, self.experiment = [], 0, None, None
        self._files = 0
        # For the thread that delivers: why it cannot, whether the run waits for its first record, from when on it
        # looks at the journal, when the store last heard of the run, of which epochs it has the metrics, where the
        # run's files lie.
        self.error, self.waited, self.due, self.beaten, self.epochs, self.repository = None, False, 0.0, 0.0, None, None

    @classmethod
    def new(cls, begin):
        """A journal of this process, whose first record is given."""
        name = f"{time.time_ns():x}-{os.getpid()}"
        journal = cls(Path(SPOOL).absolute() / name)
        try:
            for rest in reversed(range(_TRIES)):
                with contextlib.suppress(FileNotFoundError if rest else ()):  # another took the empty spool away
                    journal.folder.mkdir(parents=True, exist_ok=True)
                    journal.lock = _locked(journal.folder / "lock")
                    break
        except OSError as error:
            journal._not_kept(error)
        journal.append({**begin, "journal": name, **lease.tags()})
        return journal

    @classmethod
    def read(cls, folder, lock=None):
        """The journal that a process left, as far as it came; None if it did not come to its first line."""
        journal = cls(folder, lock)
        with contextlib.suppress(OSError, ValueError):
            for line in (journal.folder / "journal.jsonl").read_text().splitlines(keepends=True):
                if line.endswith("\n"):  # else it was cut off
                    journal.records.append(json.loads(line))
        with contextlib.suppress(OSError, ValueError):
            at = json.loads((journal.folder / "taken").read_text())
            journal.taken, journal.run, journal.experiment = at["records"], at["run"], at["experiment"]
        return journal if journal.records else None

    @property
    def begin(self):
        return self.records[0]

    @property
    def ended(self):
        return self.records[-1]["do"] == "end"

    @property
    def waiting(self):
        """How many records the store does not have."""
        return len(self.records) - self.taken

    def append(self, record):
        if self.kept:
            try:
                with (self.folder / "journal.jsonl").open("a") as file:
                    file.write(json.dumps(record) + "\n")
            except OSError as error:
                self._not_kept(error)
        self.records.append(record)

    def place(self, name):
        """(path, word) of a file to be written that goes with a record: where, and how the record names it."""
        self._files += 1
        word = f"{self._files}-{time.time_ns():x}/{name}"
        path = (self._elsewhere or self.folder) / "files" / word
        path.parent.mkdir(parents=True)
        return path, word

    def file(self, word):
        """The path of what `place` named so."""
        path = self.folder / "files" / word
        return self._elsewhere / "files" / word if self._elsewhere and not path.exists() else path

    def move(self, error):
        """Has files that come lie elsewhere from now on; raises the error if they do already."""
        if self._elsewhere:
            raise error
        self._elsewhere = Path(tempfile.mkdtemp(prefix="convzoo-"))
        self._not_kept(error)

    def take(self, run=None, experiment=None):
        """Writes down that the store has the next record; with the first, as which run."""
        self.taken += 1
        self.run, self.experiment = run or self.run, experiment or self.experiment
        self._note()

    def again(self):
        """From the first record on, as another run: the one that it was is another process's now."""
        self.taken, self.run, self.experiment, self.epochs, self.repository = 0, None, None, None, None
        self._note()

    def remove(self):
        """Takes the folder away, and that of all journals if nothing else is in it."""
        for folder in filter(None, (self.folder, self._elsewhere)):
            shutil.rmtree(folder, ignore_errors=True)
        self.close()
        if self.folder.parent.name != SPOOL:
            return
        with contextlib.suppress(OSError):
            _clear_unbegun(self.folder.parent)
            if os.listdir(self.folder.parent) == ["lock"]:
                (self.folder.parent / "lock").unlink()
            self.folder.parent.rmdir()

    def close(self):
        if self.lock:
            self.lock.close()

    def _note(self):
        at = json.dumps({"records": self.taken, "run": self.run, "experiment": self.experiment})
        with contextlib.suppress(OSError), (self.folder / "taken").open("w") as file:
            file.write(at)

    def _not_kept(self, error):
        if not self.kept:
            return
        self.kept = False
        if not self.folder.exists():
            self.folder = Path(tempfile.mkdtemp(prefix="convzoo-"))
        why = f"{SPOOL}/ cannot be written to ({error.strerror or error})"
        print(f"warning: {why}: what waits for the store is in memory alone", flush=True)


def left(uri=None):
    """The `Journal`s that no process holds, the oldest first, each locked for the caller.

    Args:
        uri: of the store that they are for; None is any.
    """
    for folder in _folders():
        with contextlib.suppress(OSError):
            lock = _locked(folder / "lock")
            if lock is None and fcntl:
                continue
            journal = folder.exists() and Journal.read(folder, lock)
            if journal and uri in (None, journal.begin["uri"]) and (fcntl or not lease.is_live(journal.begin)):
                yield journal
            elif lock:
                lock.close()


def waiting(uri):
    """The `Journal`s of a store that are on disk, whoever holds them, the newest first."""
    found = [journal for folder in _folders() if (journal := Journal.read(folder))]
    return [journal for journal in reversed(found) if journal.begin["uri"] == uri]


@contextlib.contextmanager
def delivering():
    """Lets one process at a time deliver what others left."""
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):  # no spool, or none that can be written to
            lock = held.enter_context((Path(SPOOL) / "lock").open("w"))
            if fcntl:
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def has_answered(uri):
    """Whether a server ever answered a command that was given in this folder."""
    with contextlib.suppress(OSError):
        return uri in (Path(SPOOL) / "servers").read_text().splitlines()
    return False


def note_answer(uri):
    """Writes down that a server answers."""
    if not has_answered(uri):
        with contextlib.suppress(OSError):
            Path(SPOOL).mkdir(exist_ok=True)
            with (Path(SPOOL) / "servers").open("a") as file:
                file.write(f"{uri}\n")


def _folders():
    return sorted(path.parent for path in Path(SPOOL).absolute().glob("*/journal.jsonl"))


def _clear_unbegun(spool):
    """Takes away the folders of processes that were killed before the first line of their journal."""
    for folder in spool.iterdir():
        pid = folder.name.rpartition("-")[2]
        if not pid.isdigit() or lease.is_running(int(pid)) or Journal.read(folder):
            continue
        if (lock := _locked(folder / "lock")) or not fcntl:
            shutil.rmtree(folder, ignore_errors=True)
        if lock:
            lock.close()


def _locked(path):
    """The open file, locked; None if another process holds it, or where there is no such lock."""
    file = path.open("a")
    if fcntl:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return None
    return file
