"""Runs as they were recorded."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pydantic

from .. import UserError
from ..settings.schema import Schema, parse
from . import environment
from .recipe_params import rename_params
from .run_names import OVERRIDES_TAG

if TYPE_CHECKING:
    from .outbox.journal import Journal

COLOR_TAG = "mlflow.runColor"  # of a run: its colour in MLflow's charts
REPORT_TAG = "convzoo.report"  # of a run that holds the report of its study: the name of the study
NOT_LEARNING_TAG = "convzoo.not_learning"  # of a run that did not learn: the reason, a sentence
# Prefix of the tag by which a process that lost its run lists the points that it may have written after that.
STALE = "stale."


@dataclass(frozen=True)
class Result:
    """The record of a run.

    Attributes:
        id: MLflow's id of the run; None if it waits for the store in `spool/`.
        experiment_id: MLflow's id of the study's experiment.
        name: name of the run.
        status: "FINISHED", "FAILED", "KILLED" or "RUNNING".
        params: mapping from name to text, as logged.
        metrics: mapping from name to the last value.
        identity: hash of all that decides the result.
        cell: the same without the seed.
        code: digest of the code that made the run.
        artifacts: "full" if the run has its model, else "light".
        seconds: of training, without the time that it was stopped.
        failure: why it failed, or None.
        pictures: a sentence that says which images were tested, or "".
        lease: the tags that name the process that makes the run.
        not_learning: why it counts as a run that did not learn, or None.
        started: milliseconds since 1970, or None if unknown.
        environment: by name, "code", "commit", "machine", "backend" and the version of each package.
        origin: the tags of the code and the versions that made the run, see `environment.origin_tags`.
        overrides: mapping from key to the typed value of each word that distinguishes the run in its study; None of a
            run before these were recorded, whose name holds them.
        color: of the run in MLflow's charts, as `#0072B2`; "" where MLflow chooses it.
    """

    id: str | None
    experiment_id: str | None
    name: str
    status: str
    params: dict[str, str]
    metrics: dict[str, float]
    identity: str
    cell: str
    code: str
    artifacts: str
    seconds: float
    failure: str | None
    pictures: str
    lease: dict[str, str] = field(default_factory=dict)
    not_learning: str | None = None
    started: int | None = None
    environment: dict[str, str] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    overrides: dict[str, str] | None = None
    color: str = ""

    def __str__(self) -> str:
        where = f"run {self.id}" if self.id else "it waits for the store in spool/"
        return f"test accuracy {self.metrics['test_accuracy']:.2%} ({where})"


@dataclass(frozen=True)
class RecordedSplit:
    """A part of the data set that a run has recorded.

    Attributes:
        name: "train", "validation", "test", or "test_NAME" of a further test set.
        digest: 16 hexadecimal digits that change with the images and labels.
        images: number of images, or None.
    """

    name: str
    digest: str
    images: int | None = None


def val_accuracy(metrics: Mapping[str, float]) -> float | None:
    """Return the validation accuracy of the weights that a run saved; None for a run without a validation split."""
    return metrics.get("best_val_accuracy", metrics.get("val_accuracy"))


def search(client: Any, experiment_id: str, where: str = "") -> list[Result]:
    """Return the runs of an experiment without its reports, newest first; `where` is a filter of MLflow's."""
    results: list[Result] = []
    token = None
    while True:
        page = client.search_runs(
            [experiment_id],
            where,
            max_results=1000,
            order_by=["attributes.start_time DESC"],
            page_token=token,
        )
        results += [_result(client, run) for run in page if REPORT_TAG not in run.data.tags]
        if not (token := page.token):
            return results


def read_result(client: Any, run_id: str) -> Result:
    """Return the record of one run.

    Args:
        client: an `mlflow.MlflowClient`.
        run_id: MLflow's id of the run.
    """
    return _result(client, client.get_run(run_id))


class _Profile(Schema):
    """The profile of a data set that a run has logged."""

    images: pydantic.PositiveInt


def read_splits(client: Any, run_id: str) -> list[RecordedSplit]:
    """Return the parts of the data set that a run has logged, in the order of their names.

    Args:
        client: an `mlflow.MlflowClient`.
        run_id: MLflow's id of the run.
    """
    splits = []
    for each in client.get_run(run_id).inputs.dataset_inputs:
        try:
            images = _Profile.model_validate_json(each.dataset.profile or "").images
        except pydantic.ValidationError:
            images = None
        splits += [RecordedSplit(tag.value, each.dataset.digest, images) for tag in each.tags]
    return sorted(splits, key=lambda split: split.name)


def is_reusable(result: Result, artifacts: str, origin: Mapping[str, str]) -> bool:
    """Return whether a run is finished, is of an origin, and has the artifacts that are needed, "full" or "light"."""
    has_artifacts = artifacts != "full" or result.artifacts == "full"
    return result.status == "FINISHED" and result.origin == origin and has_artifacts


def result_of_journal(journal: "Journal") -> Result:
    """Return the result of a run from its journal, which need not be complete."""
    begin = journal.begin
    metrics: dict[str, float] = {}
    for record in journal.records:
        metrics.update(record.get("metrics", {}))
    tags = begin["tags"] | {record["key"]: record["value"] for record in journal.records if record["do"] == "tag"}
    return Result(
        id=journal.run,
        experiment_id=journal.experiment,
        name=begin["name"],
        status=journal.records[-1].get("status", "RUNNING"),
        params=rename_params({key: str(value) for key, value in begin["params"].items()}),
        metrics=metrics,
        identity=tags.get("identity", ""),
        cell=tags.get("cell", ""),
        code=tags.get("code", ""),
        artifacts=tags.get("artifacts", "full"),
        seconds=metrics.get("training_seconds", 0.0),
        failure=journal.records[-1].get("failure"),
        pictures="",
        not_learning=tags.get(NOT_LEARNING_TAG) or None,
        started=begin.get("at"),
        environment=_environment(tags),
        origin=environment.origin_tags(tags),
        overrides=_overrides(tags),
    )


class _Stale(Schema):
    points: list[str]  # step:milliseconds


def history(client: Any, run_id: str, key: str, tags: Mapping[str, str] | None = None) -> list[Any]:
    """Return the points of a metric, one for each step, in the order of the steps.

    A process that was suspended may write its last batch after another has taken its run over. It marks those points
    by a tag; where a step has another point, the marked one is dropped.

    Args:
        client: an `mlflow.MlflowClient`.
        run_id: MLflow's id of the run.
        key: name of the metric.
        tags: of the run; None reads them from the store.

    Returns:
        MLflow's `Metric`s.
    """
    tags = client.get_run(run_id).data.tags if tags is None else tags
    stale: set[str] = set()
    for name, text in tags.items():
        if name.startswith(STALE):
            with contextlib.suppress(UserError, ValueError, RecursionError):  # it marks nothing, then
                stale.update(parse(_Stale, {"points": json.loads(text)}, f"tag {name}").points)
    by_step = {}
    points = client.get_metric_history(run_id, key)
    for point in sorted(points, key=lambda point: (f"{point.step}:{point.timestamp}" not in stale, point.timestamp)):
        by_step[point.step] = point
    return [by_step[step] for step in sorted(by_step)]


def _metrics(client: Any, run: Any) -> dict[str, float]:
    """Return the last value of each metric of a run."""
    metrics = dict(run.data.metrics)
    if any(name.startswith(STALE) for name in run.data.tags):
        for key in metrics:
            metrics[key] = history(client, run.info.run_id, key, run.data.tags)[-1].value
    return metrics


def _result(client: Any, run: Any) -> Result:
    tags, info = run.data.tags, run.info
    metrics = _metrics(client, run)
    return Result(
        id=info.run_id,
        experiment_id=info.experiment_id,
        name=info.run_name or info.run_id,
        status=info.status,
        params=rename_params(run.data.params),
        metrics=metrics,
        identity=tags.get("identity", ""),
        cell=tags.get("cell", ""),
        code=tags.get("code", ""),
        artifacts=tags.get("artifacts", "full"),
        seconds=metrics.get("training_seconds", ((info.end_time or info.start_time) - info.start_time) / 1000),
        failure=tags.get("failure"),
        pictures=next(map(_source, run.inputs.dataset_inputs), ""),
        lease={key: tags[key] for key in ("owner", "heartbeat") if key in tags},
        not_learning=tags.get(NOT_LEARNING_TAG) or None,
        started=info.start_time,
        environment=_environment(tags),
        origin=environment.origin_tags(tags),
        overrides=_overrides(tags),
        color=tags.get(COLOR_TAG, ""),
    )


class _Source(Schema):
    """The source of a data set that a run has logged."""

    source: str


def _source(dataset_input: Any) -> str:
    """Return the sentence that names a data set's images; "" if the data set was not logged by this package."""
    try:
        return _Source.model_validate_json(dataset_input.dataset.source).source
    except pydantic.ValidationError:
        return ""


class _Overrides(Schema):
    words: list[str]


def distinguishing_words(tags: Mapping[str, str]) -> list[str] | None:
    """Return the words that distinguish a run in its study, `key=value`; None if it has none that can be read.

    Args:
        tags: of the run.
    """
    try:
        return parse(_Overrides, {"words": json.loads(tags.get(OVERRIDES_TAG, ""))}, f"tag {OVERRIDES_TAG}").words
    except (UserError, ValueError, RecursionError):
        return None


def _overrides(tags: Mapping[str, str]) -> dict[str, str] | None:
    words = distinguishing_words(tags)
    return None if words is None else {key: value for key, _, value in (word.partition("=") for word in words)}


def _environment(tags: Mapping[str, str]) -> dict[str, str]:
    names = {"code": "code", "mlflow.source.git.commit": "commit", "machine": "machine", "backend": "backend"}
    versions = {key: key.removeprefix("version.") for key in sorted(tags) if key.startswith("version.")}
    return {name: tags[tag] for tag, name in {**names, **versions}.items() if tag in tags}
