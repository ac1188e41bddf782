"""Runs that do not learn, told by their metrics alone."""

import math

import numpy as np
import pytest

from convzoo.training import learning_check
from convzoo.training.learning_check import (
    Baseline,
    LearningCheck,
    LearningState,
    TrainingLength,
    warn_if_short,
)

CHANCE = {"train_loss": 2.303, "train_accuracy": 0.10, "val_loss": 2.303, "val_accuracy": 0.10}
LEARNED = {"train_loss": 1.2, "train_accuracy": 0.55, "val_loss": 1.3, "val_accuracy": 0.5}
TEN = {"train": Baseline(1000, 0.1, math.log(10)), "val": Baseline(200, 0.11, math.log(10))}


def check(baselines=TEN, epochs=20, steps=40, warmup=0.2, **settings):
    return LearningCheck(baselines, TrainingLength(epochs, steps, warmup), 0.02, **settings)


def no_layer():
    return None


def warned_after(check, epochs, find_dead_layer=no_layer):
    """The number of the epoch behind which the warning came; None if it did not."""
    for number, metrics in enumerate(epochs, 1):
        check.add_epoch(metrics, find_dead_layer)
        if check.state.warned:
            return number
    return None


def test_baseline_is_the_entropy_of_the_class_frequencies():
    balanced = Baseline.from_labels(np.arange(30) % 3, 3)
    assert (balanced.images, balanced.accuracy) == (30, pytest.approx(1 / 3))
    assert (balanced.loss, balanced.lowest_loss) == (pytest.approx(math.log(3)), 0)
    imbalanced = Baseline.from_labels(np.array([0] * 90 + [1] * 10), 3)
    assert imbalanced.accuracy == 0.9
    assert imbalanced.loss == pytest.approx(-0.9 * math.log(0.9) - 0.1 * math.log(0.1))


def test_baseline_with_smoothing_has_a_lowest_loss_above_zero():
    """Of four classes with a smoothing of 0.4 the right one has 0.7, the others 0.1 each."""
    smoothed = Baseline.from_labels(np.arange(40) % 4, 4, 0.4)
    assert smoothed.loss == pytest.approx(math.log(4))
    assert smoothed.lowest_loss == pytest.approx(-0.7 * math.log(0.7) - 0.3 * math.log(0.1))


def test_baseline_of_mixed_labels_has_a_lowest_loss_above_zero():
    """Half of the images are mixed of two classes, 3 to 1."""
    mixed = Baseline.from_labels(np.array([[0.75, 0.25], [0.25, 0.75], [1, 0], [0, 1]]), 2)
    assert mixed.loss == pytest.approx(math.log(2))
    assert mixed.lowest_loss == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / 2)
    assert (mixed.images, mixed.accuracy) == (4, 0.5)
    integers = np.array([0, 0, 1, 2])
    hard, soft = (Baseline.from_labels(labels, 3, 0.4) for labels in (integers, np.eye(3)[integers]))
    assert (soft.images, soft.accuracy) == (hard.images, hard.accuracy)
    assert (soft.loss, soft.lowest_loss) == (pytest.approx(hard.loss), pytest.approx(hard.lowest_loss))


@pytest.mark.parametrize(
    "stalled",
    [
        CHANCE,
        {**CHANCE, "train_loss": 2.29, "train_accuracy": 0.13, "val_accuracy": 0.16},  # one image in thirty by luck
        {**CHANCE, "train_loss": 42.0, "train_accuracy": 0.2},
        {**CHANCE, "train_loss": 4.5e11, "train_accuracy": 0.08},
    ],
)
def test_epoch_at_chance_is_idle(stalled):
    assert check().is_not_learning(stalled)


@pytest.mark.parametrize(
    "learning",
    [
        LEARNED,
        {**CHANCE, "train_loss": 2.2},  # the loss falls first
        {**CHANCE, "train_accuracy": 0.2},
        {**CHANCE, "val_accuracy": 0.4},  # dropout hides it in training
        {**CHANCE, "train_loss": 2.6, "train_accuracy": 0.4},
        {"train_loss": 0.1, "train_accuracy": 0.98, "val_loss": 30.0, "val_accuracy": 0.1},  # overfits
    ],
)
def test_epoch_above_chance_is_not_idle(learning):
    assert not check().is_not_learning(learning)


@pytest.mark.parametrize("classes", [2, 10, 100, 1000])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_network_of_any_classes_is_judged(classes, smoothing):
    baseline = Baseline.from_labels(np.arange(20 * classes) % classes, classes, smoothing)
    judged = check({"train": baseline})
    assert judged.is_not_learning({"train_loss": math.log(classes), "train_accuracy": 1 / classes})
    loss = 0.9 * math.log(classes) + 0.1 * baseline.lowest_loss
    assert not judged.is_not_learning({"train_loss": loss, "train_accuracy": 1 / classes})


def test_imbalanced_classes_are_judged_by_the_most_frequent():
    """90 % are right by one answer alone: that is chance, unless the loss says that the network knows more."""
    judged = check({"train": Baseline.from_labels(np.array([0] * 900 + [1] * 100), 2)})
    assert judged.is_not_learning({"train_loss": 0.325, "train_accuracy": 0.9})
    assert not judged.is_not_learning({"train_loss": 0.25, "train_accuracy": 0.9})
    assert not judged.is_not_learning({"train_loss": 0.325, "train_accuracy": 0.95})


def test_one_class_alone_is_never_idle():
    judged = check({"train": Baseline.from_labels(np.zeros(50, int), 2)})
    assert not judged.is_not_learning({"train_loss": 0.0, "train_accuracy": 1.0})


def test_network_with_own_loss_is_judged_by_accuracy():
    for part, idle in (("train", False), (None, True)):
        assert check(loss_part=part).is_not_learning({**CHANCE, "train_loss": 0.02}) is idle
    assert check(loss_part=None).is_not_learning({**CHANCE, "train_loss": 900.0})
    assert not check(loss_part=None).is_not_learning({**CHANCE, "train_accuracy": 0.14})  # slow, but above chance


def test_network_with_heads_is_judged_by_validation_loss():
    """The heads' losses are in that of the training."""
    judged = check(loss_part="val")
    assert judged.is_not_learning({**CHANCE, "train_loss": 3.2})
    assert not judged.is_not_learning({**CHANCE, "train_loss": 3.2, "val_loss": 2.0})


def test_warning_comes_once_and_names_a_remedy(capsys):
    judged = check()
    for _ in range(20):
        judged.add_epoch(CHANCE, no_layer)
    judged.finish(CHANCE, no_layer)
    out = capsys.readouterr().out
    assert out == (
        "warning: the network does not learn: after epoch 9 of 20 training accuracy 10.00% and training loss 2.303, "
        "a network that ignores the images has 10.00% and 2.303; "
        "try a longer training (epochs=40), another rate (learning_rate=0.005) or kernel_initializer\n"
    )
    assert not judged.state.stopped
    assert judged.reason == (
        "training ended with training accuracy 10.00% and training loss 2.303, "
        "a network that ignores the images has 10.00% and 2.303"
    )


@pytest.mark.parametrize(
    ("metrics", "layer", "words"),
    [
        ({**CHANCE, "train_loss": 42.0}, None, "try a lower rate (learning_rate=0.005)"),
        (CHANCE, "relu5", "every output of layer `relu5` is 0; try a lower rate (learning_rate=0.005)"),
    ],
)
def test_warning_fits_the_metrics(capsys, metrics, layer, words):
    judged = check()
    assert warned_after(judged, 20 * [metrics], lambda: layer)
    assert words in capsys.readouterr().out


def test_warm_up_is_not_judged():
    """Four of twenty epochs; then two with a dead layer, or a quarter of the steps without."""
    assert warned_after(check(), 20 * [CHANCE], lambda: "relu5") == 6
    assert warned_after(check(), 20 * [CHANCE]) == 9
    assert warned_after(check(warmup=0.0), 20 * [CHANCE]) == 8


def test_slow_learner_is_not_warned_of():
    """It learns from its ninth epoch on, after a fifth of the steps at chance behind the warm-up."""
    judged = check()
    assert warned_after(judged, 8 * [CHANCE] + 12 * [LEARNED]) is None
    judged.finish(LEARNED, no_layer)
    assert judged.reason is None


def test_long_training_is_judged_before_a_quarter():
    """2,000 steps are ten epochs of two hundred."""
    assert warned_after(check(epochs=300, steps=200, warmup=0.0), 300 * [CHANCE]) == 10


def test_first_300_steps_are_not_judged_without_dead_layer():
    """Of 400 steps; what is dead does not learn later."""
    assert warned_after(check(epochs=40, steps=10), 40 * [CHANCE]) == 30
    assert warned_after(check(epochs=40, steps=10), 40 * [CHANCE], lambda: "relu5") == 10
    assert warned_after(check(epochs=20, steps=10), 20 * [CHANCE]) is None


def test_network_that_learned_and_died_is_warned_of():
    assert warned_after(check(), 8 * [LEARNED] + 12 * [CHANCE]) == 10
    assert warned_after(check(warmup=0.0, epochs=40, steps=10), 8 * [LEARNED] + 32 * [CHANCE]) == 12


def test_single_epoch_at_chance_is_no_stall():
    assert warned_after(check(warmup=0.0), 10 * [LEARNED, CHANCE]) is None


def test_run_that_recovers_has_no_reason(capsys):
    judged = check()
    assert warned_after(judged, 12 * [CHANCE]) == 9
    judged.add_epoch(LEARNED, no_layer)
    judged.finish(LEARNED, no_layer)
    assert judged.reason is None
    assert capsys.readouterr().out.count("warning") == 1


def test_run_that_dies_at_its_end_has_a_reason_and_a_warning(capsys):
    judged = check()
    assert warned_after(judged, 19 * [LEARNED] + [CHANCE]) is None
    judged.finish(CHANCE, lambda: "relu5")
    assert "every output of layer `relu5` is 0" in judged.reason
    assert capsys.readouterr().out.count("warning: the network did not learn") == 1


def test_stop_ends_it_with_a_line_and_a_reason(capsys):
    judged = check(on_stall="stop")
    assert warned_after(judged, 20 * [CHANCE]) == 9
    assert judged.state.stopped
    judged.finish(CHANCE, no_layer)
    out = capsys.readouterr().out
    assert out.endswith(". Training stops here (on_stall=stop)\n")
    assert out.count("\n") == 1
    assert judged.reason.endswith("; on_stall=stop ended it after epoch 9 of 20")


def test_state_of_a_checkpoint_continues_alike():
    judged = check()
    for metrics in 8 * [CHANCE]:
        judged.add_epoch(metrics, no_layer)
    resumed = check()
    resumed.state = LearningState(**vars(judged.state))
    assert warned_after(resumed, 12 * [CHANCE]) == 1  # the ninth
    assert resumed.state.epochs == 9


def test_dead_layers_are_not_searched_while_it_learns():
    def fail():
        raise AssertionError

    judged = check()
    assert warned_after(judged, 4 * [CHANCE] + 16 * [LEARNED], fail) is None
    judged.finish(LEARNED, fail)


def test_short_training_is_announced_once(capsys):
    learning_check._print_once.cache_clear()
    for _ in range(2):
        warn_if_short(TrainingLength(3, 3))
        warn_if_short(TrainingLength(1, 1))
        warn_if_short(TrainingLength(5, 20))
    assert capsys.readouterr().out.splitlines() == [
        "warning: 9 steps in all (3 epochs of 3 steps); most networks need some hundreds to learn",
        "warning: 1 step in all (1 epoch of 1 step); most networks need some hundreds to learn",
    ]


def test_reason_of_a_short_run_says_so():
    judged = check(epochs=3, steps=3)
    judged.finish(CHANCE, no_layer)
    assert judged.reason.endswith("; it had 9 steps in all")
