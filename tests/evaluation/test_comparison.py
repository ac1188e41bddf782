"""What a study's runs say, on runs whose accuracies are typed."""

import csv
import io
from types import SimpleNamespace

import numpy as np
import pytest
from synthetic_runs import make_grid

from convzoo.evaluation.claims import judge_claims
from convzoo.evaluation.comparison import (
    MAX_PAIRS,
    GridCell,
    compute_differences,
    group_cells,
    paired_differences,
    shorten_names,
    value_pairs,
)
from convzoo.evaluation.statistics import adjust_holm, compute_p_value
from convzoo.reporting.study_report import StudyReport

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
    found, axes = group_cells(RESULTS)
    assert axes == ["model", "dropout"]
    assert [cell.values for cell in found] == [
        {"model": "lenet", "dropout": "0"},
        {"model": "lenet", "dropout": "0.5"},
        {"model": "nin", "dropout": "0"},
        {"model": "nin", "dropout": "0.5"},
    ]
    assert found[0].by_seed() == {"0": 0.6, "1": 0.7}
    assert found[0].spread().mean == pytest.approx(0.65)


def test_axis_titles_are_the_shortest_distinct_endings():
    assert shorten_names(["model.layers.conv1.kernel_size", "seed"]) == ["kernel_size", "seed"]
    assert shorten_names(["model.layers.conv1.padding", "model.layers.conv2.padding", "data.fraction"]) == [
        "conv1.padding",
        "conv2.padding",
        "data.fraction",
    ]
    assert shorten_names([]) == []


def test_a_seed_counts_once_and_the_newest_run_counts():
    found, _ = group_cells([result("lenet", "0", "0", 0.1), *RESULTS])
    assert found[0].by_seed() == {"0": 0.1, "1": 0.7}


def test_differences_are_within_a_seed_and_over_all_else():
    found, axes = group_cells(RESULTS)
    by_axis = {each.axis: each for each in compute_differences(found, axes)}
    assert by_axis["dropout"].by_seed == pytest.approx((0.15, 0.251))  # (0.1 + 0.2)/2 and (0.102 + 0.4)/2
    assert by_axis["model"].by_seed == pytest.approx((-0.25, -0.051))
    assert by_axis["dropout"].first == "0"
    # Of two values t is their mean over half their distance; with one degree of freedom p is 1 − 2/π·arctan t.
    smaller, larger = (1 - 2 / np.pi * np.arctan(t) for t in (0.2005 / 0.0505, 0.1505 / 0.0995))
    assert by_axis["dropout"].p == pytest.approx(2 * smaller)  # Holm's: the smaller of two counts twice
    assert by_axis["model"].p == pytest.approx(max(larger, 2 * smaller))


def test_a_seed_that_one_side_lacks_is_left_out():
    found, _ = group_cells([each for each in RESULTS if (each.params["model"], each.params["seed"]) != ("nin", "1")])
    assert paired_differences(found, {"dropout": "0"}, {"dropout": "0.5"}) == pytest.approx((0.15,))
    assert paired_differences(
        found, {"dropout": "0", "model": "lenet"}, {"dropout": "0.5", "model": "lenet"}
    ) == pytest.approx((0.1, 0.102))


def claim(better, than, by):
    return {"says": "a claim", "better": better, "than": than, "by": by}


@pytest.mark.parametrize(
    ("made", "verdict", "words"),
    [
        (claim({"model": "lenet", "dropout": 0}, {"model": "lenet", "dropout": 0.5}, 0.05), "better", "n = 2"),
        (
            claim({"model": "lenet", "dropout": 0}, {"model": "lenet", "dropout": 0.5}, 0.2),
            "equivalent",
            "+10.10 points",
        ),
        (claim({"dropout": 0}, {"dropout": 0.5}, 0.01), "undecided", "3 seeds like these would decide"),
        (claim({"dropout": 0}, {"dropout": 0.7}, 0.01), "undecided", "0 seeds of both"),
    ],
)
def test_claims(made, verdict, words):
    """The third: mean 0.2005, deviation 0.0714, distance 0.1905; three seeds give 4.303·0.0714/√3 = 0.177."""
    found, _ = group_cells(RESULTS)
    (judged,) = judge_claims(found, [made])
    assert judged.verdict == verdict
    assert words in judged.reason


def test_no_claim_from_one_seed_or_without_room_to_differ():
    found, _ = group_cells(RESULTS[:4])
    assert judge_claims(found, [claim({"dropout": 0}, {"dropout": 0.5}, 0.01)])[0].verdict == "undecided"
    near = [
        result("nin", d, s, a)
        for d, s, a in [("0", "0", 0.995), ("0", "1", 0.996), ("0.5", "0", 0.99001), ("0.5", "1", 0.99101)]
    ]
    (judged,) = judge_claims(group_cells(near)[0], [claim({"dropout": 0}, {"dropout": 0.5}, 0.01)])
    assert judged.verdict == "undecided"
    assert "no room" in judged.reason


def test_decided_verdict_stays_when_means_leave_no_room():
    """Four seeds around 98.9 % decide; with the next ones both means are above 99 %, less than the margin below 1."""
    firsts = {"0": [0.98900, 0.98910, 0.98905, 0.98908], "0.5": [0.98901, 0.98908, 0.98906, 0.98907]}
    runs = [result("nin", d, str(s), a) for d, values in firsts.items() for s, a in enumerate([*values, *[0.999] * 4])]
    stated = claim({"dropout": 0}, {"dropout": 0.5}, 0.01)
    for seeds in (4, 5, 8):
        cells, _ = group_cells([run for run in runs if int(run.params["seed"]) < seeds])
        (judged,) = judge_claims(cells, [stated], first_look=3)
        assert judged.verdict == "equivalent"
        assert judged.n == 4


def test_values_all_alike_decide_nothing():
    same = [result("nin", d, s, 0.5) for d in ("0", "0.5") for s in ("0", "1")]
    (judged,) = judge_claims(group_cells(same)[0], [claim({"dropout": 0}, {"dropout": 0.5}, 0.01)])
    assert (judged.verdict, "say nothing of others" in judged.reason) == ("undecided", True)


def test_more_claims_widen_their_intervals():
    found, _ = group_cells(RESULTS)
    one = claim({"dropout": 0}, {"dropout": 0.5}, 0.01)
    assert judge_claims(found, [one])[0].confidence == pytest.approx(0.95)
    assert judge_claims(found, [one] * 5)[4].confidence == pytest.approx(0.99)


def test_a_claim_may_be_of_another_metric():
    """Consistency is 0.1 more without dropout at seed 0 and 0.102 at seed 1, whatever the accuracy is."""
    runs = [result("lenet", d, s, 0.5) for d in ("0", "0.5") for s in ("0", "1")]
    for run, consistency in zip(runs, (0.9, 0.8, 0.8, 0.698), strict=True):
        run.metrics["test_shift_consistency"] = consistency
        run.params["test_shift"] = "4"
    found, axes = group_cells(runs)
    assert [(d.metric, d.by_seed) for d in compute_differences(found, axes)] == [
        ("test_accuracy", (0.0, 0.0)),
        ("test_shift_consistency", pytest.approx((0.1, 0.102))),
    ]
    of_it = {**claim({"dropout": 0}, {"dropout": 0.5}, 0.05), "of": "test_shift_consistency"}
    (judged,) = judge_claims(found, [of_it])
    assert (judged.verdict, judged.metric) == ("better", "test_shift_consistency")
    report = StudyReport("mine", runs, {"claims": [of_it]})
    assert "BETTER: a claim (shift consistency, by 5.00 points or more)" in str(report)
    (line,) = (line for line in str(report).splitlines() if line.startswith("0.5 "))
    assert "50.00%" in line
    assert "74.90%" in line
    of_it["by"] = -0.005
    assert "BETTER: a claim (shift consistency, no more than 0.50 points worse)" in str(
        StudyReport("mine", runs, {"claims": [of_it]})
    )
    assert "two random circular shifts of up to 4 pixels" in str(report)
    of_it[
        "by"
    ] = -0.1  # the interval of two differences of 0.1 and 0.102 is 0.0883 to 0.1137: above -0.1, not inside ±0.1
    assert "NOT WORSE: a claim" in str(StudyReport("mine", runs, {"claims": [of_it]}))
    assert 'class="not-worse"' in StudyReport("mine", runs, {"claims": [of_it]}).html({})
    assert set(report.figures()) == {"cells.png", "cells_shift_consistency.png"}
    assert report.csv().splitlines()[0] == "dropout,seed,test_accuracy,test_shift_consistency,parameters,macs"


@pytest.mark.parametrize(
    ("goal", "by", "verdict"), [("smaller", 0.05, "worse"), ("larger", 0.05, "better"), ("smaller", 0.2, "equivalent")]
)
def test_claim_about_loss_states_its_goal(goal, by, verdict):
    """The loss is 0.1, 0.102 and 0.104 larger without dropout."""
    runs = make_grid({"dropout": ["0", "0.5"]})
    for number, run in enumerate(runs):
        run.metrics["test_loss"] = 1 + (number < 3) * (0.1 + 0.002 * number)
    of_loss = {**claim({"dropout": 0}, {"dropout": 0.5}, by), "of": "test_loss", "goal": goal}
    (judged,) = judge_claims(group_cells(runs)[0], [of_loss])
    assert judged.verdict == verdict
    sign = -1 if goal == "smaller" else 1
    assert judged.by_seed == pytest.approx([sign * 0.1, sign * 0.102, sign * 0.104])
    report = StudyReport("mine", runs, {"claims": [of_loss]})
    (line,) = report.claims()
    smaller = ", smaller is better" * (goal == "smaller")
    assert f"{verdict.upper()}: a claim (loss, by {by} or more{smaller}). {sign * 0.102:+}, 95.0 % interval" in line
    assert "points" not in line
    assert report.csv().splitlines()[0] == "dropout,seed,test_accuracy,test_loss,parameters,macs"
    assert report.tables()[0].rows[0][4:6] == ["1.102", "1.097 to 1.107"]  # ±4.3027·0.002/√3 = 0.00497
    assert set(report.figures()) == {"cells.png"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"of": "test_loss"}, "`goal` is needed"),
        ({"goal": "smaller"}, "`goal` must be larger"),
        ({"by": 1.5}, "difference of shares"),
        ({"of": "test_loss", "goal": "smaller", "by": float("inf")}, "`claims.0.by` must be a difference"),
        ({"of": "a\x1b[2J"}, "the name of a metric"),
        ({"of": "test_loss", "goal": "lower"}, "larger"),
    ],
)
def test_claim_without_a_clear_goal_is_refused(changes, message):
    stated = {**claim({"dropout": 0}, {"dropout": 0.5}, 0.01), **changes}
    (line,) = StudyReport("mine", RESULTS, {"claims": [stated]}).left_out
    assert message in line


def test_metric_that_is_no_number_is_left_out():
    runs = make_grid({"dropout": ["0", "0.5"]})
    for run in runs:
        run.metrics["test_loss"] = float("nan")
    of_loss = {**claim({"dropout": 0}, {"dropout": 0.5}, 0), "of": "test_loss", "goal": "smaller"}
    assert "0 seeds of both have test_loss" in StudyReport("mine", runs, {"claims": [of_loss]}).claims()[0]


@pytest.fixture(scope="module")
def report():
    said = {
        "question": "What does dropout cost?",
        "claims": [claim({"model": "lenet", "dropout": 0}, {"model": "lenet", "dropout": 0.5}, 0.05)],
        "published": [{"where": {"model": "nin", "dropout": 0.5}, "error": 10.41}],
    }
    failed = result("nin", "0.9", "0", 0.0, status="FAILED")
    failed.failure, failed.metrics = "UserError: <no>", {}
    return StudyReport("mine", [failed, *RESULTS], said)


def test_the_page_says_what_was_found_and_what_is_missing(report):
    text = str(report)
    assert "What does dropout cost?\n\ntyped numbers\nthe same in all runs: epochs=5" in text
    assert "BETTER: a claim (accuracy, by 5.00 points or more)" in text
    (line,) = (line for line in text.splitlines() if line.startswith("nin    0.5"))
    assert "60.00%" in line
    assert line.endswith("89.59%")  # 100 − 10.41, beside what was measured
    assert "FAILED: nin dropout=0.9 seed=0: UserError: <no>" in text
    page = report.html(report.figures())
    assert page.count("data:image/png;base64,") == 3
    assert "UserError: &lt;no&gt;" in page
    assert "test split once" in page
    assert 'class="better"' in page


def test_the_runs_as_csv(report):
    rows = list(csv.DictReader(io.StringIO(report.csv())))
    assert len(rows) == 8
    assert {(r["model"], r["dropout"], r["seed"]): float(r["test_accuracy"]) for r in rows} == ACCURACY


@pytest.fixture
def one_dead():
    """Six pairs of two axes over three seeds, of which one run is dead. All others differ by what is typed."""
    runs = make_grid({"model": ["lenet", "nin"], "dropout": ["0", "0.5"]})
    for run in runs:
        seed = int(run.params["seed"])
        run.metrics["test_accuracy"] = 0.6 + 0.002 * seed - (0.03 + 0.001 * seed) * (run.params["dropout"] == "0.5")
    dead = next(run for run in runs if run.name == "nin dropout=0 seed=1")
    dead.metrics["test_accuracy"], dead.not_learning = 0.1, "at chance"
    return group_cells(runs)


def test_differences_leave_out_pairs_of_run_that_did_not_learn(one_dead):
    """The seed still counts by its other pair, which is 0.031 there as it is in the dead run's pair without it."""
    found, axes = one_dead
    by_axis = {each.axis: each.by_seed for each in compute_differences(found, axes)}
    assert by_axis["dropout"] == pytest.approx((0.03, (0.031 + 0.1 - 0.571) / 2, 0.032))
    without = {each.axis: each.by_seed for each in compute_differences(found, axes, learning_only=True)}
    assert without["dropout"] == pytest.approx((0.03, 0.031, 0.032))
    assert without["model"] == pytest.approx((0, 0, 0))


def test_seed_is_left_out_when_no_pair_of_it_learned():
    runs = make_grid({"dropout": ["0", "0.5"]})
    runs[0].not_learning = "at chance"
    found, axes = group_cells(runs)
    assert len(compute_differences(found, axes)[0].by_seed) == 3
    assert len(compute_differences(found, axes, learning_only=True)[0].by_seed) == 2


def test_verdict_counts_every_run_unless_claim_excludes_them(one_dead):
    found, _ = one_dead
    stated = claim({"dropout": 0}, {"dropout": 0.5}, 0.01)
    all_runs, excluding = (judge_claims(found, [each])[0] for each in (stated, {**stated, "exclude": "not_learning"}))
    assert (all_runs.verdict, excluding.verdict) == ("undecided", "better")
    assert "without the 1 run that did not learn it is +3.10 points" in all_runs.reason
    assert "with the 1 run that did not learn it is -5.27 points" in excluding.reason


@pytest.mark.parametrize("learning_only", [False, True])
def test_paired_is_mean_over_pairs_when_sides_have_several_cells(learning_only):
    """Where only one side sets an axis, each of its cells is paired with each of the other's."""
    runs = make_grid({"pooling": ["max", "l2"], "dropout": ["0", "0.3", "0.5"]})
    runs[0].not_learning = runs[10].not_learning = "at chance"
    found, _ = group_cells(runs)
    (one, other) = {"pooling": "max"}, {"pooling": "l2", "dropout": "0.3"}
    means = []
    for seed in "012":
        pairs = [
            better.by_seed()[seed] - than.by_seed()[seed]
            for better in found
            if better.values["pooling"] == "max" and not (learning_only and seed in better.not_learning)
            for than in found
            if than.values == other and not (learning_only and seed in than.not_learning)
        ]
        means += [np.mean(pairs)] * bool(pairs)
    assert paired_differences(found, one, other, learning_only=learning_only) == pytest.approx(means)


@pytest.mark.parametrize(
    "axes",
    [
        lambda count: {"data.p": [str(n) for n in range(count)]},
        lambda count: {"data.p": [str(n) for n in range(count // 4)], "data.q": ["0", "1", "2", "3"]},
        lambda count: {f"data.{n}": ["0", "1"] for n in range(count.bit_length() - 1)},
    ],
    ids=["one axis", "two axes", "axes of two values"],
)
def test_report_looks_at_cells_a_number_of_times_that_is_linear(axes, monkeypatch):
    looks = []
    by_seed = GridCell.by_seed
    monkeypatch.setattr(GridCell, "by_seed", lambda *args: looks.append(1) or by_seed(*args))

    def count_looks(cells):
        looks.clear()
        StudyReport("mine", make_grid(axes(cells), seeds=(0, 1, 2)))
        return len(looks)

    small, large = count_looks(128), count_looks(512)
    assert large < 6 * small
    assert large < 512 * 60


def test_axis_of_many_values_is_compared_with_its_first():
    runs = make_grid({"data.p": [str(n) for n in range(100)]})
    found, axes = group_cells(runs)
    pairs, total = value_pairs(found, "data.p")
    assert (len(pairs), total) == (MAX_PAIRS, 4950)
    assert {first for first, _ in pairs} == {"0"}
    compared = compute_differences(found, axes)
    assert [(each.first, each.second) for each in compared] == pairs
    tested = [compute_p_value(each.by_seed) for each in compared]  # None where all are alike
    assert [each.p for each in compared if each.p is not None] == adjust_holm([p for p in tested if p is not None])
    assert f"{MAX_PAIRS} of 4950 pairs" in str(StudyReport("mine", runs)).replace("\n  ", " ")


def test_all_pairs_of_twelve_values_are_compared():
    found, _ = group_cells(make_grid({"data.p": [str(n) for n in range(12)]}))
    assert len(value_pairs(found, "data.p")[0]) == 66


def test_rounding_makes_no_interval():
    """Differences of 0.1 that differ in their last bit are alike."""
    runs = make_grid({"dropout": ["0", "0.5"]})
    for run, accuracy in zip(runs, (0.3, 0.7, 0.9, 0.2, 0.6, 0.8), strict=True):
        run.metrics["test_accuracy"] = accuracy
    (judged,) = judge_claims(group_cells(runs)[0], [claim({"dropout": 0}, {"dropout": 0.5}, 0.01)])
    assert judged.verdict == "undecided"
    assert "values all alike" in judged.reason
