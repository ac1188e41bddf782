"""The form of a study's file, checked when it is read from disk and again when it is read from the store."""

import math
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from .metrics import METRIC, is_share
from .schema import Schema

NOT_LEARNING = "not_learning"  # the only runs that a claim may exclude


def _check_metric(metric: str) -> str:
    if not re.fullmatch(r"[\w][\w ./-]{0,249}", metric):
        raise ValueError("must be the name of a metric, as MLflow shows it")
    return metric


def _check_exclude(exclude: str | None) -> str | None:
    if exclude not in (None, NOT_LEARNING):
        raise ValueError(f"must be {NOT_LEARNING}, or not be there")
    return exclude


def _check_difference(difference: object) -> float:
    if isinstance(difference, bool) or not isinstance(difference, int | float) or not math.isfinite(difference):
        raise ValueError("must be a difference, as 0.01")
    return float(difference)


Scalar = str | int | float | bool | None


class Claim(Schema):
    """A claim, stated before the first run.

    Attributes:
        says: the claim in a sentence.
        better: params of the runs that the claim says are better.
        than: params of the runs that they are compared with.
        by: the smallest difference that counts, in units of the metric; a negative one allows a loss of that size.
        of: the metric, any that the runs record.
        goal: whether larger or smaller values are better. Larger, of accuracies and consistencies; else it is needed.
        exclude: `not_learning`, if runs that did not learn do not count.
    """

    says: str
    better: dict[str, Scalar]
    than: dict[str, Scalar]
    by: Annotated[object, AfterValidator(_check_difference)]
    of: Annotated[str, AfterValidator(_check_metric)] = METRIC
    goal: Literal["larger", "smaller"] | None = None
    exclude: Annotated[str | None, AfterValidator(_check_exclude)] = None

    @model_validator(mode="after")
    def _check_metric_and_goal(self) -> "Claim":
        if not is_share(self.of):
            if self.goal is None:
                raise ValueError(f"`goal` is needed with `of: {self.of}`: larger or smaller")
        elif self.goal == "smaller":
            raise ValueError(f"`goal` must be larger with `of: {self.of}`")
        elif not abs(float(str(self.by))) <= 1:
            raise ValueError(f"`by` must be a difference of shares, as 0.01, with `of: {self.of}`")
        return self


class Published(Schema):
    """A published result.

    Attributes:
        where: params of the cell that it is compared with.
        error: the test error, in percent.
    """

    where: dict[str, Scalar]
    error: float = Field(ge=0, le=100)


class Seeds(Schema):
    """The numbers of seeds of a study that runs until its claims are decided.

    Attributes:
        first: number of seeds at the first look, `from` in the file.
        last: the largest number of seeds, `to` in the file.
    """

    first: int = Field(3, alias="from", ge=3, le=1000)
    last: int = Field(40, alias="to", ge=3, le=10_000)

    @model_validator(mode="after")
    def _check_order(self) -> "Seeds":
        if self.first > self.last:
            raise ValueError("`from` must not be above `to`")
        return self


_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


def parse_budget(text: str) -> float:
    """Return the seconds of a budget such as "90 minutes".

    Raises:
        ValueError: it is no number and unit.

    Example:
        >>> parse_budget("90 minutes"), parse_budget("1 hour")
        (5400.0, 3600.0)
    """
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?) (second|minute|hour|day)s?", text)
    if not match or float(match[1]) == 0:
        raise ValueError("must be a number and a unit: seconds, minutes, hours or days, as in 90 minutes")
    return float(match[1]) * _UNITS[match[2]]


def _check_budget(text: str) -> str:
    parse_budget(text)
    return text


class StudyFile(Schema):
    """A study's file as it stood when the study began.

    Attributes:
        question: the study's question.
        sweep: mapping from each varied setting to its values, a list, or to a word of Hydra's as `range(5)`.
        together: mapping from settings that vary together to their values: the first values are one cell, and so on.
        set: mapping from each fixed setting to its value.
        until: `decided`, if seeds are added until every claim has a verdict.
        seeds: how many, of such a study.
        budget: the most training time of all runs of such a study, such as "90 minutes".
        claims: what is judged.
        published: results of a paper.
    """

    question: str | None = None
    sweep: dict[str, object] | None = None
    together: dict[str, list[Scalar]] | None = None
    set: dict[str, object] | None = None
    until: Literal["decided"] | None = None
    seeds: Seeds | None = None
    budget: Annotated[str | None, AfterValidator(lambda text: text and _check_budget(text))] = None
    claims: list[Claim] | None = None
    published: list[Published] | None = None

    @property
    def seed_numbers(self) -> Seeds | None:
        """The numbers of seeds of a study that runs until it is decided, else None."""
        return (self.seeds or Seeds.model_validate({})) if self.until else None

    @property
    def varied(self) -> dict[str, object]:
        """Mapping from each varied setting to its values, of `sweep` and `together`."""
        return {**(self.sweep or {}), **(self.together or {})}
