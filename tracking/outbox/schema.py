"""The schemas of what lies in `spool/`: the records of a journal, and its note of what the store has."""

from typing import Literal

import pydantic
from pydantic import Field

from ... import UserError
from ...settings.schema import Schema, parse

_LARGEST = 2**53  # of a step or a time, so that every database takes it


class Begin(Schema):
    """The first record: what the run is called, what it is recorded with, and who makes it."""

    model_config = pydantic.ConfigDict(allow_inf_nan=True)
    do: Literal["begin"]
    uri: str
    study: str
    name: str
    tags: dict[str, str]
    params: dict[str, str | int | float | bool | None]
    go_on: bool = False
    again: bool = False
    at: int | None = Field(None, ge=0, le=_LARGEST)
    journal: str = Field(pattern=r"^[\w.-]+$")
    owner: str
    heartbeat: str
    cell: str | None = None

    @pydantic.field_validator("tags")
    @classmethod
    def _check_identity(cls, tags: dict[str, str]) -> dict[str, str]:
        if "'" in tags.get("identity", ""):
            raise ValueError("identity must hold no quote")
        return tags


class Metrics(Schema):
    """Metrics of an epoch or of the whole run; NaN and infinity are values of a metric."""

    model_config = pydantic.ConfigDict(allow_inf_nan=True)
    do: Literal["epoch", "metrics"]
    metrics: dict[str, float] = Field(default_factory=dict)
    step: int = Field(0, ge=0, le=_LARGEST)
    at: int | None = Field(None, ge=0, le=_LARGEST)


class File(Schema):
    """A file of the folder `files/`."""

    do: Literal["file"]
    file: str
    folder: str | None = None


class DataSet(Schema):
    """A part of a data set as the run's input."""

    do: Literal["data"]
    set: dict[str, str]
    part: str


class Tag(Schema):
    """A tag of the run."""

    do: Literal["tag"]
    key: str
    value: str


class End(Schema):
    """The last record."""

    do: Literal["end"]
    status: Literal["FINISHED", "FAILED", "KILLED"]
    failure: str | None = None
    at: int | None = Field(None, ge=0, le=_LARGEST)


class Position(Schema):
    """The number of records that the store has, their run, and the records that it refused."""

    records: int = Field(ge=0)
    run: str | None
    experiment: str | None
    refused: list[int] = Field(default_factory=list)


SCHEMAS: dict[str, type[Schema]] = {
    "epoch": Metrics,
    "metrics": Metrics,
    "file": File,
    "data": DataSet,
    "tag": Tag,
    "end": End,
}  # of later records


def check_record(value: object, where: str, first: bool) -> None:
    """Refuse a value that is not a record.

    Args:
        value: one line of a journal, as JSON has it.
        where: its file and line.
        first: whether it is the first record, `begin`.

    Raises:
        UserError: it is not one.
    """
    kind = value.get("do") if isinstance(value, dict) else None
    schema = Begin if first else SCHEMAS.get(kind) if isinstance(kind, str) else None
    if schema is None:
        raise UserError(f"{where}: it must be a record that `do`es one of {', '.join(SCHEMAS)}")
    parse(schema, value, where)
