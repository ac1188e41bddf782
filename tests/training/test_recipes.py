"""Trainings with averaged weights, Lookahead, plateau and early stopping, also resumed and with a cached model."""

from functools import cache

import keras
import numpy as np
import pytest
from fit_model import fit
from sampling import sample

from convzoo import UserError
from convzoo.data import Split
from convzoo.data.batches import Batches
from convzoo.training.checkpoint import Checkpoints
from convzoo.training.compiled import CompiledModel, CompiledModelCache
from convzoo.training.schedules import Plateau
from convzoo.training.steps_per_execution import AdaptiveStepsPerExecution

EPOCHS = 5


def recipe(optimizer="SGD", schedule="Constant", *, keys=None, schedule_arguments=None, **arguments):
    target = optimizer if "." in optimizer else f"keras.optimizers.{optimizer}"
    return {
        "optimizer": {"_target_": target, **arguments},
        "schedule": {"_target_": f"convzoo.training.{schedule}", **(schedule_arguments or {})},
        **(keys or {}),
    }


PLATEAU = recipe("SGD", "Plateau", schedule_arguments={"patience": 1, "factor": 0.5}, momentum=0.9)
RECIPES = {
    "ema": recipe("AdamW", "WarmupCosine", use_ema=True, ema_momentum=0.8, weight_decay=0.01),
    "ema_overwrite": recipe("SGD", use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=3),
    "lookahead": recipe("AdamW", keys={"lookahead": {"rate": 0.8, "period": 3}, "rate_factors": {"bias": 2.0}}),
    "plateau": PLATEAU,
    "accumulation": recipe("SGD", "Linear", gradient_accumulation_steps=3, momentum=0.9),
    "muon": recipe("convzoo.training.Muon", "Triangle", others="adamw", others_rate=0.1),
    "schedule_free": recipe("ScheduleFreeAdamW", weight_decay=0.01),
    "early_stopping": recipe("SGD", keys={"early_stopping": {"patience": 1, "min_delta": 0.0}}),
}


def images(n, seed):
    """Images of three classes of brightness, with noise."""
    rng = np.random.default_rng(seed)
    y = np.arange(n, dtype=np.int32) % 3
    x = rng.integers(0, 120, (n, 6, 6, 1)) + 60 * y[:, None, None, None]
    return Split(x.astype(np.uint8), y)


def network(seed=0):
    keras.utils.set_random_seed(seed)
    x = inputs = keras.Input((6, 6, 1), dtype="uint8")
    for layer in (
        keras.layers.Rescaling(1 / 255),
        keras.layers.Conv2D(4, 3, activation="relu"),
        keras.layers.Dropout(0.3),
        keras.layers.Flatten(),
        keras.layers.Dense(3, dtype="float32"),
    ):
        x = layer(x)
    return keras.Model(inputs, x)


def train(rows, compiled=None, validation=True, stop_at=None, **settings):
    """The compiled model and the metrics that do not depend on the clock; an interrupt comes after step `stop_at`."""
    compiled = compiled or CompiledModel(network())
    steps = iter(range(1000))

    def on_step():
        if next(steps) == stop_at:
            raise KeyboardInterrupt

    history = fit(
        compiled,
        Batches(images(40, 1), 8, seed=3),
        images(30, 2) if validation else None,
        rows,
        **{"learning_rate": 0.05, "epochs": EPOCHS, **settings},
        on_step=on_step,
        steps=AdaptiveStepsPerExecution(maximum=1),
    )
    timed = ("images_per_second", "epoch_seconds", "steps_per_execution")
    return compiled, [{key: value for key, value in metrics.items() if key not in timed} for metrics in history]


def weights(compiled):
    return [weight.copy() for weight in compiled.model.get_weights()]


def assert_same(one, other):
    assert one[1] == other[1]
    for a, b in zip(weights(one[0]), weights(other[0]), strict=True):
        np.testing.assert_array_equal(a, b)


@cache
def train_whole(name, select="last"):
    """What `train` gives without an interrupt."""
    return train(RECIPES[name], select=select)


@pytest.mark.parametrize(
    ("name", "select", "interrupts"), sample([*((name, "last", [8]) for name in RECIPES), ("ema", "best", [5, 3])])
)
def test_resume_gives_same_weights_with_recipe(tmp_path, name, select, interrupts):
    """An epoch has five steps and a validation; an interrupt comes in the second epoch, or in the first validation."""
    wanted = train_whole(name, select)
    for stop in interrupts:
        with Checkpoints(tmp_path / "run", min_seconds=0) as checkpoints, pytest.raises(KeyboardInterrupt):
            train(RECIPES[name], select=select, stop_at=stop, checkpoints=checkpoints)
    with Checkpoints(tmp_path / "run", min_seconds=0, epochs=EPOCHS) as checkpoints:
        assert_same(train(RECIPES[name], select=select, checkpoints=checkpoints), wanted)


@pytest.mark.parametrize("name", ["ema", "early_stopping"])
def test_checkpoint_of_last_epoch_gives_the_result(tmp_path, name):
    for is_final in (False, True):
        with Checkpoints(tmp_path / "run", min_seconds=0, epochs=EPOCHS) as checkpoints:
            assert checkpoints.has_final_checkpoint == is_final
            assert_same(train(RECIPES[name], checkpoints=checkpoints), train_whole(name))


@pytest.mark.integration
@pytest.mark.parametrize("name", ["plateau", "schedule_free", "ema"])
def test_cached_model_ends_as_new_one_with_recipe(name):
    cache = CompiledModelCache()
    try:
        for seed in (1, 2):
            found = train(RECIPES[name], cache.get_or_build("key", lambda seed=seed: (network(seed), None)))
        assert_same(found, train(RECIPES[name], CompiledModel(network(2))))
    finally:
        cache.clear()


def test_cached_model_restores_start_of_accumulators():
    """Adagrad's accumulators start at 0.1."""
    cache, rows = CompiledModelCache(), recipe("Adagrad")
    try:
        for seed in (1, 2):
            found = train(rows, cache.get_or_build("key", lambda seed=seed: (network(seed), None)))
        assert_same(found, train(rows, CompiledModel(network(2))))
    finally:
        cache.clear()


@pytest.mark.parametrize("select", ["last", "best"])
def test_ema_is_validated_and_returned_but_not_trained(select):
    plain, averaged = recipe("SGD"), recipe("SGD", use_ema=True, ema_momentum=0.9)
    (_, plain_history), (compiled, history) = train(plain), train(averaged, select=select)
    assert [row["train_loss"] for row in history] == [row["train_loss"] for row in plain_history]
    assert history[0]["val_loss"] != plain_history[0]["val_loss"]
    validation = images(30, 2)
    loss = float(compiled.objective.loss(validation.y, compiled.predict(validation.x)))
    best = max(range(EPOCHS), key=lambda epoch: history[epoch]["val_accuracy"])
    assert loss == pytest.approx(history[best if select == "best" else -1]["val_loss"], rel=1e-6)


def test_ema_weights_are_the_mean_of_the_steps():
    """Of a training of one epoch, from those of shorter ones; dropout makes no difference to which batch comes when."""
    compiled, _ = train(recipe("SGD", use_ema=True, ema_momentum=0.7), epochs=1, validation=False)
    path = []

    class Recorder(AdaptiveStepsPerExecution):
        def run(self, function, stacked):
            result = super().run(function, stacked)
            plain_trainer_step.synchronize()
            path.append([np.array(weight) for weight in plain.model.get_weights()])
            return result

    plain = CompiledModel(network())
    make_step = plain.make_step

    def remember(*args):
        nonlocal plain_trainer_step
        plain_trainer_step = make_step(*args)
        return plain_trainer_step

    plain_trainer_step = None
    plain.make_step = remember
    fit(
        plain,
        Batches(images(40, 1), 8, seed=3),
        None,
        recipe("SGD"),
        learning_rate=0.05,
        epochs=1,
        steps=Recorder(maximum=1),
    )
    mean = path[0]
    for step in path[1:]:
        mean = [0.7 * average + 0.3 * weight for average, weight in zip(mean, step, strict=True)]
    for found, wanted in zip(weights(compiled), mean, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_plateau_sets_rate_of_each_epoch():
    """The rates are those of the history of validation, and the weights stop at a rate of next to nothing."""
    rows = recipe("SGD", "Plateau", schedule_arguments={"patience": 1, "factor": 1e-30})
    _, history = train(rows, epochs=8)
    plateau = Plateau(0.05, 40, 5, patience=1, factor=1e-30)
    rates = [row["learning_rate"] for row in history]
    assert rates == [plateau.compute_rate(history[:epoch]) for epoch in range(8)]
    still = rates.index(next(rate for rate in rates if rate < 0.05))
    assert len({row["val_loss"] for row in history[still - 1 :]}) == 1


def test_plateau_on_validation_needs_validation_images():
    with pytest.raises(UserError, match=r"`recipe.schedule.metric=val_accuracy` needs validation images"):
        train(PLATEAU, validation=False)
    rows = recipe("SGD", "Plateau", schedule_arguments={"metric": "train_loss"})
    assert len(train(rows, validation=False)[1]) == EPOCHS


@pytest.mark.parametrize("patience", [1, 2])
def test_early_stopping_ends_after_epochs_without_gain(capsys, patience):
    """At a rate of next to nothing the first epoch stays the best."""
    rows = recipe("SGD", keys={"early_stopping": {"patience": patience, "min_delta": 0.0}})
    _, history = train(rows, learning_rate=1e-30)
    assert len(history) == 1 + patience
    line = f"early stopping: `val_accuracy` has not risen for {patience} epochs\n"
    assert capsys.readouterr().out.count(line) == 1
