"""A store in memory, with the methods of MLflow's client that the outbox calls, and a wrapper that makes one fail."""

import copy
import itertools
from types import SimpleNamespace

from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, RESOURCE_DOES_NOT_EXIST, TEMPORARILY_UNAVAILABLE

WRITES = ("create_run", "update_run", "set_tag", "delete_tag", "log_batch", "set_terminated", "log_artifact")


class Page(list):
    token = None


class MemoryStore:
    """MLflow's tracking store as far as the outbox needs it.

    A point of a metric is there once for its key, step, time and value, as in MLflow's tables.
    """

    def __init__(self):
        self.state = {"experiments": {}, "experiment_tags": {}, "runs": {}}
        self._numbers = itertools.count(1)

    def backup(self):
        return copy.deepcopy(self.state)

    def restore(self, backup):
        self.state = copy.deepcopy(backup)

    def experiment_of(self, uri, study):
        return self.state["experiments"].setdefault(study, f"{len(self.state['experiments']) + 1}")

    def get_experiment(self, experiment_id):
        return SimpleNamespace(tags=dict(self.state["experiment_tags"]))

    def set_experiment_tag(self, experiment_id, key, value):
        self.state["experiment_tags"][key] = value

    def delete_experiment_tag(self, experiment_id, key):
        self.state["experiment_tags"].pop(key, None)

    def create_run(self, experiment_id, start_time=None, tags=None, run_name=None):
        run_id = f"{next(self._numbers):032x}"
        info = {
            "run_id": run_id,
            "run_name": run_name,
            "experiment_id": experiment_id,
            "status": "RUNNING",
            "start_time": start_time or 0,
            "end_time": None,
            "lifecycle_stage": "active",
        }
        self.state["runs"][run_id] = {"info": info, "tags": dict(tags), "params": {}, "points": {}, "files": {}}
        return self.get_run(run_id)

    def get_run(self, run_id):
        run = self._run(run_id)
        latest = {key: max(points)[-1] for key, points in run["points"].items() if points}
        data = SimpleNamespace(tags=dict(run["tags"]), params=dict(run["params"]), metrics=latest)
        inputs = SimpleNamespace(dataset_inputs=[])
        return SimpleNamespace(info=SimpleNamespace(**run["info"]), data=data, inputs=inputs)

    def search_runs(self, experiment_ids, filter_string="", max_results=1000, order_by=None, page_token=None):
        def matches(run):
            if not filter_string:
                return True
            name, value = filter_string.split(" = ")
            value = value.strip("'")
            kind, key = name.split(".", 1)
            return (run["tags"] if kind == "tags" else run["info"]).get(key) == value

        found = [each for each in self.state["runs"].values() if matches(each)]
        found = [each for each in found if each["info"]["experiment_id"] in experiment_ids]
        return Page(self.get_run(each["info"]["run_id"]) for each in reversed(found))

    def update_run(self, run_id, status=None):
        self._run(run_id)["info"]["status"] = status

    def set_terminated(self, run_id, status=None, end_time=None):
        self._run(run_id)["info"].update(status=status, end_time=end_time or 0)

    def set_tag(self, run_id, key, value):
        self._run(run_id)["tags"][key] = value

    def delete_tag(self, run_id, key):
        self._run(run_id)["tags"].pop(key, None)

    def log_batch(self, run_id, metrics=(), params=(), tags=()):
        run = self._run(run_id)
        for param in params:
            run["params"].setdefault(param.key, param.value)
        for point in metrics:
            run["points"].setdefault(point.key, set()).add((point.step, point.timestamp, point.value))
        run["tags"].update({tag.key: tag.value for tag in tags})

    def get_metric_history(self, run_id, key):
        points = sorted(self._run(run_id)["points"].get(key, ()))
        return [Metric(key, value, at, step) for step, at, value in points]

    def log_artifact(self, run_id, path):
        self._run(run_id)["files"][path] = True

    def _run(self, run_id):
        if run_id not in self.state["runs"]:
            raise MlflowException(f"Run with id={run_id} not found", RESOURCE_DOES_NOT_EXIST)
        return self.state["runs"][run_id]


class Faulty:
    """A store that fails on demand.

    Attributes:
        is_away: whether it takes nothing.
        refused: metrics whose records it never takes, by their names.
        silent: metrics whose records it never answers, by their names.
        at_write: (number of writes from now on, "before" or "after", function): is called at that write.

    Args:
        store: a client.
    """

    def __init__(self, store):
        self.store, self.is_away, self.refused, self.silent, self.at_write = store, False, (), (), None

    def __getattr__(self, name):
        method = getattr(self.store, name)

        def called(*args, **kwargs):
            self._fail_if_away()
            metrics = kwargs.get("metrics", ()) if name == "log_batch" else ()
            if any(point.key in self.refused for point in metrics):
                raise MlflowException("value too long for type character varying(250)", BAD_REQUEST)
            if any(point.key in self.silent for point in metrics):
                raise MlflowException("API request failed with exception: Read timed out", TEMPORARILY_UNAVAILABLE)
            when, function = self._planned() if name in WRITES else ("", None)
            if when == "before":
                function()
                self._fail_if_away()
            answer = method(*args, **kwargs)
            if when == "after":
                function()
            return answer

        return called

    def _fail_if_away(self):
        if self.is_away:
            raise MlflowException("Connection refused", TEMPORARILY_UNAVAILABLE)

    def _planned(self):
        if self.at_write is None:
            return "", None
        number, when, function = self.at_write
        self.at_write = (number - 1, when, function) if number else None
        return ("", None) if number else (when, function)
