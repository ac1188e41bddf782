"""A study's table for papers and spreadsheets, and the comparison of two studies, on typed numbers."""

import csv
import doctest
import io

import pytest
from synthetic_runs import make_grid, make_run

from convzoo.reporting import table_formats
from convzoo.reporting.study_report import StudyReport, compare_studies
from convzoo.reporting.table_formats import format_table
from convzoo.tracking.results import Result


def recorded(run, **changes):
    """A run of `synthetic_runs` in the form in which a store gives it."""
    fields = {"id": "a", "experiment_id": "1", "identity": run.name, "code": "", "artifacts": "light", **vars(run)}
    return Result(**{**fields, **changes})


def make_study(shift=0.0, seeds=(0, 1, 2), **params):
    """Accuracies 0.5, 0.502 and 0.504 of max pooling, 0.01 more of average pooling, all of them moved by `shift`."""
    runs = []
    for pooling in ("max", "average"):
        for seed in seeds:
            run = make_run({"pooling": pooling}, seed, 0.5 + 0.002 * seed + 0.01 * (pooling == "average") + shift)
            run.params |= params
            runs.append(recorded(run))
    return runs


def test_interval_table_has_numbers_that_a_spreadsheet_reads():
    """The deviation is 0.2 points; Student's 97.5 % point for two degrees of freedom is 4.3027: ±0.4968 points."""
    table = StudyReport("mine", make_study()).interval_table()
    rows = list(csv.DictReader(io.StringIO(format_table(table.heads, table.rows, "csv"))))
    assert [row["pooling"] for row in rows] == ["average", "max"]
    assert [float(rows[1][key]) for key in ("accuracy, %", "95 % low", "95 % high")] == [50.2, 49.7, 50.7]
    assert rows[1]["seeds"] == "3"


def test_interval_table_has_no_interval_below_three_seeds():
    table = StudyReport("mine", make_study(seeds=(0, 1))).interval_table()
    assert table.rows[1] == ["max", "50.10", "", "", "2"]


def test_latex_table_escapes_what_tex_reads():
    text = format_table(["a_b", "share, %"], [["x&y", r"\input{z}"]], "latex")
    assert text.splitlines() == [
        r"\begin{tabular}{ll}",
        r"\toprule",
        r"a\_b & share, \% \\",
        r"\midrule",
        r"x\&y & \textbackslash{}input\{z\} \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


@pytest.mark.parametrize("form", ["latex", "csv", "markdown"])
def test_table_shows_no_control_characters(form):
    text = format_table(["a"], [["\x1b[2J\n|=1+1"]], form)
    assert not {character for character in text if not character.isprintable()} - {"\n"}
    assert len(text.splitlines()) == {"latex": 7, "csv": 2, "markdown": 3}[form]


def test_csv_table_holds_no_formula():
    assert format_table(["a"], [["=1+1"]], "csv") == "a\n'=1+1\n"


def test_markdown_example_runs():
    assert doctest.testmod(table_formats).failed == 0


def test_comparison_of_studies_pairs_equal_cells_by_seed():
    """Study b is 0.03 better everywhere, by another recipe; its third pooling kind has no counterpart."""
    other = [*make_study(0.03, recipe="fast"), recorded(make_run({"pooling": "l2"}, 0, 0.9))]
    other[-1].params["recipe"] = "fast"
    report = compare_studies({"a": make_study(recipe="slow"), "b": other})
    assert report.axes == ["study", "pooling"]
    (between,) = (each for each in report.differences if each.axis == "study")
    assert (between.first, between.second) == ("a", "b")
    assert between.by_seed == pytest.approx((-0.03, -0.03, -0.03))
    assert "recipe also differs: slow (a), fast (b)" in str(report)
    assert report.study == "a and b"
    assert len(report.cells) == 5


def test_comparison_of_studies_keeps_runs_of_one_cell_apart():
    report = compare_studies({"a": make_study(), "b": make_study()})
    assert [cell.values["study"] for cell in report.cells] == ["a", "a", "b", "b"]
    assert not [each for each in report.differences if each.axis == "study" and any(each.by_seed)]


def test_report_of_one_study_names_no_param_that_follows():
    assert "also differs" not in str(StudyReport("mine", make_grid({"pooling": ["max", "l2"]})))
