"""The result of one training, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from .. import UserError

if TYPE_CHECKING:
    import keras


class Status(StrEnum):
    """The end of a training.

    `FINISHED`: trained and tested. `REUSED`: the study has this run already. `PLANNED`: a plan or a preview was asked
    for. `FAILED`, `STOPPED` (by a signal) and `ELSEWHERE` (another process trains this run) are those of jobs of a
    sweep; a call of `run_training` raises an exception instead.
    """

    FINISHED = "finished"
    REUSED = "reused"
    PLANNED = "planned"
    FAILED = "failed"
    STOPPED = "stopped"
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True)
class RunResult:
    """The result of one training.

    Attributes:
        status: how it ended.
        name: of the run, such as `lenet data=digits seed=0`.
        metrics: the last value of each, such as `test_accuracy`.
        history: the metrics of each epoch; empty for a run that was reused.
        run_id: MLflow's ID; None if the run waits for its store in `spool/`, or there is none.
        experiment: name of the MLflow experiment.
        experiment_id: MLflow's ID of it.
        tracking_uri: address of the store.
        val_accuracy: of the epoch that was tested; None without validation images.
        message: why it failed or was stopped.
        error: the exception, in the process in which the job failed.
    """

    status: Status
    name: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    history: tuple[Mapping[str, float], ...] = ()
    run_id: str | None = None
    experiment: str = ""
    experiment_id: str | None = None
    tracking_uri: str = ""
    val_accuracy: float | None = None
    message: str = ""
    error: Exception | None = None

    def load_model(self) -> keras.Model:
        """Load the trained model from the store.

        Raises:
            UserError: there is no run, or it was recorded without its model (`tracking.artifacts=light`).
        """
        if self.run_id is None:
            raise UserError(f"this result has no recorded run to load a model from; its status is {self.status}")
        from ..models import loading
        from ..tracking.run import find_run

        with find_run(self.tracking_uri, self.run_id).download("model.keras") as path:
            return loading.load(path)
