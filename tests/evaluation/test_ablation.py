"""The effects of leaving out parts, worked out by hand, and Holm's adjustment by its definition."""

import math

import pytest
from scipy.stats import t as student
from synthetic_runs import make_run

from convzoo.evaluation.ablation import compute_ablation
from convzoo.evaluation.comparison import compute_differences, group_cells

# Accuracies of seeds 0 to 3.
RUNS = {
    "nothing": [0.80, 0.82, 0.81, 0.83],
    "augmentation.flip": [0.78, 0.79, 0.80, 0.80],
    "schedule": [0.70, 0.74, 0.69, 0.75],
    "label_smoothing": [0.81, 0.82, 0.80, 0.84],
}


def make_cells(accuracies, **settings):
    runs = [
        make_run({"ablate": part, **settings}, seed, accuracy)
        for part, values in accuracies.items()
        for seed, accuracy in enumerate(values)
    ]
    return group_cells(runs)[0]


def paired_t_p_value(differences):
    """From the definition: twice the tail of Student's distribution beyond |mean| / (deviation / √n)."""
    n = len(differences)
    mean = sum(differences) / n
    deviation = math.sqrt(sum((each - mean) ** 2 for each in differences) / (n - 1))
    return 2 * student.sf(abs(mean) / (deviation / math.sqrt(n)), n - 1)


def reject_by_holm(p_values, level):
    """Holm's procedure as he states it: compare the k-th smallest of m with level / (m - k + 1); stop at the first."""
    rejected = set()
    for k, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__), 1):
        if p_values[index] > level / (len(p_values) - k + 1):
            break
        rejected.add(index)
    return rejected


def test_effect_is_without_minus_with_within_a_seed():
    effects = {each.first: each for each in compute_ablation(make_cells(RUNS))}
    assert effects["augmentation.flip"].by_seed == pytest.approx((-0.02, -0.03, -0.01, -0.03))
    assert effects["schedule"].by_seed == pytest.approx((-0.10, -0.08, -0.12, -0.08))
    assert effects["label_smoothing"].by_seed == pytest.approx((0.01, 0.0, -0.01, 0.01))


def test_largest_loss_is_first():
    assert [each.first for each in compute_ablation(make_cells(RUNS))] == [
        "schedule",  # -9.5 points
        "augmentation.flip",  # -2.25
        "label_smoothing",  # +0.25
    ]


def test_p_values_agree_with_holms_procedure_at_every_level():
    effects = compute_ablation(make_cells(RUNS))
    plain = [
        paired_t_p_value([x - y for x, y in zip(RUNS[each.first], RUNS["nothing"], strict=True)]) for each in effects
    ]
    for level in [step / 500 for step in range(1, 500)]:
        assert {index for index, each in enumerate(effects) if each.p <= level} == reject_by_holm(plain, level)


def test_parts_are_the_family_and_no_other_axis_is():
    """The same runs at another dropout halve no p-value: effects are averaged over it, and three tests stay three."""
    runs = [
        make_run({"ablate": part, "dropout": dropout}, seed, value)
        for part, values in RUNS.items()
        for dropout in ("0", "0.5")
        for seed, value in enumerate(values)
    ]
    effects, expected = compute_ablation(group_cells(runs)[0]), compute_ablation(make_cells(RUNS))
    assert [each.p for each in effects] == pytest.approx([each.p for each in expected])


def test_seed_that_one_side_lacks_does_not_count():
    effects = compute_ablation(make_cells({**RUNS, "nothing": RUNS["nothing"][:3]}))
    assert {len(each.by_seed) for each in effects} == {3}


def test_part_without_a_common_seed_is_left_out():
    cells = make_cells(RUNS) + make_cells({"lookahead": []})
    extra = group_cells([make_run({"ablate": "lookahead"}, 9, 0.5), make_run({"ablate": "x"}, 9, 0.5)])[0]
    assert len(compute_ablation([*cells, *extra])) == 3


def test_runs_without_the_whole_recipe_have_no_effects():
    assert compute_ablation(make_cells({part: RUNS[part] for part in ("schedule", "label_smoothing")})) == []
    cells, axes = group_cells([make_run({"dropout": rate}, 0, 0.5) for rate in ("0", "0.5")])
    assert compute_ablation(cells) == []
    assert axes == ["dropout"]


def test_part_is_the_axis_and_not_the_params_that_follow_from_it():
    flipped = {"augmentation": "RandomFlip", "schedule": "Linear"}
    runs = [
        make_run({"ablate": "nothing", **flipped}, 0, 0.5),
        make_run({"ablate": "augmentation.flip", **flipped, "augmentation": "none"}, 0, 0.4),
        make_run({"ablate": "schedule", **flipped, "schedule": "Constant"}, 0, 0.3),
    ]
    cells, axes = group_cells(runs)
    assert axes == ["ablate"]
    assert cells[0].values == {"ablate": "nothing"}  # the full recipe stands first


def test_effects_without_runs_that_did_not_learn():
    runs = [
        make_run({"ablate": part}, seed, value, not_learning="flat" if (part, seed) == ("schedule", 2) else None)
        for part, values in RUNS.items()
        for seed, value in enumerate(values)
    ]
    effects = compute_ablation(group_cells(runs)[0], learning_only=True)
    assert effects[0].by_seed == pytest.approx((-0.10, -0.08, -0.08))
    assert [len(each.by_seed) for each in effects] == [3, 4, 4]


def test_general_differences_of_the_other_axes_stay():
    cells, axes = group_cells(
        [make_run({"ablate": p, "dropout": d}, 0, 0.5) for p in ("nothing", "schedule") for d in ("0", "0.5")]
    )
    assert {each.axis for each in compute_differences(cells, [a for a in axes if a != "ablate"])} == {"dropout"}
