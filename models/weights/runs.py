"""Models of recorded runs: `run:ID` as weights. `convzoo.tracking` knows how to open one, and registers that here."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import import_module

from ... import RUN_WEIGHTS_MODULE

PREFIX = "run:"
# Takes the ID of a run, and the address of a store or None for the default one; gives the path of its `.keras` file.
RunOpener = Callable[[str, str | None], AbstractContextManager[str]]

_openers: list[RunOpener] = []


def register_run_opener(opener: RunOpener) -> None:
    """Let `run:ID` be opened by a function, in place of the one before it."""
    _openers[:] = [opener]


def open_run(run_id: str, store: str | None) -> AbstractContextManager[str]:
    """Return a context that gives the path of a run's model.

    Args:
        run_id: MLflow's ID of the run, or "latest".
        store: address of the store; None is that of `MLFLOW_TRACKING_URI`, else `mlflow.db` in this folder.
    """
    if not _openers:
        import_module(RUN_WEIGHTS_MODULE)  # which registers its opener
    return _openers[0](run_id, store)
