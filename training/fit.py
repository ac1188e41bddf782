"""The fit: batches by decision, a line an epoch, the last or the best weights."""

import time

import keras
import numpy as np

from ..models.objective import make
from . import backend
from .optimizer import make_optimizer, make_schedule
from .progress import Progress
from .step import SmoothedCrossentropy, Step

_BATCH = 1000  # images at a time where nothing is learned


def fit(
    model,
    batches,
    validation,
    recipe,
    *,
    learning_rate,
    epochs,
    objective=None,
    select="last",
    checkpoints=None,
    on_step=lambda: None,
    on_epoch=lambda e, m: None,
):
    """Trains a model from pictures to class scores, or goes on with what `checkpoints` hold.

    A training that goes on ends with the very weights of one that was never stopped.

    Args:
        model: it takes the uint8 pictures of `batches`; trained in place.
        batches: `convzoo.data.stream.Batches` of the training part.
        validation: the validation part, with `x` and `y`; None trains without one.
        recipe: mapping, as `make_schedule` and `make_optimizer` take it.
        learning_rate: the schedule's highest rate.
        epochs: passes over the batches.
        objective: `convzoo.models.objective.Objective`; None is the cross-entropy of the scores.
        select: "last" keeps the last epoch's weights, "best" those of the highest validation accuracy, the earliest
            of equals.
        checkpoints: `convzoo.training.checkpoint.Checkpoints`, entered, or None.
        on_step: called after every step.
        on_epoch: called with the epoch's number, from 1, and its metrics; at once for those that were done before.

    Returns:
        The metrics of all epochs, a list of mappings.
    """
    schedule, smoothing = make_schedule(recipe, learning_rate, epochs, batches.steps), recipe.get("label_smoothing")
    objective = objective or make(model)
    learned = objective._replace(loss=SmoothedCrossentropy(smoothing)) if smoothing else objective
    learn, judge = Step(model, learned, make_optimizer(recipe, schedule)), _judge(model, objective.loss)
    sizes = recipe.get("sizes") or [1]
    best_accuracy, best_weights = -1.0, None
    history = checkpoints.history if checkpoints else []
    if held := checkpoints and checkpoints.read():
        best_accuracy, best_weights = _restore(learn, *held)
        print(f"going on after epoch {len(history)}", flush=True)
    for epoch, metrics in enumerate(history, 1):
        on_epoch(epoch, metrics)
    progress = Progress(epochs, batches.steps, batches.batch_size, before=len(history))
    for epoch in range(len(history), epochs):
        size = sizes[epoch * len(sizes) // epochs]
        progress.begin_epoch(epoch)
        loss = accuracy = 0.0
        for step, (x, y) in enumerate(batches.epoch(epoch), 1):
            batch_loss, batch_accuracy = learn(shrunk(x, size), y)
            loss += (batch_loss - loss) / step  # all batches are of one size
            accuracy += (batch_accuracy - accuracy) / step
            progress.step(step, accuracy)
            on_step()
        learn.synchronize()
        metrics = {
            "train_loss": loss,
            "train_accuracy": accuracy,
            "learning_rate": float(schedule((epoch + 1) * batches.steps - 1)),  # of the epoch's last step
            "images_per_second": progress.images_per_second(),
        }
        with learn.averaged():
            if validation is not None:
                states = backend.random_states()
                held_out = judge.evaluate(validation.x, validation.y, batch_size=_BATCH, verbose=0, return_dict=True)
                backend.set_random_states(states)  # torch draws when a model is built by its first look
                metrics.update({f"val_{name}": float(held_out[name]) for name in ("loss", "accuracy")})
            if select == "best" and metrics["val_accuracy"] > best_accuracy:
                best_accuracy = metrics["val_accuracy"]
                best_weights = [weight.copy() for weight in model.get_weights()]  # torch's are the weights themselves
        metrics["epoch_seconds"] = progress.end_epoch(metrics)
        history.append(metrics)
        if checkpoints and (checkpoints.due() or epoch + 1 == epochs):
            checkpoints.write(*_state(learn, best_accuracy, best_weights))
        on_epoch(epoch + 1, metrics)
    learn.optimizer.finalize_variable_values(learn.model.trainable_variables)
    if select == "best":
        model.set_weights(best_weights)
    return history


def speed(model, recipe, batch_size, objective=None, seconds=2.0, clock=time.perf_counter):
    """Images a second in training, by a try of some steps on noise; the first, which compiles, does not count.

    Args:
        model: it takes float pictures; its weights change.
        recipe, batch_size, objective: as for `fit`.
        seconds: after so many it ends, or after 50 steps.
        clock: seconds, for tests.
    """
    learn = Step(model, objective or make(model), make_optimizer(recipe, 1e-3))
    x = np.random.default_rng(0).normal(size=(batch_size, *model.input_shape[1:])).astype("float32")
    y = np.arange(batch_size) % model.output_shape[-1]
    learn(x, y)
    begun, steps, passed = clock(), 0, 0.0
    while steps < 50 and passed < seconds:
        learn(x, y)
        steps, passed = steps + 1, clock() - begun
    return steps * batch_size / passed


def shrunk(images, part):
    """uint8 images with sides that are a part of what they were, by bilinear weights as wide as a new pixel."""
    if part == 1:
        return images
    size = [round(side * part) for side in images.shape[1:3]]
    smaller = keras.ops.image.resize(keras.ops.cast(images, "float32"), size, antialias=True)
    return keras.ops.cast(keras.ops.round(smaller), "uint8")


def seconds(history):
    """What the epochs of a `fit` took, without the time between two goes."""
    return sum(metrics["epoch_seconds"] for metrics in history)


def _state(learn, best_accuracy, best_weights):
    """Arrays and facts for a checkpoint."""
    values = [keras.ops.convert_to_numpy(variable) for variable in learn.variables()]
    states = backend.random_states()
    counts = {"variables": len(values), "states": len(states)}
    return [*values, *states, *(best_weights or [])], {"best_accuracy": best_accuracy, **counts}


def _restore(learn, arrays, facts):
    """Sets what `_state` took; returns the best accuracy and the best weights."""
    values, rest = arrays[: facts["variables"]], arrays[facts["variables"] :]
    for variable, value in zip(learn.variables(), values, strict=True):
        variable.assign(value)
    backend.set_random_states(rest[: facts["states"]])
    return facts["best_accuracy"], rest[facts["states"] :] or None


def _judge(model, loss):
    """A second model over the same layers, for `evaluate`: what is saved knows nothing of it."""
    judge = keras.Model(model.input, model.output)
    accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    judge.compile(loss=loss, metrics=[accuracy], jit_compile=keras.backend.backend() == "jax")
    return judge


def scores(model, images):
    """Class scores of images, shape (n, classes)."""
    return model.predict(images, batch_size=_BATCH, verbose=0)
