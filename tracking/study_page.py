"""The parts of a study's page in MLflow that follow from its runs: description, means of cells, colours, report.

All of them are functions of the runs that the store has, and are computed anew when a run has come in. One process at a
time reads the runs and writes the page, under a claim (`heartbeat.claim_cell`): no older answer overwrites a newer one.
"""

import contextlib
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pydantic

from ..settings.colors import COLORS
from ..settings.schema import Schema
from . import charts, heartbeat, results
from .errors import mlflow_error
from .results import COLOR_TAG, REPORT_TAG, Result
from .run import Run, RunSpec
from .store import open_store

MAX_DESCRIPTION = 20_000  # characters of an experiment's tag
_DESCRIPTION_TAG = "mlflow.note.content"  # of an experiment or a run: its description, as Markdown
_UPDATE_TAG = "convzoo.page"  # of an experiment: when the page was written last, and how long that took
_CLAIM = "page"
_MAX_SHARE = 0.05  # of the time that a study spends on its page while its runs come in


class _Update(Schema):
    """The last update of a page.

    Attributes:
        at: seconds since 1970.
        seconds: how long it took.
    """

    at: float
    seconds: float = pydantic.Field(ge=0)


@dataclass(frozen=True)
class StudyPage:
    """The page of a study, which this process has claimed.

    Attributes:
        uri: address of the store.
        study: name of the experiment.
        client: an `mlflow.MlflowClient` of the store.
        experiment_id: MLflow's id of the experiment.
    """

    uri: str
    study: str
    client: Any
    experiment_id: str

    def read_results(self) -> list[Result]:
        """Return the runs of the study, newest first."""
        return results.search(self.client, self.experiment_id)

    def describe(self, text: str) -> None:
        """Write the description, as Markdown."""
        if len(text) > MAX_DESCRIPTION:
            raise ValueError(f"a description must have at most {MAX_DESCRIPTION} characters. Received: {len(text)}")
        self.client.set_experiment_tag(self.experiment_id, _DESCRIPTION_TAG, text)

    def mark_runs(self, runs: Sequence[Result]) -> None:
        """Give each finished run the mean accuracy of its cell, and the colour of its network.

        Only what differs is written. A network has the same colour for good: networks count from the oldest run on.

        Args:
            runs: of the study, newest first.
        """
        from mlflow.entities import Metric, RunTag

        finished = [run for run in runs if run.status == "FINISHED" and _accuracy(run) is not None]
        models = list(dict.fromkeys(run.params.get("model", "") for run in reversed(finished)))
        means = _cell_means(finished)
        now_ms = int(time.time() * 1000)
        for run in finished:
            mean = means[run.cell or str(run.id)]
            color = COLORS[models.index(run.params.get("model", "")) % len(COLORS)]
            metrics = [Metric(charts.MEAN, mean, now_ms, 0)] * (run.metrics.get(charts.MEAN) != mean)
            tags = [RunTag(COLOR_TAG, color)] * (run.color != color)
            if metrics or tags:
                self.client.log_batch(run.id, metrics=metrics, tags=tags)

    def log_report(self, files: Mapping[str, Any], description: str) -> Run:
        """Record a report as the newest run of the study, which MLflow lists first, and delete the former reports.

        A report with figures stays until there is another one with figures.

        Args:
            files: mapping from name to text or figure.
            description: of the run, as Markdown.
        """
        tags = {REPORT_TAG: self.study, _DESCRIPTION_TAG: description}
        with Run.start(RunSpec(self.uri, self.study, "report", {}, tags)) as run:
            for name, content in files.items():
                (run.log_text if isinstance(content, str) else run.log_figure)(content, name)
        former = [id for id in self._report_ids() if run.id and id != run.id]
        if all(isinstance(content, str) for content in files.values()):
            with_figures = [id for id in former if self._has_figures(id)]
            former = [id for id in former if id not in with_figures[:1]]
        for id in former:
            self.client.delete_run(id)
        return run

    def report_address(self, file: str) -> str | None:
        """Return the address of a file of the newest report, from MLflow's root on; None if there is no report."""
        ids = self._report_ids()
        return f"#/experiments/{self.experiment_id}/runs/{ids[0]}/artifacts/{file}" if ids else None

    def _has_figures(self, run_id: str) -> bool:
        return any(file.path.endswith(".png") for file in self.client.list_artifacts(run_id))

    def _report_ids(self) -> list[str]:
        runs = self.client.search_runs(
            [self.experiment_id], f"tags.`{REPORT_TAG}` LIKE '%'", order_by=["attributes.start_time DESC"]
        )
        return [run.info.run_id for run in runs]


@contextlib.contextmanager
def lock_page(uri: str, study: str, only_if_due: bool = False) -> Iterator[StudyPage | None]:
    """Claim the page of a study; None if there is no such study, or if the page is not due.

    Args:
        uri: address of the store.
        study: name of the experiment.
        only_if_due: whether a page that was written a moment ago is left as it is. The larger a study, the longer its
            page takes, and the more rarely it is written then. It also waits for another writer only a few seconds, and
            not two minutes.

    Raises:
        OwnedError: another process writes the page for longer.
    """
    client = open_store(uri)
    experiment = client.get_experiment_by_name(study)
    if experiment is None or (only_if_due and not _is_due(experiment.tags)):
        yield None
        return
    max_attempts = heartbeat.MAX_CLAIM_ATTEMPTS if only_if_due else math.inf
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(heartbeat.claim_cell(client, experiment.experiment_id, _CLAIM, max_attempts))
        except heartbeat.OwnedError as error:
            raise heartbeat.OwnedError(f"another process is writing the page of {study}") from error
        start = time.monotonic()
        yield StudyPage(uri, study, client, experiment.experiment_id)
        update = {"at": time.time(), "seconds": time.monotonic() - start}
        with contextlib.suppress(mlflow_error()):
            client.set_experiment_tag(experiment.experiment_id, _UPDATE_TAG, json.dumps(update))


def _is_due(tags: Mapping[str, str]) -> bool:
    try:
        update = _Update.model_validate_json(tags.get(_UPDATE_TAG, ""))
    except pydantic.ValidationError:
        return True
    return abs(time.time() - update.at) * _MAX_SHARE >= update.seconds


def _accuracy(run: Result) -> float | None:
    accuracy = run.metrics.get(charts.METRIC)
    return accuracy if isinstance(accuracy, float) and math.isfinite(accuracy) else None


def _cell_means(finished: Sequence[Result]) -> dict[str, float]:
    """Return the mean accuracy of each cell; of two runs of a seed the newer counts."""
    by_cell: dict[str, dict[str, float]] = {}
    for run in finished:
        by_cell.setdefault(run.cell or str(run.id), {}).setdefault(run.params.get("seed", ""), _accuracy(run) or 0.0)
    return {cell: sum(by_seed.values()) / len(by_seed) for cell, by_seed in by_cell.items()}
