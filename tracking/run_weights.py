"""`run:ID` as weights: importing this registers with `models` how the model of a recorded run is opened."""

import contextlib
import os
from collections.abc import Iterator

from ..models.weights.runs import register_run_opener
from ..settings.overrides import STORE_VARIABLE, move_password_to_environment
from ..settings.training import TrackingSettings
from .addresses import absolute_uri
from .run import MODEL, find_run


@contextlib.contextmanager
def download_run_model(run_id: str, store: str | None = None) -> Iterator[str]:
    """Download the model of a run, and return its path, which exists as long as the context lasts.

    Args:
        run_id: MLflow's ID of the run, or "latest".
        store: address of the store; None is that of `MLFLOW_TRACKING_URI`, else `mlflow.db` in this folder.

    Raises:
        UserError: there is no such run, or it has no model.
    """
    uri = move_password_to_environment(
        store or os.environ.get(STORE_VARIABLE) or TrackingSettings.model_fields["uri"].default
    )
    with find_run(absolute_uri(uri), run_id).download(MODEL) as path:
        yield path


register_run_opener(download_run_model)
