"""Makes `recorded.tar.xz`, a store that the old commit recorded: `python tests/compat/record.py`.

It takes minutes and needs the old commit in the history. Make it again when MLflow's tables change. The archive holds
a finished run with its model, a study of two cells, a stopped run with its checkpoint, and an undelivered run in
`spool/`. No file in it names the machine or the person.
"""

import contextlib
import io
import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from compare import OLD_COMMIT, Side, extract_commit

ARCHIVE = Path(__file__).with_name("recorded.tar.xz")
STUDY = "tiny"
# A LeNet of 6,000 weights on 258 images.
_LENET = "model=lenet model.layers.fc1.units=8 model.layers.fc2.units=8 data=digits data.fraction=0.2 precision=float32"
FINISHED = [*_LENET.split(), "epochs=2"]
CELLS = ["-m", *FINISHED, "pooling=max,l2", "seed=0,1", f"study={STUDY}"]
STOPPED = [*_LENET.split(), "epochs=40", "seed=7"]
UNDELIVERED = [*FINISHED, "pooling=average", f"study={STUDY}", "tracking.artifacts=light"]
# Tags of a run that tell who made it where, and what stands in their place.
TRACES = {"mlflow.user": "someone", "machine": "a machine", "owner": "elsewhere 1 1"}
THREADS = "2"  # that TensorFlow computes with: a checkpoint is not resumed with another number
_FOLDER = "/recorded"  # stands for the folder that it was recorded in
_TABLES = "mlflow.sql"


def unpack(folder: Path) -> None:
    """Lays the recorded store out in a folder, as if the old commit had been run there and the folder moved."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    tables = folder / _TABLES
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as store:
        store.executescript(tables.read_text())
    tables.unlink()


class Training:
    """`train.py` of a side, in a folder.

    Args:
        side: whose `train.py`.
        folder: where it is started.
        words: of its command.
    """

    def __init__(self, side: Side, folder: Path, words: list[str]) -> None:
        self.command = [sys.executable, str(side.package / "train.py"), *words]
        self.process = subprocess.Popen(
            self.command,
            cwd=folder,
            env=side.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.text = ""

    def wait_for(self, pattern: str) -> None:
        """Returns when a line has matched."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.text += line
            if re.search(pattern, line):
                return
        raise RuntimeError(f"{self.command} ended without {pattern}: {self.text}")

    def end(self, code: int = 0) -> None:
        """Waits for its end.

        Raises:
            RuntimeError: it ended with another code.
        """
        self.text += self.process.communicate()[0]
        if self.process.returncode != code:
            raise RuntimeError(f"{self.command} ended with {self.process.returncode}: {self.text}")


def record(side: Side, folder: Path) -> None:
    """Makes all the runs in a folder."""
    Training(side, folder, FINISHED).end()
    Training(side, folder, CELLS).end()
    stopped = Training(side, folder, STOPPED)
    stopped.wait_for(r"epoch +3/40")
    stopped.process.send_signal(signal.SIGTERM)
    stopped.end(143)
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db", isolation_level=None)) as store:
        store.execute("BEGIN IMMEDIATE")  # so the run is not delivered
        Training(side, folder, UNDELIVERED).end()
        store.execute("ROLLBACK")


def remove_traces(folder: Path) -> str:
    """Takes out of a recorded folder what names the person, the machine and the folder; returns the store as SQL."""
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db", isolation_level=None)) as store:
        ((owner,),) = store.execute("SELECT value FROM tags WHERE key = 'owner' LIMIT 1").fetchall()
        for key, value in TRACES.items():
            store.execute("UPDATE tags SET value = ? WHERE key = ?", (value, key))
        store.execute("UPDATE runs SET user_id = ?", (TRACES["mlflow.user"],))
        tables = "\n".join(store.iterdump()).replace(str(folder), _FOLDER) + "\n"
    texts = [tables]
    for file in folder.glob("spool/*/journal.jsonl"):
        first, *others = file.read_text().splitlines()
        begin = json.loads(first)
        begin["owner"] = TRACES["owner"]
        begin["tags"].update({key: TRACES[key] for key in begin["tags"] if key in TRACES})
        texts.append("\n".join([json.dumps(begin), *others]) + "\n")
        file.write_text(texts[-1])
    if any(word in text for word in (owner.split()[0], str(folder)) for text in texts):
        raise RuntimeError("the machine or the folder is still named")
    return tables


def pack(folder: Path, tables: str) -> None:
    """Writes the archive: the tables as SQL, and the files of the runs; times and owners are left out."""
    (folder / _TABLES).write_text(tables)
    for name in ("mlflow.db", "multirun", "mlartifacts/*/artifacts/learning_curves.png", "checkpoints/*/lock"):
        for path in folder.glob(name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    with tarfile.open(ARCHIVE, "w:xz", preset=9) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                member = tarfile.TarInfo(str(path.relative_to(folder)))
                member.size = path.stat().st_size
                archive.addfile(member, io.BytesIO(path.read_bytes()))


def main() -> None:
    """Makes the archive."""
    with tempfile.TemporaryDirectory(prefix="convzoo-record-") as place:
        side = Side("old", Path(place) / "old", Path(place) / "old" / "package" / "convzoo")
        extract_commit(OLD_COMMIT, side.package)
        folder = Path(place) / "project"
        folder.mkdir()
        record(side, folder)
        pack(folder, remove_traces(folder))
    print(f"{ARCHIVE.name}: {ARCHIVE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
