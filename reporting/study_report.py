"""The report of a study: a page with its figures inside it, and its runs as CSV."""

import csv
import io
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from matplotlib.figure import Figure

from .. import UserError
from ..evaluation.claims import Judgement, format_difference, format_interval, judge_claims
from ..evaluation.comparison import (
    Difference,
    GridCell,
    common_metrics,
    compute_differences,
    covarying_params,
    group_cells,
    is_same_value,
    shared_params,
    shorten_names,
    value_pairs,
)
from ..evaluation.statistics import (
    MIN_SEEDS,
    Spread,
    clip_interval,
    compute_bootstrap_interval,
    compute_sign_flip_p_value,
    compute_spread,
)
from ..settings.ablation import ABLATE
from ..settings.metrics import METRIC, is_share
from ..settings.schema import Schema, parse
from ..settings.study_schema import StudyFile
from ..settings.text import clip, csv_cell, printable
from . import ablation
from .ablation import Ablation
from .checked_runs import LONGEST_RUN, CheckedRun, StudyRun, check_runs
from .grid import (
    Grid,
    find_departures,
    find_missing_runs,
    find_settings_outside_grid,
    format_missing_runs,
    read_settings,
)
from .html import encode_image, render_page
from .plots.study import draw_cells, draw_cost, draw_differences, draw_interactions
from .table_formats import format_p_value, format_share_interval
from .text_table import fold, text_table

NOTES = (
    "Each run read the test split once, when its training was done; no epoch, setting or run was chosen by it.",
    "Validation was cut from the training part, the same images whatever the seed.",
    "A seed fixes weights, order, augmentation and dropout of all cells alike: differences are taken within a seed.",
    "Intervals are Student's, over seeds; the claims' are widened after Bonferroni so that all hold together at 95 %. "
    "They are valid for one look, at a number of seeds that was chosen before the first run. Who adds seeds after a "
    "look needs a study with `until: decided`. "
    f"Below {MIN_SEEDS} seeds none is shown. p-values are of paired t-tests, adjusted after Holm for all differences "
    "of their table.",
    "A claim states the margin m beforehand. BETTER: the interval of its difference lies above m. WORSE: below -m. "
    "EQUIVALENT: between -m and m. UNDECIDED: none of these. A claim that allows a loss of m is also NOT WORSE, where "
    "the interval lies above -m. Every run counts, unless the claim stated beforehand that runs which did not learn do "
    "not.",
)
_LOOKS_NOTE = (
    "This study adds seeds until its claims are decided. Their anytime-valid intervals (a mixture t-test, Wang and "
    "Ramdas 2023) may be looked at after every seed; after Bonferroni all hold together at 95 %. They take the "
    "differences as independent draws of one normal distribution: with skewed differences, as when runs of one side "
    "die, they declare too much. A claim is decided at the first look whose interval decides."
)
_OPINIONS_NOTE = (
    "Second opinions decide nothing. The BCa bootstrap assumes no distribution and is too narrow with few seeds; the "
    "sign-flip test is of no difference at all, assumes symmetry, and with n seeds its p-value is at least 2/2ⁿ. Both "
    "are for one look."
)
ParsedSchema = TypeVar("ParsedSchema", bound=Schema)

_MARK = "×"  # of a run that did not learn
_NOT_PACKAGES = ("code", "commit", "backend", "machine")  # the keys of an environment that are no packages
_MAX_VALUES = 5  # values that are listed where runs differ in an environment's key
_MAX_LISTED = 20  # runs that are listed
_LONGEST_CELL = 60  # characters of a value in a table


class Table(NamedTuple):
    """A table of a report, of texts."""

    title: str
    heads: list[str]
    rows: list[list[str]]


class StudyReport:
    """The report of a study.

    Args:
        study: its name.
        results: its runs, the newest first, finished or not.
        spec: its file as it was recorded at the first run, a mapping as `settings.study_file.read` returns, or None.
        grids: the grids of its sweeps, mappings as `reporting.grid.describe_grid` returns.

    Attributes:
        finished: the runs that can be compared.
        training_seconds: of all runs, also of those that did not finish or cannot be compared.
        file: the study's file as it was recorded; None if there is none, or it cannot be used.
        looks: the numbers of seeds, if the study runs until it is decided, else None.
        obstacle: the reason why the claims of such a study cannot be looked at, a sentence, or None.
        ablation: the effects of leaving out parts of the recipe.
        never_started: combinations of settings without a run; before the first look, those without a finished one.
        judgements: one for each claim.
    """

    def __init__(
        self,
        study: str,
        results: Iterable[StudyRun],
        spec: object = None,
        grids: Iterable[object] = (),
    ) -> None:
        results = list(results)
        self.study = study
        file, self.left_out = _check(StudyFile, {} if spec is None else spec, "the study's recorded file")
        self.file = None if spec is None else file
        file = file or StudyFile()
        self.question = file.question or ""
        self.published = file.published or []
        finished, reasons = check_runs(run for run in results if run.status == "FINISHED")
        self.left_out += reasons
        self.source = "; ".join(dict.fromkeys(run.pictures for run in finished if run.pictures))
        finished_names = {name for run in results if run.status == "FINISHED" for name in _names(run)}
        self.unfinished = {
            run.name: run for run in results if run.status != "FINISHED" and not _names(run) & finished_names
        }.values()
        self.looks = file.seed_numbers
        self.finished = finished
        self.training_seconds = sum(map(_training_seconds, results))
        varied, named_runs = file.varied, results
        if self.looks:
            varied["seed"] = list(range(self.looks.first))
            named_runs = [run for run in results if run.status == "FINISHED"]
        self.obstacle = _find_obstacle(finished, file) if self.looks else None
        self.never_started, self.grid_size = find_missing_runs(
            named_runs, varied, self._check_grids(grids), file.together
        )
        self.departures = find_departures(finished, file.varied, file.set) if file.varied or file.set else []
        self.provenance = _describe_environments(finished)
        self.cells, self.axes = group_cells(finished)
        self.not_learning = _find_not_learning(finished)
        self.metrics = common_metrics(self.cells) if self.cells else []
        claims = [claim.model_dump() for claim in file.claims or []]
        self.table_metrics = [*self.metrics, *self._claimed_metrics(claims)]
        self.has_intervals = any(cell.spread().n >= MIN_SEEDS for cell in self.cells)
        self.shared_params = ", ".join(f"{key}={value}" for key, value in shared_params(self.cells, self.axes).items())
        self.ablation = Ablation(self.cells, self.metrics, bool(self.not_learning))
        axes = [axis for axis in self.axes if axis != ABLATE]
        self.differences = compute_differences(self.cells, axes)
        self.learning_differences = (
            compute_differences(self.cells, axes, learning_only=True) if self.not_learning else []
        )
        # Before all cells have the seeds of the first look, a claim would be judged by some of its cells.
        judged_cells = [] if self.obstacle or (self.looks and self.never_started) else self.cells
        self.judgements = judge_claims(judged_cells, claims, self.looks.first if self.looks else None)

    def _claimed_metrics(self, claims: Iterable[Mapping[str, Any]]) -> list[str]:
        """Return the further metrics that claims name and every cell has."""
        claimed = [claim["of"] for claim in claims if claim["of"] not in self.metrics]
        return common_metrics(self.cells, claimed) if self.cells else []

    def _check_grids(self, grids: Iterable[object]) -> list[Grid]:
        checked: list[Grid] = []
        for each in grids:
            grid, reasons = _check(Grid, each, "a recorded sweep")
            self.left_out += reasons
            checked += [grid] if grid else []
        return checked

    def tables(self) -> list[Table]:
        """Return the tables of the report."""
        tables = [Table("Accuracy by cell", *self._cell_table())] if self.cells else []
        tables += [Table(ablation.TITLE, *self.ablation.table())] if self.ablation.effects else []
        if self.differences:
            title = "What each axis does, all else the same"
            if self.not_learning:
                title += ", over all runs"
            tested = any(each.p is not None for each in self.differences)
            heads = [*self._difference_heads(), *["p after Holm"] * tested]
            rows = [[*self._difference_row(each), *[format_p_value(each.p)] * tested] for each in self.differences]
            tables.append(Table(title, heads, rows))
        if self.learning_differences:
            title = f"The same without the {_pluralize(len(self.not_learning), 'run')} that did not learn"
            rows = [self._difference_row(each) for each in self.learning_differences]
            tables.append(Table(title, self._difference_heads(), rows))
        if rows := self._opinion_rows():
            heads = ["claim", "seeds", "difference", "interval that decides", "BCa bootstrap", "sign-flip p"]
            tables.append(Table("Second opinions on the claims", heads, rows))
        return tables

    def _opinion_rows(self) -> list[list[str]]:
        """Return a row for each claim with enough seeds: other intervals and tests of the same differences."""
        rows = []
        for number, each in enumerate(self.judgements, 1):
            by_seed, metric = each.decided_by_seed, each.metric
            if len(by_seed) < MIN_SEEDS:
                continue
            bootstrapped = compute_bootstrap_interval(by_seed, each.confidence)
            rows.append(
                [
                    f"{number}: {_shorten(each.claim)}",
                    str(len(by_seed)),
                    format_difference(compute_spread(by_seed).mean, metric),
                    format_interval(*each.interval, metric) if each.interval else "–",
                    format_interval(*bootstrapped, metric) if bootstrapped else "–",
                    format_p_value(compute_sign_flip_p_value(by_seed)),
                ]
            )
        return rows

    def interval_table(self) -> Table:
        """Return the cells with their means and intervals as plain numbers, for a paper or a spreadsheet.

        Shares are in percent. Where there are fewer seeds than an interval takes, its ends are empty.
        """
        heads = shorten_names(self.axes)
        for metric in self.table_metrics:
            unit = ", %" if is_share(metric) else ""
            heads += [f"{_metric_name(metric)}{unit}", "95 % low", "95 % high"]
        rows = []
        for cell in self.cells:
            row = [*cell.values.values()]
            for metric in self.table_metrics:
                spread = cell.spread(metric)
                ends = clip_interval(spread, *((0, 1) if is_share(metric) else (-math.inf, math.inf))) or ("", "")
                row += [_format_plain(value, metric) for value in (spread.mean, *ends)]
            rows.append([*row, str(cell.spread().n)])
        return Table("Accuracy by cell", [*heads, "seeds"], rows)

    def claims(self) -> list[str]:
        """Return a line for each claim."""
        return [
            f"{each.verdict.upper()}: {each.claim} ({_metric_name(each.metric)}, {_format_margin(each)}"
            f"{', without runs that did not learn' * each.excludes}). {each.reason}"
            for each in self.judgements
        ]

    def figures(self) -> dict[str, Figure]:
        """Draw the figures; returns a mapping from file name to figure."""
        figures: dict[str, Figure] = {}
        for metric in self.metrics if self.cells else ():
            stem = "cells" if metric == METRIC else f"cells_{_metric_name(metric, '_')}"
            figures |= _number_figures(stem, draw_cells(self.study, self.cells, metric))
        if len(self.axes) > 1:
            figures |= _number_figures("interaction", draw_interactions(self.cells, self.axes))
        if self.ablation.effects:
            figures["ablation.png"] = self.ablation.draw(self.study)
        shown = [each for each in self.differences if each.metric == METRIC]
        if shown and (len(self.axes) > 2 or (len(self.axes) > 1 and self.not_learning)):
            again = {(d.axis, d.first, d.second): d for d in self.learning_differences if d.metric == METRIC}
            figures["effects.png"] = draw_differences("what each axis does, all else the same", shown, again)
        if len({cell.macs for cell in self.cells}) > 1:
            figures["cost.png"] = draw_cost(self.cells, self.axes)
        return figures

    def csv(self) -> str:
        """Format the runs, a line each."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        marked = ["not_learning"] * bool(self.not_learning)
        writer.writerow(_csv_row([*self.axes, "seed", *self.table_metrics, "parameters", "macs", *marked]))
        for cell in self.cells:
            for seed, metrics in cell.metrics.items():
                values = [metrics.get(metric, "") for metric in self.table_metrics]
                reason = [cell.not_learning.get(seed, "")] * len(marked)
                row = [*cell.values.values(), seed, *values, cell.params["parameters"], cell.macs, *reason]
                writer.writerow(_csv_row(row))
        return text.getvalue()

    def __str__(self) -> str:
        parts = [fold(f"{self.study}: {self.question}".rstrip(": ")), "\n".join(map(fold, self._about_lines()))]
        parts.append("\n".join(map(fold, self.describe_runs_not_learning())))
        parts += [f"{fold(each.title)}\n{text_table(each.heads, each.rows)}" for each in self.tables()]
        lists = [[*self.departure_lines(), *self.claims()], self.unfinished_lines(), self.left_out_lines()]
        parts += ["\n".join(map(fold, lines)) for lines in lists]
        return "\n\n".join(part for part in parts if part)

    def html(self, figures: Mapping[str, Figure]) -> str:
        """Render the page, with the figures inside it.

        Args:
            figures: mapping from file name to figure.
        """
        return render_page(
            "study.html",
            title=self.study,
            lines=[text for text in (self.question, *self._about_lines()) if text],
            claims=[
                {"verdict": each.verdict.replace(" ", "-"), "line": line}
                for each, line in zip(self.judgements, self.claims(), strict=True)
            ],
            departures=self.departure_lines(),
            not_learning=self.describe_runs_not_learning(),
            tables=self.tables(),
            images=[{"name": name, "address": encode_image(figure)} for name, figure in figures.items()],
            unfinished=self.unfinished_lines(),
            left_out=self.left_out_lines(),
            notes=[
                *NOTES[: None if self.judgements else -1],
                *[_LOOKS_NOTE] * bool(self.looks),
                *[ablation.NOTE] * bool(self.ablation.effects),
                *[_OPINIONS_NOTE] * bool(self._opinion_rows()),
            ],
        )

    def _about_lines(self) -> list[str]:
        """Return lines about all cells."""
        lines = [self.source] * bool(self.source) + [f"the same in all runs: {self.shared_params}"] * bool(
            self.shared_params
        )
        if "test_shift_consistency" in self.metrics:
            pixels = "/".join(sorted({str(cell.params.get("test_shift", "?")) for cell in self.cells}))
            lines.append(
                "shift consistency (Zhang 2019): how often an image of the test set gets one class under "
                f"two random circular shifts of up to {pixels} pixels"
            )
        lines += [
            f"{key} also differs: {', '.join(f'{value} ({study})' for study, value in values.items())}"
            for key, values in covarying_params(self.cells, self.axes, "study").items()
        ]
        for axis in {each.axis: None for each in self.differences}:
            pairs, total = value_pairs(self.cells, axis)
            if len(pairs) < total:
                lines.append(
                    f"{axis} has many values: {len(pairs)} of {total} pairs of them are compared, those with the first "
                    f"value, {pairs[0][0]}"
                )
        if not self.cells:
            lines.append("no finished run to report")
        elif not self.has_intervals:
            lines.append(f"too few seeds for an interval: it takes {MIN_SEEDS}")
        return [*lines, *self.provenance]

    def departure_lines(self) -> list[str]:
        """Return a line that names the settings which differ from the study's file, and one why nothing is judged."""
        lines = [f"differs from the study's file: {', '.join(self.departures)}"] * bool(self.departures)
        return [*lines, *([f"NO CLAIM IS JUDGED: {self.obstacle}"] if self.obstacle else [])]

    def describe_runs_not_learning(self) -> list[str]:
        """Return a line for each run that did not learn."""
        if not self.not_learning:
            return []
        runs = sum(len(cell.metrics) for cell in self.cells)
        lines = [f"{_MARK} {name}: {reason}" for name, reason in self.not_learning[:_MAX_LISTED]]
        if len(self.not_learning) > _MAX_LISTED:
            lines.append(f"{_MARK} and {len(self.not_learning) - _MAX_LISTED} more, see runs.csv")
        if self.differences and not self.learning_differences:
            lines.append("without them no pair is left to compare")
        return [f"DID NOT LEARN: {len(self.not_learning)} of {_pluralize(runs, 'run')}, marked {_MARK}", *lines]

    def unfinished_lines(self) -> list[str]:
        """Return a line for each reason why runs are missing."""
        reasons: dict[tuple[str, str | None], list[str]] = {}
        for run in self.unfinished:
            reasons.setdefault((run.status, run.failure), []).append(run.name)
        lines = []
        for (status, reason), names in reasons.items():
            runs = names[0] if len(names) == 1 else f"{len(names)} runs, {names[0]} and the like"
            lines.append(f"{status}: {runs}" + (f": {reason}" if reason else ""))
        return [*lines, *format_missing_runs(self.never_started, self.grid_size)]

    def left_out_lines(self) -> list[str]:
        """Return a line for each recorded run or file that cannot be used."""
        lines = [f"LEFT OUT: {reason}" for reason in self.left_out[:_MAX_LISTED]]
        more = len(self.left_out) - len(lines)
        return [*lines, *[f"LEFT OUT: {more} more of the kind"] * bool(more)]

    def _cell_table(self) -> tuple[list[str], list[list[str]]]:
        heads = shorten_names(self.axes)
        for metric in self.table_metrics:
            interval = "95 % interval, %" if is_share(metric) else "95 % interval"
            heads += [_metric_name(metric)] + [interval] * self.has_intervals
            heads += ["SD, points"] * (metric == METRIC and self.has_intervals)
        heads += ["seeds", "MMACs", "training, s"]
        heads += ["published"] * bool(self.published)
        return heads, [self._cell_row(cell) for cell in self.cells]

    def _cell_row(self, cell: GridCell) -> list[str]:
        words = [*map(_shorten, cell.values.values())]
        for metric in self.table_metrics:
            spread = cell.spread(metric)
            mean = f"{spread.mean:.2%}" if is_share(metric) else f"{spread.mean:.4g}"
            words.append(mean + f" {_MARK}" * (metric == METRIC and bool(cell.not_learning)))
            interval = format_share_interval(spread, 0) if is_share(metric) else _format_plain_interval(spread)
            words += [interval] * self.has_intervals
            if metric == METRIC and self.has_intervals:
                words.append("–" if spread.deviation is None else f"{100 * spread.deviation:.2f}")
        words += [str(cell.spread().n), f"{cell.macs / 1e6:,.1f}", f"{cell.seconds:,.0f}"]
        if self.published:
            errors = [each.error for each in self.published if _matches(cell, each.where)]
            words.append(f"{100 - errors[0]:.2f}%" if errors else "–")
        return words

    def _difference_heads(self) -> list[str]:
        metric, interval = ["metric"] * (len(self.metrics) > 1), ["95 % interval, points"] * self.has_intervals
        return ["axis", "values", *metric, "difference, points", *interval, "seeds"]

    def _difference_row(self, each: Difference) -> list[str]:
        names = dict(zip(self.axes, shorten_names(self.axes), strict=True))
        words = [names[each.axis], f"{_shorten(each.first)} − {_shorten(each.second)}"]
        words += [_metric_name(each.metric)] * (len(self.metrics) > 1)
        words += [f"{100 * each.spread.mean:+.2f}", *[format_share_interval(each.spread, -1)] * self.has_intervals]
        return [*words, str(each.spread.n)]


def compare_studies(runs_by_study: Mapping[str, Iterable[Any]]) -> StudyReport:
    """Report the runs of several studies as one, of which the study is the first axis.

    Cells of two studies are compared if they agree in all other axes; differences are within a seed.

    Args:
        runs_by_study: mapping from the name of each study to its runs, the newest first, instances of
            `tracking.results.Result`.
    """
    runs = [
        replace(run, name=f"{name}: {run.name}", params={"study": name, **run.params}, cell=f"{name}: {run.cell}")
        for name, results in runs_by_study.items()
        for run in results
    ]
    return StudyReport(" and ".join(runs_by_study), runs)


def _check(schema: type[ParsedSchema], value: object, where: str) -> tuple[ParsedSchema | None, list[str]]:
    """Parse a value; returns the instance or None, and the reasons why it cannot be used."""
    try:
        return parse(schema, value, where), []
    except UserError as error:
        return None, [str(error)]


def _names(run: StudyRun) -> set[str]:
    """Return the texts by which a run is recognised: its name, and its identity, which outlives a change of names."""
    return {run.name, getattr(run, "identity", "") or run.name}


def _find_obstacle(runs: Sequence[CheckedRun], file: StudyFile) -> str | None:
    """Return the reason why a study that adds seeds cannot be judged by its runs, or None.

    Seeds would be counted of runs that are not of the study, or of two cells where the study has one.
    """
    if foreign := find_settings_outside_grid(runs, file.varied, file.set):
        return f"it has runs with settings that its file lacks: {', '.join(foreign)}"
    varied = {key: values for key, values in file.varied.items() if isinstance(values, list)}
    firsts: dict[tuple[str | float | None, ...], CheckedRun] = {}
    for run in runs:
        values = read_settings(run, varied)
        first = firsts.setdefault(values, run)
        if None in values or first.cell == run.cell:
            continue
        texts = [f"{value:g}" if isinstance(value, float) else value for value in values]
        setting = " ".join(f"{key.lstrip('+')}={text}" for key, text in zip(varied, texts, strict=True))
        keys = [key for key in {**first.params, **run.params} if key not in ("seed", "parameters", "macs")]
        differing = [
            f"{key} is {run.params.get(key, 'not set')} or {first.params.get(key, 'not set')}"
            for key in keys
            if run.params.get(key) != first.params.get(key)
        ]
        return f"its runs with {setting} differ: {', '.join(differing) or 'in what their params do not show'}"
    return None


def _training_seconds(run: StudyRun) -> float:
    """Return the seconds that a run is known to have trained, whatever its status."""
    seconds = getattr(run, "seconds", 0)
    return seconds if isinstance(seconds, int | float) and 0 <= seconds <= LONGEST_RUN else 0


def _find_not_learning(runs: Iterable[CheckedRun]) -> list[tuple[str, str]]:
    """Find the name and the reason of each run that did not learn, among the newest of each cell and seed."""
    newest: dict[tuple[str, str], CheckedRun] = {}
    for run in runs:
        newest.setdefault((run.cell, run.params["seed"]), run)
    return [(run.name, run.not_learning) for run in newest.values() if run.not_learning]


def _describe_environments(runs: Sequence[CheckedRun]) -> list[str]:
    """Describe the dates, the code, the machines and the versions of runs."""
    dates = sorted(run.started for run in runs if run.started is not None)
    ends = list(dict.fromkeys(_format_date(milliseconds) for milliseconds in (*dates[:1], *dates[-1:])))
    lines = [f"runs begun {' to '.join(ends)} UTC; report of {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"] * bool(ends)
    names = dict.fromkeys(name for run in runs for name in run.environment)
    counts = {name: Counter(run.environment.get(name, "unknown") for run in runs) for name in names}
    shared = {name: next(iter(texts)) for name, texts in counts.items() if len(texts) == 1}
    if shared.get("code", "").startswith(shared.get("commit", "-")):
        del shared["commit"]
    about = [f"{name} {shared.pop(name)}" for name in _NOT_PACKAGES if name in shared]
    lines += ["; ".join(about)] * bool(about)
    lines += [f"versions: {', '.join(f'{name} {text}' for name, text in shared.items())}"] * bool(shared)
    for name, texts in counts.items():
        if len(texts) > 1:
            values = ", ".join(
                f"{text} ({_pluralize(number, 'run')})" for text, number in texts.most_common(_MAX_VALUES)
            )
            more = f", and {len(texts) - _MAX_VALUES} more" if len(texts) > _MAX_VALUES else ""
            lines.append(f"the runs differ in {name}: {values}{more}")
    return lines


def _format_date(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M}"


def _number_figures(stem: str, figures: Sequence[Figure]) -> dict[str, Figure]:
    """Name figures `cells.png`, `cells_2.png`, …"""
    return {f"{stem}{f'_{number}' if number > 1 else ''}.png": figure for number, figure in enumerate(figures, 1)}


def _csv_row(cells: Iterable[Any]) -> list[Any]:
    return [csv_cell(printable(cell)) if isinstance(cell, str) else cell for cell in cells]


def _format_margin(judgement: Judgement) -> str:
    size = format_difference(abs(judgement.margin), judgement.metric).lstrip("+")
    margin = f"by {size} or more" if judgement.margin >= 0 else f"no more than {size} worse"
    return margin + ", smaller is better" * (judgement.goal == "smaller")


def _metric_name(metric: str, separator: str = " ") -> str:
    return metric.removeprefix("test_").replace("_", separator)


def _format_plain_interval(spread: Spread) -> str:
    """Format the interval of a metric that is no share."""
    if spread.n < MIN_SEEDS:
        return "too few seeds"
    return "–" if spread.low is None else f"{spread.low:.4g} to {spread.high:.4g}"


def _format_plain(value: float | str, metric: str) -> str:
    """Format a number without its unit: of a share in percent; text stays as it is."""
    if isinstance(value, str):
        return value
    return f"{100 * value:.2f}" if is_share(metric) else f"{value:.4g}"


def _shorten(text: object) -> str:
    return clip(text, _LONGEST_CELL)


def _pluralize(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _matches(cell: GridCell, where: Mapping[str, object]) -> bool:
    return all(is_same_value(cell.params.get(key), value) for key, value in where.items())
