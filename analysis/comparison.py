"""What the runs of a study say: its cells, what its axes do, and whether its claims hold.

Accuracy is that of the test split, which each run read once; nothing here chose anything by it. Seeds are paired: a
difference is taken within a seed, between runs that saw the same batches, and n is the number of seeds.
"""

from dataclasses import dataclass, replace
from itertools import combinations, product

import numpy as np

from . import METRIC, SHARES
from .statistics import Spread, holm, p_value, seeds_to_decide, spread, verdict

# Params that name what was varied, first those that a reader asks for; others follow as they come.
FIRST = ("model", "stride", "pooling", "dropout", "input_dropout", "data", "recipe", "epochs", "batch_size")
_FOLLOW = ("seed", "parameters", "macs")  # from what was varied


@dataclass(frozen=True)
class Cell:
    """Runs that differ in their seed alone.

    Attributes:
        values: mapping from each axis to the cell's value, a word.
        metrics: mapping from seed to what was measured, a mapping from name to number.
        params: mapping from every param of its runs to the word that was logged.
        seconds: mean time of a run's training.
    """

    values: dict
    metrics: dict
    params: dict
    seconds: float

    def by_seed(self, metric=METRIC):
        """Mapping from seed to a metric, of the seeds that have it."""
        return {seed: found[metric] for seed, found in self.metrics.items() if metric in found}

    def spread(self, metric=METRIC) -> Spread:
        return spread(list(self.by_seed(metric).values()))

    @property
    def macs(self):
        """Multiplications of one image."""
        return int(self.params["macs"])

    @property
    def label(self):
        return " ".join(f"{name}={v}" for name, v in zip(shortened(self.values), self.values.values(), strict=True))


@dataclass(frozen=True)
class Difference:
    """One value of an axis against another, all else the same.

    Attributes:
        axis: its name.
        first, second: the values.
        metric: what differs, one of `SHARES`.
        by_seed: that of `first` less that of `second`, one a seed, averaged over all else.
        p: of the paired t-test, adjusted after Holm for all differences of the study; None with one seed.
    """

    axis: str
    first: str
    second: str
    metric: str
    by_seed: tuple
    p: float | None = None

    @property
    def spread(self) -> Spread:
        return spread(self.by_seed)


@dataclass(frozen=True)
class Judgement:
    """What a study says of a claim that was made before it.

    Attributes:
        says: the claim.
        metric: what it is about, one of `SHARES`.
        by: the smallest difference that counts.
        by_seed: the differences.
        confidence: of the interval that decides: 95 % for all claims of the study together, after Bonferroni.
        verdict: "supported", "refuted" or "undecided".
        why: what decided, in a sentence.
    """

    says: str
    metric: str
    by: float
    by_seed: tuple
    confidence: float
    verdict: str
    why: str


def cells(results):
    """The `Cell`s of finished runs, in the order of their values, and the names of the axes that tell them apart.

    Args:
        results: each with `params`, `metrics`, `cell`, `seconds`, the newest first: of two runs of one seed the newer
            counts.
    """
    groups = {}
    for result in results:
        groups.setdefault(result.cell, {}).setdefault(result.params["seed"], result)
    members = [list(seeds.values()) for seeds in groups.values()]
    axes = _axes([runs[0].params for runs in members])
    found = [
        Cell(
            {axis: runs[0].params.get(axis, "") for axis in axes},
            {run.params["seed"]: run.metrics for run in sorted(runs, key=lambda r: _sortable(r.params["seed"]))},
            runs[0].params,
            float(np.mean([run.seconds for run in runs])),
        )
        for runs in members
    ]
    return sorted(found, key=lambda cell: [_sortable(value) for value in cell.values.values()]), axes


def shortened(axes):
    """Names of axes by their last words, `kernel_size` for `model.layers.conv1.kernel_size`, as many as tell them
    apart."""
    parts = [axis.split(".") for axis in axes]
    for words in range(1, max(map(len, parts), default=0) + 1):
        names = [".".join(part[-words:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return list(axes)


def measured(found):
    """Those of `SHARES` that every cell has."""
    return [metric for metric in SHARES if all(cell.by_seed(metric) for cell in found)]


def differences(found, axes):
    """A `Difference` for each metric and pair of values of each axis that share a seed with all else the same."""
    made = []
    for axis, metric in product(axes, measured(found)):
        for first, second in combinations(sorted({cell.values[axis] for cell in found}, key=_sortable), 2):
            by_seed = paired(found, {axis: first}, {axis: second}, metric)
            if by_seed:
                made.append(Difference(axis, first, second, metric, by_seed))
    tested = [p_value(each.by_seed) for each in made]
    adjusted = iter(holm([p for p in tested if p is not None]))
    return [replace(each, p=None if p is None else next(adjusted)) for each, p in zip(made, tested, strict=True)]


def paired(found, better, than, metric=METRIC):
    """The metric of the cells that match `better` less that of those that match `than`, one a seed.

    A seed counts where each pair of cells that agree in all other axes has run it; over those pairs it is averaged.
    """
    set_by = {*better, *than}
    pairs = [
        (one, two)
        for one in found
        if _matches(one, better)
        for two in found
        if _matches(two, than)
        and all(one.values[axis] == two.values[axis] for axis in one.values if axis not in set_by)
    ]
    if not pairs:
        return ()
    pairs = [(one.by_seed(metric), two.by_seed(metric)) for one, two in pairs]
    seeds = set.intersection(*({*one} & {*two} for one, two in pairs))
    return tuple(float(np.mean([one[seed] - two[seed] for one, two in pairs])) for seed in sorted(seeds, key=_sortable))


def alike(found, axes):
    """Mapping from each param of `FIRST`, or typed below the top level, that all cells share to its value."""
    keys = dict.fromkeys([*FIRST, *(key for cell in found for key in cell.params if "." in key)])
    shared = {key: {cell.params.get(key) for cell in found} for key in keys if key not in axes}
    return {key: values.pop() for key, values in shared.items() if len(values) == 1 and values != {None}}


def judge(found, claims):
    """A `Judgement` of each claim, a mapping with `says`, `better`, `than`, `by` and perhaps `of`, the metric, as a
    study's file has them."""
    confidence = 1 - 0.05 / max(1, len(claims))
    made = []
    for claim in claims:
        margin, metric = float(claim.get("by", 0)), claim.get("of", METRIC)
        by_seed = paired(found, *({k: str(v) for k, v in claim[side].items()} for side in ("better", "than")), metric)
        said, why = _judged(found, claim, metric, by_seed, margin, confidence)
        made.append(Judgement(claim["says"], metric, margin, by_seed, confidence, said, why))
    return made


def _judged(found, claim, metric, by_seed, margin, confidence):
    if len(by_seed) < 2:
        return "undecided", f"{len(by_seed)} seed{'s' * (len(by_seed) != 1)} of both; it takes two or more"
    sides = [cell for cell in found if _matches(cell, claim["better"]) or _matches(cell, claim["than"])]
    if margin > 0 and min(cell.spread(metric).mean for cell in sides) > 1 - margin:
        return "undecided", "both are so near to 100 % that the difference has no room"
    said, seen = verdict(by_seed, margin, confidence), spread(by_seed, confidence)
    if seen.low is None:
        return said, f"{_points(seen.mean)} at each of {seen.n} seeds: values all alike say nothing of others"
    interval = f"{confidence * 100:.1f} % interval {_points(seen.low)} to {_points(seen.high)}"
    why = f"{_points(seen.mean)} points, {interval}, n = {seen.n} seeds"
    if said == "undecided":
        more = seeds_to_decide(by_seed, margin, confidence)
        why += f"; {more} seeds like these would decide" if more else "; no number of seeds like these would decide"
    return said, why


def _points(difference):
    return f"{100 * difference:+.2f}"


def _axes(params):
    """Those params that tell the cells apart, without those that follow from them."""
    keys = [*FIRST, *(key for each in params for key in each)]
    axes, seen = [], {()}
    for key in dict.fromkeys(keys):
        if key in _FOLLOW:
            continue
        split = {tuple(each.get(axis, "") for axis in (*axes, key)) for each in params}
        if len(split) > len(seen):
            axes, seen = [*axes, key], split
    return axes


def _matches(cell, wanted):
    return all(_same(cell.params.get(axis), value) for axis, value in wanted.items())


def _same(one, other):
    return _sortable(one) == _sortable(other)


def _sortable(word):
    try:
        return 0, float(word), ""
    except (TypeError, ValueError):
        return 1, 0.0, str(word)
