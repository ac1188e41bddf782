"""The answer of a study as Markdown: verdict first, whole at 400 cells, and safe with any text."""

import re

from synthetic_runs import make_grid, make_run

from convzoo.reporting.study_description import describe_answer
from convzoo.reporting.study_report import StudyReport

AXES = {"model": ["lenet", "nin"], "pooling": ["max", "l2"], "dropout": ["0", "0.5"]}


def test_description_starts_with_verdicts_and_links_report():
    shares = {"0": (0.600, 0.602, 0.602, 0.605), "0.5": (0.701, 0.703, 0.702, 0.706)}
    runs = [make_run({"dropout": rate}, seed, share) for rate in shares for seed, share in enumerate(shares[rate])]
    claim = {"says": "Dropout helps", "better": {"dropout": 0.5}, "than": {"dropout": 0}, "by": 0.01}
    report = StudyReport("mine", runs, {"question": "Does it help?", "claims": [claim]})
    lines = describe_answer(report, "#/experiments/1/runs/7/artifacts/accuracy.html").splitlines()
    assert lines[0] == f"**{report.judgements[0].verdict.upper()}: Dropout helps**"
    assert lines[2] == "[interactive report](#/experiments/1/runs/7/artifacts/accuracy.html)"
    assert "**Question:** Does it help?" in lines
    assert "8 finished runs in 2 cells." in lines
    # 60.0, 60.2, 60.2 and 60.5 %: mean 60.225, deviation 0.206, and Student's 3.182 with three degrees of freedom
    assert "|d0|60.23 (59.9 to 60.6)|" in lines or "|d0|60.22 (59.9 to 60.6)|" in lines


def test_description_names_best_cell_where_nothing_is_claimed():
    runs = make_grid(AXES, seeds=(0,))
    runs[3].metrics["test_accuracy"] = 0.99
    assert describe_answer(StudyReport("mine", runs)).splitlines()[0] == (
        "**best of 8 cells: lenet · l2 · d0.5, 99.00%**"
    )
    assert describe_answer(StudyReport("mine", [])).splitlines()[0] == "**no finished run yet**"


def test_description_of_400_cells_has_under_20000_characters():
    axes = {
        "model": ["lenet", "nin", "resnet20", "allconv", "densenet_40_12"],
        "stride": ["1", "2", "3", "4"],
        "pooling": ["max", "average", "strided", "l2", "stochastic"],
        "dropout": ["0", "0.25", "0.5", "0.75"],
    }
    report = StudyReport("large", make_grid(axes))
    assert len(report.cells) == 400
    text = describe_answer(report, "#/experiments/1/runs/7/artifacts/accuracy.html")
    assert len(text) < 20_000
    assert len(re.findall(r"\d\d\.\d\d \(", text)) == 400
    assert "more rows" not in text


def test_description_leaves_out_rows_that_do_not_fit_and_says_so():
    report = StudyReport("mine", make_grid(AXES))
    text = describe_answer(report, max_length=420)
    assert len(text) <= 420
    assert "3 more rows are in the report." in text or "2 more rows are in the report." in text


def test_description_lists_missing_and_marked_runs():
    runs = make_grid(AXES, seeds=(0, 1))
    dead = runs.pop()
    runs[0].not_learning, runs[0].metrics["test_accuracy"] = "the loss stays", 0.1
    runs.append(
        make_run({"model": "nin", "pooling": "l2", "dropout": "0.5"}, 1, 0, status="FAILED", failure="too <small>")
    )
    sweep = {key: [*values] for key, values in AXES.items()} | {"seed": [0, 1, 2]}
    text = describe_answer(StudyReport("mine", runs, {"sweep": sweep}))
    assert "15 finished runs in 8 cells; 8 of 24 runs of the grid are missing; 1 did not learn, marked ×." in text
    assert f"FAILED: {dead.name}: too \\<small\\>" in text
    assert re.search(r"^\|lenet · max\|\d+\.\d\d ×\|", text, re.MULTILINE)
    assert re.search(r"n=1\|$", text, re.MULTILINE)


def test_description_shows_strange_text_as_it_is():
    runs = [make_run({"pooling": word}, 0, 0.5) for word in ("a|b", "<img src=x>\n# no", "[x](y)")]
    text = describe_answer(StudyReport("mine", runs, {"question": "*Is* it?"}))
    assert r"|a\|b|50.00|" in text
    assert r"\<img src=x\>" in text
    assert r"\[x\](y)" in text
    assert r"\*Is\* it?" in text
    assert not any(line.startswith("# no") for line in text.splitlines())
