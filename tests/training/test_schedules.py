"""Schedules against plain loops from their definitions: 4 epochs of 10 steps at a rate of 0.5."""

import math

import keras
import numpy as np
import pytest

from convzoo import UserError
from convzoo.training.schedules import SCHEDULES, Plateau, check_schedule, is_over_patience, make_schedule

STEPS = range(41)


def rates(name, **arguments):
    target = name if "." in name else f"convzoo.training.{name}"
    row = {"_target_": target, **arguments}
    check_schedule(row)
    schedule = make_schedule(row, 0.5, 4, 10)
    return [float(schedule(step)) for step in STEPS]


def assert_equal(found, expected):
    np.testing.assert_allclose(found, list(expected), rtol=1e-5, atol=1e-7)


def test_constant_keeps_the_rate():
    assert rates("Constant") == [0.5] * 41


@pytest.mark.parametrize("factor", [0.1, 0.3])
def test_steps_multiplies_rate_at_boundaries(factor):
    expected = [0.5 * factor ** ((step >= 10) + (step >= 30)) for step in STEPS]
    assert_equal(rates("Steps", boundaries=[1, 3], factor=factor), expected)


def test_steps_accepts_parts_of_epochs():
    assert_equal(rates("Steps", boundaries=[2.5]), [0.5 if step < 25 else 0.05 for step in STEPS])


@pytest.mark.parametrize(("warmup", "initial", "final"), [(0.25, 0.1, 0.2), (0.0, 0.0, 0.0)])
def test_linear_rises_and_falls(warmup, initial, final):
    points = ([0, 40 * warmup, 40], [initial, 1, final]) if warmup else ([0, 40], [1, final])
    assert_equal(rates("Linear", warmup=warmup, initial=initial, final=final), 0.5 * np.interp(STEPS, *points))


def test_triangle_matches_airbench94():
    """As its code draws it: np.interp(steps, [0, int(0.23 * total), total], [0.2, 1, 0.07])."""
    assert_equal(rates("Triangle"), 0.5 * np.interp(STEPS, [0, 9, 40], [0.2, 1, 0.07]))


@pytest.mark.parametrize("final", [0.0, 0.1])
@pytest.mark.parametrize("restarts", [0, 1, 2])
@pytest.mark.parametrize("warmup", [0.0, 0.1])
def test_warmup_cosine_matches_definition(warmup, restarts, final):
    expected, start = [], round(40 * warmup)
    length = (40 - start) / (restarts + 1)
    for step in STEPS:
        if step < start:
            expected.append(0.5 * step / start)
            continue
        cycle = min(int((step - start) / length), restarts)
        share = (step - start - cycle * length) / length
        expected.append(0.5 * (final + (1 - final) * (1 + math.cos(math.pi * share)) / 2))
    assert_equal(rates("WarmupCosine", warmup=warmup, restarts=restarts, final=final), expected)


def test_warmup_cosine_accepts_integer_rate():
    """Keras takes the dtype of its constants from the rate: an integer would make π three."""
    whole = make_schedule({"_target_": "convzoo.training.WarmupCosine"}, 1, 4, 10)
    assert [float(whole(step)) for step in (20, 40)] == pytest.approx([0.5, 0], abs=1e-6)


def test_one_cycle_has_two_half_cosines():
    def cosine(start, end, share):
        return end + (start - end) * (1 + math.cos(math.pi * share)) / 2

    rise = [0.5 * cosine(0.04, 1, step / 12) for step in range(12)]
    fall = [0.5 * cosine(1, 4e-6, (step - 12) / 28) for step in range(12, 41)]
    assert_equal(rates("OneCycle"), [*rise, *fall])


def test_polynomial_matches_definition():
    expected = [0.5 * (0.1 + 0.9 * (1 - step / 40) ** 0.9) for step in STEPS]
    assert_equal(rates("Polynomial", power=0.9, final=0.1), expected)


def test_inverse_matches_caffe():
    """Caffe's documentation: base_lr · (1 + gamma · iter)^−power; LeNet's solver has 0.0001 and 0.75."""
    assert_equal(rates("Inverse"), [0.5 * (1 + 0.0001 * step) ** -0.75 for step in STEPS])
    assert_equal(rates("Inverse", gamma=1, power=1), [0.5 / (1 + step) for step in STEPS])


def test_exponential_falls_after_whole_periods():
    assert_equal(rates("Exponential"), [0.5 * 0.94 ** (step // 20) for step in STEPS])
    assert_equal(rates("Exponential", factor=0.5, epochs=0.5), [0.5 * 0.5 ** (step // 5) for step in STEPS])


def test_keras_schedule_has_rate_of_the_run_unless_stated():
    name = "keras.optimizers.schedules.ExponentialDecay"
    assert_equal(rates(name, decay_steps=5, decay_rate=0.5), [0.5 * 0.5 ** (step / 5) for step in STEPS])
    stated = rates(name, initial_learning_rate=2, decay_steps=5, decay_rate=0.5)
    assert_equal(stated, [2 * 0.5 ** (step / 5) for step in STEPS])
    pieces = rates("keras.optimizers.schedules.PiecewiseConstantDecay", boundaries=[5], values=[1, 0.2])
    assert_equal(pieces, [1 if step <= 5 else 0.2 for step in STEPS])


@pytest.mark.parametrize("target", [name for name in SCHEDULES if "Plateau" not in name])
def test_schedule_survives_its_config(target):
    needed = {
        "Steps": {"boundaries": [1]},
        "CosineDecay": {"decay_steps": 40},
        "CosineDecayRestarts": {"first_decay_steps": 9},
        "ExponentialDecay": {"decay_steps": 5, "decay_rate": 0.5},
        "InverseTimeDecay": {"decay_steps": 5, "decay_rate": 0.5},
        "PiecewiseConstantDecay": {"boundaries": [5], "values": [0.1, 0.2]},
        "PolynomialDecay": {"decay_steps": 40},
    }
    schedule = make_schedule({"_target_": target, **needed.get(target.rpartition(".")[2], {})}, 0.5, 4, 10)
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    assert [float(again(step)) for step in (3, 25)] == [float(schedule(step)) for step in (3, 25)]
    assert 0 <= getattr(schedule, "warmup", 0.0) < 1


def plateau_by_hand(values, patience, min_delta):
    """As torch's ReduceLROnPlateau counts, without its cooldown; a tenth each time."""
    best, waited, rate, rates = -math.inf, 0, 0.5, [0.5]
    for value in values:
        if value > best + min_delta:
            best, waited = value, 0
        else:
            waited += 1
        if waited == patience:
            rate, waited = rate / 10, 0
        rates.append(rate)
    return rates


@pytest.mark.parametrize(("patience", "min_delta"), [(1, 0.0), (2, 0.0), (3, 0.05)])
@pytest.mark.parametrize("metric", ["val_accuracy", "train_loss"])
def test_plateau_follows_the_history(metric, patience, min_delta):
    values = np.round(np.random.default_rng(0).normal(size=30).cumsum(), 2).tolist()
    row = {"_target_": "convzoo.training.Plateau", "patience": patience, "min_delta": min_delta, "metric": metric}
    check_schedule(row)
    schedule = make_schedule(row, 0.5, 4, 10)
    history = [{metric: -value if metric == "train_loss" else value} for value in values]
    found = [schedule.compute_rate(history[:epochs]) for epochs in range(31)]
    assert_equal(found, plateau_by_hand(values, patience, min_delta))
    assert isinstance(schedule, Plateau)


@pytest.mark.parametrize(
    ("accuracies", "is_over"),
    [([], False), ([0.5], False), ([0.5, 0.4], False), ([0.5, 0.4, 0.5], True), ([0.5, 0.4, 0.6, 0.55], False)],
)
def test_early_stopping_counts_epochs_without_gain(accuracies, is_over):
    history = [{"val_accuracy": accuracy} for accuracy in accuracies]
    assert is_over_patience(history, patience=2) == is_over


def test_early_stopping_ignores_gains_below_min_delta():
    history = [{"val_accuracy": accuracy} for accuracy in (0.5, 0.51, 0.52)]
    assert is_over_patience(history, patience=2, min_delta=0.05)
    assert not is_over_patience(history, patience=2, min_delta=0.005)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"_target_": "convzoo.training.Cosine"}, "`recipe.schedule._target_=convzoo.training.Cosine`.*did you mean"),
        ({"_target_": "convzoo.training.Steps"}, "`recipe.schedule` needs `boundaries`"),
        ({"_target_": "convzoo.training.Steps", "boundaries": []}, "`recipe.schedule.boundaries`.*rising epochs"),
        ({"_target_": "convzoo.training.Steps", "boundaries": [3, 1]}, "`recipe.schedule.boundaries`"),
        ({"_target_": "convzoo.training.Linear", "warm_up": 0.1}, r"`recipe.schedule.warm_up`.*did you mean warmup\?"),
        ({"_target_": "convzoo.training.Linear", "warmup": 1}, "`recipe.schedule.warmup`: `warmup` must be from 0 to"),
        ({"_target_": "convzoo.training.Linear", "warmup": "x"}, "`recipe.schedule.warmup` must be a number"),
        ({"_target_": "convzoo.training.Linear", "total_steps": 5}, "`recipe.schedule.total_steps`: Linear has no"),
        ({"_target_": "convzoo.training.Plateau", "metric": "loss"}, "`recipe.schedule.metric`: .*one of val_accuracy"),
        ({"_target_": "convzoo.training.WarmupCosine", "restarts": 1.5}, "`recipe.schedule.restarts`"),
        ({"_target_": "keras.optimizers.schedules.CosineDecay"}, "`recipe.schedule` needs `decay_steps`"),
        (
            {"_target_": "keras.optimizers.schedules.CosineDecay", "decay_steps": 0},
            "`recipe.schedule.*`: Argument `decay_steps` must be > 0",
        ),
    ],
)
def test_check_schedule_names_the_key(row, words):
    with pytest.raises(UserError, match=words) as error:
        check_schedule(row)
    assert "\n" not in str(error.value)
