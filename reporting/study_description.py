"""The answer of a study as Markdown, for the description of its experiment in MLflow.

MLflow shows the first line alone until a reader opens the description: the verdicts stand there.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from ..evaluation.comparison import GridCell, shorten_names
from ..evaluation.statistics import MIN_SEEDS, clip_interval
from ..settings.text import clip, printable
from ..tracking.run_names import short_setting
from .study_report import StudyReport

_MAX_COLUMNS = 6  # values of an axis that are columns of the table
_MAX_LINES = 12  # of a section
_LONGEST_LINE = 400  # characters
_LONGEST_VALUE = 40  # characters of an axis's value
_LONGEST_VERDICTS = 180  # characters of the first line
_MARK = "×"  # of a cell with a run that did not learn


def describe_answer(report: StudyReport, report_address: str | None = None, max_length: int = 20_000) -> str:
    """Describe a study: verdicts, question, accuracy of each cell with its interval, missing and marked runs.

    Args:
        report: of the study.
        report_address: of its interactive report, or None.
        max_length: characters of the text. Rows of the table are left out if they do not fit, with a line that says so.
    """
    blocks = [_first_line(report), *[f"[interactive report]({report_address})"] * bool(report_address)]
    if report.question:
        blocks.append(f"**Question:** {_escape(clip(report.question, _LONGEST_LINE))}")
    blocks.append(_escape(_count_runs(report)))
    blocks += _section("Claims, stated beforehand", [*report.departure_lines(), *report.claims()])
    blocks += _section("The recipe without a part, minus the full recipe", report.ablation.lines())
    after = [
        *_section("Runs that did not learn", report.describe_runs_not_learning()),
        *_section("Missing runs", report.unfinished_lines()),
        *_section("Left out", report.left_out_lines()),
    ]
    room = max_length - sum(len(block) + 2 for block in [*blocks, *after])
    table = _accuracy_table(report.cells, report.axes, room) if report.cells else []
    return "\n\n".join([*blocks, *table, *after])[:max_length]


def _first_line(report: StudyReport) -> str:
    if report.judgements:
        verdicts = "; ".join(f"{each.verdict.upper()}: {each.claim}" for each in report.judgements)
        return f"**{_escape(clip(verdicts, _LONGEST_VERDICTS))}**"
    if not report.cells:
        return "**no finished run yet**"
    if report.ablation.effects:
        largest = report.ablation.describe(report.ablation.effects[0])
        return f"**{_escape(f'largest loss by leaving out a part of the recipe: {largest}')}**"
    best = max(report.cells, key=lambda cell: cell.spread().mean)
    name = _setting(best, dict(zip(report.axes, shorten_names(report.axes), strict=True))) or best.params.get("model")
    return f"**{_escape(f'best of {len(report.cells)} cells: {name}, {best.spread().mean:.2%}')}**"


def _count_runs(report: StudyReport) -> str:
    runs = sum(len(cell.metrics) for cell in report.cells)
    text = f"{runs} finished runs in {len(report.cells)} cells"
    if report.grid_size:
        text += f"; {len(report.never_started)} of {report.grid_size} runs of the grid are missing"
    if report.not_learning:
        text += f"; {len(report.not_learning)} did not learn, marked {_MARK}"
    return f"{text}."


def _accuracy_table(cells: Sequence[GridCell], axes: Sequence[str], room: int) -> list[str]:
    """Return the blocks of the table of accuracies: a heading, the rows that fit, and a line about the others.

    Args:
        cells: of the study.
        axes: names of its axes.
        room: characters for all of it.
    """
    names = dict(zip(axes, shorten_names(axes), strict=True))
    across = _column_axis(cells, axes)
    columns = list(dict.fromkeys(cell.values[across] for cell in cells)) if across else []
    seeds = max(cell.spread().n for cell in cells)
    rows: dict[str, dict[str, str]] = {}
    for cell in cells:
        label = _setting(cell, {axis: name for axis, name in names.items() if axis != across})
        column = cell.values[across] if across else ""
        rows.setdefault(label, {})[column] = _format_cell(cell, seeds)
    heads = [f"{names[across]} {clip(column, _LONGEST_VALUE)}" for column in columns] if across else ["accuracy"]
    about = f"Test accuracy in %, mean of {seeds} seed{'s' * (seeds != 1)}"
    about += ", with its 95 % interval" if seeds >= MIN_SEEDS else f"; an interval takes {MIN_SEEDS}"
    heading = f"### Accuracy by cell\n\n{_escape(about)}."
    lines = [f"|setting|{'|'.join(map(_escape, heads))}|", "|---" * (len(heads) + 1) + "|"]
    room -= len(heading) + sum(map(len, lines)) + 100
    for number, (label, values) in enumerate(rows.items()):
        line = f"|{_escape(label)}|{'|'.join(values.get(column, '–') for column in columns or [''])}|"
        room -= len(line) + 1
        if room < 0:
            return [heading, "\n".join(lines), f"{len(rows) - number} more rows are in the report."]
        lines.append(line)
    return [heading, "\n".join(lines)]


def _column_axis(cells: Iterable[GridCell], axes: Sequence[str]) -> str | None:
    """Choose the axis whose values are columns: dropout, or the last one with few values, or None."""
    counts = {axis: len({cell.values[axis] for cell in cells}) for axis in axes}
    few = [axis for axis in axes if axis != "model" and counts[axis] <= _MAX_COLUMNS]
    if len(axes) < 2 or not few:
        return None
    return "dropout" if "dropout" in few else few[-1]


def _setting(cell: GridCell, names: Mapping[str, str]) -> str:
    """Return the values of a cell's axes as the names of runs show them, `lenet · s2 · max`.

    Args:
        cell: the cell.
        names: mapping from the axes that are shown to their short names.
    """
    parts = []
    for axis, name in names.items():
        value = clip(cell.values[axis], _LONGEST_VALUE)
        parts.append(value if axis == "model" else short_setting(axis, value, name))
    return " · ".join(parts)


def _format_cell(cell: GridCell, seeds: int) -> str:
    spread = cell.spread()
    interval = clip_interval(spread, 0, 1)
    text = f"{100 * spread.mean:.2f}"
    text += f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else ""
    text += f" n={spread.n}" if spread.n < seeds else ""
    return f"{text} {_MARK}" if cell.not_learning else text


def _section(title: str, lines: Sequence[str]) -> list[str]:
    """Return the blocks of a section of at most `_MAX_LINES` lines; none without lines."""
    if not lines:
        return []
    items = [f"- {_escape(clip(line.removeprefix('- '), _LONGEST_LINE))}" for line in lines[:_MAX_LINES]]
    more = len(lines) - len(items)
    return [f"### {title}", "\n".join([*items, *[f"- and {more} more lines in the report"] * bool(more)])]


def _escape(text: str) -> str:
    """Return text that Markdown shows as it is, in one line."""
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", printable(text))
