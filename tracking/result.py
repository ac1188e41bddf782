"""Runs as they were recorded."""

import json
from dataclasses import dataclass, field

from . import environment


@dataclass(frozen=True)
class Result:
    """A run as it was recorded.

    Attributes:
        id: MLflow's; None if it waits for the store in `spool/`.
        experiment_id: MLflow's, of the study.
        name: the run's.
        status: "FINISHED", "FAILED", "KILLED" or "RUNNING".
        params: mapping from name to word, as logged.
        metrics: the last value of each.
        identity: of all that decides its result.
        cell: the same without the seed.
        code: of which version of this package it is.
        artifacts: what it kept, "full" or "light".
        seconds: of its training, without the time that it was stopped.
        failure: why it failed, or None.
        pictures: a sentence that says which were tested, or "".
        lease: the tags that say which process makes it.
    """

    id: str | None
    experiment_id: str | None
    name: str
    status: str
    params: dict
    metrics: dict
    identity: str
    cell: str
    code: str
    artifacts: str
    seconds: float
    failure: str | None
    pictures: str
    lease: dict = field(default_factory=dict)

    def __str__(self):
        where = f"run {self.id}" if self.id else "it waits for the store in spool/"
        return f"test accuracy {self.metrics['test_accuracy']:.2%} ({where})"


def val_accuracy(metrics):
    """That of the weights which a run kept, from its metrics; None where nothing was left for validation."""
    return metrics.get("best_val_accuracy", metrics.get("val_accuracy"))


def search(client, experiment_id, where=""):
    """All `Result`s of an experiment, newest first; `where` is MLflow's filter, if not all are wanted."""
    found, token = [], None
    while True:
        page = client.search_runs(
            [experiment_id],
            where,
            max_results=1000,
            order_by=["attributes.start_time DESC"],
            page_token=token,
        )
        found += [_result(run) for run in page]
        if not (token := page.token):
            return found


def serves(result, artifacts):
    """Whether a run is finished, of this version of the code, and kept what is asked for, "full" or "light"."""
    kept = artifacts != "full" or result.artifacts == "full"
    return result.status == "FINISHED" and result.code == environment.code() and kept


def of_journal(journal):
    """The `Result` of a journal, as far as it came."""
    begin, metrics = journal.begin, {}
    for record in journal.records:
        metrics.update(record.get("metrics", {}))
    tags = begin["tags"]
    return Result(
        id=journal.run,
        experiment_id=journal.experiment,
        name=begin["name"],
        status=journal.records[-1].get("status", "RUNNING"),
        params={key: str(value) for key, value in begin["params"].items()},
        metrics=metrics,
        identity=tags.get("identity", ""),
        cell=tags.get("cell", ""),
        code=tags.get("code", ""),
        artifacts=tags.get("artifacts", "full"),
        seconds=metrics.get("training_seconds", 0.0),
        failure=journal.records[-1].get("failure"),
        pictures="",
    )


def _result(run):
    tags, info = run.data.tags, run.info
    return Result(
        id=info.run_id,
        experiment_id=info.experiment_id,
        name=info.run_name,
        status=info.status,
        params=dict(run.data.params),
        metrics=dict(run.data.metrics),
        identity=tags.get("identity", ""),
        cell=tags.get("cell", ""),
        code=tags.get("code", ""),
        artifacts=tags.get("artifacts", "full"),
        seconds=run.data.metrics.get("training_seconds", ((info.end_time or info.start_time) - info.start_time) / 1000),
        failure=tags.get("failure"),
        pictures=next((json.loads(each.dataset.source)["source"] for each in run.inputs.dataset_inputs), ""),
        lease={key: tags[key] for key in ("owner", "heartbeat") if key in tags},
    )
