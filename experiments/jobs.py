"""The jobs of a sweep, in whichever process or on whichever machine they run: each has a folder with two files.

multirun/DATE/NUMBER/job.json      when it started, then how it ended
multirun/DATE/NUMBER/output.txt    what it printed, unless it ran in the process of the command
"""

import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .run_result import RunResult, Status

_FILE, _OUTPUT = "job.json", "output.txt"


@dataclass(frozen=True)
class JobRecord:
    """The record that a job writes about itself.

    Attributes:
        words: its overrides, `key=value`.
        started: when, in seconds since 1970.
        ended: when; None while it runs.
        status: how it ended.
        name: of its run.
        val_accuracy: of its run.
        message: why it failed or was stopped.
    """

    words: tuple[str, ...]
    started: float
    ended: float | None = None
    status: Status | None = None
    name: str = ""
    val_accuracy: float | None = None
    message: str = ""

    @property
    def has_trouble(self) -> bool:
        """True if the job failed or was stopped."""
        return self.status in (Status.FAILED, Status.STOPPED)


def job_folder(hydra: Any) -> Path:
    """Return the folder of a job, by Hydra's own config of it."""
    return Path(hydra.sweep.dir) / str(hydra.job.num)


def record_start(folder: Path, words: Sequence[str]) -> None:
    """Record that a job starts, with its overrides."""
    _write(folder, JobRecord(tuple(words), time.time()))


def record_end(folder: Path, result: RunResult) -> None:
    """Record how a job ended."""
    record = _read(folder) or JobRecord((), time.time())
    _write(
        folder,
        replace(
            record,
            ended=time.time(),
            status=result.status,
            name=result.name,
            val_accuracy=result.val_accuracy,
            message=result.message,
        ),
    )


class Jobs:
    """The jobs of a sweep, as far as they have recorded.

    Args:
        folder: of the sweep; those of its jobs are named by their numbers.
        total: number of jobs.

    Attributes:
        ended: mapping from the number of a job to its record.
        running: the same, of jobs that have not ended.
    """

    def __init__(self, folder: str | Path, total: int) -> None:
        self.folder = Path(folder)
        self.total = total
        self.ended: dict[int, JobRecord] = {}
        self.running: dict[int, JobRecord] = {}
        self._owns_folder = not self.folder.exists()
        for number in range(total):  # of an earlier sweep in the same folder
            (self.folder / str(number) / _FILE).unlink(missing_ok=True)

    def update(self) -> list[int]:
        """Read what is new.

        Returns:
            The numbers of the jobs that have ended since, in the order of their ends.
        """
        self.running = {}
        new: dict[int, JobRecord] = {}
        for number in range(self.total):
            if number in self.ended or (record := _read(self.folder / str(number))) is None:
                continue
            (self.running if record.ended is None else new)[number] = record
        self.ended.update(new)
        return sorted(new, key=lambda number: new[number].ended or 0)

    def with_status(self, *statuses: Status) -> list[JobRecord]:
        """Return the records of jobs that ended so."""
        return [record for record in self.ended.values() if record.status in statuses]

    def output(self, number: int) -> Path | None:
        """Return the path of what a job printed, or None."""
        path = self.folder / str(number) / _OUTPUT
        return path if path.exists() and path.stat().st_size else None

    def clear(self) -> None:
        """Remove the files of a sweep, except the output of jobs that failed or were stopped."""
        preserved = [number for number, record in self.ended.items() if record.has_trouble and self.output(number)]
        for number in set(self.ended) - set(preserved):
            for name in (_FILE, _OUTPUT):
                (self.folder / str(number) / name).unlink(missing_ok=True)
            _remove_empty(self.folder / str(number))
        if preserved or len(self.ended) < self.total or not self._owns_folder:
            return
        (self.folder / "multirun.yaml").unlink(missing_ok=True)
        shutil.rmtree(self.folder / ".submitit", ignore_errors=True)
        _remove_empty(*self.folder.glob("*/"), self.folder, self.folder.parent)


@contextlib.contextmanager
def redirect_output(folder: str | Path) -> Iterator[None]:
    """Redirect what the process prints, native code included, into a file of the job's folder."""
    sys.stdout.flush()
    sys.stderr.flush()
    originals = os.dup(1), os.dup(2)
    Path(folder).mkdir(parents=True, exist_ok=True)
    with (Path(folder) / _OUTPUT).open("a") as file:  # a job that is queued again continues it
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, original in enumerate(originals, start=1):
            os.dup2(original, number)
            os.close(original)


def _remove_empty(*folders: Path) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _read(folder: Path) -> JobRecord | None:
    try:
        fields = json.loads((folder / _FILE).read_text())
    except FileNotFoundError:
        return None
    status = None if fields["status"] is None else Status(fields["status"])
    return JobRecord(**{**fields, "words": tuple(fields["words"]), "status": status})


def _write(folder: Path, record: JobRecord) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{_FILE}"
    temporary.write_text(json.dumps(asdict(record)))
    temporary.replace(folder / _FILE)  # atomically: the command reads it
