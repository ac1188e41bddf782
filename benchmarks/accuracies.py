"""Measure the accuracies of a study, run by run, into a table: `python -m convzoo.benchmarks.accuracies`.

The runs are those of `python train.py study=NAME`, in the same MLflow experiment. Each finished run becomes a row of
`results/NAME.json` at once, and a run that the table has is not repeated. The command can be interrupted at any time;
the next call resumes it. `--repeat` trains again what older code, another recipe or other images have given.

The words are those of `train.py`. A study needs no file: `study=fast model=airbench recipe=paper seed=0,1,2`.
"""

import argparse
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from .. import UserError
from ..reporting.accuracy_table import (
    COPY_KINDS,
    FOLDER,
    AccuracyRow,
    AccuracyTable,
    ImageSet,
    ListedRun,
    make_row,
    read_table,
    write_table,
)
from ..settings import overrides, study_file
from ..settings.composition import compose_run
from ..settings.rules import check_study_name, decides_result
from ..tracking import environment
from . import command

if TYPE_CHECKING:
    from ..data import Dataset
    from .training_setup import TrainingSetup

# Imports of the backend stand in functions: `backend.start` comes first.

STUDY = "zoo_cifar10"
LONG_RUN_S = 30 * 60  # a longer run is made with the first seed only
_ORIGINALS = {"82b7bd9f66de2460"}  # digests of further test sets whose images are as published
_DIGITS = 7  # of a digest that is shown


@dataclass(frozen=True)
class Request:
    """The runs that a command line names.

    Attributes:
        study: name of the MLflow experiment, and of the table.
        question: of the study.
        cells: the networks with their settings, in the order in which they are trained.
        seeds: of each cell.
        has_typed_seeds: whether the command line names the seeds; else a long run has the first one only.
        local_words: words that decide no result, such as the folder of the data.
    """

    study: str
    question: str
    cells: tuple[tuple[str, tuple[str, ...]], ...]
    seeds: tuple[int, ...]
    has_typed_seeds: bool
    local_words: tuple[str, ...]

    @classmethod
    def from_words(cls, words: Sequence[str], question: str | None = None) -> "Request":
        """Read the words of a command line, and the study's file if there is one.

        Args:
            words: as for `train.py`, several values of a key separated by commas.
            question: of a study without a file; default: its name.

        Raises:
            UserError: the words name no network, or the study's name is none.
        """
        if wrong := [word for word in words if "=" not in word]:
            raise UserError(f"settings must be key=value. Received: {wrong[0]}")
        named = [word.partition("=")[2] for word in words if word.startswith("study=")]
        study = named[-1] if named else STUDY
        check_study_name(study)
        file = study_file.load_study(study)
        others = [word for word in words if not word.startswith("study=")]
        expanded = study_file.expand_overrides(["-m", f"study={study}", *others])
        by_key = study_file.overrides_by_key(word for word in expanded if word != "-m")
        networks = [word.partition("=")[2] for word in by_key.pop("model", [])]
        seeds = [word.partition("=")[2] for word in by_key.pop("seed", ["seed=0"])]
        del by_key["study"]
        local_words = [word for key, values in by_key.items() for word in values if _is_local(key)]
        settings = product(*(values for key, values in by_key.items() if not _is_local(key)))
        if not networks:
            raise UserError(f"`study={study}` has no file; name its networks: --only NAME …")
        if wrong := [seed for seed in seeds if not seed.isdecimal()]:
            raise UserError(f"`seed` must be an integer. Received: seed={wrong[0]}")
        return cls(
            study=study,
            question=file["question"] if file else question or study,
            cells=tuple(product(networks, map(tuple, settings))),
            seeds=tuple(map(int, seeds)),
            has_typed_seeds=any(word.startswith("seed=") for word in words),
            local_words=tuple(local_words),
        )

    @property
    def runs(self) -> Iterator[tuple[ListedRun, "CellTraining"]]:
        """Each run and what trains it, all seeds of a cell together."""
        for network, settings in self.cells:
            training = CellTraining((f"model={network}", *settings), self.local_words)
            for seed in self.seeds:
                yield ListedRun(network, settings, seed, self.study), training


@dataclass
class CellTraining:
    """The settings, network and images of runs that differ in their seed alone.

    Attributes:
        words: of the settings, `key=value`, without the seed.
        local_words: words that decide no result.
    """

    words: tuple[str, ...]
    local_words: tuple[str, ...]

    @cached_property
    def setup(self) -> "TrainingSetup":
        """The settings and the network."""
        from .training_setup import TrainingSetup

        return TrainingSetup([*self.words, *self.local_words])

    @cached_property
    def dataset(self) -> "Dataset":
        """The images."""
        from .. import data

        return data.load(self.setup.settings["data"])

    @property
    def images(self) -> ImageSet:
        """The test images."""
        test = self.dataset.test
        return ImageSet(
            name=self.dataset.name, digest=test.digest, count=len(test), copy_kind=COPY_KINDS.get(test.digest, "")
        )

    @property
    def original(self) -> tuple[str, int] | None:
        """Name and number of images of the further test set whose images are as published, or None."""
        extra = self.dataset.extra_tests.items()
        return next(((name, len(split)) for name, split in extra if split.digest in _ORIGINALS), None)

    @property
    def cost(self) -> float:
        """Multiplications of an image in all epochs."""
        return self.setup.plan.macs * self.setup.settings["epochs"]

    def describe_change(self, row: AccuracyRow) -> str:
        """Describe what has changed since the run of a row was made; "" if nothing that decides its result has."""
        from ..tracking.identity import RunIdentity

        setup = self.setup
        digest = self.dataset.digest
        identity = RunIdentity(setup.settings, setup.network, {}, setup.plan, digest, row.precision, row.backend)
        if identity.tags["cell"] != row.cell:
            return "its settings or images have changed since"
        code = environment.code_version()
        return "" if code == row.code else f"the code has changed since, to {code[:_DIGITS]}"

    def train(self, run: ListedRun) -> AccuracyRow:
        """Train, unless the study has the run, and return its row.

        Args:
            run: one of the runs.

        Raises:
            UserError: a setting is refused, the training fails, or the store cannot be reached.
        """
        from ..experiments import runner
        from ..experiments.run_result import Status
        from ..tracking import study_runs

        words = overrides.move_passwords_to_environment([*run.overrides, f"study={run.study}", *self.local_words])
        result = runner.run_composed(compose_run([*words, *overrides.list_store_overrides(words)]))
        if result.run_id is None:
            raise UserError(f"{result.name} waits for its store in spool/, and has no run ID yet")
        (record,) = study_runs.find_results(result.tracking_uri, run.study, f"attributes.run_id = '{result.run_id}'")
        row = make_row(record, run, self.images, self.original)
        if result.status is Status.FINISHED:
            row.load_per_core = round(os.getloadavg()[2] / (os.cpu_count() or 1), 1)
        return row


@dataclass
class Measurement:
    """The runs of a request, and the table that they are written into.

    Attributes:
        request: the runs.
        path: of the table.
        is_repeated: whether runs whose code, settings or images have changed are made again.
        deadline: `time.monotonic()` after which no run should end, or infinity.
        failures: lines about the runs that failed.
    """

    request: Request
    path: Path
    is_repeated: bool = False
    deadline: float = math.inf
    failures: list[str] = field(default_factory=list)

    @property
    def table(self) -> AccuracyTable:
        """The table as it is now: another process may add to it."""
        return read_table(self.path) if self.path.exists() else AccuracyTable(question=self.request.question, rows=[])

    def run(self, is_listed_only: bool = False) -> None:
        """Make the runs that the table lacks, and print a line for each run.

        Args:
            is_listed_only: True makes no run and lists what is missing; default False.
        """
        for run, training in self.request.runs:
            name = " ".join([run.network, *run.settings, f"seed={run.seed}"])
            row = self.table.find(run.key)
            change = training.describe_change(row) if row else ""
            if row:
                print("; ".join(filter(None, [f"{name}: {_describe(row)}", change])), flush=True)
            if row and not (self.is_repeated and change):
                continue
            if reason := self._find_reason_to_skip(run, training, bool(row)):
                print(f"{name}: {reason}", flush=True)
            elif is_listed_only:
                print(f"{name}: missing" if row is None else f"{name}: to be repeated", flush=True)
            else:
                self._make(name, run, training)

    def _find_reason_to_skip(self, run: ListedRun, training: CellTraining, has_row: bool) -> str:
        """Return why a run is not made in this call, or ""."""
        rows = self.table.rows
        if not self.request.has_typed_seeds and run.seed != self.request.seeds[0] and not has_row:
            same = [row.seconds for row in rows if row.key[:2] == run.key[:2]]
            if same and max(same) > LONG_RUN_S:
                return f"left out, a run takes {max(same) / 60:.0f} minutes; --seeds makes it"
        if self.deadline < math.inf:
            seconds = expect_seconds(rows, run.network, training.cost)
            if time.monotonic() + (seconds or 0) > self.deadline:
                return "left for another call" + (f", it may take {seconds / 60:.1f} minutes" if seconds else "")
        return ""

    def _make(self, name: str, run: ListedRun, training: CellTraining) -> None:
        try:
            row = training.train(run)
        except UserError as error:
            self.failures.append(f"{name}: {error}")
            print(f"{name}: failed: {error}", file=sys.stderr, flush=True)
            return
        write_table(self.path, self.table.with_row(row))
        print(f"{name}: {_describe(row)}", flush=True)


def _is_local(key: str) -> bool:
    """Return whether a setting decides no result, and is left out of a row's command."""
    return not decides_result(key) and key != "allow"  # without which the command is refused


def expect_seconds(rows: Sequence[AccuracyRow], network: str, cost: float) -> float | None:
    """Estimate the seconds of a run from rows of this machine: of the same network, else of the nearest size.

    Args:
        rows: of a table.
        network: name of the network.
        cost: its multiplications for an image, times epochs.

    Returns:
        The seconds, in proportion to the cost, or None without a row of this machine.
    """
    machine = environment.describe_machine()
    timed = [row for row in rows if row.machine == machine and row.seconds and row.macs]
    if not timed:
        return None
    nearest = min(timed, key=lambda row: (row.network != network, abs(math.log(row.macs * row.epochs / cost))))
    return nearest.seconds * cost / (nearest.macs * nearest.epochs)


def _describe(row: AccuracyRow) -> str:
    return (
        f"{row.accuracy:.2%} of {row.images.describe()}, {row.seconds / 60:.1f} minutes, run {row.run_id}, "
        f"code {row.code[:_DIGITS]}, {row.date}"
    )


def main() -> None:
    """Run the command."""
    parser = _make_parser()
    arguments = parser.parse_args()
    start = time.monotonic()
    try:
        request = Request.from_words(_read_words(arguments), arguments.question)
        path = arguments.output or FOLDER / f"{request.study}.json"
        deadline = start + 60 * arguments.minutes if arguments.minutes else math.inf
        measurement = Measurement(request, path, arguments.repeat, deadline)
        _check(request)
        measurement.run(arguments.list)
    except UserError as error:
        parser.error(str(error))
    except KeyboardInterrupt as interrupt:
        print("stopped; the same command resumes", file=sys.stderr)
        sys.exit(getattr(interrupt, "exit_code", 130))
    if measurement.failures:
        raise SystemExit(f"{len(measurement.failures)} runs failed")


def _check(request: Request) -> None:
    """Refuse what would fail every run: a wrong setting, missing data."""
    from .. import data
    from ..training import backend

    backend.start("auto")
    _, first = next(request.runs)
    data.check_available(first.setup.settings["data"])


def _make_parser() -> argparse.ArgumentParser:
    parser = command.make_parser(".accuracies", __doc__)
    parser.add_argument("words", nargs="*", metavar="key=value", help=f"settings (default: study={STUDY})")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="networks (default: those of the study)")
    parser.add_argument("--seeds", nargs="+", metavar="N", help="seeds (default: those of the study)")
    parser.add_argument("--data", metavar="NAME", help="data config (default: that of the study)")
    parser.add_argument("--minutes", type=float, help="start no run that may end later (default: no limit)")
    parser.add_argument("--repeat", action="store_true", help="repeat runs whose code, settings or images have changed")
    parser.add_argument("--list", action="store_true", help="list the runs, and make none")
    parser.add_argument("--question", help="what a new table answers, for a study without a file")
    return parser


def _read_words(arguments: argparse.Namespace) -> list[str]:
    words = list(arguments.words)
    for key, values in {"model": arguments.only, "seed": arguments.seeds, "data": arguments.data}.items():
        if values:
            words.append(f"{key}={','.join([values] if isinstance(values, str) else values)}")
    return words


if __name__ == "__main__":
    main()
