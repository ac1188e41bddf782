"""What a study's report and its description say of the parts of a recipe, at typed numbers."""

import pytest
from synthetic_runs import make_run

from convzoo.reporting.study_description import describe_answer
from convzoo.reporting.study_report import StudyReport

# Accuracies of seeds 0 to 2.
RUNS = {
    "nothing": [0.80, 0.82, 0.81],
    "augmentation.flip": [0.78, 0.79, 0.80],
    "schedule": [0.70, 0.74, 0.69],
    "label_smoothing": [0.81, 0.82, 0.83],
}


def make_runs():
    return [
        make_run({"ablate": part}, seed, accuracy)
        for part, values in RUNS.items()
        for seed, accuracy in enumerate(values)
    ]


def make_report(spec=None):
    return StudyReport("mine", make_runs(), spec)


def bars_of(figure):
    """The lengths of the bars, from the top of a figure down, by their labels."""
    (axes,) = figure.axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    bars = sorted(axes.patches, key=lambda bar: bar.get_y())
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first bar is at the top
    return dict(zip(labels, (bar.get_width() for bar in bars), strict=True))


def test_bars_are_mean_effects_and_largest_loss_is_at_the_top():
    bars = bars_of(make_report().figures()["ablation.png"])
    assert list(bars) == ["no schedule", "no augmentation.flip", "no label_smoothing"]
    assert list(bars.values()) == pytest.approx([-10.0, -2.0, 1.0])


def test_bars_have_the_ends_of_their_intervals():
    """Of flip the differences are -2, -3 and -1: mean -2, deviation 1, and Student's 4.303 deviations over √3."""
    (axes,) = make_report().figures()["ablation.png"].axes
    interval = next(line for line in axes.lines if list(line.get_ydata()) == [1, 1])
    assert list(interval.get_xdata()) == pytest.approx([-2 - 4.3027 / 3**0.5, -2 + 4.3027 / 3**0.5], abs=1e-3)


def test_report_has_a_row_for_each_part():
    report = make_report()
    (table,) = [each for each in report.tables() if each.title.startswith("What leaving out")]
    assert table.heads[:2] == ["left out", "difference, points"]
    assert [row[:2] for row in table.rows] == [
        ["schedule", "-10.00"],
        ["augmentation.flip", "-2.00"],
        ["label_smoothing", "+1.00"],
    ]
    # t = -2 / (1/√3) at two degrees of freedom: p = 0.0742, the second smallest of three, so twice of it after Holm.
    assert table.rows[1][-1] == "0.148"
    assert "adjusted after Holm for all parts" in report.html({})
    assert not [each for each in report.tables() if each.title.startswith("What each axis")]


def test_description_names_cells_by_what_they_lack():
    lines = describe_answer(make_report()).splitlines()
    assert lines[0].startswith("**largest loss by leaving out a part of the recipe: no schedule: -10.00 points (")
    assert any(
        line.startswith("- no augmentation.flip: -2.00 points (-4.48 to +0.48), p after Holm 0.148") for line in lines
    )
    assert any(line.startswith("|full recipe|81.00") for line in lines)
    assert any(line.startswith("|no label\\_smoothing|82.00") for line in lines)


def test_runs_that_did_not_learn_have_an_effect_without_them():
    runs = make_runs()
    runs[6].not_learning = "flat"  # seed 0 without the schedule, -10 points
    report = StudyReport("mine", runs)
    (table,) = [each for each in report.tables() if each.title.startswith("What leaving out")]
    assert table.rows[0][-1] == "-10.00, n = 2"  # -8 and -12
    (axes,) = report.figures()["ablation.png"].axes
    assert next(list(line.get_xdata()) for line in axes.lines if line.get_marker() == "D") == pytest.approx([-10.0])


def test_study_without_parts_has_no_bars():
    report = StudyReport("mine", [make_run({"dropout": rate}, 0, 0.5) for rate in ("0", "0.5")])
    assert "ablation.png" not in report.figures()
    assert not [each for each in report.tables() if each.title.startswith("What leaving out")]


def test_claim_may_be_about_a_part():
    claim = {"says": "it helps", "better": {"ablate": "nothing"}, "than": {"ablate": "schedule"}, "by": 0.01}
    report = make_report(spec={"claims": [claim]})
    assert report.judgements[0].by_seed == pytest.approx((0.10, 0.08, 0.12))
