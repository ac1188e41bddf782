"""One run in MLflow, from start to its ending."""

import contextlib
import getpass
import hashlib
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from omegaconf import OmegaConf

from .. import UserError
from . import environment
from .store import check_recorded, experiment_of, mlflow_error, open_store

MODEL = "model.keras"


def run_name(model, seed, overrides):
    """A name that a list of runs can be read by: `allconv pooling=l2 dropout=0.5 seed=1`.

    Args:
        model: name of the network.
        seed: the run's seed.
        overrides: what was typed, as `key=value` words.
    """
    silent = ("model=", "seed=", "study=", "tracking.", "plan=", "launcher", "hydra.", "data.directory=")
    typed = [word.lstrip("+") for word in overrides if not word.lstrip("+").startswith(silent)]
    return " ".join([model, *typed, f"seed={seed}"])


class Recorded:
    """A run that is in the store.

    Args:
        client: MLflow's client of the store.
        info: MLflow's `RunInfo`.
    """

    def __init__(self, client, info):
        self.client, self.id, self.name, self.experiment_id = client, info.run_id, info.run_name, info.experiment_id

    def metrics(self, metrics, step=0):
        """Logs metrics at a step, all in one write."""
        self._log(metrics=metrics, step=step)

    def text(self, text, path):
        """Logs text as an artifact."""
        self.client.log_text(self.id, text, path)

    def figure(self, figure, path):
        """Logs a matplotlib figure as an artifact."""
        self.client.log_figure(self.id, figure, path)

    def files(self, paths, folder):
        """Logs files as artifacts in a folder."""
        for path in paths:
            self.client.log_artifact(self.id, str(path), folder)

    def settings(self):
        """The resolved config of the run, as a plain mapping."""
        with self.artifact("config.yaml") as path:
            return OmegaConf.to_container(OmegaConf.load(path))

    def own_loss(self):
        """Name of the loss class that the network's file asks for, or None where its scores are logits."""
        with self.artifact("rows.yaml") as path:
            loss = OmegaConf.load(path).get("loss")
        return loss and loss["_target_"].rpartition(".")[2]

    @contextlib.contextmanager
    def artifact(self, name):
        """The path of an artifact, downloaded for as long as the context lasts.

        Raises:
            UserError: the run has none of that name.
        """
        with tempfile.TemporaryDirectory() as folder:
            try:
                path = self.client.download_artifacts(self.id, name, folder)
            except (OSError, mlflow_error()) as error:
                raise UserError(self._without(name)) from error
            yield path

    def _without(self, name):
        if name == MODEL:
            with contextlib.suppress(UserError):
                if (self.settings().get("tracking") or {}).get("artifacts") == "light":
                    return (
                        f"run {self.id} kept no model, as runs of a study do not; "
                        "`tracking.artifacts=full` behind the command that made it keeps one"
                    )
        return f"run {self.id} has no {name} to read; it may not have finished"

    def tested_on(self, split):
        """Whether a split is, byte for byte, what the run recorded as its test part."""
        inputs = self.client.get_run(self.id).inputs.dataset_inputs
        return any(
            tag.value == "test" and each.dataset.digest == _digest(split) for each in inputs for tag in each.tags
        )

    def _log(self, params=None, metrics=None, step=0):
        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        self.client.log_batch(
            self.id,
            params=[Param(key, str(value)) for key, value in (params or {}).items()],
            metrics=[Metric(key, float(value), now, step) for key, value in (metrics or {}).items()],
        )


class Run(Recorded):
    """A run being made, as a context: it ends FINISHED, or KILLED by an interrupt, or FAILED with the reason as a tag.

    Args:
        uri: `sqlite:///file` or the address of a server.
        study: name of the experiment, made if it is not there.
        name: the run's name.
        params: what was varied, as plain numbers and words.
        tags: further facts.
        goes_on: id of a run that did not come to its end and goes on here, or None for a new one.

    Raises:
        UserError: the store cannot be reached or opened.
    """

    def __init__(self, uri, study, name, params, tags, goes_on=None):
        client = open_store(uri)
        self.held = set()  # epochs whose metrics are there
        if goes_on:
            client.update_run(goes_on, status="RUNNING")
            client.set_tag(goes_on, "artifacts", tags.get("artifacts", "full"))
            if "failure" in client.get_run(goes_on).data.tags:
                client.delete_tag(goes_on, "failure")
            super().__init__(client, client.get_run(goes_on).info)
            self.held.update(point.step for point in client.get_metric_history(goes_on, "train_loss"))
            return
        source = {"mlflow.source.name": "train.py", "mlflow.source.type": "LOCAL"}
        tags = {"study": study, "mlflow.user": _user(), **source, **environment.tags(), **tags}
        run = client.create_run(experiment_of(client, uri, study), tags=tags, run_name=name)
        super().__init__(client, run.info)
        try:
            self._log(params=params)
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if kind is None:
            status = "FINISHED"
        elif issubclass(kind, Exception):
            status = "FAILED"
            error.run_id = self.id
            self.client.set_tag(self.id, "failure", failure(error))
        else:
            status = "KILLED"
        self.client.set_terminated(self.id, status)

    def epoch(self, epoch, metrics):
        """Logs the metrics of an epoch, unless the run held them when it went on."""
        if epoch not in self.held:
            self.metrics(metrics, epoch)

    def save_model(self, model):
        """Logs a Keras model as the artifact `model.keras`."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / MODEL
            model.save(path)
            self.client.log_artifact(self.id, str(path))

    def dataset(self, data, part):
        """Logs one part of a data set as the run's input, if it is there.

        Args:
            data: it has a `name` and a `source`, and under the part's name a split with `x` and `y`, or None.
            part: "train", "validation" or "test".
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag

        split = getattr(data, part)
        if split is None:
            return
        entity = Dataset(
            name=f"{data.name}/{part}",
            digest=_digest(split),
            source_type="local",
            source=json.dumps({"source": data.source}),
            profile=json.dumps({"images": len(split.y), "shape": list(split.x.shape[1:])}),
        )
        inputs = [DatasetInput(entity, [InputTag("mlflow.data.context", part)])]
        try:
            self.client.log_inputs(self.id, inputs)
        except mlflow_error():  # another run entered the same set between MLflow's look and its entry: now it is there
            self.client.log_inputs(self.id, inputs)


def failure(error):
    """The words in which a run keeps the error that ended it."""
    return f"{type(error).__name__}: {error}"[:5000]


def find(uri, run_id):
    """The `Recorded` run of an id, or the newest.

    Args:
        uri: the store.
        run_id: MLflow's id, or "latest": the finished run that started last, of any study, of those that kept their
            model if there are any.

    Raises:
        UserError: there is no such run.
    """
    check_recorded(uri)
    client = open_store(uri)
    if run_id == "latest":
        studies = [experiment.experiment_id for experiment in client.search_experiments()]
        found = client.search_runs(
            studies,
            "attributes.status = 'FINISHED' and tags.identity LIKE '%'",  # a report has none
            max_results=1000,
            order_by=["attributes.start_time DESC"],
        )
        if not found:
            raise UserError(f"there is no finished run in {uri}")
        kept = [run for run in found if run.data.tags.get("artifacts", "full") == "full"]
        return Recorded(client, [*kept, *found][0].info)
    try:
        return Recorded(client, client.get_run(run_id).info)
    except mlflow_error() as error:
        raise UserError(f"there is no run {run_id!r} in {uri}; `run=latest` is the newest finished one") from error


def _user():
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _digest(split):
    digest = hashlib.blake2b(np.ascontiguousarray(split.x), digest_size=8)
    digest.update(np.ascontiguousarray(split.y))
    return digest.hexdigest()
