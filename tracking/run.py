"""One run in MLflow, from start to its ending."""

import contextlib
import getpass
import json
import math
import sys
import tempfile
import time

from .. import UserError
from ..configs import foreign
from . import EVERYDAY, delivery, environment, records
from .journal import Journal
from .store import check_recorded, mlflow_error, open_store, repository

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
        """Logs metrics at a step, all in one write, by the names that MLflow allows."""
        named = records.allowed(metrics)
        records.batch(self.client, self.id, {"metrics": named, "step": step, "at": _now()})

    def files(self, paths, folder):
        """Logs files as artifacts in a folder."""
        place = repository(self.client, self.id)
        for path in paths:
            place.log_artifact(str(path), folder)

    def settings(self):
        """The resolved config of the run, as a plain mapping."""
        return self._said("config.yaml")

    def own_loss(self):
        """Name of the loss class that the network's file asks for, or None where its scores are logits."""
        loss = self._said("rows.yaml").get("loss")
        if loss is not None and not (isinstance(loss, dict) and isinstance(loss.get("_target_"), str)):
            raise UserError(f"run {self.id}: rows.yaml must name a loss by its `_target_`. Received: {loss!r:.200}")
        return loss and loss["_target_"].rpartition(".")[2]

    def _said(self, name):
        """What a YAML file of the run says; the store may be a stranger's."""
        with self.artifact(name) as path:
            try:
                said = foreign.read(path)
            except UserError as error:
                raise UserError(f"run {self.id}: {str(error).replace(str(path), name)}") from error
        if not isinstance(said, dict):
            raise UserError(f"run {self.id}: {name} must be a mapping. Received: {said!r:.200}")
        return said

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
        return any(tag.value == "test" and each.dataset.digest == split.digest for each in inputs for tag in each.tags)


class Run:
    """A run being made, as a context: it ends FINISHED, or KILLED by an interrupt, or FAILED with the reason as a tag.

    What it records is on disk at once and in the store soon after, see `delivery`; when the context ends, the store has
    it, unless it does not answer.

    Args:
        uri: `sqlite:///file` or the address of a server.
        study: name of the experiment, made if it is not there.
        name: the run's name.
        params: what was varied, as plain numbers and words.
        tags: further facts; two runs of one `identity` in a study are not made at the same time.
        go_on: whether a run of the same identity that did not come to its end goes on here.
        again: whether one that did is no hindrance.
        look: called now and then while the store is waited for; what it raises ends the run.

    Raises:
        OwnedError: another process makes a run of the identity, or has just made it.
        UserError: the store cannot be there, or refuses the run.
    """

    def __init__(self, uri, study, name, params, tags, go_on=False, again=False, look=lambda: None):
        source = {"mlflow.source.name": "train.py", "mlflow.source.type": "LOCAL"}
        tags = {"study": study, "mlflow.user": _user(), **source, **environment.tags(), "artifacts": "full", **tags}
        begin = {"do": "begin", "uri": uri, "study": study, "name": name, "tags": tags, "params": params}
        if "identity" in tags and study != EVERYDAY:
            begin["cell"] = f"{tags['identity']}-{tags['code']}"[:150]
        delivery.settle(uri)
        self.name, self._delivery = name, delivery.of(uri)
        self._journal = Journal.new({**begin, "go_on": go_on, "again": again, "at": _now()})
        try:
            self._delivery.start(self._journal, look)
        except Exception:
            raise
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if error and error is self._journal.error:
            return self._journal.remove()
        end = {"do": "end", "status": "FINISHED", "at": _now()}
        if kind and issubclass(kind, Exception):
            end.update(status="FAILED", failure=failure(error))
            error.run_id = self.id or ""
        elif kind:
            end["status"] = "KILLED"
        self._record(end)
        self._delivery.finish(self._journal, delivery.LEAVE_SECONDS if end["status"] == "KILLED" else math.inf)
        if self._journal.error:
            self._journal.close()
        self.check()

    @property
    def id(self):
        """MLflow's; None if the store does not take the run now."""
        self._delivery.reach(self._journal)
        return self._journal.run

    @property
    def experiment_id(self):
        """MLflow's; None if the store does not take the run now."""
        self._delivery.reach(self._journal)
        return self._journal.experiment

    def check(self):
        """Raises UserError once the store has refused the run: it was not waited for."""
        if self._journal.error and not self._journal.taken:
            raise self._journal.error

    def metrics(self, metrics, step=0):
        """Logs metrics at a step, all in one write."""
        self._record({"do": "metrics", "metrics": _numbers(metrics), "step": step, "at": _now()})

    def epoch(self, epoch, metrics):
        """Logs the metrics of an epoch, unless the run held them when it went on."""
        self._record({"do": "epoch", "metrics": _numbers(metrics), "step": epoch, "at": _now()})

    def text(self, text, path):
        """Logs text as an artifact."""
        self._file(path, lambda place: place.write_text(text))

    def figure(self, figure, path):
        """Logs a matplotlib figure as an artifact."""
        self._file(path, figure.savefig)

    def save_model(self, model):
        """Logs a Keras model as the artifact `model.keras`."""
        self._file(MODEL, model.save)

    def dataset(self, data, part):
        """Logs one part of a data set as the run's input, if it is there.

        Args:
            data: it has a `name` and a `source`, and under the part's name a split with `x`, `y` and
                their `digest`, or None.
            part: "train", "validation" or "test".
        """
        split = getattr(data, part)
        if split is None:
            return
        entity = {
            "name": f"{data.name}/{part}",
            "digest": split.digest,
            "source_type": "local",
            "source": json.dumps({"source": data.source}),
            "profile": json.dumps({"images": len(split.y), "shape": list(split.x.shape[1:])}),
        }
        self._record({"do": "data", "set": entity, "part": part})

    def _file(self, path, write):
        folder, _, name = path.rpartition("/")
        try:
            place, word = self._journal.place(name)
            write(place)
        except OSError as error:
            self._journal.move(error)
            place, word = self._journal.place(name)
            write(place)
        self._record({"do": "file", "file": word, "folder": folder or None})

    def _record(self, record):
        self.check()
        self._journal.append(record)
        self._delivery.come()


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
    delivery.of(uri).settle()
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


def _numbers(metrics):
    return {key: float(value) for key, value in metrics.items()}


def _now():
    """Milliseconds since 1970, as MLflow has them."""
    return int(time.time() * 1000)


def _user():
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
