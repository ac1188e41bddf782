"""The rounds of a study that adds seeds until its claims are decided.

A round is a sweep over the cells that an open claim needs. What comes next depends on nothing but the recorded runs, so
that a study which was killed at any time continues as if it had not been.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import UserError
from ..evaluation.claims import Judgement
from ..evaluation.comparison import is_same_value
from ..evaluation.statistics import Verdict
from ..reporting.grid import canonicalize, read_settings
from ..settings.hydra_internals import parse_word
from ..settings.rules import PLACEHOLDERS
from ..settings.schema import default_settings, parse
from ..settings.study_file import find_study, list_jobs, make_together_filter
from ..settings.study_schema import StudyFile, parse_budget
from ..settings.terminal import print_folded
from ..settings.training import TrainSettings
from .sweep import SweepError

if TYPE_CHECKING:
    from ..reporting.study_report import StudyReport

_PREVIEWS = ("plan=", "show_batch=", "lr_range=")  # settings of a command that records no run
_FIXED_KEYS = ("sweep", "together", "set", "claims")  # of a study's file that must not change while the study runs
_OPTIONS = ("--help", "-h", "--cfg", "-c", "--info", "-i", "--hydra-help", "--version", "--shell-completion")
Selection = Callable[[Collection[str]], bool]  # from the words of a combination to whether it is a job


@dataclass(frozen=True)
class Round:
    """A sweep.

    Attributes:
        words: of its command line.
        is_selected: says of the words of a combination whether it is a job.
    """

    words: list[str]
    is_selected: Selection = lambda words: True


def iterate_rounds(words: list[str]) -> Iterator[Round]:
    """Yield the sweeps that a command line stands for: one, or those of a study that runs until it is decided.

    Each is yielded when the runs of the one before are recorded.

    Args:
        words: of the command line, those that the study's file adds included.
    """
    study = find_study(words)
    if study is None:
        yield Round(words)
        return
    overrides = [word for word in words if not word.startswith("-") and ("=" in word or word.startswith("~"))]
    together = make_together_filter(study, overrides)
    if not study.get("until") or any(word in _OPTIONS or word.startswith(_PREVIEWS) for word in words):
        yield Round(words, together)
        return
    file = parse(StudyFile, json.loads(json.dumps(study)), "the study's file")  # as the store has it
    former = None
    while True:
        report = _read_report(words)
        plan = plan_round(report, file, overrides, together)
        waiting = () if isinstance(plan, str) else plan.waiting
        if report is not None and (former is not None or waiting or isinstance(plan, str)):
            lines = [f"── look after {len(report.finished)} runs:", *report.claims(), *waiting, ""]
            print_folded("\n".join(lines))
        if isinstance(plan, str):
            print_folded(plan)
            return
        if plan == former:
            raise SweepError(_describe_incomplete_round(report))
        former = plan
        seeds = ",".join(map(str, plan.seeds))
        round_words = [f"seed={seeds}" if word.startswith("seed=") else word for word in words]
        yield Round(round_words, _select_cells(plan.jobs, overrides, together))


def _describe_incomplete_round(report: StudyReport | None) -> str:
    """Describe why a round that has just run is planned once more."""
    message = "the runs of this round are not all recorded"
    if report is None or not report.never_started:
        return f"{message}; run the same command again"
    setting = " ".join(f"{key}={text}" for key, text in report.never_started[0].items())
    return (
        f"{message}: none has {setting}. If another run stands for it, two values of the study are the same network: "
        "leave out one of them, and give the study another name. Else run the same command again"
    )


def _select_cells(jobs: frozenset[frozenset[str]], overrides: Sequence[str], together: Selection) -> Selection:
    """Return a function that says whether a job is of one of some cells, by the words in which cells differ.

    Hydra may write the other words, which all jobs share, in another way.
    """
    cells = {_without_seed(job) for job in list_jobs(overrides, together)}
    varying = frozenset[str]().union(*cells) - frozenset.intersection(*cells)
    selected = {job & varying for job in jobs}
    return lambda words: varying.intersection(words) in selected


@dataclass(frozen=True)
class RoundPlan:
    """The runs of a round.

    Attributes:
        seeds: of each cell.
        jobs: the words of each cell, without its seed.
        waiting: a line for each claim that waits for a run which failed.
    """

    seeds: tuple[int, ...]
    jobs: frozenset[frozenset[str]]
    waiting: tuple[str, ...] = ()


def plan_round(
    report: StudyReport | None, file: StudyFile, words: Sequence[str], together: Selection
) -> RoundPlan | str:
    """Plan the next round of a study, from its recorded runs alone.

    A claim whose next run failed waits until no other claim is open. Then that run is tried again.

    Args:
        report: of the recorded runs; None if there is no experiment yet.
        file: the study's file.
        words: overrides of the first round's sweep.
        together: whether a combination is a job.

    Returns:
        The round, or a sentence that says why there is none.

    Raises:
        UserError: the recorded runs are of another file, or cannot be compared.
    """
    looks = file.seed_numbers
    assert looks is not None
    _check_recorded(report, file)
    cells = {_without_seed(job) for job in list_jobs(words, together)}
    if report is None or not report.judgements or report.never_started:
        return RoundPlan(tuple(range(looks.first)), frozenset(cells))
    undecided = [each for each in report.judgements if each.verdict is Verdict.UNDECIDED]
    if not undecided:
        return "every claim is decided"
    count = f"{len(undecided)} of {len(report.judgements)} claims"
    unfinished = [each for each in undecided if each.seeds < looks.last]
    if not unfinished:
        return f"{count} undecided after {looks.last} seeds, the most that `seeds` allows"
    missing = [(each, _find_unmeasured(each, report), _find_failed(each, report)) for each in unfinished]
    waiting = tuple(f"{each.claim}: waits for {one or other}" for each, one, other in missing if one or other)
    possible = [each for each, unmeasured, failed in missing if not (unmeasured or failed)]
    possible = possible or [each for each, unmeasured, _ in missing if not unmeasured]
    if not possible:
        return f"{count} undecided. {'; '.join(waiting)}"
    seed = min(each.seeds for each in possible)
    claims = [each for each in possible if each.seeds == seed]
    needed = frozenset(cell for cell in cells if any(_needs(claim, cell) for claim in claims))
    if not needed:
        raise UserError(f"`study={report.study}`: no run of the study is of the claim {claims[0].claim!r}")
    if file.budget is not None and report.finished:
        expected = sum(_expected_seconds(cell, cells, report) for cell in needed)
        if report.training_seconds + expected > parse_budget(file.budget):
            return (
                f"{count} undecided after {seed} seeds; {report.training_seconds / 60:,.1f} minutes of training are "
                f"recorded, and the next seed would exceed the budget of {file.budget}"
            )
    return RoundPlan((seed,), needed, waiting)


def _check_recorded(report: StudyReport | None, file: StudyFile) -> None:
    """Refuse runs that were made for another study file, or that cannot be compared.

    Raises:
        UserError: they were.
    """
    if report is None or not (report.file or report.finished):
        return
    recorded, where = report.file or StudyFile(), f"`study={report.study}`"
    if recorded.seed_numbers is None or file.seed_numbers is None:
        raise UserError(f"{where} was begun without `until: decided`; give the study another name")
    changed = [key for key in _FIXED_KEYS if (getattr(recorded, key) or None) != (getattr(file, key) or None)]
    if recorded.seed_numbers.first != file.seed_numbers.first:
        changed.append("seeds.from")
    if changed:
        raise UserError(
            f"{where}: `{changed[0]}` of its file is not what it was when the study began; give the study another name"
        )
    if report.obstacle:
        raise UserError(f"{where}: {report.obstacle}; give the study another name")


def _find_failed(claim: Judgement, report: StudyReport) -> str | None:
    """Return the name of a run that failed and has the next seed of a claim."""
    for run in report.unfinished:
        if run.status != "FAILED" or not is_same_value(run.params.get("seed"), claim.seeds):
            continue
        # A job that failed before its run began has its network in its name alone.
        models = [canonicalize(part) for part in run.name.split(" · ")]
        sides = [
            side
            for side in (claim.better, claim.baseline)
            if "model" in run.params or "model" not in side or canonicalize(side["model"]) in models
        ]
        if any(_matches(side, run.params) for side in sides):
            return f"{run.name}, which failed"
    return None


def _find_unmeasured(claim: Judgement, report: StudyReport) -> str | None:
    """Return the setting of a cell whose run of a claim's next seed is finished, but has not the claim's metric."""
    for cell in report.cells:
        metrics = cell.metrics.get(str(claim.seeds))
        is_needed = any(_matches(side, cell.params) for side in (claim.better, claim.baseline))
        if is_needed and metrics is not None and claim.metric not in metrics:
            setting = " ".join(f"{key}={value}" for key, value in cell.values.items())
            return f"{claim.metric} of {setting} seed={claim.seeds}, which its finished run has not"
    return None


def _expected_seconds(cell: Collection[str], cells: Collection[frozenset[str]], report: StudyReport) -> float:
    """Return the mean time of a cell's finished runs; of all finished runs if none has the cell's words."""
    words = [word.partition("=") for word in cell if not all(word in other for other in cells)]
    settings = {key: [text] for key, _, text in words}
    expected = tuple(canonicalize(text) for (text,) in settings.values())
    seconds = [run.seconds for run in report.finished if read_settings(run, settings) == expected]
    seconds = seconds or [run.seconds for run in report.finished]
    return sum(seconds) / len(seconds)


def _needs(claim: Judgement, cell: Collection[str]) -> bool:
    """Return whether a claim is about a cell, which its words describe."""
    texts = {key.lstrip("+"): text.strip("\"'") for key, _, text in (word.partition("=") for word in cell)}
    return any(_matches(side, texts) for side in (claim.better, claim.baseline))


def _matches(side: Mapping[str, str], texts: Mapping[str, str]) -> bool:
    """Return whether a cell may have the settings of a side; a word such as `paper` may stand for any value."""
    for key, value in side.items():
        text = canonicalize(texts.get(key, value))
        if text != canonicalize(value) and text not in PLACEHOLDERS:
            return False
    return True


def _without_seed(words: Collection[str]) -> frozenset[str]:
    return frozenset(word for word in words if not word.startswith("seed="))


def _read_report(words: Sequence[str]) -> StudyReport | None:
    """Read the recorded runs of the study that words name; None if it has no experiment."""
    from ..reporting.study_report import StudyReport
    from ..tracking import study_runs
    from ..tracking.outbox import worker

    uri = str(_find_value(words, "tracking.uri") or default_settings(TrainSettings)["tracking"]["uri"])
    study = str(_find_value(words, "study"))
    worker.flush_pending(uri)
    if not study_runs.has_study(uri, study):
        return None
    return StudyReport(study, study_runs.find_results(uri, study), study_runs.recorded_spec(uri, study))


def _find_value(words: Sequence[str], key: str) -> Any:
    """Return the value of a setting on a command line, or None."""
    parsed = [parse_word(word) for word in words if word.lstrip("+").startswith(f"{key}=")]
    return parsed[-1].value if parsed and parsed[-1] else None
