"""A report that holds what was recorded, marks what misleads, and outlives strange runs."""

import csv
import html
import io
import json
import math
import re

import pytest
from synthetic_runs import make_grid, make_run

from convzoo.reporting.checked_runs import check_runs, find_chance_reason
from convzoo.reporting.study_report import StudyReport

AXES = {"model": ["lenet", "nin"], "dropout": ["0", "0.5"]}
CLAIM = {"says": "It helps", "better": {"dropout": 0}, "than": {"dropout": 0.5}, "by": 0.01}


def make_dead(run, reason="the training loss stays at 2.303"):
    run.not_learning, run.metrics["test_accuracy"] = reason, 0.1


def one_line(report):
    """The report's text with its folded lines put together."""
    return re.sub(r"\n  ", " ", str(report))


def test_report_marks_and_lists_run_that_did_not_learn():
    runs = make_grid(AXES)
    make_dead(runs[4])
    report = StudyReport("mine", runs)
    text = one_line(report)
    assert "DID NOT LEARN: 1 of 12 runs, marked ×" in text
    assert "× lenet dropout=0.5 seed=1: the training loss stays at 2.303" in text
    (marked,) = (line for line in text.splitlines() if line.startswith("lenet  0.5"))
    assert "% ×" in marked
    page = report.html({})
    assert page.index("the training loss stays") < page.index("Accuracy by cell")
    (row,) = (row for row in csv.DictReader(io.StringIO(report.csv())) if row["not_learning"])
    assert (row["model"], row["dropout"], row["seed"]) == ("lenet", "0.5", "1")


def test_report_shows_each_effect_again_without_marked_runs():
    runs = make_grid(AXES)
    make_dead(runs[4])
    report = StudyReport("mine", runs)
    text = str(report)
    over_all, again = text.split("What each axis does")[1].split("The same without the 1 run that did not learn")
    assert "over all runs" in over_all
    assert "dropout  0 − 0.5" in over_all
    assert "dropout  0 − 0.5" in again
    assert "effects.png" in report.figures()
    assert "Holm" not in again  # runs were left out after a look at them: no p-value holds


def test_report_says_so_when_no_pair_learned():
    runs = make_grid({"dropout": ["0", "0.5"]})
    for run in runs[:3]:
        make_dead(run)
    report = StudyReport("mine", runs)
    assert "without them no pair is left to compare" in str(report)
    assert len(report.tables()) == 2


def test_report_without_marked_runs_says_nothing_of_them():
    text = str(StudyReport("mine", make_grid(AXES)))
    assert "learn" not in text
    assert "×" not in text


@pytest.mark.parametrize(
    ("loss", "accuracy", "params", "is_dead"),
    [
        (2.303, 0.1028, {"data": "cifar10"}, True),
        (2.26, 0.14, {"data": "digits"}, True),
        (2.2, 0.1028, {"data": "cifar10"}, False),  # it moved
        (2.303, 0.3, {"data": "cifar10"}, False),  # a loss of another kind
        (4.6, 0.01, {"data": "cifar100"}, True),
        (2.303, 0.1, {"data": "cifar100"}, False),
        (0.69, 0.5, {"data": "files", "data.classes": "2"}, True),
        (0.69, 0.5, {"data": "files"}, False),  # of how many classes is unknown
        (math.nan, 0.1, {"data": "cifar10"}, False),
        (None, 0.1, {"data": "cifar10"}, False),
    ],
)
def test_untagged_run_at_chance_is_marked_by_its_own_numbers(loss, accuracy, params, is_dead):
    metrics = {"test_accuracy": accuracy, **({} if loss is None else {"train_loss": loss})}
    reason = find_chance_reason(params, metrics)
    assert bool(reason) == is_dead
    assert not is_dead or ("by its own numbers" in reason and f"{accuracy:.2%}" in reason)


def test_tag_counts_before_own_numbers():
    run = make_run({}, 0, 0.1, not_learning="the tag")
    run.metrics["train_loss"] = 2.303
    assert check_runs([run])[0][0].not_learning == "the tag"
    run.not_learning = None
    assert "ln 10" in check_runs([run])[0][0].not_learning


def break_run(run, how):
    if how in ("seed", "macs", "parameters"):
        del run.params[how]
    elif how in ("cell", "params", "metrics"):
        setattr(run, how, None)
    elif how == "no accuracy":
        del run.metrics["test_accuracy"]
    elif isinstance(how, dict):
        run.params.update(how)
    else:
        run.metrics["test_accuracy"] = how


STRANGE = [
    "seed",
    "macs",
    "parameters",
    "cell",
    "params",
    "metrics",
    "no accuracy",
    1e308,
    -1.0,
    1.5,
    math.nan,
    math.inf,
    "0.5",
    {"macs": "many"},
    {"macs": "-1"},
    {"macs": "9" * 400},
    {"seed": "first"},
    {"seed": "²"},
    {"parameters": ""},
    {"stride": 5},
]


@pytest.mark.parametrize("how", STRANGE, ids=str)
def test_strange_run_is_left_out_by_name_and_reason(how):
    runs = make_grid(AXES)
    strange = make_run({"model": "strange"}, 0, 0.5)
    break_run(strange, how)
    report = StudyReport("mine", [strange, *runs])
    assert "LEFT OUT: run strange seed=0: `" in str(report)
    assert "LEFT OUT: run strange seed=0: `" in html.unescape(report.html({}))
    assert sum(len(cell.metrics) for cell in report.cells) == 12
    assert "strange" not in report.csv()
    report.figures()


def test_many_strange_runs_are_not_all_named():
    strange = [make_run({"dropout": str(n)}, 0, 7.0) for n in range(500)]
    text = str(StudyReport("mine", [*make_grid(AXES), *strange]))
    assert text.count("LEFT OUT") == 21
    assert "480 more" in text


@pytest.mark.parametrize(
    "said",
    [
        5,
        "no JSON",
        [],
        {"claims": 7},
        {"claims": [1]},
        {"claims": [{**CLAIM, "by": "much"}]},
        {"claims": [{**CLAIM, "by": math.nan}]},
        {"claims": [{**CLAIM, "of": "loss"}]},
        {"claims": [{**CLAIM, "better": "max"}]},
        {"claims": [{**CLAIM, "exclude": "bad runs"}]},
        {"question": {}},
        {"sweep": [1]},
        {"published": [{"where": 1, "error": "x"}]},
    ],
    ids=json.dumps,
)
def test_recorded_file_of_strange_form_is_left_out_with_reason(said):
    report = StudyReport("mine", make_grid(AXES), said)
    assert "LEFT OUT: the study's recorded file: " in str(report)
    assert "Accuracy by cell" in str(report)
    assert not report.judgements


@pytest.mark.parametrize("grid", [5, "x", {"settings": {"a": 1}}, {}])
def test_recorded_sweep_of_strange_form_is_left_out_with_reason(grid):
    assert "LEFT OUT: a recorded sweep: " in str(StudyReport("mine", make_grid(AXES), None, [grid]))


def test_report_without_finished_run_says_so():
    run = make_run({}, 0, 0.5, status="FAILED", failure="too small")
    report = StudyReport("mine", [run])
    assert "no finished run" in str(report)
    assert "FAILED: lenet seed=0: too small" in str(report)
    assert report.figures() == {}
    report.html({})
    report.csv()


def test_no_output_holds_control_characters_or_html():
    hostile = "\x1b[2J<script>\x9b"
    runs = make_grid({"model": ["lenet", "nin"], "data.x": ["a", hostile]})
    for run in runs:
        run.pictures, run.environment, run.not_learning = hostile, {"machine": hostile, hostile: "1"}, hostile
    runs.append(make_run({"data.x": "b"}, 9, 0.5, status="FAILED", failure=hostile))
    runs.append(make_run({"data.x": hostile}, 9, 7.0))
    said = {"question": hostile, "sweep": {"data.x": [hostile, "z"], hostile: ["q", "r"]}, "set": {"y": hostile}}
    said["claims"] = [{**CLAIM, "says": hostile, "better": {"data.x": "a"}, "than": {"data.x": hostile}}]
    report = StudyReport(hostile, runs, said)
    for output in (str(report), report.html({}), report.csv()):
        assert not {character for character in output if not character.isprintable()} - {"\n"}
    assert "<script>" not in report.html({})


@pytest.mark.parametrize("formula", ["=1+1", "+1+x", "-1+x", "@SUM(A1)", "\t=1", "\r=1"])
def test_csv_holds_no_formula(formula):
    runs = make_grid({formula: ["0", formula], "pooling": ["max", formula]})
    make_dead(runs[0], formula)
    cells = [cell for row in csv.reader(io.StringIO(StudyReport("mine", runs).csv())) for cell in row]
    assert not [cell for cell in cells if re.match(r"[=+@\t\r]|-[^0-9]|-1\+", cell)]


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_report_has_no_interval_below_three_seeds(seeds):
    runs = make_grid(AXES, seeds)
    for number, run in enumerate(runs):
        run.metrics["test_accuracy"] = number % 5 / 5
    report = StudyReport("mine", runs, {"claims": [CLAIM]})
    text = one_line(report)
    assert "too few seeds" in text
    assert not re.search(r"\d to [-+\d]", text.split("Accuracy by cell")[1])
    assert "interval" not in "".join(report.claims()) or "too few for an interval" in "".join(report.claims())


def test_report_of_mixed_seeds_has_intervals_where_seeds_suffice():
    runs = [run for run in make_grid(AXES) if (run.params["model"], run.params["seed"]) != ("nin", "2")]
    lines = str(StudyReport("mine", runs)).splitlines()
    assert [line for line in lines if line.startswith("lenet  0") and " to " in line]
    assert all("too few seeds" in line for line in lines if line.startswith("nin "))


def test_no_interval_exceeds_what_is_possible():
    runs = make_grid(AXES)
    for number, run in enumerate(runs):
        run.metrics["test_accuracy"] = [0.0, 1.0, 0.05, 0.9][number % 4]
    report = StudyReport("mine", runs, {"claims": [{**CLAIM, "says": str(n)} for n in range(5)]})
    ends = re.findall(r"([-+]?\d+\.\d\d) to ([-+]?\d+\.\d\d)", one_line(report))
    assert len(ends) >= 4 + 2 + 1
    assert max(abs(float(end)) for pair in ends for end in pair) <= 100


def test_units_stand_in_heads():
    table = str(StudyReport("mine", make_grid(AXES))).split("What each axis does")[1]
    assert "points" in table.split("─")[0]
    assert "points" not in table.split("─")[-1]


@pytest.mark.parametrize("axes", [AXES, {**AXES, "stride": ["1", "2"], "pooling": ["average", "strided"]}])
def test_report_fits_80_columns(axes, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    runs = make_grid(axes)
    make_dead(runs[0], "a reason that is told in more words than a line of eighty columns could ever hold, said twice")
    said = {"claims": [{**CLAIM, "says": "a long claim " * 10}], "sweep": {"seed": [*range(50)]}}
    assert max(map(len, str(StudyReport("mine", runs, said)).splitlines())) <= 80


def test_report_names_runs_never_begun_and_departures():
    runs = make_grid(AXES, seeds=(0, 1))
    said = {"sweep": {**AXES, "seed": [0, 1, 2]}, "set": {"data": "digits"}, "claims": [CLAIM]}
    report = StudyReport("mine", runs, said)
    text = one_line(report)
    departed = "differs from the study's file: seed=0,1 (0,1,2), data=cifar10 (digits)"
    assert text.index(departed) < text.index("It helps")
    assert "NEVER BEGUN: 4 of 12 runs of the grid" in text
    assert "- model=nin dropout=0.5 seed=2" in text
    page = html.unescape(report.html({}))
    assert departed in page
    assert "NEVER BEGUN: 4 of 12" in page


def test_report_shows_when_and_by_what_runs_were_made():
    runs = make_grid(AXES)
    for number, run in enumerate(runs):
        run.started = 1_764_547_200_000 + number * 86_400_000  # 2025-12-01 0:00 UTC and the days after
        run.environment = {"code": "abc", "commit": "abc", "machine": "a laptop", "keras": "3.12.0", "numpy": "2.3.1"}
    runs[0].environment = {**runs[0].environment, "keras": "3.11.0"}
    del runs[1].environment["numpy"]
    text = one_line(StudyReport("mine", runs))
    assert "runs begun 2025-12-01 00:00 to 2025-12-12 00:00 UTC; report of 20" in text
    assert "code abc; machine a laptop" in text
    assert "the runs differ in keras: 3.12.0 (11 runs), 3.11.0 (1 run)" in text
    assert "the runs differ in numpy: 2.3.1 (11 runs), unknown (1 run)" in text
    assert "a laptop" in StudyReport("mine", runs).html({})


def test_figures_of_large_study_have_pages():
    axes = {"model": ["lenet", "nin"], "dropout": [str(n / 100) for n in range(30)]}
    names = list(StudyReport("mine", make_grid(axes, seeds=(0,))).figures())
    assert names == ["cells.png", "cells_2.png", "interaction.png"]


LOOKS = {"sweep": {"dropout": ["0", "0.5"]}, "until": "decided", "seeds": {"from": 3, "to": 9}}


def differing_runs(seeds, far=0.1):
    """Dropout 0.5 costs `far`, and 0, 0.001, 0.002 points more at every third seed."""
    runs = make_grid({"dropout": ["0", "0.5"]}, range(seeds))
    for run in runs:
        seed = int(run.params["seed"])
        run.metrics["test_accuracy"] = 0.7 - (run.params["dropout"] == "0.5") * (far + 0.001 * (seed % 3))
    return runs


def test_report_of_looks_shows_both_intervals():
    spec = {**LOOKS, "claims": [{**CLAIM, "better": {"dropout": 0}, "than": {"dropout": 0.5}, "by": 0.01}]}
    report = StudyReport("mine", differing_runs(6), spec)
    text = one_line(report)
    assert "BETTER: It helps" in text
    assert "anytime-valid 95.0 % interval" in text
    assert "n = 4 seeds (fixed-n interval +9.92 to +10.23, for one look); decided at 4 of 6 seeds" in text
    page = html.unescape(report.html({}))
    assert "independent draws of one normal distribution" in page
    assert "independent draws" not in StudyReport("mine", differing_runs(6), {"claims": spec["claims"]}).html({})


def test_report_of_looks_waits_for_first_seeds_of_all_cells():
    spec = {**LOOKS, "sweep": {"dropout": ["0", "0.5"], "pooling": ["max", "l2"]}}
    spec["claims"] = [{**CLAIM, "better": {"dropout": 0}, "than": {"dropout": 0.5}, "by": 0.01}]
    runs = differing_runs(6)
    for run in runs:
        run.params["pooling"] = "max"
    report = StudyReport("mine", runs, spec)
    assert "UNDECIDED: It helps" in one_line(report)
    assert "0 of 3 seeds for the first look" in one_line(report)
    assert "NEVER BEGUN: 6 of 12 runs" in str(report)


def test_report_of_looks_says_that_dead_runs_break_them():
    spec = {**LOOKS, "claims": [{**CLAIM, "better": {"dropout": 0}, "than": {"dropout": 0.5}, "by": 0.01}]}
    runs = differing_runs(6)
    make_dead(runs[7])
    assert "such runs are not normal" in one_line(StudyReport("mine", runs, spec))


def test_report_has_second_opinions_on_claims():
    """Of three positive differences the sign-flip test has p = 2/2³; both intervals lie around 0.101."""
    stated = {**CLAIM, "better": {"dropout": 0}, "than": {"dropout": 0.5}, "by": 0.01}
    report = StudyReport("mine", differing_runs(3), {"claims": [stated]})
    (table,) = (table for table in report.tables() if table.title.startswith("Second opinions"))
    (row,) = table.rows
    assert row[1:4] == ["3", "+10.10 points", "+9.85 to +10.35"]  # ±4.3027·0.1/√3 = 0.248
    assert row[4] in ("+10.00 to +10.17", "+10.03 to +10.17", "+10.00 to +10.20")
    assert row[5] == "0.250"
    assert "Second opinions decide nothing" in report.html({})
    two = StudyReport("mine", differing_runs(2), {"claims": [stated]})
    assert "Second opinions" not in two.html({})


def test_departures_of_zipped_settings_are_named():
    runs = make_grid({"dropout": ["0"], "epochs": ["1"]})
    spec = {"sweep": {"seed": [0, 1, 2]}, "together": {"dropout": [0, 0.5], "epochs": [1, 2]}}
    text = one_line(StudyReport("mine", runs, spec))
    assert "dropout=0 (0,0.5), epochs=1 (1,2)" in text
    assert "NEVER BEGUN: 3 of 6 runs" in text


def test_report_knows_finished_run_under_former_name():
    runs = make_grid({"dropout": ["0", "0.5"]})
    failed = make_run({"dropout": "0"}, 0, 0.5, status="FAILED", failure="too slow", identity="of both")
    runs[0].identity, runs[0].name = "of both", "d0 · lenet · seed 0"
    assert "too slow" not in str(StudyReport("mine", [*runs, failed]))
    failed.identity = "of another"
    assert "too slow" in str(StudyReport("mine", [*runs, failed]))
