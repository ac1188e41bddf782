"""The report of a study: one page with its pictures inside it, the pictures, and its cells as CSV."""

import csv
import html
import io

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from . import METRIC
from .comparison import alike, cells, differences, judge, measured, shortened
from .page import PAGE, picture, table, text_table

NOTES = (
    "Each run read the test split once, when its training was done; no epoch, setting or run was chosen by it.",
    "Validation was cut from the training part, the same images whatever the seed.",
    "A seed fixes weights, order, augmentation and dropout of all cells alike: differences are taken within a seed.",
    "Intervals are Student's, over seeds; the claims' are widened after Bonferroni so that all hold together at 95 %. "
    "p-values are of paired t-tests, adjusted after Holm for all differences of the page.",
    "A claim is supported where its interval lies above the difference that was stated beforehand, refuted where it "
    "lies below, else undecided.",
)


class Report:
    """What a study says.

    Args:
        study: its name.
        results: its runs, the newest first, finished or not.
        said: what its file said when it began, a mapping as `studies.files.read` gives, or None.
    """

    def __init__(self, study, results, said=None):
        said = said or {}
        self.study = study
        self.question = said.get("question") or ""
        self.published = said.get("published") or []
        finished = [run for run in results if run.status == "FINISHED" and METRIC in run.metrics]
        self.source = "; ".join(dict.fromkeys(run.pictures for run in finished if run.pictures))
        done = {run.name for run in finished}
        self.missing = {run.name: run for run in results if run.status != "FINISHED" and run.name not in done}.values()
        self.cells, self.axes = cells(finished)
        self.metrics = measured(self.cells)
        self.alike = ", ".join(f"{key}={value}" for key, value in alike(self.cells, self.axes).items())
        self.differences = differences(self.cells, self.axes)
        self.judgements = judge(self.cells, said.get("claims") or [])

    def tables(self):
        """(title, heads, rows) of each table, rows of words."""
        made = [("Accuracy by cell", *self._cells())]
        if self.differences:
            heads = ("axis", "values", "metric", "difference", "95 % interval", "seeds", "p after Holm")
            made.append(("What each axis does, all else the same", heads, [_difference(d) for d in self.differences]))
        return made

    def claims(self):
        """A line for each claim."""
        return [
            f"{each.verdict.upper()}: {each.says} ({_named(each.metric)}, {_margin(each.by)}). {each.why}"
            for each in self.judgements
        ]

    def figures(self):
        """Mapping from file name to matplotlib figure."""
        made = {
            "cells.png" if metric == METRIC else f"cells_{_named(metric, '_')}.png": self._dots(metric)
            for metric in self.metrics
        }
        if len(self.axes) > 1:
            made["interaction.png"] = self._interaction()
        if len({cell.macs for cell in self.cells}) > 1:
            made["cost.png"] = self._cost()
        return made

    def csv(self):
        """The runs, a line each."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*self.axes, "seed", *self.metrics, "parameters", "macs"])
        for cell in self.cells:
            for seed, found in cell.metrics.items():
                shares = [found.get(metric, "") for metric in self.metrics]
                writer.writerow([*cell.values.values(), seed, *shares, cell.params["parameters"], cell.macs])
        return text.getvalue()

    def __str__(self):
        parts = [f"{self.study}: {self.question}".rstrip(": "), "\n".join(self._about())]
        parts += [f"{title}\n{text_table(heads, rows)}" for title, heads, rows in self.tables()]
        if self.judgements:
            parts.append("\n".join(self.claims()))
        if self.missing:
            parts.append("\n".join(self._missing()))
        return "\n\n".join(part for part in parts if part)

    def html(self, figures):
        """The page, with the pictures inside it."""
        body = [f"<h1>{html.escape(self.study)}</h1>"]
        body += [f"<p>{html.escape(text)}</p>" for text in (self.question, *self._about()) if text]
        if self.judgements:
            items = "".join(
                f'<li class="{j.verdict}">{html.escape(line)}</li>'
                for j, line in zip(self.judgements, self.claims(), strict=True)
            )
            body.append(f"<h2>Claims, stated beforehand</h2><ul>{items}</ul>")
        for title, heads, rows in self.tables():
            body.append(f"<h2>{html.escape(title)}</h2>{table(heads, rows)}")
        body += [picture(name, figure) for name, figure in figures.items()]
        if self.missing:
            items = "".join(f"<li>{html.escape(line)}</li>" for line in self._missing())
            body.append(f"<h2>Not finished</h2><ul>{items}</ul>")
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in NOTES[: None if self.judgements else -1])
        body.append(f"<h2>How it was measured</h2><ul>{notes}</ul>")
        return PAGE.format(title=html.escape(self.study), body="\n".join(body))

    def _about(self):
        """What holds for all cells."""
        said = [self.source] * bool(self.source) + [f"the same in all runs: {self.alike}"] * bool(self.alike)
        if "test_shift_consistency" in self.metrics:
            pixels = "/".join(sorted({cell.params["test_shift"] for cell in self.cells}))
            said.append(
                "shift consistency: how often a test image gets one class under two random circular shifts of up to "
                f"{pixels} pixels (Zhang 2019)"
            )
        return said

    def _missing(self):
        """A line for each reason why runs are missing."""
        reasons = {}
        for run in self.missing:
            reasons.setdefault((run.status, run.failure), []).append(run.name)
        for (status, reason), names in reasons.items():
            runs = names[0] if len(names) == 1 else f"{len(names)} runs, {names[0]} and the like"
            yield f"{status}: {runs}" + (f": {reason}" if reason else "")

    def _cells(self):
        heads = shortened(self.axes)
        heads += ["accuracy", "95 % interval", "deviation"]
        for metric in self.metrics[1:]:
            heads += [_named(metric), "95 % interval"]
        heads += ["seeds", "MMACs", "training"]
        heads += ["published"] * bool(self.published)
        return heads, [self._cell(cell) for cell in self.cells]

    def _cell(self, cell):
        seen = cell.spread()
        words = [*cell.values.values(), f"{seen.mean:.2%}", _interval(seen, _share)]
        words.append("–" if seen.deviation is None else _points(seen.deviation))
        for other in map(cell.spread, self.metrics[1:]):
            words += [f"{other.mean:.2%}", _interval(other, _share)]
        words += [str(seen.n), f"{cell.macs / 1e6:,.1f}", f"{cell.seconds:,.0f} s"]
        if self.published:
            errors = [each["error"] for each in self.published if _is(cell, each["where"])]
            words.append(f"{100 - errors[0]:.2f}%" if errors else "–")
        return words

    def _dots(self, metric):
        """Each run as a dot, each cell's mean with its interval."""
        figure = Figure(figsize=(9, 1.4 + 0.42 * len(self.cells)), layout="constrained")
        axes = figure.subplots()
        for place, cell in enumerate(self.cells):
            seen = cell.spread(metric)
            if seen.low is not None:
                axes.plot([max(seen.low, 0), min(seen.high, 1)], [place, place], color="C0", linewidth=2)
            axes.plot(seen.mean, place, "D", color="C0", markersize=8)
            axes.plot(
                list(cell.by_seed(metric).values()), [place] * seen.n, "o", color="0.6", mec="white", markersize=5
            )
        axes.set_yticks(range(len(self.cells)), [cell.label for cell in self.cells])
        axes.set_ylim(len(self.cells) - 0.4, -0.6)
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.set(xlabel=f"test {_named(metric)}: each run, mean and 95 % interval over seeds", title=self.study)
        axes.grid(alpha=0.3)
        return figure

    def _interaction(self):
        """The second axis along the bottom, a line for each value of the first; each run as a dot."""
        first, second = self.axes[:2]
        figure = Figure(figsize=(9, 4), layout="constrained")
        axes = figure.subplots()
        along = list(dict.fromkeys(cell.values[second] for cell in self.cells))
        for number, value in enumerate(dict.fromkeys(cell.values[first] for cell in self.cells)):
            points = {}
            for cell in self.cells:
                if cell.values[first] == value:
                    points.setdefault(along.index(cell.values[second]), []).extend(cell.by_seed().values())
            places, color = sorted(points), f"C{number % 10}"
            axes.plot(places, [np.mean(points[place]) for place in places], "-", color=color, label=value)
            for place in places:
                axes.plot([place] * len(points[place]), points[place], "o", color=color, alpha=0.5, markersize=5)
        axes.set_xticks(range(len(along)), along)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        of_lines, of_places = shortened(self.axes)[:2]
        title = f"{of_lines} and {of_places} together: each run, and the mean"
        axes.set(xlabel=of_places, ylabel="test accuracy", title=title)
        axes.grid(alpha=0.3)
        axes.legend(title=of_lines, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        return figure

    def _cost(self):
        """Accuracy beside multiplications; cells of one cost stand a little apart."""
        figure = Figure(figsize=(9, 4), layout="constrained")
        axes = figure.subplots()
        costs = [cell.macs / 1e6 for cell in self.cells]
        for number, cell in enumerate(self.cells):
            seen = cell.spread()
            error = None if seen.low is None else [[seen.mean - max(seen.low, 0)], [min(seen.high, 1) - seen.mean]]
            beside = costs[number] + 0.01 * max(costs) * costs[:number].count(costs[number])
            marker = "osD^v<>ph*"[number // 10 % 10]
            axes.errorbar(beside, seen.mean, error, fmt=marker, color=f"C{number % 10}", label=cell.label)
        axes.set_xlim(0, 1.1 * max(costs))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.set(xlabel="million multiplications an image", ylabel="test accuracy", title="cost beside accuracy")
        axes.grid(alpha=0.3)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)
        return figure


def _difference(each):
    seen = each.spread
    p = "–" if each.p is None else f"{each.p:.3f}" if each.p >= 0.001 else "< 0.001"
    values = f"{each.first} − {each.second}"
    return [
        each.axis,
        values,
        _named(each.metric),
        _points(seen.mean, sign=True),
        _interval(seen, _points),
        str(seen.n),
        p,
    ]


def _margin(by):
    return f"by {_points(by)} or more" if by >= 0 else f"no more than {_points(-by)} worse"


def _named(metric, space=" "):
    return metric.removeprefix("test_").replace("_", space)


def _share(value):
    return f"{min(max(value, 0), 1):.2%}"  # Student's interval of few seeds may leave what an accuracy can be


def _interval(seen, form):
    return "–" if seen.low is None else f"{form(seen.low)} to {form(seen.high)}"


def _points(value, sign=False):
    return f"{100 * value:{'+' if sign else ''}.2f} points"


def _is(cell, where):
    return all(str(cell.params.get(key)) == str(value) for key, value in where.items())
