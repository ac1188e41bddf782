"""The runs of a study as a table of pandas: `results`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from ..settings.ablation import ABLATE
from ..settings.evaluation import EvaluateTrackingSettings
from ..settings.overrides import STORE_VARIABLE, move_password_to_environment
from ..tracking.results import Result

_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,3})?")
_OWN_COLUMNS = ("run_id", "name", "status", "seed", "not_learning", "failure", "seconds", "started", "cell")
_TRUTH = {"true": True, "false": False}


def results(study: str, tracking_uri: str | None = None) -> pd.DataFrame:
    """Read the runs of a study as a table, one row a run, the newest first.

    Args:
        study: its name.
        tracking_uri: address of the store; None: MLFLOW_TRACKING_URI, else sqlite:///mlflow.db, as for evaluate.py.

    Returns:
        A data frame with these columns, each with one type and with missing values where a run has none:

        - `run_id`, `name` and `status`: "FINISHED", "FAILED", "KILLED" or "RUNNING";
        - the params that vary, then `seed`: integers, floats, booleans or text;
        - the last value of each metric, floats;
        - marks: `not_learning` and `failure`, the reasons, or missing;
        - `seconds` of training, `started` (UTC), and `cell`, which is equal for runs that differ only in their seed;
        - the params that are equal in all runs.

        A metric with the name of a param, or of a column above, is called `metric.NAME`.

    Raises:
        UserError: there is no such study.

    Example:
        >>> import convzoo
        >>> frame = convzoo.results("pooling_kinds")                      # doctest: +SKIP
        >>> frame.groupby("pooling")["test_accuracy"].mean()              # doctest: +SKIP
    """
    from ..tracking import study_runs
    from ..tracking.tables import check_recorded

    default = EvaluateTrackingSettings.model_fields["uri"].default
    uri = move_password_to_environment(str(tracking_uri or os.environ.get(STORE_VARIABLE) or default))
    check_recorded(uri, study=study)
    return make_frame(study_runs.find_results(uri, study))


def make_frame(runs: Sequence[Result]) -> pd.DataFrame:
    """Make the table of `results` from recorded runs."""
    params = _columns([run.params for run in runs])
    seeds = params.pop("seed", [None] * len(runs))
    names = sorted(params, key=lambda name: name != ABLATE)  # before the arguments of the parts that are left out
    varied = {name: params[name] for name in names if len({*params[name]}) > 1}
    columns: dict[str, Any] = {
        "run_id": _texts([run.id for run in runs]),
        "name": _texts([run.name for run in runs]),
        "status": _texts([run.status for run in runs]),
        **{_param_column(name): _convert(values) for name, values in varied.items()},
        "seed": _convert(seeds),
    }
    for name, values in _columns([run.metrics for run in runs]).items():
        column = f"metric.{name}" if name in params or name in _OWN_COLUMNS else name
        columns[column] = pd.array(_floats(values), "Float64")
    columns |= {
        "not_learning": _texts([run.not_learning for run in runs]),
        "failure": _texts([run.failure for run in runs]),
        "seconds": pd.array(_floats([run.seconds for run in runs]), "Float64"),
        "started": pd.to_datetime([run.started for run in runs], unit="ms", utc=True),
        "cell": _texts([run.cell for run in runs]),
        **{_param_column(name): _convert(values) for name, values in params.items() if name not in varied},
    }
    return pd.DataFrame(columns)


def _param_column(name: str) -> str:
    return f"param.{name}" if name in _OWN_COLUMNS else name


def _texts(texts: Sequence[str | None]) -> Any:
    return pd.array(list(texts), "string")


def _columns(mappings: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Turn a mapping a run into a list of values a name."""
    mappings = list(mappings)
    names = dict.fromkeys(name for mapping in mappings for name in mapping)
    return {name: [mapping.get(name) for mapping in mappings] for name in names}


def _floats(values: Iterable[Any]) -> list[float | None]:
    return [float(value) if isinstance(value, int | float) else None for value in values]


def _convert(texts: Sequence[str | None]) -> Any:
    """Convert the texts of a param to the narrowest type that all of them have."""
    known = [text for text in texts if text is not None]
    if known and all(text.lower() in _TRUTH for text in known):
        return pd.array([None if text is None else _TRUTH[text.lower()] for text in texts], "boolean")
    if known and all(map(_INTEGER.fullmatch, known)):
        return pd.array([None if text is None else int(text) for text in texts], "Int64")
    if known and all(map(_NUMBER.fullmatch, known)):
        return pd.array([None if text is None else float(text) for text in texts], "Float64")
    return _texts(texts)
