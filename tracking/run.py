"""One run in MLflow: `Run` records it, and `RecordedRun` reads it."""

import contextlib
import getpass
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Literal, Protocol

import pydantic

from .. import UserError
from ..settings import untrusted_yaml
from ..settings.schema import Schema, parse
from ..settings.text import has_only_text, printable, without_password
from . import DEFAULT_EXPERIMENT, environment
from .errors import mlflow_error
from .outbox import operations, worker
from .outbox.journal import Journal
from .outbox.pending_run import PendingRun
from .store import artifact_repository, open_store
from .tables import check_recorded, no_run

MODEL = "model.keras"


def _check_names(names: list[str]) -> list[str]:
    if len(set(names)) < len(names) or not all(name.strip() and has_only_text(name) for name in names):
        raise ValueError("should be different names that can be printed")
    return names


class RecordedData(Schema):
    """The part `data` of a run's config, as far as it is used without reading images."""

    name: str
    source: str
    image_shape: Annotated[list[pydantic.PositiveInt], pydantic.Field(min_length=3, max_length=3)]
    class_names: Annotated[list[str], pydantic.Field(min_length=2), pydantic.AfterValidator(_check_names)]
    directory: str | None = None
    resize: Literal["squash", "crop", "pad"] | None = None


class RecordedTracking(Schema):
    """The part `tracking` of a run's config."""

    artifacts: str = "full"


class RecordedSettings(Schema):
    """The config of a run, `config.yaml`, as far as it is read again."""

    data: RecordedData | None = None
    tracking: RecordedTracking = RecordedTracking()


class _Loss(Schema):
    target: str = pydantic.Field(alias="_target_")


class _RecordedNetwork(Schema):
    """The file `rows.yaml` of a run, as far as it is read again."""

    loss: _Loss | None = None


class RecordedRun:
    """A run that is in the store.

    Args:
        client: an `mlflow.MlflowClient` of the store.
        info: MLflow's `RunInfo`.

    Attributes:
        id: MLflow's id of the run.
        name: name of the run.
        experiment_id: MLflow's id of the study's experiment.
    """

    def __init__(self, client: Any, info: Any):
        self.client = client
        self.id: str = info.run_id
        self.name: str = info.run_name
        self.experiment_id: str = info.experiment_id

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log metrics at a step in one write, by the names that MLflow allows."""
        named = operations.rename_for_mlflow(metrics)
        operations.log_points(self.client, self.id, {"metrics": named, "step": step, "at": _now_ms()})

    def log_files(self, paths: Iterable[Path], folder: str) -> None:
        """Log files as artifacts in a folder."""
        repository = artifact_repository(self.client, self.id)
        for path in paths:
            repository.log_artifact(str(path), folder)

    def read_settings(self) -> dict[str, Any]:
        """Return the resolved config of the run, as a plain mapping that `RecordedSettings` describes.

        Raises:
            UserError: the run has no config, or it cannot be read.
        """
        settings = self._read_mapping("config.yaml")
        parse(RecordedSettings, settings, f"run {self.id}: config.yaml")
        return settings

    def loss_class_name(self) -> str | None:
        """Return the name of the loss class that the network's file names; None if its scores are logits.

        Raises:
            UserError: `rows.yaml` cannot be read, or has a loss without a `_target_`.
        """
        network = parse(_RecordedNetwork, self._read_mapping("rows.yaml"), f"run {self.id}: rows.yaml")
        return network.loss.target.rpartition(".")[2] if network.loss else None

    def _read_mapping(self, name: str) -> dict[str, Any]:
        """Read a YAML file of the run; the store may be a stranger's."""
        with self.download(name) as path:
            try:
                content = untrusted_yaml.read(path)
            except UserError as error:
                raise UserError(f"run {self.id}: {str(error).replace(str(path), name)}") from error
        if not isinstance(content, dict):
            raise UserError(f"run {self.id}: {name} must be a mapping. Received: {content!r:.200}")
        return content

    @contextlib.contextmanager
    def download(self, name: str) -> Iterator[str]:
        """Download an artifact, and return its path, which exists as long as the context lasts.

        Raises:
            UserError: the run has no artifact of that name.
        """
        with tempfile.TemporaryDirectory() as folder:
            try:
                path = artifact_repository(self.client, self.id).download_artifacts(name, folder)
            except (OSError, mlflow_error()) as error:
                raise UserError(self._explain_missing(name)) from error
            yield path

    def _explain_missing(self, name: str) -> str:
        if name == MODEL:
            with contextlib.suppress(UserError):
                if self.read_settings().get("tracking", {}).get("artifacts") == "light":
                    return (
                        f"run {self.id} has no model, because studies record none; "
                        "train it again with `tracking.artifacts=full`"
                    )
        return f"run {self.id} has no {name} to read; it may not have finished"

    def is_test_data(self, split: "_Split") -> bool:
        """Return whether a split is, byte for byte, the test part that the run has recorded."""
        inputs = self.client.get_run(self.id).inputs.dataset_inputs
        return any(tag.value == "test" and each.dataset.digest == split.digest for each in inputs for tag in each.tags)


class _Split(Protocol):
    """The attributes of a `data.Split` that a run records."""

    @property
    def x(self) -> Any: ...
    @property
    def y(self) -> Any: ...
    @property
    def digest(self) -> str: ...


@dataclass(frozen=True)
class RunSpec:
    """A run that is to be recorded.

    Attributes:
        uri: `sqlite:///file` or the address of a server.
        study: name of the experiment, which is created if it does not exist.
        name: name of the run.
        params: the settings that vary, as plain numbers and text.
        tags: further facts. Two runs of one `identity` in a study do not train at the same time.
        resume: whether an unfinished run of the same identity is continued.
        force: whether the run is repeated although a finished run of the same identity exists.
    """

    uri: str
    study: str
    name: str
    params: Mapping[str, Any]
    tags: Mapping[str, str]
    resume: bool = False
    force: bool = False

    def begin_record(self) -> dict[str, Any]:
        """Return the first record of the run's journal."""
        tags = {
            "study": self.study,
            "mlflow.user": _user_name(),
            "mlflow.source.name": "train.py",
            "mlflow.source.type": "LOCAL",
            **environment.environment_tags(),
            "artifacts": "full",
            **self.tags,
        }
        record = {
            "do": "begin",
            "uri": self.uri,
            "study": self.study,
            "name": self.name,
            "tags": tags,
            "params": dict(self.params),
        }
        if "identity" in tags and self.study != DEFAULT_EXPERIMENT:
            record["cell"] = f"{tags['identity']}-{tags['code']}"[:150]
        return {**record, "go_on": self.resume, "again": self.force, "at": _now_ms()}


class Run:
    """A run that is being recorded, as a context: it ends FINISHED, KILLED by an interrupt, or FAILED with a reason.

    Records are on disk at once and in the store soon after (`outbox`). When the context ends, the store has all of
    them, unless it does not answer. Create it by `Run.start`.

    Args:
        pending: its journal, and the state of its delivery.
        delivery_worker: delivers the journal to the store.
    """

    def __init__(self, pending: PendingRun, delivery_worker: worker.DeliveryWorker):
        self.name: str = pending.journal.begin["name"]
        self._pending = pending
        self._worker = delivery_worker

    @classmethod
    def start(cls, spec: RunSpec, poll: Callable[[], object] = lambda: None) -> "Run":
        """Start a run: write its first record, and wait for the store where that must accept it.

        Args:
            spec: of the run.
            poll: called twice a second while the store is waited for; an exception that it raises ends the run.

        Raises:
            OwnedError: another process trains a run of the identity, or has just finished it.
            UserError: the address cannot be a store, or the store refuses the run.
        """
        worker.flush_pending(spec.uri)
        run = cls(PendingRun(Journal.new(spec.begin_record())), worker.get_worker(spec.uri))
        try:
            run._worker.start(run._pending, poll)
        except Exception:
            raise
        except BaseException as interrupt:
            run._end(interrupt)
            raise
        return run

    def __enter__(self) -> "Run":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        """Write the last record, and wait for the store."""
        if error and error is self._pending.error:
            return self._pending.journal.remove()
        end = {"do": "end", "status": "FINISHED", "at": _now_ms()}
        if isinstance(error, Exception):
            end.update(status="FAILED", failure=describe_failure(error))
            error.run_id = self.id or ""  # type: ignore[attr-defined]
        elif error:
            end["status"] = "KILLED"
        self._record(end)
        self._worker.finish(self._pending, worker.EXIT_TIMEOUT_S if end["status"] == "KILLED" else math.inf)
        if self._pending.error:
            self._pending.journal.close()
        self.check()
        return None

    @property
    def id(self) -> str | None:
        """MLflow's id of the run; None if the store does not accept the run now."""
        self._worker.wait_registered(self._pending)
        return self._pending.journal.run

    @property
    def experiment_id(self) -> str | None:
        """MLflow's id of the study's experiment; None if the store does not accept the run now."""
        self._worker.wait_registered(self._pending)
        return self._pending.journal.experiment

    def check(self) -> None:
        """Raise UserError if the store has refused the run after its start."""
        if self._pending.error and not self._pending.journal.delivered:
            raise self._pending.error

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log metrics at a step, all in one write."""
        self._record({"do": "metrics", "metrics": _as_floats(metrics), "step": step, "at": _now_ms()})

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log the metrics of an epoch, unless a resumed run has them already."""
        self._record({"do": "epoch", "metrics": _as_floats(metrics), "step": epoch, "at": _now_ms()})

    def set_tag(self, key: str, value: str) -> None:
        """Set a tag of the run."""
        self._record({"do": "tag", "key": key, "value": value})

    def log_text(self, text: str, path: str) -> None:
        """Log text as an artifact."""
        self._log_file(path, lambda file: file.write_text(text))

    def log_figure(self, figure: Any, path: str) -> None:
        """Log a matplotlib figure as an artifact."""
        self._log_file(path, figure.savefig)

    def save_model(self, model: Any) -> None:
        """Log a Keras model as the artifact `model.keras`."""
        self._log_file(MODEL, model.save)

    def log_dataset(self, data: Any, part: str) -> None:
        """Log one part of a data set as an input of the run; nothing if the data set has no such part.

        Args:
            data: a `data.Dataset`.
            part: "train", "validation" or "test".
        """
        split: _Split | None = getattr(data, part)
        if split is not None:
            self._record_dataset(data, part, split)

    def log_extra_tests(self, data: Any) -> None:
        """Log the further test sets of a data set as inputs of the run.

        Args:
            data: a `data.Dataset`.
        """
        for name, split in data.extra_tests.items():
            self._record_dataset(data, f"test_{name}", split)

    def _record_dataset(self, data: Any, part: str, split: "_Split") -> None:
        entity = {
            "name": f"{data.name}/{part}",
            "digest": split.digest,
            "source_type": "local",
            "source": json.dumps({"source": data.source}),
            "profile": json.dumps({"images": len(split.y), "shape": list(split.x.shape[1:])}),
        }
        self._record({"do": "data", "set": entity, "part": part})

    def _log_file(self, path: str, write: Callable[[Path], object]) -> None:
        folder, _, name = path.rpartition("/")
        try:
            file, word = self._pending.journal.new_file(name)
            write(file)
        except OSError as error:
            self._pending.journal.move_to_temporary_folder(error)
            file, word = self._pending.journal.new_file(name)
            write(file)
        self._record({"do": "file", "file": word, "folder": folder or None})

    def _record(self, record: dict[str, Any]) -> None:
        self.check()
        self._pending.journal.append(record)
        self._worker.notify()


def describe_failure(error: BaseException) -> str:
    """Return the text that a run records of the error that ended it."""
    return f"{type(error).__name__}: {error}"[:5000]


def find_run(uri: str, run_id: str) -> RecordedRun:
    """Return the run of an id, or the newest run.

    Args:
        uri: address of the store.
        run_id: MLflow's id of the run, or "latest": the finished run of any study that started last, among those that
            have a model if there are any.

    Raises:
        UserError: there is no such run.
    """
    check_recorded(uri)
    client = open_store(uri)
    worker.get_worker(uri).flush_pending()
    if run_id == "latest":
        studies = [experiment.experiment_id for experiment in client.search_experiments()]
        finished = "attributes.status = 'FINISHED' and tags.identity LIKE '%'"  # a report has no identity
        for where in (f"{finished} and tags.artifacts = 'full'", finished):
            newest = client.search_runs(studies, where, max_results=1, order_by=["attributes.start_time DESC"])
            if newest:
                return RecordedRun(client, newest[0].info)
        raise UserError(f"there is no finished run in {without_password(printable(uri))}")
    try:
        return RecordedRun(client, client.get_run(run_id).info)
    except mlflow_error() as error:
        raise no_run(uri, run_id) from error


def _as_floats(metrics: Mapping[str, float]) -> dict[str, float]:
    return {key: float(value) for key, value in metrics.items()}


def _now_ms() -> int:
    """Return milliseconds since 1970, MLflow's unit of time."""
    return int(time.time() * 1000)


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
