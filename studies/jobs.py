"""What the jobs of a sweep tell of themselves, whichever process or machine makes them: a file in each one's folder.

multirun/DATE/NUMBER/job.json      when it began, then how it ended
multirun/DATE/NUMBER/output.txt    what it printed, unless it ran where the command was given
"""

import contextlib
import json
import os
import shutil
import sys
import time
from pathlib import Path

_FILE, _OUTPUT = "job.json", "output.txt"


def folder_of(hydra):
    """The folder of a job, by Hydra's own config of it."""
    return Path(hydra.sweep.dir) / str(hydra.job.num)


def begin(folder, words):
    """Writes down that a job begins, and the words that ask for it."""
    _write(folder, {"words": list(words), "begun": time.time()})


def end(folder, outcome):
    """Writes down how it ended, a mapping that JSON can hold."""
    _write(folder, {**_read(Path(folder)), "ended": time.time(), **outcome})


class Jobs:
    """The jobs of a sweep as far as they have told.

    Args:
        folder: of the sweep; those of its jobs are named by their numbers.
        total: how many there are.
    """

    def __init__(self, folder, total):
        self.folder, self.total = Path(folder), total
        self.ended = {}  # mapping from a job's number to what it told at its end
        self.running = {}
        self.alone = not self.folder.exists()  # nobody else has anything in it
        for number in range(total):  # of a sweep before, in the same folder
            (self.folder / str(number) / _FILE).unlink(missing_ok=True)

    def look(self):
        """Reads what is new; returns the numbers of the jobs that have ended since, in the order of their ends."""
        self.running = {}
        new = {}
        for number in range(self.total):
            if number in self.ended:
                continue
            told = _read(self.folder / str(number))
            if "ended" in told:
                new[number] = told
            elif told:
                self.running[number] = told
        self.ended.update(new)
        return sorted(new, key=lambda number: new[number]["ended"])

    def output(self, number):
        """Path of what a job printed, or None."""
        path = self.folder / str(number) / _OUTPUT
        return path if path.exists() and path.stat().st_size else None

    def clear(self):
        """Removes what is of no more use of what a sweep wrote: all but the output of jobs that did not end well."""
        kept = [number for number, told in self.ended.items() if _is_trouble(told) and self.output(number)]
        for number in set(self.ended) - set(kept):
            for name in (_FILE, _OUTPUT):
                (self.folder / str(number) / name).unlink(missing_ok=True)
            _remove_empty(self.folder / str(number))
        if kept or len(self.ended) < self.total or not self.alone:
            return
        (self.folder / "multirun.yaml").unlink(missing_ok=True)
        shutil.rmtree(self.folder / ".submitit", ignore_errors=True)
        _remove_empty(*self.folder.glob("*/"), self.folder, self.folder.parent)


@contextlib.contextmanager
def printing_to(folder):
    """Within it what the process prints, native code included, goes into the job's folder."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    Path(folder).mkdir(parents=True, exist_ok=True)
    with (Path(folder) / _OUTPUT).open("a") as file:  # a job that is queued again goes on in it
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, old in enumerate(kept, start=1):
            os.dup2(old, number)
            os.close(old)


def _remove_empty(*folders):
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _is_trouble(told):
    return "failed" in told or "stopped" in told


def _read(folder):
    try:
        return json.loads((folder / _FILE).read_text())
    except FileNotFoundError:
        return {}


def _write(folder, told):
    Path(folder).mkdir(parents=True, exist_ok=True)
    beside = Path(folder) / f".{_FILE}"
    beside.write_text(json.dumps(told))
    beside.replace(Path(folder) / _FILE)  # at once: it is being read
