"""What a study's runs say, on runs whose accuracies are typed."""

import csv
import io
from types import SimpleNamespace

import numpy as np
import pytest

from convzoo.analysis.comparison import cells, differences, judge, paired, shortened
from convzoo.analysis.report import Report

# By model, dropout and seed. Dropout 0.5 costs lenet 0.1 and nin 0.2 at seed 0, 0.102 and 0.4 at seed 1.
ACCURACY = {
    ("lenet", "0", "0"): 0.6,
    ("lenet", "0.5", "0"): 0.5,
    ("nin", "0", "0"): 0.9,
    ("nin", "0.5", "0"): 0.7,
    ("lenet", "0", "1"): 0.7,
    ("lenet", "0.5", "1"): 0.598,
    ("nin", "0", "1"): 0.9,
    ("nin", "0.5", "1"): 0.5,
}


def result(model, dropout, seed, accuracy, status="FINISHED", **more):
    rate = "0.02" if model == "lenet" else "0.1"  # follows from the model
    macs = {"lenet": "400000", "nin": "200000000"}[model]
    params = dict(model=model, dropout=dropout, seed=seed, learning_rate=rate, macs=macs, parameters="10", epochs="5")
    return SimpleNamespace(
        params=params,
        metrics={"test_accuracy": accuracy},
        cell=f"{model}{dropout}",
        seconds=10.0,
        status=status,
        name=f"{model} dropout={dropout} seed={seed}",
        failure=None,
        pictures="typed numbers",
        **more,
    )


RESULTS = [result(*key, accuracy) for key, accuracy in ACCURACY.items()]


def test_axes_are_what_tells_cells_apart():
    found, axes = cells(RESULTS)
    assert axes == ["model", "dropout"]
    assert [cell.label for cell in found] == [
        "model=lenet dropout=0",
        "model=lenet dropout=0.5",
        "model=nin dropout=0",
        "model=nin dropout=0.5",
    ]
    assert found[0].by_seed() == {"0": 0.6, "1": 0.7}
    assert found[0].spread().mean == pytest.approx(0.65)


def test_axes_have_the_last_words_of_their_names_that_tell_them_apart():
    assert shortened(["model.layers.conv1.kernel_size", "seed"]) == ["kernel_size", "seed"]
    assert shortened(["model.layers.conv1.padding", "model.layers.conv2.padding", "data.fraction"]) == [
        "conv1.padding",
        "conv2.padding",
        "data.fraction",
    ]
    assert shortened([]) == []


def test_a_seed_counts_once_and_the_newest_run_counts():
    found, _ = cells([result("lenet", "0", "0", 0.1), *RESULTS])
    assert found[0].by_seed() == {"0": 0.1, "1": 0.7}


def test_differences_are_within_a_seed_and_over_all_else():
    found, axes = cells(RESULTS)
    by_axis = {each.axis: each for each in differences(found, axes)}
    assert by_axis["dropout"].by_seed == pytest.approx((0.15, 0.251))  # (0.1 + 0.2)/2 and (0.102 + 0.4)/2
    assert by_axis["model"].by_seed == pytest.approx((-0.25, -0.051))
    assert by_axis["dropout"].first == "0"
    # Of two values t is their mean over half their distance; with one degree of freedom p is 1 − 2/π·arctan t.
    smaller, larger = (1 - 2 / np.pi * np.arctan(t) for t in (0.2005 / 0.0505, 0.1505 / 0.0995))
    assert by_axis["dropout"].p == pytest.approx(2 * smaller)  # Holm's: the smaller of two counts twice
    assert by_axis["model"].p == pytest.approx(max(larger, 2 * smaller))


def test_a_seed_that_one_side_lacks_is_left_out():
    found, _ = cells([each for each in RESULTS if (each.params["model"], each.params["seed"]) != ("nin", "1")])
    assert paired(found, {"dropout": "0"}, {"dropout": "0.5"}) == pytest.approx((0.15,))
    assert paired(found, {"dropout": "0", "model": "lenet"}, {"dropout": "0.5", "model": "lenet"}) == pytest.approx(
        (0.1, 0.102)
    )


def claim(better, than, by):
    return {"says": "a claim", "better": better, "than": than, "by": by}


@pytest.mark.parametrize(
    ("made", "verdict", "words"),
    [
        (claim({"model": "lenet", "dropout": 0}, {"model": "lenet", "dropout": 0.5}, 0.05), "supported", "n = 2"),
        (claim({"model": "lenet", "dropout": 0}, {"model": "lenet", "dropout": 0.5}, 0.2), "refuted", "+10.10 points"),
        (claim({"dropout": 0}, {"dropout": 0.5}, 0.01), "undecided", "3 seeds like these would decide"),
        (claim({"dropout": 0}, {"dropout": 0.7}, 0.01), "undecided", "0 seeds of both"),
    ],
)
def test_claims(made, verdict, words):
    """The third: mean 0.2005, deviation 0.0714, distance 0.1905; three seeds give 4.303·0.0714/√3 = 0.177."""
    found, _ = cells(RESULTS)
    (judged,) = judge(found, [made])
    assert judged.verdict == verdict
    assert words in judged.why


def test_nothing_is_claimed_from_one_seed_or_where_there_is_no_room():
    found, _ = cells(RESULTS[:4])
    assert judge(found, [claim({"dropout": 0}, {"dropout": 0.5}, 0.01)])[0].verdict == "undecided"
    near = [
        result("nin", d, s, a)
        for d, s, a in [("0", "0", 0.995), ("0", "1", 0.996), ("0.5", "0", 0.99001), ("0.5", "1", 0.99101)]
    ]
    (judged,) = judge(cells(near)[0], [claim({"dropout": 0}, {"dropout": 0.5}, 0.01)])
    assert judged.verdict == "undecided"
    assert "no room" in judged.why


def test_values_all_alike_decide_nothing():
    same = [result("nin", d, s, 0.5) for d in ("0", "0.5") for s in ("0", "1")]
    (judged,) = judge(cells(same)[0], [claim({"dropout": 0}, {"dropout": 0.5}, 0.01)])
    assert (judged.verdict, "say nothing of others" in judged.why) == ("undecided", True)


def test_more_claims_widen_their_intervals():
    found, _ = cells(RESULTS)
    one = claim({"dropout": 0}, {"dropout": 0.5}, 0.01)
    assert judge(found, [one])[0].confidence == pytest.approx(0.95)
    assert judge(found, [one] * 5)[4].confidence == pytest.approx(0.99)


def test_a_claim_may_be_of_another_metric():
    """Consistency is 0.1 more without dropout at seed 0 and 0.102 at seed 1, whatever the accuracy is."""
    runs = [result("lenet", d, s, 0.5) for d in ("0", "0.5") for s in ("0", "1")]
    for run, consistency in zip(runs, (0.9, 0.8, 0.8, 0.698), strict=True):
        run.metrics["test_shift_consistency"] = consistency
        run.params["test_shift"] = "4"
    found, axes = cells(runs)
    assert [(d.metric, d.by_seed) for d in differences(found, axes)] == [
        ("test_accuracy", (0.0, 0.0)),
        ("test_shift_consistency", pytest.approx((0.1, 0.102))),
    ]
    of_it = {**claim({"dropout": 0}, {"dropout": 0.5}, 0.05), "of": "test_shift_consistency"}
    (judged,) = judge(found, [of_it])
    assert (judged.verdict, judged.metric) == ("supported", "test_shift_consistency")
    report = Report("mine", runs, {"claims": [of_it]})
    assert "SUPPORTED: a claim (shift consistency, by 5.00 points or more)" in str(report)
    (line,) = (line for line in str(report).splitlines() if line.startswith("0.5 "))
    assert "50.00%" in line
    assert "74.90%" in line
    of_it["by"] = -0.005
    assert "SUPPORTED: a claim (shift consistency, no more than 0.50 points worse)" in str(
        Report("mine", runs, {"claims": [of_it]})
    )
    assert "two random circular shifts of up to 4 pixels" in str(report)
    assert set(report.figures()) == {"cells.png", "cells_shift_consistency.png"}
    assert report.csv().splitlines()[0] == "dropout,seed,test_accuracy,test_shift_consistency,parameters,macs"


@pytest.fixture(scope="module")
def report():
    said = {
        "question": "What does dropout cost?",
        "claims": [claim({"model": "lenet", "dropout": 0}, {"model": "lenet", "dropout": 0.5}, 0.05)],
        "published": [{"where": {"model": "nin", "dropout": 0.5}, "error": 10.41}],
    }
    failed = result("nin", "0.9", "0", 0.0, status="FAILED")
    failed.failure, failed.metrics = "UserError: <no>", {}
    return Report("mine", [failed, *RESULTS], said)


def test_the_page_says_what_was_found_and_what_is_missing(report):
    text = str(report)
    assert "What does dropout cost?\n\ntyped numbers\nthe same in all runs: epochs=5" in text
    assert "SUPPORTED: a claim (accuracy, by 5.00 points or more)" in text
    (line,) = (line for line in text.splitlines() if line.startswith("nin    0.5"))
    assert "60.00%" in line
    assert line.endswith("89.59%")  # 100 − 10.41, beside what was measured
    assert "FAILED: nin dropout=0.9 seed=0: UserError: <no>" in text
    page = report.html(report.figures())
    assert page.count("data:image/png;base64,") == 3
    assert "UserError: &lt;no&gt;" in page
    assert "test split once" in page
    assert 'class="supported"' in page


def test_the_runs_as_csv(report):
    rows = list(csv.DictReader(io.StringIO(report.csv())))
    assert len(rows) == 8
    assert {(r["model"], r["dropout"], r["seed"]): float(r["test_accuracy"]) for r in rows} == ACCURACY
