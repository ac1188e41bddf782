"""The fit: batches by decision, a line an epoch, the last or the best weights."""

import dataclasses
import time

import keras
import numpy as np

from .. import UserError
from ..models.objective import make
from . import backend
from .optimizer import make_optimizer, make_schedule
from .pace import Pace
from .progress import Progress
from .step import Step


def fit(
    compiled,
    batches,
    validation,
    recipe,
    *,
    learning_rate,
    epochs,
    select="last",
    checkpoints=None,
    on_step=lambda: None,
    on_epoch=lambda e, m: None,
    pace=None,
):
    """Trains a model from pictures to class scores, or goes on with what `checkpoints` hold.

    A training that goes on ends with the very weights of one that was never stopped.

    Args:
        compiled: `convzoo.training.compiled.Compiled`; its model takes the uint8 pictures of `batches`, and is trained
            in place.
        batches: `convzoo.data.stream.Batches` of the training part.
        validation: the validation part, with `x` and `y`; None trains without one.
        recipe: mapping, as `make_schedule` and `make_optimizer` take it.
        learning_rate: the schedule's highest rate.
        epochs: passes over the batches.
        select: "last" keeps the last epoch's weights, "best" those of the highest validation accuracy, the earliest
            of equals.
        checkpoints: `convzoo.training.checkpoint.Checkpoints`, entered, or None.
        on_step: called after every call of the backend, which takes a step or some, and between two batches of
            validation. A KeyboardInterrupt that it raises ends the training there, with a checkpoint.
        on_epoch: called with the epoch's number, from 1, and its metrics; at once for those that were done before.
        pace: a `Pace`, which says how many steps go to the backend at once; None is a new one. No result depends on it.

    Returns:
        The metrics of all epochs, a list of mappings.
    """
    model, sizes = compiled.model, recipe.get("sizes") or [1]
    schedule = make_schedule(recipe, learning_rate, epochs, batches.steps)
    optimizer = make_optimizer(recipe, schedule, epochs * batches.steps)
    step = compiled.step(optimizer, recipe.get("label_smoothing"))
    best_accuracy, best_weights, so_far, look = -1.0, None, _Epoch(), _marking(on_step)
    pace, seen = pace or Pace(), set()
    history = checkpoints.history if checkpoints else []
    if held := checkpoints and checkpoints.read():
        best_accuracy, best_weights, so_far = _restore(step, *held)
        within = f" and {so_far.steps} step{'s' * (so_far.steps != 1)}" if so_far.steps else ""
        print(f"going on after epoch {len(history)}{within}", flush=True)
    for epoch, metrics in enumerate(history, 1):
        on_epoch(epoch, metrics)
    progress = Progress(epochs, batches.steps, batches.batch_size, before=len(history))
    for epoch in range(len(history), epochs):
        size = sizes[epoch * len(sizes) // epochs]
        progress.begin_epoch(epoch, so_far.steps, compiles=size not in seen)
        seen.add(size)
        try:
            left = batches.epoch(epoch, so_far.steps, _ready(step, size), lambda: pace.steps)
            _learn(step, left, pace, so_far, progress, look)
            rate = float(schedule((epoch + 1) * batches.steps - 1))  # of the epoch's last step
            metrics = {**so_far.metrics(), "learning_rate": rate}
            if validation is not None:
                metrics.update(_validate(compiled, validation, look))
            if select == "best" and metrics["val_accuracy"] > best_accuracy:
                best_accuracy = metrics["val_accuracy"]
                best_weights = [weight.copy() for weight in model.get_weights()]  # torch's are the weights' own
        except KeyboardInterrupt as stop:
            if checkpoints and getattr(stop, "between_steps", False):
                step.synchronize()
                so_far.seconds += progress.epoch_seconds()
                _leave(checkpoints, *_state(step, best_accuracy, best_weights, so_far))
            raise
        metrics["epoch_seconds"] = so_far.seconds + progress.end_epoch(metrics)
        history.append(metrics)
        so_far = _Epoch()
        if checkpoints and (checkpoints.due() or epoch + 1 == epochs):
            checkpoints.write(*_state(step, best_accuracy, best_weights, so_far))
        on_epoch(epoch + 1, metrics)
    if select == "best":
        model.set_weights(best_weights)
    return history


def _ready(step, size):
    """What makes some batches ready to be learned from, their pictures shrunk to a part of their sides."""
    return lambda batches: step.ready([(shrunk(x, size), y) for x, y in batches])


def _learn(step, ready, pace, so_far, progress, look):
    """Learns from what is left of an epoch."""
    for some in ready:
        so_far.add(pace.timed(step.learn, some))
        progress.step(so_far.steps, so_far.accuracy)
        so_far.images_per_second = progress.images_per_second()
        look()
    step.synchronize()


def speed(model, recipe, batch_size, objective=None, seconds=2.0, clock=time.perf_counter):
    """Images a second in training, by a try of some steps on noise; the first, which compiles, does not count.

    Args:
        model: it takes float pictures; its weights change.
        recipe, batch_size, objective: as for `fit`.
        seconds: after so many it ends, or after some 50 steps.
        clock: seconds, for tests.
    """
    step, pace = Step(model, objective or make(model), make_optimizer(recipe, 1e-3)), Pace(clock=clock)
    x = np.random.default_rng(0).normal(size=(batch_size, *model.input_shape[1:])).astype("float32")
    y = np.arange(batch_size) % model.output_shape[-1]
    step(x, y)
    begun, steps, passed = clock(), 0, 0.0
    while steps < 50 and passed < seconds:
        steps += len(pace.timed(step.learn, step.ready(pace.steps * [(x, y)])))
        passed = clock() - begun
    return steps * batch_size / passed


def shrunk(images, part):
    """uint8 images with sides that are a part of what they were, by bilinear weights as wide as a new pixel."""
    if part == 1:
        return images
    size = [round(side * part) for side in images.shape[1:3]]
    smaller = keras.ops.image.resize(keras.ops.cast(images, "float32"), size, antialias=True)
    return keras.ops.cast(keras.ops.round(smaller), "uint8")


def in_all(history, select="last"):
    """Metrics of all epochs of a `fit` together.

    Returns:
        Mapping with `training_seconds`, without the time between two goes, and, if the best weights were kept, theirs:
        `best_val_accuracy`.
    """
    best = {"best_val_accuracy": max(metrics["val_accuracy"] for metrics in history)} if select == "best" else {}
    return {"training_seconds": sum(metrics["epoch_seconds"] for metrics in history), **best}


@dataclasses.dataclass
class _Epoch:
    """How far an epoch has come, and in which time: in earlier goes, if it was stopped."""

    steps: int = 0
    calls: int = 0
    loss: float = 0.0
    accuracy: float = 0.0
    seconds: float = 0.0
    images_per_second: float = 0.0

    def add(self, told):
        """Takes in the steps of a call, their loss and accuracy; all batches are of one size."""
        self.calls += 1
        for loss, accuracy in told:
            self.steps += 1
            self.loss += (loss - self.loss) / self.steps
            self.accuracy += (accuracy - self.accuracy) / self.steps

    def metrics(self):
        return {
            "train_loss": self.loss,
            "train_accuracy": self.accuracy,
            "images_per_second": self.images_per_second,
            "steps_per_execution": self.steps / self.calls,
        }


def _marking(on_step):
    """`on_step`, marking the interrupts that it raises: one that comes by itself may leave a step half done."""

    def look():
        try:
            on_step()
        except KeyboardInterrupt as stop:
            stop.between_steps = True
            raise

    return look


def _leave(checkpoints, arrays, facts):
    try:
        checkpoints.write(arrays, facts, facts["so_far"]["steps"])
    except UserError as error:
        print(f"warning: {error}", flush=True)


def _state(step, best_accuracy, best_weights, so_far):
    """Arrays and facts for a checkpoint."""
    values = [keras.ops.convert_to_numpy(variable) for variable in step.variables()]
    states = backend.random_states()
    facts = {"variables": len(values), "states": len(states), "so_far": dataclasses.asdict(so_far)}
    return [*values, *states, *(best_weights or [])], {"best_accuracy": best_accuracy, **facts}


def _restore(step, arrays, facts):
    """Sets what `_state` took; returns the best accuracy, the best weights and how far the next epoch has come."""
    values, rest = arrays[: facts["variables"]], arrays[facts["variables"] :]
    for variable, value in zip(step.variables(), values, strict=True):
        variable.assign(value)
    backend.set_random_states(rest[: facts["states"]])
    return facts["best_accuracy"], rest[facts["states"] :] or None, _Epoch(**facts["so_far"])


def _validate(compiled, validation, look):
    """Loss and accuracy on the validation part."""
    found = compiled.scores(validation.x, look)
    return {
        "val_loss": float(compiled.objective.loss(validation.y, found)),
        "val_accuracy": float(np.mean(np.argmax(found, -1) == validation.y)),
    }
