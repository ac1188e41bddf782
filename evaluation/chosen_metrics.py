"""Metrics that the settings choose by rows: those of Keras for labels and class scores, and the user's own."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

from .. import UserError
from ..models.allowlist import first_line
from ..settings.target_rows import check_target_row, locate_error, read_arguments
from ..settings.user_classes import find_user_classes

_HIDDEN = ("name", "dtype")  # the key is the name
_TAKEN = set("loss accuracy top5_accuracy shift_accuracy shift_consistency flip_accuracy views_accuracy".split())
_KERAS_METRICS: dict[str, type] = {
    f"keras.metrics.{each.__name__}": each
    for each in (
        keras.metrics.SparseCategoricalAccuracy,
        keras.metrics.SparseCategoricalCrossentropy,
        keras.metrics.SparseTopKCategoricalAccuracy,
    )
}


def check_metrics(rows: Mapping[str, Any], classes: int, extra_tests: Iterable[str] = ()) -> None:
    """Refuse metrics whose class or arguments do not exist, or that give no number for labels and class scores.

    Args:
        rows: mapping from name to a row, as `compute_metrics` takes it.
        classes: number of classes.
        extra_tests: names of further test sets, whose accuracies are recorded too; default: none.

    Raises:
        UserError: naming the key below `metrics`.
    """
    recorded = _TAKEN | {f"{name}_accuracy" for name in extra_tests}
    for name, row in rows.items():
        where = f"metrics.{name}"
        if not re.fullmatch("[a-z][a-z0-9_]*", str(name)) or name in recorded:
            raise UserError(
                f"`{where}`: the name of a metric must be lower-case letters, digits and _, and none that convzoo "
                f"records itself: {', '.join(sorted(recorded))}"
            )
        check_target_row(row, where, _find_classes(), _HIDDEN)
        try:
            _compute(row, np.arange(classes), np.eye(classes, dtype="float32"))
        except Exception as error:
            raise UserError(f"`{locate_error(error, row, where)}`: {first_line(error)}") from error


def compute_metrics(rows: Mapping[str, Any], labels: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Compute metrics of class scores; those that are not finite are left out.

    Args:
        rows: mapping from the name of a metric to its row: `_target_`, a class of Keras or a `keras.metrics.Metric` of
            the user's own, and its arguments. The metric gets labels (n,) and class scores (n, classes), logits.
        labels: integers, shape (n,).
        scores: logits of the classes, shape (n, classes).

    Example:
        >>> row = {"_target_": "keras.metrics.SparseTopKCategoricalAccuracy", "k": 2}
        >>> compute_metrics({"top2": row}, np.array([0, 2]), np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]))
        {'top2': 0.5}
    """
    values = {name: _compute(row, labels, scores) for name, row in rows.items()}
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _find_classes() -> dict[str, type]:
    return {**_KERAS_METRICS, **find_user_classes(keras.metrics.Metric)}


def _compute(row: Mapping[str, Any], labels: np.ndarray, scores: np.ndarray) -> float:
    metric_class = _find_classes()[row["_target_"]]
    metric = metric_class(**read_arguments(row, metric_class))
    metric.update_state(labels, scores.astype("float32"))
    return float(metric.result())
