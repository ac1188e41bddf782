"""Verdicts on the claims of a study, which its file states before the first run."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from ..settings.metrics import METRIC, is_share
from ..settings.study_schema import NOT_LEARNING
from .comparison import BySeed, GridCell, Settings, has_settings, metric_values, paired_differences
from .sequential import decide_at_looks, estimate_anytime_seeds
from .statistics import MIN_SEEDS, Verdict, clip_interval, compute_spread, decide_verdict, estimate_seeds_to_decide


@dataclass(frozen=True)
class Judgement:
    """The verdict on a claim that was stated before the first run.

    Attributes:
        claim: the claim in a sentence.
        metric: its metric.
        goal: whether "larger" or "smaller" values of the metric are better.
        margin: the smallest difference that counts.
        by_seed: the differences, positive where the claim's side is better.
        confidence: of the interval that decides: 95 % for all claims of the study together, after Bonferroni.
        verdict: a `Verdict`, "better" for example.
        reason: the reason for the verdict, in a sentence.
        excludes: True if runs that did not learn do not count, because the claim says so.
        better, baseline: params of the cells whose metrics are subtracted.
        seeds: for a claim that is looked at after every seed, the number of seeds that both sides have from 0 on.
        interval: the interval that decides, if there is one.
        n: how many of the first differences it is of; None: all.
    """

    claim: str
    metric: str
    goal: str
    margin: float
    by_seed: BySeed
    confidence: float
    verdict: Verdict
    reason: str
    excludes: bool = False
    better: Settings = field(default_factory=dict)
    baseline: Settings = field(default_factory=dict)
    seeds: int = 0
    interval: tuple[float, float] | None = None
    n: int | None = None

    @property
    def decided_by_seed(self) -> BySeed:
        """The differences that the verdict is by."""
        return self.by_seed[: self.n]


class _Decision(NamedTuple):
    """A verdict, its reason, the interval that decides, and how many of the first differences it is of."""

    verdict: Verdict
    reason: str
    interval: tuple[float, float] | None = None
    n: int | None = None


def judge_claims(
    cells: Sequence[GridCell], claims: Sequence[Mapping[str, Any]], first_look: int | None = None
) -> list[Judgement]:
    """Judge the claims of a study.

    Every run counts, also one that did not learn, unless the claim excludes those.

    Args:
        cells: the cells of the study.
        claims: mappings with the keys of `settings.study_schema.Claim`, of which `by`, `of`, `goal` and `exclude`
            may be missing.
        first_look: None judges by Student's intervals, which are valid for one look. A number judges by anytime-valid
            ones, with a look after each seed from this number on; then the seeds 0, 1, 2, … count up to the first that
            a cell of the claim lacks, so that a run which is missing now changes no verdict when it arrives.
    """
    confidence = 1 - 0.05 / max(1, len(claims))
    return [_judge_claim(cells, claim, confidence, first_look) for claim in claims]


def _judge_claim(
    cells: Sequence[GridCell], claim: Mapping[str, Any], confidence: float, first_look: int | None
) -> Judgement:
    margin, metric = float(claim.get("by", 0)), claim.get("of", METRIC)
    goal = claim.get("goal") or "larger"
    better, baseline = ({k: str(v) for k, v in claim[side].items()} for side in ("better", "than"))
    if goal == "smaller":
        better, baseline = baseline, better
    excludes = claim.get("exclude") == NOT_LEARNING
    cells_of_both = [cell for cell in cells if any(has_settings(cell, side) for side in (better, baseline))]
    seeds = 0
    if first_look is not None:
        seeds = _count_first_seeds(cells_of_both, metric)
        cells_of_both = [_with_first_seeds(cell, seeds) for cell in cells_of_both]
    by_seed = paired_differences(cells_of_both, better, baseline, metric, learning_only=excludes)
    # A look that decided stays decided, whatever the means of later seeds are.
    if first_look is None and margin > 0 and by_seed and _has_no_room(cells_of_both, metric, margin, excludes):
        decision = _Decision(Verdict.UNDECIDED, "both are so near to 100 % that the difference has no room")
    elif first_look is None:
        decision = _decide(by_seed, metric, margin, confidence)
    else:
        decision = _decide_at_looks(by_seed, metric, margin, (confidence, first_look))
    reason = decision.reason
    if not_learning_count := sum(len(cell.not_learning) for cell in cells_of_both):
        other = paired_differences(cells_of_both, better, baseline, metric, learning_only=not excludes)
        reason += f"; {_describe_other_count(other, metric, not_learning_count, excludes)}"
        if first_look is not None and not excludes:
            reason += "; such runs are not normal, and the anytime-valid interval does not hold its level with them"
    return Judgement(
        claim=claim["says"],
        metric=metric,
        goal=goal,
        margin=margin,
        by_seed=by_seed,
        confidence=confidence,
        verdict=decision.verdict,
        reason=reason,
        excludes=excludes,
        better=better,
        baseline=baseline,
        seeds=seeds,
        interval=decision.interval,
        n=decision.n,
    )


def _count_first_seeds(cells: Sequence[GridCell], metric: str) -> int:
    """Count the seeds 0, 1, 2, … that all cells have, up to the first that one of them lacks."""
    seeds = set.intersection(*({*cell.by_seed(metric)} for cell in cells)) if cells else set()
    return next(number for number in range(len(seeds) + 1) if str(number) not in seeds)


def _with_first_seeds(cell: GridCell, count: int) -> GridCell:
    """Return a cell with the seeds below a number alone."""
    seeds = {str(number) for number in range(count)}
    return replace(
        cell,
        metrics={seed: metrics for seed, metrics in cell.metrics.items() if seed in seeds},
        not_learning={seed: reason for seed, reason in cell.not_learning.items() if seed in seeds},
    )


def _decide_at_looks(by_seed: BySeed, metric: str, margin: float, level: tuple[float, int]) -> _Decision:
    """Decide the verdict on a claim at the first look that decides.

    Args:
        by_seed: the differences.
        metric: of the claim.
        margin: of the claim.
        level: the confidence of all looks together, and the number of seeds of the first look.
    """
    confidence, first = level
    look = decide_at_looks(by_seed, margin, confidence, first)
    if look is None:
        return _Decision(Verdict.UNDECIDED, f"{len(by_seed)} of {first} seeds for the first look")
    spread = compute_spread(by_seed[: look.n], confidence)
    mean = format_difference(spread.mean, metric)
    if spread.low is None:
        return _Decision(look.verdict, f"{mean} at each of {spread.n} seeds: values all alike say nothing of others")
    interval = None
    anytime = f"too few seeds for an anytime-valid {confidence * 100:.1f} % interval"
    lowest, highest = difference_range(metric)
    if math.isfinite(look.low):
        interval = max(look.low, lowest), min(look.high, highest)
        anytime = f"anytime-valid {confidence * 100:.1f} % interval {format_interval(*interval, metric)}"
    reason = f"{mean}, {anytime}, n = {look.n} seeds"
    if shown := clip_interval(spread, lowest, highest):
        reason += f" (fixed-n interval {format_interval(*shown, metric)}, for one look)"
    if look.verdict is Verdict.UNDECIDED:
        more = estimate_anytime_seeds(by_seed, margin, confidence)
        reason += f"; about {more} seeds like these would decide" if more else ""
    elif look.n < len(by_seed):
        reason += f"; decided at {look.n} of {len(by_seed)} seeds"
    return _Decision(look.verdict, reason, interval, look.n)


def _has_no_room(cells: Iterable[GridCell], metric: str, margin: float, learning_only: bool) -> bool:
    """Return whether all means of a share are so near to 1 that they cannot differ by the margin."""
    values_by_cell = [metric_values(cell, metric, learning_only) for cell in cells]
    return is_share(metric) and min(float(np.mean(values)) for values in values_by_cell if values) > 1 - margin


def _decide(by_seed: BySeed, metric: str, margin: float, confidence: float) -> _Decision:
    """Decide the verdict on a claim from its differences, by an interval for one look."""
    if len(by_seed) < 2:
        has = "" if is_share(metric) else f" have {metric}"
        seeds = f"{len(by_seed)} seed{'s' * (len(by_seed) != 1)}"
        return _Decision(Verdict.UNDECIDED, f"{seeds} of both{has}; it takes two or more")
    verdict, spread = decide_verdict(by_seed, margin, confidence), compute_spread(by_seed, confidence)
    mean = format_difference(spread.mean, metric)
    if spread.low is None:
        return _Decision(verdict, f"{mean} at each of {spread.n} seeds: values all alike say nothing of others")
    shown = clip_interval(spread, *difference_range(metric))
    interval = f"{confidence * 100:.1f} % interval {format_interval(*shown, metric)}, " if shown else ""
    reason = f"{mean}, {interval}n = {spread.n} seeds"
    reason += f", too few for an interval (below {MIN_SEEDS})" if not shown else ""
    if verdict is Verdict.UNDECIDED:
        more = estimate_seeds_to_decide(by_seed, margin, confidence)
        reason += f"; {more} seeds like these would decide" if more else "; no number of seeds like these would decide"
    return _Decision(verdict, reason, shown)


def difference_range(metric: str) -> tuple[float, float]:
    """Return the smallest and the largest possible difference of a metric."""
    return (-1, 1) if is_share(metric) else (-math.inf, math.inf)


def format_difference(difference: float, metric: str) -> str:
    """Format a difference of a metric: in points if it is a share, else in units of the metric.

    Example:
        >>> format_difference(0.0123, "test_accuracy"), format_difference(0.0123, "test_loss")
        ('+1.23 points', '+0.0123')
    """
    return f"{_format_number(difference, metric)} points" if is_share(metric) else _format_number(difference, metric)


def format_interval(low: float, high: float, metric: str) -> str:
    """Format an interval of differences of a metric, in points if it is a share."""
    return f"{_format_number(low, metric)} to {_format_number(high, metric)}"


def _format_number(difference: float, metric: str) -> str:
    return f"{100 * difference:+.2f}" if is_share(metric) else f"{difference:+.4g}"


def _describe_other_count(by_seed: BySeed, metric: str, not_learning_count: int, excludes: bool) -> str:
    """Describe the difference with the runs that did not learn if the claim excludes them, else without them."""
    runs = "with the" if excludes else "without the"
    runs += f" {not_learning_count} run{'s' * (not_learning_count != 1)} that did not learn"
    if not by_seed:
        return f"{runs} no pair is left"
    return f"{runs} it is {format_difference(compute_spread(by_seed).mean, metric)}"
