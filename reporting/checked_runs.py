"""Checks of recorded runs: whether a report can use them, and whether they learned."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Protocol

from pydantic import AfterValidator, ConfigDict, Field

from .. import UserError
from ..settings import untrusted_yaml
from ..settings.metrics import METRIC
from ..settings.schema import Schema, parse
from ..settings.text import printable

_DATA_CONFIGS = Path(__file__).parents[1] / "configs" / "data"
_LAST_MILLISECOND = 253_402_300_799_000  # of the year 9999
LONGEST_RUN = 1e10  # seconds
_CHANCE_LOSS = 0.98  # of ln(classes): a training loss above this is that of guessing
_CHANCE_ACCURACY = 1.5  # times 1 / classes: a test accuracy below this is that of guessing


def _check_whole(text: str) -> str:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        raise ValueError("must be a whole number")
    return text


def _check_count(text: str) -> str:
    if text.startswith("-"):
        raise ValueError("must not be negative")
    return _check_whole(text)


_Share = Annotated[float, Field(ge=0, le=1)]
_Count = Annotated[str, AfterValidator(_check_count)]


class _Params(Schema):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, str]

    seed: Annotated[str, AfterValidator(_check_whole)]
    parameters: _Count
    macs: _Count


class _Metrics(Schema):
    test_accuracy: _Share
    test_shift_consistency: _Share = 0.0


class _FinishedRun(Schema):
    """A finished run as a report needs it."""

    name: str
    params: _Params
    metrics: _Metrics
    cell: str = Field(min_length=1)
    seconds: float = Field(ge=0, le=LONGEST_RUN)
    pictures: str = ""
    not_learning: str | None = None
    started: Annotated[int, Field(ge=0, le=_LAST_MILLISECOND)] | None = None
    environment: dict[str, str] = Field(default_factory=dict)
    overrides: dict[str, str] | None = None


class StudyRun(Protocol):
    """A run of a study, finished or not; `tracking.results.Result` has these attributes."""

    @property
    def name(self) -> str:
        """The run's name."""

    @property
    def status(self) -> str:
        """One of "FINISHED", "FAILED", "KILLED" and "RUNNING"."""

    @property
    def failure(self) -> str | None:
        """The reason why it failed, or None."""

    @property
    def params(self) -> Any:
        """Mapping from name to text."""

    @property
    def metrics(self) -> Any:
        """Mapping from name to number."""

    @property
    def pictures(self) -> str:
        """A sentence that says which images were tested, or an empty text."""


@dataclass(frozen=True)
class CheckedRun:
    """A finished run whose numbers can be compared.

    Attributes:
        name: the run's.
        params: mapping from name to text, with `seed`, `parameters` and `macs`.
        metrics: mapping from name to number, with `test_accuracy`.
        cell: hash of all that decides its result except the seed.
        seconds: time of its training.
        pictures: a sentence that says which images were tested, or "".
        not_learning: why it counts as a run that did not learn, or None.
        started: milliseconds since 1970, or None if unknown.
        environment: mapping from "code", "commit", "machine", "backend" and package names to text.
        overrides: mapping from key to the typed value of each word that distinguishes the run; None if unknown.
    """

    name: str
    params: dict[str, str]
    metrics: dict[str, float]
    cell: str
    seconds: float
    pictures: str
    not_learning: str | None
    started: int | None
    environment: dict[str, str]
    overrides: dict[str, str] | None = None


def check_runs(results: Iterable[StudyRun]) -> tuple[list[CheckedRun], list[str]]:
    """Separate the finished runs that a report can use from those that it cannot.

    Args:
        results: objects with the attributes of `tracking.results.Result`, all of them finished.

    Returns:
        The runs, in the same order, and a line for each run that is left out, which names it and the reason.
    """
    runs, reasons = [], []
    for result in results:
        value = {key: getattr(result, key) for key in _FinishedRun.model_fields if hasattr(result, key)}
        try:
            checked = parse(_FinishedRun, value, f"run {printable(getattr(result, 'name', '?'))}")
        except UserError as error:
            reasons.append(str(error))
            continue
        runs.append(
            CheckedRun(
                name=checked.name,
                params=dict(result.params),
                metrics=_finite_numbers(result.metrics),
                cell=checked.cell,
                seconds=checked.seconds,
                pictures=checked.pictures,
                not_learning=checked.not_learning or find_chance_reason(result.params, result.metrics),
                started=checked.started,
                environment=checked.environment,
                overrides=checked.overrides,
            )
        )
    return runs, reasons


def _finite_numbers(metrics: Mapping[str, object]) -> dict[str, float]:
    """Return those metrics whose value is a finite number."""
    return {
        name: float(value)
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def find_chance_reason(params: Mapping[str, str], metrics: Mapping[str, float]) -> str | None:
    """Say why an untagged run counts as one that did not learn.

    Runs of versions without a check during training have no tag. Their last training loss and their test accuracy
    show it where the number of classes is known: from `data.classes`, or from the data set's config.

    Args:
        params: mapping from name to text.
        metrics: mapping from name to number.

    Returns:
        A sentence, or None if the run learned or if that is unknown.
    """
    loss, accuracy, classes = metrics.get("train_loss"), metrics[METRIC], _count_classes(params)
    if not isinstance(loss, int | float) or classes is None:
        return None
    chance_loss = math.log(classes)
    # A loss far above chance is no cross-entropy, or it diverged; then only the accuracy counts.
    if not loss >= _CHANCE_LOSS * chance_loss or accuracy > _CHANCE_ACCURACY / classes:
        return None
    return (
        f"at chance when it ended, by its own numbers: train_loss {loss:.4g} (ln {classes} is {chance_loss:.4g}), "
        f"test accuracy {accuracy:.2%}"
    )


def _count_classes(params: Mapping[str, str]) -> int | None:
    override = params.get("data.classes")
    if override is not None:
        return int(override) if override.isdecimal() and int(override) >= 2 else None
    return _configured_classes().get(params.get("data", ""))


@cache
def _configured_classes() -> dict[str, int]:
    """Read the number of classes of each data set of the package that has a fixed number."""
    configs = [untrusted_yaml.read(path) for path in _DATA_CONFIGS.glob("*.yaml")]
    return {config["name"]: config["classes"] for config in configs if isinstance(config.get("classes"), int)}
