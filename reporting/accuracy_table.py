"""Tables of accuracies in `results/`: a JSON file for each study or topic, a row for each run.

A row is written from a run's record, never by hand. `zoo_cifar10.json` is such a table; `python -m
convzoo.benchmarks.accuracies` adds rows to it, and `python -m convzoo.benchmarks.results_page` prints it.
"""

import datetime
import json
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from .. import UserError
from ..evaluation.statistics import accuracy_interval, clip_interval, compute_spread
from ..settings.schema import Schema, parse
from ..tracking.results import Result

FOLDER = Path(__file__).parents[1] / "results"
NOT_TABLES = (
    "default_recipe.json",
    "default_recipe_choice.json",
    "sequential.json",
)  # files of that folder that hold something else
# By the digest of the test images, what they are if not the published ones.
COPY_KINDS = {"7188c84a4d80f11f": "JPEG copy"}
BUSY_LOAD = 1.5  # for each core, above which other processes had a part in the time of a run
Share = Annotated[float, Field(ge=0, le=1)]
Text = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True)
class ListedRun:
    """A run that a table shall have.

    Attributes:
        network: name of the network's config.
        settings: the words of its command besides network and seed, `key=value`.
        seed: of the run.
        study: name of its MLflow experiment.
    """

    network: str
    settings: tuple[str, ...]
    seed: int
    study: str

    @property
    def key(self) -> tuple[str, tuple[str, ...], int]:
        """The settings as typed. A table has one row for each key."""
        return self.network, self.settings, self.seed

    @property
    def overrides(self) -> list[str]:
        """The overrides of the command, `key=value`."""
        return [f"model={self.network}", *self.settings, f"seed={self.seed}"]

    @property
    def command(self) -> str:
        """The command that makes the run."""
        return shlex.join(["python", "train.py", *self.overrides])


class ImageSet(Schema):
    """The images that a run was tested with.

    Attributes:
        name: of the data set.
        digest: 16 hexadecimal digits that change with the test images and their labels.
        count: number of test images.
        copy_kind: what the images are, if they are not the published ones: "JPEG copy"; else "".
    """

    name: Text
    digest: Text
    count: int = Field(gt=0)
    copy_kind: str = ""

    def describe(self) -> str:
        """Return the name, with what the images are."""
        return f"{self.name}, {self.copy_kind}" if self.copy_kind else self.name


class AccuracyRow(Schema):
    """One run.

    Attributes:
        command: the command that makes the run.
        run_id: MLflow's id of the run.
        study: name of its MLflow experiment.
        network: name of the network's config.
        settings: the words of the command besides network and seed, `key=value`.
        seed: of the run.
        accuracy: share of the test images that are classified correctly.
        interval: 95 % interval of the accuracy over test images (Wilson's).
        views: value of `test_views`.
        flip_accuracy: accuracy with flip test-time augmentation, or None.
        views_accuracy: accuracy with six views, or None.
        original_accuracy: accuracy on those test images that the run also had as published, or None.
        original_count: number of these images, or None.
        epochs: passes over the training images.
        seconds: of training.
        parameters: number of trainable parameters.
        macs: multiplications for one image.
        precision: the dtype policy.
        backend: of Keras.
        machine: system, processor and number of cores.
        load_per_core: the machine's load of the last 15 minutes at the end of the run, for each core, or None. A
            training alone has about one; with more, other processes made `seconds` longer.
        images: the test images.
        cell: hash of all that decides the result, except the seed.
        code: digest of the code.
        commit: of the code's repository, or None.
        date: of the start of the run, such as "2026-11-30".
        not_learning: why the run counts as one that did not learn, or None.
    """

    command: Text
    run_id: str = Field(pattern="^[0-9a-f]{32}$")
    study: Text
    network: Text
    settings: list[str]
    seed: int = Field(ge=0)
    accuracy: Share
    interval: Annotated[list[Share], Field(min_length=2, max_length=2)]
    views: Text
    flip_accuracy: Share | None = None
    views_accuracy: Share | None = None
    original_accuracy: Share | None = None
    original_count: int | None = Field(None, gt=0)
    epochs: int = Field(gt=0)
    seconds: float = Field(ge=0)
    parameters: int = Field(ge=0)
    macs: int = Field(ge=0)
    precision: Text
    backend: Text
    machine: Text
    load_per_core: float | None = None
    images: ImageSet
    cell: Text
    code: str = Field(pattern="^[0-9a-f]{16}$")
    commit: str | None = None
    date: str = Field(pattern=r"^\d{4}-\d\d-\d\d$")
    not_learning: str | None = None

    @property
    def key(self) -> tuple[str, tuple[str, ...], int]:
        """The settings as typed, as those of a `ListedRun`."""
        return self.network, tuple(self.settings), self.seed


class AccuracyTable(Schema):
    """A file of `results/`.

    Attributes:
        question: what the table answers, a sentence.
        rows: the runs.
    """

    question: Text
    rows: list[AccuracyRow]

    def find(self, key: tuple[str, tuple[str, ...], int]) -> AccuracyRow | None:
        """Return the row of a key, or None."""
        return next((row for row in self.rows if row.key == key), None)

    def with_row(self, new: AccuracyRow) -> "AccuracyTable":
        """Return the table with one more row, which takes the place of the row of its key."""
        rows = [row for row in self.rows if row.key != new.key] + [new]
        rows.sort(key=lambda row: (row.macs, row.key))
        return AccuracyTable(question=self.question, rows=rows)


@dataclass(frozen=True)
class MeanAccuracy:
    """The accuracy of a network over its seeds.

    Attributes:
        mean: over seeds.
        interval: of one seed, Wilson's 95 % interval over test images; of two, the least and the most; of three and
            more, Student's 95 % interval of the mean, or None if all are equal.
    """

    mean: float
    interval: tuple[float, float] | None

    @classmethod
    def from_seeds(cls, accuracies: Sequence[float], images: int) -> "MeanAccuracy":
        """Compute it from the accuracies of the seeds and the number of test images."""
        mean = sum(accuracies) / len(accuracies)
        if len(accuracies) == 1:
            return cls(mean, accuracy_interval(round(mean * images), images))
        if len(accuracies) == 2:
            return cls(mean, (min(accuracies), max(accuracies)))
        return cls(mean, clip_interval(compute_spread(accuracies), 0, 1))


@dataclass(frozen=True)
class AccuracyCell:
    """The rows of a table that differ in their seed alone.

    Attributes:
        rows: the rows, in the order of their seeds.
    """

    rows: tuple[AccuracyRow, ...]

    @property
    def first(self) -> AccuracyRow:
        """The row of the first seed, for what all of them share."""
        return self.rows[0]

    @property
    def mean_minutes(self) -> float:
        """Mean minutes of training."""
        return sum(row.seconds for row in self.rows) / len(self.rows) / 60

    @property
    def is_busy(self) -> bool:
        """True if other processes used the machine during a run."""
        return any((row.load_per_core or 0) > BUSY_LOAD for row in self.rows)

    @property
    def accuracy(self) -> MeanAccuracy:
        """The accuracy of the unchanged test images."""
        return MeanAccuracy.from_seeds([row.accuracy for row in self.rows], self.first.images.count)

    @property
    def flip_accuracy(self) -> MeanAccuracy | None:
        """The accuracy with flip test-time augmentation, or None if a run has none."""
        return self._extra_accuracy([row.flip_accuracy for row in self.rows])

    @property
    def views_accuracy(self) -> MeanAccuracy | None:
        """The accuracy with six views, or None if a run has none."""
        return self._extra_accuracy([row.views_accuracy for row in self.rows])

    @property
    def original_accuracy(self) -> MeanAccuracy | None:
        """The accuracy on the images that were there as published, or None if a run has none."""
        return self._extra_accuracy([row.original_accuracy for row in self.rows], self.first.original_count)

    def _extra_accuracy(self, accuracies: Sequence[float | None], images: int | None = None) -> MeanAccuracy | None:
        present = [accuracy for accuracy in accuracies if accuracy is not None]
        is_complete = len(present) == len(accuracies)
        return MeanAccuracy.from_seeds(present, images or self.first.images.count) if is_complete else None


def group_rows(table: AccuracyTable) -> list[AccuracyCell]:
    """Group the rows of a table by all that decides the result except the seed; the cheapest networks come first.

    Rows of one command whose recipe, images or precision have changed between two runs stay apart.
    """
    groups: dict[tuple[object, ...], list[AccuracyRow]] = {}
    for row in sorted(table.rows, key=lambda row: (row.macs, row.key)):
        groups.setdefault((row.network, tuple(row.settings), row.cell), []).append(row)
    return [AccuracyCell(tuple(rows)) for rows in groups.values()]


def table_paths(folder: Path = FOLDER) -> list[Path]:
    """Return the paths of the tables of a folder, in alphabetical order."""
    return sorted(path for path in folder.glob("*.json") if path.name not in NOT_TABLES)


def read_table(path: Path) -> AccuracyTable:
    """Read a table.

    Raises:
        UserError: it cannot be read, or a row lacks something, such as its run ID, its seed or its code version.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path.name} is no JSON file: {error}") from error
    return parse(AccuracyTable, content, path.name)


def write_table(path: Path, table: AccuracyTable) -> None:
    """Write a table; a reader sees the old file or the new one, whenever the writer is stopped."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(table.model_dump(), indent=1, ensure_ascii=False) + "\n")
    temporary.replace(path)


def make_row(result: Result, run: ListedRun, images: ImageSet, original: tuple[str, int] | None = None) -> AccuracyRow:
    """Make the row of a recorded run.

    Args:
        result: the record.
        run: the settings that made it.
        images: the test images.
        original: name and number of images of the further test set that holds published images, or None, the default.

    Raises:
        UserError: the record lacks something that a row has: train.py did not make it, or it is not finished.
    """
    params, metrics, environment = result.params, result.metrics, result.environment
    try:
        accuracy = metrics["test_accuracy"]
        started = datetime.datetime.fromtimestamp((result.started or 0) / 1000, datetime.UTC)
        row = {
            "command": run.command,
            "run_id": result.id,
            "study": run.study,
            "network": run.network,
            "settings": list(run.settings),
            "seed": run.seed,
            "accuracy": accuracy,
            "interval": list(accuracy_interval(round(accuracy * images.count), images.count)),
            "views": params.get("test_views", "flip" if params["test_flip"] == "True" else "none"),
            "flip_accuracy": metrics.get("test_flip_accuracy"),
            "views_accuracy": metrics.get("test_views_accuracy"),
            "original_accuracy": metrics[f"test_{original[0]}_accuracy"] if original else None,
            "original_count": original[1] if original else None,
            "epochs": int(params["epochs"]),
            "seconds": round(result.seconds, 1),
            "parameters": int(params["parameters"]),
            "macs": int(params["macs"]),
            "precision": params["precision"],
            "backend": environment.get("backend"),
            "machine": environment.get("machine"),
            "images": images.model_dump(),
            "cell": result.cell,
            "code": result.code,
            "commit": environment.get("commit"),
            "date": started.date().isoformat(),
            "not_learning": result.not_learning,
        }
    except (KeyError, ValueError) as error:
        raise UserError(f"run {result.id} is not a finished run of train.py: {error}") from error
    return parse(AccuracyRow, row, f"run {result.id}")
