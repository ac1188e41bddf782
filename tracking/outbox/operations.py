"""The operations of the outbox: each applies records of a journal in MLflow, and may be repeated without effect.

MLflow identifies a point of a metric by value, step and time, so a repeated point is the same point. Params, tags,
files and data sets are identified by their names.

The tag `delivered` holds the number of records of a journal that the store has: a store that was restored from a backup
has fewer than were delivered. Text is cut to the lengths that MLflow and its databases accept.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ... import UserError
from ...settings.text import printable
from .. import environment, heartbeat
from ..errors import is_refused, mlflow_error, one_line
from ..results import STALE, Result, is_reusable, search
from ..store import artifact_repository, get_or_create_experiment
from .journal import Journal, Record
from .pending_run import PendingRun

_POINTS = 900  # of metrics in one write; MLflow takes 1,000


class StoredRun(NamedTuple):
    """A run in the store: MLflow's id, and the params that it has."""

    id: str
    params: dict[str, str]


def begin(client: Any, pending: PendingRun, may_exist: bool = False) -> tuple[str, str]:
    """Find, resume or create the run of a journal in the store.

    Args:
        client: an `mlflow.MlflowClient`.
        pending: the run.
        may_exist: whether an earlier try may have created it, whose answer was lost.

    Returns:
        MLflow's ids of the run and of its experiment.

    Raises:
        OwnedError: another process makes the run, or has made it meanwhile. It is not raised if the training no longer
            waits for the store.
        UserError: the experiment was deleted, or the run's files would not lie below the run's id.
    """
    record = pending.journal.begin
    experiment = get_or_create_experiment(client, record["uri"], record["study"])
    run = find_existing(client, experiment, record["journal"]) if may_exist else None
    if run is None and record.get("cell") and pending.blocks_start:
        with heartbeat.claim_cell(client, experiment, record["cell"]):
            run = _resume_or_create(client, experiment, pending, is_claimed=True)
    elif run is None:
        run = _resume_or_create(client, experiment, pending, is_claimed=False)
    pending.repository = artifact_repository(client, run.id)
    _log_params(client, run.id, {key: value for key, value in _params(record).items() if key not in run.params})
    return run.id, experiment


def find_existing(client: Any, experiment: str, journal_name: str) -> StoredRun | None:
    """Return the run that a journal has created; None if it has created none."""
    runs = client.search_runs([experiment], f"tags.journal = '{journal_name}'")
    return StoredRun(runs[0].info.run_id, runs[0].data.params) if runs else None


def resume(client: Any, old: Result, record: Record) -> StoredRun:
    """Continue an unfinished run; its params may have been typed in other words."""
    run_id = str(old.id)
    client.update_run(run_id, status="RUNNING")
    for tag, value in _lease_tags(record).items():
        client.set_tag(run_id, tag, value)
    client.set_tag(run_id, "artifacts", record["tags"].get("artifacts", "full"))
    if old.failure:
        client.delete_tag(run_id, "failure")
    return StoredRun(run_id, old.params)


def create(client: Any, experiment: str, record: Record) -> StoredRun:
    """Create a run from the first record of its journal, without its params."""
    tags = {**record["tags"], **_lease_tags(record)}
    tags = {_storable(key, 250): _storable(value, 8000) for key, value in tags.items()}
    name = _storable(record["name"], 250)
    return StoredRun(client.create_run(experiment, record.get("at"), tags, name).info.run_id, {})


def _resume_or_create(client: Any, experiment: str, pending: PendingRun, is_claimed: bool) -> StoredRun:
    """Resume the run of the same identity, or create one.

    If this process has claimed the run (`is_claimed`), it refuses a run that another process trains or has trained.
    """
    record = pending.journal.begin
    results = _same_results(client, experiment, record["tags"])
    is_watched = is_claimed or bool(record.get("go_on"))
    running = [result for result in results if result.status == "RUNNING"]
    live = [result for result in running if not _is_owner_gone(client, result, pending, is_watched)]
    if is_claimed:
        _check_not_owned(results, live, record)
    unfinished = next((result for result in results if result.status != "FINISHED"), None)
    if unfinished and not live:
        if record.get("go_on"):
            return resume(client, unfinished, record)
        if unfinished.status == "RUNNING":
            client.set_terminated(unfinished.id, "KILLED")
    return create(client, experiment, record)


def _same_results(client: Any, experiment: str, tags: dict[str, str]) -> list[Result]:
    """Return the runs of the same identity and origin, newest first."""
    if "identity" not in tags:
        return []
    origin = environment.origin_tags(tags)
    results = search(client, experiment, f"tags.identity = '{tags['identity']}'")
    return [result for result in results if result.origin == origin]


def _check_not_owned(results: list[Result], live: list[Result], record: Record) -> None:
    """Raise OwnedError if another process makes the run, or has made it."""
    if live:
        raise heartbeat.OwnedError(f"another process makes this run: {live[0].lease['owner']}")
    tags = record["tags"]
    artifacts, origin = tags.get("artifacts", "full"), environment.origin_tags(tags)
    if not record.get("again") and any(is_reusable(result, artifacts, origin) for result in results):
        raise heartbeat.OwnedError("another process has just made this run")


def _is_owner_gone(client: Any, result: Result, pending: PendingRun, is_watched: bool) -> bool:
    """Return whether the process that makes a run is known to be gone; `is_watched` takes the time to find out."""
    if heartbeat.is_owner_gone(result.lease) or heartbeat.is_live(result.lease) or not is_watched:
        return heartbeat.is_owner_gone(result.lease)
    pending.is_watching = True
    try:
        return heartbeat.wait_until_owner_gone(lambda: client.get_run(result.id).data.tags)
    finally:
        pending.is_watching = False


def _lease_tags(record: Record) -> dict[str, str]:
    keys = ("journal", "owner", "heartbeat")
    return {**{key: record[key] for key in keys}, "delivered": f"{record['journal']} 1"}


def _params(record: Record) -> dict[str, str]:
    """Return the params of a run, with names and values that MLflow accepts."""
    plain = {re.sub(r"[^\w/.: -]", "_", key): value for key, value in record["params"].items()}
    return {_storable(key, 250): _storable(value, 6000) for key, value in plain.items()}


def _log_params(client: Any, run: str, params: dict[str, str]) -> None:
    """Log params. A warning names those that MLflow refuses; the run's config has them all the same."""
    from mlflow.entities import Param

    entities = [Param(key, value) for key, value in params.items()]
    for start in range(0, len(entities), 100):
        part = entities[start : start + 100]
        try:
            client.log_batch(run, params=part)
        except mlflow_error() as error:
            if not is_refused(error):
                raise
            for param in part:
                try:
                    client.log_batch(run, params=[param])
                except mlflow_error() as error:
                    if not is_refused(error):
                        raise
                    print(f"warning: param {printable(param.key)} is not logged: {one_line(error)}", flush=True)


def _storable(text: object, length: int) -> str:
    """Return text that every database accepts: valid UTF-8; long text is cut, with a digest of all of it at the end."""
    text = str(text).replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()
    if len(text) <= length:
        return text
    return f"{text[: length - 9]}…{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _has_step(client: Any, pending: PendingRun, record: Record) -> bool:
    """Return whether the run has the metrics of a record at its step, perhaps from another process.

    The last metric is looked up: a large record is written in several parts, in order.
    """
    key = next(reversed(record["metrics"]))
    if key not in pending.logged_steps:
        points = client.get_metric_history(pending.journal.run, key)
        pending.logged_steps[key] = {point.step for point in points}
    return record.get("step", 0) in pending.logged_steps[key]


def log_points(client: Any, run: str, record: Record) -> None:
    """Log the `params` and the `metrics` of a record, the metrics at its `step` and time `at` in milliseconds."""
    from mlflow.entities import Metric, Param

    at, step = record["at"], record.get("step", 0)
    client.log_batch(
        run,
        params=[Param(key, str(value)) for key, value in record.get("params", {}).items()],
        metrics=[Metric(key, float(value), at, step) for key, value in record.get("metrics", {}).items()],
    )


def rename_for_mlflow(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return metrics by names that MLflow allows.

    Other characters become underscores; names that are then equal get the number of their position.
    """
    plain = {name: re.sub(r"[^\w/.: -]", "_", name) for name in metrics}
    counts = Counter(plain.values())
    return {
        short if counts[short] == 1 else f"{short} {number}": metrics[name]
        for number, (name, short) in enumerate(plain.items(), 1)
    }


def log_metrics(client: Any, pending: PendingRun, batch: Sequence[Record], count: int) -> None:
    """Log the metrics of several records in one write, except those that the run has.

    Args:
        client: an `mlflow.MlflowClient`.
        pending: the run.
        batch: records of metrics.
        count: number of the journal's records that the store has after the write.
    """
    from mlflow.entities import Metric, RunTag

    missing = [record for record in batch if record.get("metrics") and not _has_step(client, pending, record)]
    points = [
        Metric(_storable(key, 250), float(value), record.get("at") or 0, record.get("step", 0))
        for record in missing
        for key, value in record["metrics"].items()
    ]
    tags = [RunTag("delivered", f"{pending.journal.begin['journal']} {count}")]
    for start in range(0, len(points), _POINTS) if points else [0]:
        is_last = start + _POINTS >= len(points)
        client.log_batch(pending.journal.run, metrics=points[start : start + _POINTS], tags=tags if is_last else [])
    for record in missing:
        pending.logged_steps[next(reversed(record["metrics"]))].add(record.get("step", 0))


def apply_record(client: Any, pending: PendingRun, record: Record) -> None:
    """Apply a record in the store. The first record and records of metrics have functions of their own."""
    run, kind = str(pending.journal.run), record["do"]
    if kind == "file":
        pending.repository = pending.repository or artifact_repository(client, run)
        pending.repository.log_artifact(str(pending.journal.file(record["file"])), record.get("folder"))
    elif kind == "data":
        _log_dataset(client, run, record)
    elif kind == "tag":
        client.set_tag(run, _storable(record["key"], 250), _storable(record["value"], 8000))
    elif kind == "end":
        if record.get("failure"):
            client.set_tag(run, "failure", _storable(record["failure"], 8000))
        client.set_terminated(run, record["status"], record.get("at"))
    else:
        raise UserError(printable(record.get("reason", f"there is no record of the kind {kind!r}")))


def note_delivered(client: Any, journal: Journal) -> None:
    """Write into the store the number of records that it has."""
    client.set_tag(journal.run, "delivered", f"{journal.begin['journal']} {journal.delivered}")


def read_delivered_count(tags: Mapping[str, str], journal: Journal) -> int | None:
    """Return the number of a journal's records that the store has by its own tag; None if it has no tag."""
    name, _, count = tags.get("delivered", "").rpartition(" ")
    return int(count) if name == journal.begin["journal"] and count.isdecimal() else None


def tag_stale_points(client: Any, journal: Journal, first: int, last: int) -> None:
    """Mark the points that a process may have written after another one took its run over.

    MLflow cannot delete points. The tag `stale.JOURNAL` lists them, and `results.history` drops a listed point if the
    step has another one.

    Args:
        client: an `mlflow.MlflowClient`.
        journal: of the process that lost the run.
        first: position of the first record whose points are marked.
        last: position behind the last one.
    """
    batch = [record for record in journal.records[max(first, 1) : last] if record.get("metrics")]
    points = [f"{record.get('step', 0)}:{record['at']}" for record in batch if record.get("at")]
    if points:
        client.set_tag(journal.run, f"{STALE}{journal.begin['journal']}", json.dumps(points[-250:]))


def _log_dataset(client: Any, run: str, record: Record) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    limits = {"name": 500, "digest": 36}
    entity = {key: _storable(value, limits.get(key, 1_000_000)) for key, value in record["set"].items()}
    if len(entity.get("source", "")) > 65535:
        entity["source"] = json.dumps({"source": _storable(entity["source"], 10_000)})
    inputs = [DatasetInput(Dataset(**entity), [InputTag("mlflow.data.context", record["part"])])]
    try:
        client.log_inputs(run, inputs)
    except mlflow_error():  # another run has logged the same data set between MLflow's check and its write
        client.log_inputs(run, inputs)
