"""Comparison of a study's runs: cells, and differences between the values of an axis.

Accuracy is that of the test split, which each run reads once; nothing is selected by it. Seeds are paired: a difference
is taken within a seed, between runs that were trained on the same batches, and n is the number of seeds.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Protocol

import numpy as np

from ..settings.ablation import ABLATE, NOTHING
from ..settings.metrics import METRIC, SHARES
from .statistics import (
    Spread,
    adjust_holm,
    compute_p_value,
    compute_spread,
)

# Params that name the axes of a study, the most important first; other params follow.
LEADING_PARAMS = (
    "study",  # of a comparison of studies
    "model",
    "stride",
    "pooling",
    "dropout",
    "input_dropout",
    ABLATE,  # before what it changes
    "data",
    "recipe",
    "optimizer",
    "schedule",
    "augmentation",
    "epochs",
    "batch_size",
)
_DERIVED_PARAMS = ("seed", "parameters", "macs")  # they are no axes
MAX_PAIRS = 66  # pairs of values of one axis that are compared: all pairs of up to twelve values

BySeed = tuple[float, ...]  # a difference for each seed
Settings = Mapping[str, str]  # values of params


class FinishedRun(Protocol):
    """A finished run: `reporting.checked_runs.CheckedRun`, for example. It may have `not_learning`, a text or None."""

    @property
    def params(self) -> Mapping[str, str]:
        """Mapping from name to value."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """Mapping from name to number."""

    @property
    def cell(self) -> str:
        """Hash of all settings except the seed."""

    @property
    def seconds(self) -> float:
        """Time of its training."""


@dataclass(frozen=True)
class GridCell:
    """Runs that differ only in their seed.

    Attributes:
        values: mapping from each axis to the cell's value, a text.
        metrics: mapping from seed to the run's metrics, a mapping from name to number.
        params: mapping from every param of its runs to the logged text.
        seconds: mean time of a run's training.
        not_learning: mapping from the seed of each run that did not learn to the reason.
    """

    values: dict[str, str]
    metrics: dict[str, Mapping[str, float]]
    params: Mapping[str, str]
    seconds: float
    not_learning: dict[str, str] = field(default_factory=dict)

    def by_seed(self, metric: str = METRIC) -> dict[str, float]:
        """Mapping from seed to a metric, for the seeds that have it."""
        return {
            seed: metrics_of_run[metric] for seed, metrics_of_run in self.metrics.items() if metric in metrics_of_run
        }

    def spread(self, metric: str = METRIC) -> Spread:
        """Mean of a metric over the seeds, and its interval."""
        return compute_spread(list(self.by_seed(metric).values()))

    @property
    def macs(self) -> int:
        """Multiplications for one image."""
        return int(self.params["macs"])


@dataclass(frozen=True)
class Difference:
    """The difference between two values of an axis, with all other settings equal.

    Attributes:
        axis: its name.
        first, second: the values.
        metric: the metric that is compared, one of `SHARES`.
        by_seed: the metric of `first` minus that of `second`, one a seed, averaged over all other settings.
        p: p-value of the paired t-test, adjusted after Holm for all differences of the study; None with one seed.
    """

    axis: str
    first: str
    second: str
    metric: str
    by_seed: BySeed
    p: float | None = None

    @property
    def spread(self) -> Spread:
        """Mean over the seeds, and its interval."""
        return compute_spread(self.by_seed)


def group_cells(results: Iterable[FinishedRun]) -> tuple[list[GridCell], list[str]]:
    """Group finished runs into cells.

    Args:
        results: the runs, the newest first. Of two runs with the same cell and seed the newer counts.

    Returns:
        The cells in the order of their values, and the names of the axes, the params in which cells differ.
    """
    groups: dict[str, dict[str, FinishedRun]] = {}
    for result in results:
        groups.setdefault(result.cell, {}).setdefault(result.params["seed"], result)
    members = [list(seeds.values()) for seeds in groups.values()]
    axes = _find_axes([runs[0].params for runs in members])
    cells = [
        GridCell(
            {axis: runs[0].params.get(axis, "") for axis in axes},
            {run.params["seed"]: run.metrics for run in sorted(runs, key=lambda r: _sort_key(r.params["seed"]))},
            runs[0].params,
            float(np.mean([run.seconds for run in runs])),
            {run.params["seed"]: reason for run in runs if (reason := getattr(run, "not_learning", None))},
        )
        for runs in members
    ]
    return sorted(cells, key=lambda cell: [_value_sort_key(*each) for each in cell.values.items()]), axes


def shorten_names(axes: Iterable[str]) -> list[str]:
    """Shorten the names of axes to as many of their last words as are needed to tell them apart.

    Example:
        >>> shorten_names(["pooling", "model.layers.conv1.kernel_size"])
        ['pooling', 'kernel_size']
    """
    parts = [axis.split(".") for axis in axes]
    for words in range(1, max(map(len, parts), default=0) + 1):
        names = [".".join(part[-words:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return list(axes)


def common_metrics(cells: Sequence[GridCell], metrics: Iterable[str] = SHARES) -> list[str]:
    """Return those of some metrics that every cell has."""
    return [metric for metric in dict.fromkeys(metrics) if all(cell.by_seed(metric) for cell in cells)]


def compute_differences(
    cells: Sequence[GridCell], axes: Sequence[str], learning_only: bool = False
) -> list[Difference]:
    """Compute the difference of each metric for each pair of values of each axis.

    At most `MAX_PAIRS` pairs of values of an axis are compared, see `value_pairs`. The choice of pairs does not depend
    on the results, so p-values adjusted for those pairs are valid.

    Args:
        cells: the cells of a study.
        axes: names of its axes.
        learning_only: True leaves out pairs with a run that did not learn.

    Returns:
        The differences for which both values have a seed in common, with all other settings equal.
    """
    differences = []
    for axis in axes:
        groups, pairs = _group_by_other_axes(cells, axis), value_pairs(cells, axis)[0]
        for metric in common_metrics(cells):
            for first, second in pairs:
                sides = [(group[first], group[second]) for group in groups if first in group and second in group]
                if by_seed := _mean_differences(sides, metric, learning_only):
                    differences.append(Difference(axis, first, second, metric, by_seed))
    tested = [compute_p_value(difference.by_seed) for difference in differences]
    adjusted = iter(adjust_holm([p for p in tested if p is not None]))
    return [
        replace(difference, p=None if p is None else next(adjusted))
        for difference, p in zip(differences, tested, strict=True)
    ]


def value_pairs(cells: Iterable[GridCell], axis: str) -> tuple[list[tuple[str, str]], int]:
    """Choose the pairs of values of an axis that are compared.

    Args:
        cells: the cells of a study.
        axis: name of the axis.

    Returns:
        All pairs if there are at most `MAX_PAIRS`, else the first value with each of the next ones; and the number of
        all pairs.
    """
    values = sorted({cell.values[axis] for cell in cells}, key=_sort_key)
    total = len(values) * (len(values) - 1) // 2
    if total <= MAX_PAIRS:
        return list(combinations(values, 2)), total
    return [(values[0], other) for other in values[1 : MAX_PAIRS + 1]], total


def paired_differences(
    cells: Iterable[GridCell], better: Settings, baseline: Settings, metric: str = METRIC, learning_only: bool = False
) -> BySeed:
    """Compute the metric of the cells that match `better` minus that of those that match `baseline`, one a seed.

    A seed counts if each pair of cells that agree in all other axes has a run of it. The difference is averaged over
    those pairs.

    Args:
        cells: the cells of a study.
        better: params of the cells on one side.
        baseline: params of the cells on the other side.
        metric: name of the metric.
        learning_only: True leaves out pairs with a run that did not learn.
    """
    set_by = {*better, *baseline}
    groups: dict[tuple[str, ...], tuple[list[GridCell], list[GridCell]]] = {}
    for cell in cells:
        matches = [has_settings(cell, settings) for settings in (better, baseline)]
        if any(matches):
            others = tuple(value for axis, value in cell.values.items() if axis not in set_by)
            for side, is_match in zip(groups.setdefault(others, ([], [])), matches, strict=True):
                side.extend([cell] * is_match)
    return _mean_differences([sides for sides in groups.values() if all(sides)], metric, learning_only)


def _group_by_other_axes(cells: Iterable[GridCell], axis: str) -> list[dict[str, list[GridCell]]]:
    """Return, for each setting of all other axes, a mapping from the values of this axis to their cells."""
    groups: dict[tuple[str, ...], dict[str, list[GridCell]]] = {}
    for cell in cells:
        others = tuple(value for other, value in cell.values.items() if other != axis)
        groups.setdefault(others, {}).setdefault(cell.values[axis], []).append(cell)
    return list(groups.values())


def _mean_differences(
    sides: Sequence[tuple[list[GridCell], list[GridCell]]], metric: str, learning_only: bool
) -> BySeed:
    """Compute the mean difference over all pairs of each (better cells, other cells), one for each common seed.

    The sum over all pairs is |B| ΣA − |A| ΣB, so that its cost grows with the cells and not with the pairs.
    """
    if not sides:
        return ()
    seeds = set.intersection(*({*cell.by_seed(metric)} for both in sides for side in both for cell in side))
    means = []
    for seed in sorted(seeds, key=_sort_key):
        total = 0.0
        count = 0
        for both in sides:
            better, other = (
                [cell.metrics[seed][metric] for cell in side if not (learning_only and seed in cell.not_learning)]
                for side in both
            )
            total += len(other) * sum(better) - len(better) * sum(other)
            count += len(better) * len(other)
        if count:
            means.append(float(total / count))
    return tuple(means)


def shared_params(cells: Sequence[GridCell], axes: Sequence[str]) -> dict[str, str]:
    """Return the params that are equal in all cells: those of `LEADING_PARAMS`, and those whose name has a dot."""
    keys = dict.fromkeys([*LEADING_PARAMS, *(key for cell in cells for key in cell.params if "." in key)])
    values = {key: {cell.params.get(key) for cell in cells} for key in keys if key not in axes}
    shared = {key: values_of_key.pop() for key, values_of_key in values.items() if len(values_of_key) == 1}
    return {key: value for key, value in shared.items() if value is not None}


def covarying_params(cells: Sequence[GridCell], axes: Sequence[str], axis: str) -> dict[str, dict[str, str]]:
    """Return the params that differ with the values of an axis, and are constant within each of them.

    Args:
        cells: the cells of a study.
        axes: names of its axes.
        axis: one of them; if it is not, nothing follows from it.

    Returns:
        A mapping from each param, of those of `shared_params`, to a mapping from the axis's values to its values.
    """
    if axis not in axes:
        return {}
    keys = dict.fromkeys([*LEADING_PARAMS, *(key for cell in cells for key in cell.params if "." in key)])
    following = {}
    for key in keys:
        pairs = {(cell.values[axis], cell.params.get(key, "not set")) for cell in cells}
        values = dict(sorted(pairs))
        if key not in axes and len(pairs) == len(values) and len({*values.values()}) > 1:
            following[key] = values
    return following


def metric_values(cell: GridCell, metric: str, learning_only: bool) -> list[float]:
    """Return a metric of a cell's runs; with `learning_only`, of those that learned."""
    return [value for seed, value in cell.by_seed(metric).items() if not (learning_only and seed in cell.not_learning)]


def _find_axes(params: Sequence[Mapping[str, str]]) -> list[str]:
    """Find the params in which cells differ, without those that follow from others."""
    keys = [*LEADING_PARAMS, *(key for run_params in params for key in run_params)]
    axes: list[str] = []
    combinations: set[tuple[str, ...]] = {()}
    for key in dict.fromkeys(keys):
        if key in _DERIVED_PARAMS:
            continue
        split = {tuple(run_params.get(axis, "") for axis in (*axes, key)) for run_params in params}
        if len(split) > len(combinations):
            axes, combinations = [*axes, key], split
    return axes


def has_settings(cell: GridCell, settings: Settings) -> bool:
    """Return whether a cell has these values of params."""
    return all(is_same_value(cell.params.get(axis), value) for axis, value in settings.items())


def is_same_value(one: object, other: object) -> bool:
    """Compare two values of a param: as numbers if both are, else as text."""
    return _sort_key(one) == _sort_key(other)


def _value_sort_key(axis: str, value: str) -> tuple[int, float, str]:
    """Return a key by which the full recipe stands before those that lack a part."""
    return (0, 0.0, "") if (axis, value) == (ABLATE, NOTHING) else _sort_key(value)


def _sort_key(value: Any) -> tuple[int, float, str]:
    try:
        return 0, float(value), ""
    except (TypeError, ValueError):
        return 1, 0.0, str(value)
