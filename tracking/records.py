"""The records of a run's journal, carried out in MLflow. Each may be carried out again and leaves the same.

MLflow keeps a point of a metric by its value, step and time: the same one, written again with the same time, is there
once. Params, tags, files and data sets are there once by their names.
"""

import re
from collections import Counter

from . import lease
from .result import search, serves
from .store import experiment_of, mlflow_error, repository


def begin(client, journal, before=False):
    """Begins the run of a journal in the store, or goes on with one that was begun.

    Args:
        client: MLflow's client.
        journal: a `Journal`.
        before: whether a try may have come through whose answer was lost.

    Returns:
        MLflow's ids of the run and of its experiment.

    Raises:
        OwnedError: another process makes the run, or made it meanwhile; not where the journal no longer waits for this.
        UserError: the experiment was deleted, or the run's files would lie elsewhere than below its id.
    """
    record = journal.begin
    experiment = experiment_of(client, record["uri"], record["study"])
    if before and (found := client.search_runs([experiment], f"tags.journal = '{record['journal']}'")):
        run, params = found[0].info.run_id, found[0].data.params
    elif "cell" in record and journal.waited:
        with lease.claimed(client, experiment, record["cell"]):
            run, params = _begin(client, experiment, record, alone=True)
    else:
        run, params = _begin(client, experiment, record, alone=False)
    journal.repository = repository(client, run)
    batch(client, run, {"params": {key: value for key, value in record["params"].items() if key not in params}})
    return run, experiment


def _begin(client, experiment, record, alone):
    """The id and params of the run that goes on, its settings perhaps in other words, or of a new one.

    `alone` refuses to make what another process makes or made.
    """
    tags = record["tags"]
    if "identity" in tags:
        found = search(client, experiment, f"tags.identity = '{tags['identity']}'")
        found = [result for result in found if result.code == tags["code"]]
        live = [result for result in found if result.status == "RUNNING" and lease.is_live(result.lease)]
        if alone:
            if live:
                raise lease.OwnedError(f"another process makes this run: {live[0].lease['owner']}")
            if not record["again"] and any(serves(result, tags["artifacts"]) for result in found):
                raise lease.OwnedError("another process has just made this run")
        if not live and (old := next((each for each in found if each.status != "FINISHED"), None)):
            if record["go_on"]:
                return _go_on(client, old, record)
            if old.status == "RUNNING":
                client.set_terminated(old.id, "KILLED")
    tags = {**tags, "journal": record["journal"], "owner": record["owner"], "heartbeat": record["heartbeat"]}
    return client.create_run(experiment, record["at"], tags, record["name"]).info.run_id, {}


def _go_on(client, old, record):
    client.update_run(old.id, status="RUNNING")
    for tag in ("journal", "owner", "heartbeat"):
        client.set_tag(old.id, tag, record[tag])
    client.set_tag(old.id, "artifacts", record["tags"]["artifacts"])
    if old.failure:
        client.delete_tag(old.id, "failure")
    return old.id, old.params


def held(client, run):
    """The epochs whose metrics a run has."""
    return {point.step for point in client.get_metric_history(run, "train_loss")}


def _holds(client, run, record):
    """Whether a run that goes on has metrics at a step from when its process was killed."""
    key = next(iter(record["metrics"]))
    return any(point.step == record["step"] for point in client.get_metric_history(run, key))


def batch(client, run, record):
    """Params and metrics, the metrics at a step and a time in milliseconds."""
    from mlflow.entities import Metric, Param

    at, step = record.get("at"), record.get("step", 0)
    client.log_batch(
        run,
        params=[Param(key, str(value)) for key, value in record.get("params", {}).items()],
        metrics=[Metric(key, float(value), at, step) for key, value in record.get("metrics", {}).items()],
    )


def allowed(metrics):
    """Metrics by names that MLflow takes: other signs become underscores, and equals get their places' numbers."""
    plain = {name: re.sub(r"[^\w/.: -]", "_", name) for name in metrics}
    counts = Counter(plain.values())
    return {
        short if counts[short] == 1 else f"{short} {number}": metrics[name]
        for number, (name, short) in enumerate(plain.items(), 1)
    }


def carry_out(client, journal, record, epochs):
    """Carries out a record but the first; `epochs` are those whose metrics the run has."""
    run, kind = journal.run, record["do"]
    if kind == "epoch" and record["step"] not in epochs:
        batch(client, run, record)
        epochs.add(record["step"])
    elif kind == "metrics" and not _holds(client, run, record):
        batch(client, run, record)
    elif kind == "file":
        journal.repository = journal.repository or repository(client, run)
        journal.repository.log_artifact(str(journal.file(record["file"])), record["folder"])
    elif kind == "data":
        _data(client, run, record)
    elif kind == "end":
        if "failure" in record:
            client.set_tag(run, "failure", record["failure"])
        client.set_terminated(run, record["status"], record["at"])


def _data(client, run, record):
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = [DatasetInput(Dataset(**record["set"]), [InputTag("mlflow.data.context", record["part"])])]
    try:
        client.log_inputs(run, inputs)
    except mlflow_error():  # another run entered the same set between MLflow's look and its entry: now it is there
        client.log_inputs(run, inputs)
