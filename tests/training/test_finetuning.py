"""Fine-tuning: layers that are frozen, the head before the rest, and rates."""

import keras
import numpy as np
import pytest

from convzoo import UserError, layers
from convzoo.data import Split
from convzoo.data.batches import Batches
from convzoo.training.checkpoint import Checkpoints
from convzoo.training.compiled import CompiledModel
from convzoo.training.finetuning import FineTuning, find_frozen
from convzoo.training.learning_check import LearningState
from convzoo.training.steps_per_execution import AdaptiveStepsPerExecution
from convzoo.training.trainer import Trainer, TrainerCallbacks, TrainerSettings

SGD = {
    "optimizer": {"_target_": "keras.optimizers.SGD", "momentum": 0.9},
    "schedule": {"_target_": "convzoo.training.WarmupCosine", "warmup": 0.2},
}
STEPS = 4


class StopError(Exception):
    pass


class LearningCheckStub:
    """A learning check that stops a training after an epoch."""

    def __init__(self, last_epoch):
        self.last_epoch, self.epochs, self.state = last_epoch, 0, LearningState()

    def add_epoch(self, metrics, find_dead_layer):
        self.epochs += 1
        self.state.stopped = self.epochs == self.last_epoch

    def finish(self, metrics, find_dead_layer):
        pass


def images(n=32, seed=1):
    rng = np.random.default_rng(seed)
    return Split(rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8), rng.integers(0, 3, n).astype(np.int32))


def network():
    """A convolution, a block, and a head; each has a batch normalization before it or inside."""
    keras.utils.set_random_seed(7)
    x = inputs = keras.Input((8, 8, 3), dtype="uint8")
    block = [keras.layers.Conv2D(4, 3, padding="same", name="conv1"), layers.BatchNormalization(name="bn1")]
    for layer in (
        keras.layers.Rescaling(1 / 255, name="scale"),
        keras.layers.Conv2D(4, 3, name="conv1"),
        layers.BatchNormalization(name="bn1"),
        layers.Residual(block, activation="relu", name="block2"),
        keras.layers.Dropout(0.3, name="drop"),
        keras.layers.GlobalAveragePooling2D(name="mean"),
        keras.layers.Dense(3, dtype="float32", name="score"),
    ):
        x = layer(x)
    return keras.Model(inputs, x, name="small")


def plan(model, freeze=(), **finetuning):
    return FineTuning.plan(model, {"freeze": list(freeze), "recipe": {"finetuning": finetuning or None}})


def train(model, tuning, epochs, recipe=SGD, rate=0.05, steps=STEPS, **callbacks):
    """Train on all images, in `steps` batches an epoch; return the trainer."""
    settings = TrainerSettings(recipe, rate, epochs, finetuning=tuning)
    batches = Batches(images(), 32 // steps, seed=3)
    trainer = Trainer(CompiledModel(model), batches, images(16, 2), settings, TrainerCallbacks(**callbacks))
    trainer.steps_per_execution = AdaptiveStepsPerExecution(1, clock=lambda: 0.0)
    trainer.fit()
    return trainer


def values(model):
    return {weight.path: np.array(weight) for weight in model.weights if "seed" not in weight.path}


def changed(before, after):
    """The rows with a weight that is not the same, bit by bit."""
    return {path.partition("/")[0] for path in before if not np.array_equal(before[path], after[path])}


def test_frozen_layers_keep_every_bit_and_their_statistics():
    model = network()
    before = values(model)
    assert any("moving_mean" in path for path in before)
    train(model, plan(model, ["conv*", "bn*"]), epochs=2)
    after = values(model)
    assert changed(before, after) == {"block2", "score"}
    inner = [path for path in before if path.startswith("block2") and not np.array_equal(before[path], after[path])]
    assert any("moving_mean" in path for path in inner)  # what is trained follows its batches


def test_freeze_reaches_batch_normalization_in_blocks():
    model = network()
    before = values(model)
    train(model, plan(model, ["*bn*"]), epochs=1)
    after = values(model)
    same = {path for path in before if np.array_equal(before[path], after[path])}
    assert same == {path for path in before if "/bn1/" in path or path.startswith("bn1/")}
    assert len(same) == 8


def test_head_is_trained_first_and_then_all():
    model = network()
    epochs = [values(model)]
    train(model, plan(model, head_epochs=2), epochs=3, on_epoch=lambda epoch, metrics: epochs.append(values(model)))
    assert changed(epochs[0], epochs[2]) == {"score"}
    assert changed(epochs[1], epochs[2]) == {"score"}
    assert changed(epochs[2], epochs[3]) == {"conv1", "bn1", "block2", "score"}


def test_linear_probe_is_a_regression_on_fixed_features():
    """The same updates of the head alone, by numpy, on the features of the network in inference mode."""
    model = network()
    model.get_layer("drop").rate = 0.0
    body = keras.Model(model.input, model.get_layer("mean").output)
    kernel, bias = map(keras.ops.convert_to_numpy, model.get_layer("score").weights)
    recipe = {**SGD, "optimizer": {"_target_": "keras.optimizers.SGD"}}
    recipe["schedule"] = {"_target_": "convzoo.training.Constant"}
    batches = Batches(images(), 32 // STEPS, seed=3)
    for step in range(2 * STEPS):
        x, y = batches.batch(*divmod(step, STEPS))
        maps = keras.ops.convert_to_numpy(body(x, training=False))
        scores = np.exp(maps @ kernel + bias)
        error = (scores / scores.sum(-1, keepdims=True) - np.eye(3)[y]) / len(y)
        kernel, bias = kernel - 0.5 * maps.T @ error, bias - 0.5 * error.sum(0)
    train(model, plan(model, head_epochs=2), epochs=2, recipe=recipe, rate=0.5)
    for actual, expected in zip(model.get_layer("score").weights, (kernel, bias), strict=True):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(actual), expected, rtol=1e-4, atol=1e-6)


def test_body_rate_scales_the_steps_of_the_body():
    """With plain SGD, the first update is the rate times the gradient."""
    recipe = {"optimizer": {"_target_": "keras.optimizers.SGD"}, "schedule": {"_target_": "convzoo.training.Constant"}}
    updates = {}
    for rate in (1.0, 0.25):
        model = network()
        before = values(model)
        train(model, plan(model, body_rate=rate), epochs=1, recipe=recipe, steps=1)
        updates[rate] = {path: value - before[path] for path, value in values(model).items() if "moving" not in path}
    for path, update in updates[1.0].items():
        factor = 1 if path.startswith("score") else 0.25
        np.testing.assert_allclose(updates[0.25][path], factor * update, rtol=1e-3, atol=1e-6, err_msg=path)
    assert np.abs(updates[1.0]["conv1/kernel"]).max() > 1e-4


@pytest.fixture(scope="module")
def straight():
    """A network after two epochs of the head and two of all but `conv1`, never stopped."""
    model = network()
    train(model, plan(model, ["conv1"], head_epochs=2, body_rate=0.5), epochs=4)
    return model


@pytest.mark.parametrize(
    ("error", "stops"),
    [
        (KeyboardInterrupt, [3, 13]),
        (StopError, [11]),
        *(
            pytest.param(error, [stop], marks=pytest.mark.slow)
            for error in (KeyboardInterrupt, StopError)
            for stop in (0, 4, 8, 9, 10, 14, 19)
        ),
    ],
)
def test_resume_of_a_fine_tuning_gives_the_same_weights(tmp_path, straight, error, stops):
    """An epoch is four steps and a validation: stops in both phases and at the change from one to the other.

    An interrupt saves a checkpoint; another error, as a kill, loses all after the last epoch.
    """
    for stop in [*stops, None]:
        model, calls = network(), iter(range(1000))

        def on_step(calls=calls, stop=stop):
            if next(calls) == stop:
                raise error

        tuning = plan(model, ["conv1"], head_epochs=2, body_rate=0.5)
        with Checkpoints(tmp_path, min_seconds=0, epochs=4) as checkpoints:
            try:
                trainer = train(model, tuning, epochs=4, checkpoints=checkpoints, on_step=on_step)
            except error:
                assert stop is not None
    assert len(trainer.history) == 4
    for one, other in zip(straight.weights, model.weights, strict=True):
        np.testing.assert_array_equal(np.array(one), np.array(other), err_msg=one.path)


@pytest.mark.slow
def test_resume_after_the_last_epoch_reads_its_checkpoint(tmp_path):
    results = []
    for _ in range(2):
        model = network()
        with Checkpoints(tmp_path, min_seconds=0, epochs=2) as checkpoints:
            train(model, plan(model, head_epochs=1), epochs=2, checkpoints=checkpoints)
        results.append(values(model))
    assert changed(*results) == set()


@pytest.mark.parametrize("stopped_by", ["early_stopping", pytest.param("on_stall", marks=pytest.mark.slow)])
def test_stop_after_the_head_epochs_keeps_the_averages(tmp_path, stopped_by):
    """The averages of a body that no step has trained would be zeros."""
    recipe = {**SGD, "optimizer": {**SGD["optimizer"], "use_ema": True, "ema_momentum": 0.5}}
    start = values(network())
    for _ in range(2):  # the second reads the checkpoint of the first
        model, check = network(), None
        if stopped_by == "early_stopping":
            recipe["early_stopping"] = {"patience": 1}
        else:
            check = LearningCheckStub(last_epoch=2)
        with Checkpoints(tmp_path, min_seconds=0, epochs=4) as checkpoints:
            callbacks = {"checkpoints": checkpoints, "learning_check": check}
            trainer = train(model, plan(model, head_epochs=2), 4, recipe, rate=1e-9, **callbacks)
        assert len(trainer.history) == 2  # at this rate no epoch gains
        for path, value in values(model).items():
            np.testing.assert_allclose(value, start[path], rtol=1e-4, atol=1e-6, err_msg=path)


def test_each_phase_has_a_schedule_of_its_own():
    history = train(network(), None, epochs=2).history
    model = network()
    tuned = train(model, plan(model, head_epochs=2), epochs=4).history
    rates = [metrics["learning_rate"] for metrics in history]
    assert [metrics["learning_rate"] for metrics in tuned] == pytest.approx(2 * rates)
    assert rates[0] != rates[1]


def test_new_layers_are_the_head():
    model = network()
    settings = {"freeze": [], "recipe": {"finetuning": {"head_epochs": 1}}}
    assert FineTuning.plan(model, settings, ("bn1", "score")).head == {"bn1", "score"}
    assert plan(model).head == {"score"}


@pytest.mark.parametrize(
    ("freeze", "message"),
    [
        (["conv9"], "`freeze`: the pattern 'conv9' fits no layer with weights of small; did you mean conv1"),
        (["drop"], "`freeze`: the pattern 'drop' fits no layer with weights"),
        (["*"], r"`freeze` leaves no layer to train. Received: freeze=\['\*'\]"),
    ],
)
def test_freeze_mistakes_are_one_line(freeze, message):
    with pytest.raises(UserError, match=message.replace("'*'", "'*'")):
        plan(network(), freeze)


def test_find_frozen_takes_rows_with_all_inside():
    model = network()
    block = {"block2/body/conv1", "block2/body/bn1"}
    assert find_frozen(model, ["block2"]) == block
    assert find_frozen(model, ["conv1"]) == {"conv1"}
    assert find_frozen(model, ["*/bn?", "bn1"]) == {"bn1", "block2/body/bn1"}
    assert find_frozen(model, []) == frozenset()
