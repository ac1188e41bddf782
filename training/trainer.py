"""The trainer: epochs of augmented batches, validation, checkpoints, and the weights of the last or the best epoch."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import pydantic

from .. import UserError
from ..data import Split
from ..data.batches import Batches
from ..models.objective import Objective, make_objective
from ..settings.schema import Schema
from . import backend
from .checkpoint import Checkpoints, Facts
from .compiled import CompiledModel
from .diagnosis import check_metrics_finite, check_weights_finite, find_dead_layer
from .finetuning import FineTuning
from .learning_check import Baseline, LearningCheck, LearningState, TrainingLength
from .optimizers import make_optimizer
from .predictor import Predictor
from .progress import Progress
from .schedules import Plateau, is_over_patience, make_schedule
from .steps import make_train_step
from .steps.base import TrainStep
from .steps_per_execution import AdaptiveStepsPerExecution

_SPEED_SECONDS = 2.0
_SPEED_STEPS = 50
_MIXED_STEPS = 1000  # whose labels tell how much they are mixed


@dataclasses.dataclass(frozen=True)
class TrainerSettings:
    """Settings of a `Trainer`.

    Attributes:
        recipe: mapping, as `make_schedule` and `make_optimizer` take it.
        learning_rate: the schedule's highest rate.
        epochs: number of passes over the batches.
        select: "last" (default) keeps the weights of the last epoch; "best" keeps those of the highest validation
            accuracy, the earliest of equals.
        finetuning: the layers that each epoch trains; default None: all.
    """

    recipe: Mapping[str, Any]
    learning_rate: float
    epochs: int
    select: str = "last"
    finetuning: FineTuning | None = None


@dataclasses.dataclass
class TrainerCallbacks:
    """Objects and functions that a `Trainer` calls.

    Attributes:
        on_step: called after each call of the backend, which runs one or more steps, and between two batches of
            validation. If it raises a KeyboardInterrupt, the training stops there, after a checkpoint.
        on_epoch: called with the epoch's number, from 1, and its metrics; at once for epochs that were done before.
        checkpoints: `Checkpoints` within their context; None writes none.
        learning_check: a new `LearningCheck`, which may stop the training early; None checks nothing.
        evaluate: called with labels (n,) and class scores (n, classes) of the validation part; returns further metrics.
    """

    on_step: Callable[[], object] = lambda: None
    on_epoch: Callable[[int, dict[str, float]], object] = lambda epoch, metrics: None
    checkpoints: Checkpoints | None = None
    learning_check: LearningCheck | None = None
    evaluate: Callable[[np.ndarray, np.ndarray], Mapping[str, float]] = lambda labels, scores: {}


class EpochState(Schema):
    """State of the current epoch; a checkpoint holds it.

    Attributes:
        steps: number of steps that are done.
        calls: number of calls of the backend that ran them.
        loss: mean loss of the steps.
        accuracy: mean accuracy of the steps.
        seconds: time of the epoch before the training was resumed.
        images_per_second: rate of the training steps.
    """

    steps: pydantic.NonNegativeInt = 0
    calls: pydantic.NonNegativeInt = 0
    loss: float = 0.0
    accuracy: float = 0.0
    seconds: float = 0.0
    images_per_second: float = 0.0

    def add(self, step_metrics: Sequence[tuple[float, float]]) -> None:
        """Add the steps of a call, by their loss and accuracy; all batches have one size."""
        self.calls += 1
        for loss, accuracy in step_metrics:
            self.steps += 1
            self.loss += (loss - self.loss) / self.steps
            self.accuracy += (accuracy - self.accuracy) / self.steps

    def metrics(self) -> dict[str, float]:
        """Return the metrics of the training steps."""
        return {
            "train_loss": self.loss,
            "train_accuracy": self.accuracy,
            "images_per_second": self.images_per_second,
            "steps_per_execution": self.steps / self.calls,
        }


class _TrainingFacts(Facts):
    """Facts of a checkpoint of a `Trainer`.

    Attributes:
        variables: number of arrays that are values of variables.
        states: number of arrays that are random states; the rest are the best weights.
        best_accuracy: highest validation accuracy so far; -1 before the first.
        so_far: state of the current epoch.
        learning: state of the learning check.
    """

    variables: pydantic.NonNegativeInt
    states: pydantic.NonNegativeInt
    best_accuracy: float
    so_far: EpochState
    learning: LearningState


class Trainer:
    """Trains a model from images to class scores. A resumed training gives the same weights, bit by bit.

    An optimizer may average the weights, as with `use_ema`. The averages are validated, and are the model's weights at
    the end; the training itself goes on with the weights that it has.

    Args:
        compiled_model: a `CompiledModel`; its model takes the uint8 images of `batches`, and is trained in place.
        batches: `Batches` of the training part.
        validation: the validation part; None trains without one.
        settings: settings of the training.
        callbacks: default None: no callbacks, no checkpoints.

    Attributes:
        history: metrics of the epochs, one mapping per epoch.
        steps_per_execution: number of steps of a call of the backend; it does not change results.

    Example:
        trainer = Trainer(CompiledModel(model), batches, validation, TrainerSettings(recipe, 0.02, epochs=10))
        history = trainer.fit()
        print(history[-1]["val_accuracy"])
    """

    def __init__(
        self,
        compiled_model: CompiledModel,
        batches: Batches,
        validation: Split | None,
        settings: TrainerSettings,
        callbacks: TrainerCallbacks | None = None,
    ):
        self.compiled_model = compiled_model
        self.batches = batches
        self.validation = validation
        self.settings = settings
        self.callbacks = callbacks or TrainerCallbacks()
        self.steps_per_execution = AdaptiveStepsPerExecution()
        recipe = settings.recipe
        self.step: TrainStep
        self._first_epoch = 0  # of those that `step` trains
        self._begin_phase(0)
        metric = self.schedule.metric if isinstance(self.schedule, Plateau) else ""
        if metric.startswith("val_") and validation is None:
            raise UserError(f"`recipe.schedule.metric={metric}` needs validation images, and there are none")
        checkpoints = self.callbacks.checkpoints
        self.history: list[dict[str, float]] = checkpoints.history if checkpoints else []
        self._image_scales = recipe.get("image_scales") or [1]
        self._compiled_scales: set[float] = set()
        self._epoch_state = EpochState()
        self._best_accuracy = -1.0
        self._best_weights: list[np.ndarray] | None = None
        self._can_resume_here = False  # whether the last interrupt came between two steps

    def fit(self) -> list[dict[str, float]]:
        """Train, from the checkpoint if there is one.

        Returns:
            The metrics of all epochs, one mapping per epoch.

        Raises:
            UserError: a loss, or a weight after the last update, is not finite.
        """
        self._restore()
        for epoch, metrics in enumerate(self.history, 1):
            self.callbacks.on_epoch(epoch, metrics)
        epochs = self.settings.epochs
        length = TrainingLength(epochs, self.batches.steps)
        progress = Progress(length, self.batches.batch_size, epochs_done=len(self.history))
        for epoch in range(len(self.history), epochs):
            if self._is_stopped():
                break
            if isinstance(self.schedule, Plateau):
                self.step.set_learning_rate(self.schedule.compute_rate(self.history))
            self._end_epoch(epoch, self._run_epoch(epoch, progress))
        self._select_best()
        return self.history

    def _begin_phase(self, epoch: int) -> None:
        """Make the step for an epoch and those after it that train the same layers, with a schedule of their own."""
        recipe, tuning, last = self.settings.recipe, self.settings.finetuning, self.settings.epochs
        if tuning:
            tuning.set_trainable(self.compiled_model.model, epoch)
            self.compiled_model.predict = Predictor(self.compiled_model.model)  # JAX's knows what is trainable
            if epoch < tuning.head_epochs:
                last = tuning.head_epochs
        self._first_epoch = epoch
        epochs = last - epoch
        self.schedule = make_schedule(recipe["schedule"], self.settings.learning_rate, epochs, self.batches.steps)
        factor = tuning.rate_factor if tuning and tuning.body_rate != 1 else None
        optimizer = make_optimizer(recipe, self.schedule, epochs * self.batches.steps, factor)
        self.step = self.compiled_model.make_step(optimizer, recipe.get("label_smoothing"))

    def _change_phase(self, epoch: int) -> None:
        """Begin the phase of an epoch, if that is another one."""
        tuning = self.settings.finetuning
        if tuning and tuning.first_epoch_of_phase(epoch) != self._first_epoch:
            self.step.set_averaged_weights()
            self._begin_phase(tuning.first_epoch_of_phase(epoch))

    def _run_epoch(self, epoch: int, progress: Progress) -> dict[str, float]:
        """Train and validate for an epoch, or for the rest of it; return its metrics."""
        scale = self._image_scales[epoch * len(self._image_scales) // self.settings.epochs]
        state = self._epoch_state
        progress.begin_epoch(epoch, state.steps, compiles=scale not in self._compiled_scales)
        self._compiled_scales.add(scale)
        try:
            self._train(epoch, scale, progress)
            metrics = {**state.metrics(), "learning_rate": self._learning_rate(epoch)}
            with self.step.averaged_weights():
                if self.validation is not None:
                    metrics.update(self._validate(self.validation))
                check_metrics_finite(metrics)
                self._record_best(metrics)
        except KeyboardInterrupt:
            self._save_on_interrupt(progress)
            raise
        metrics["epoch_seconds"] = state.seconds + progress.end_epoch(metrics)
        return metrics

    def _learning_rate(self, epoch: int) -> float:
        """Return the rate of the last step of an epoch."""
        if isinstance(self.schedule, Plateau):
            return self.schedule.compute_rate(self.history)
        return float(self.schedule((epoch + 1 - self._first_epoch) * self.batches.steps - 1))

    def _train(self, epoch: int, scale: float, progress: Progress) -> None:
        """Train on the batches that are left of an epoch."""

        def prepare(batches: list[tuple[np.ndarray, np.ndarray]]) -> tuple[Any, Any]:
            return self.step.stack([(downscale(x, scale), y) for x, y in batches])

        state = self._epoch_state
        for stacked in self.batches.epoch(epoch, state.steps, prepare, lambda: self.steps_per_execution.steps):
            state.add(self.steps_per_execution.run(self.step.train_on_batches, stacked))
            progress.step(state.steps, state.accuracy)
            state.images_per_second = progress.images_per_second()
            self._poll()
        self.step.synchronize()

    def _validate(self, validation: Split) -> dict[str, float]:
        scores = self.compiled_model.predict(validation.x, self._poll)
        return {
            "val_loss": float(self.compiled_model.objective.loss(validation.y, scores)),
            "val_accuracy": float(np.mean(np.argmax(scores, -1) == validation.y)),
            **{f"val_{name}": value for name, value in self.callbacks.evaluate(validation.y, scores).items()},
        }

    def _record_best(self, metrics: Mapping[str, float]) -> None:
        """Copy the weights if `select` asks for the best ones, and these are."""
        if self.settings.select == "best" and metrics["val_accuracy"] > self._best_accuracy:
            self._best_accuracy = metrics["val_accuracy"]
            # Copies, since torch returns the memory of the weights themselves.
            self._best_weights = [weight.copy() for weight in self.compiled_model.model.get_weights()]

    def _poll(self) -> None:
        """Call `on_step`. An interrupt that it raises leaves no step half done, as any other one may."""
        try:
            self.callbacks.on_step()
        except KeyboardInterrupt:
            self._can_resume_here = True
            raise

    def _end_epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        """Record an epoch, check its result, and write a checkpoint if it is due."""
        checkpoints = self.callbacks.checkpoints
        learning_check = self.callbacks.learning_check
        self.history.append(metrics)
        self._epoch_state = EpochState()
        if learning_check:
            learning_check.add_epoch(metrics, self._find_dead_layer)
        is_last = epoch + 1 == self.settings.epochs or self._is_stopped()
        if not is_last:
            self._change_phase(epoch + 1)  # before the checkpoint, which holds the state of the next step
        if self._is_over_patience() and epoch + 1 < self.settings.epochs:
            patience = self.settings.recipe["early_stopping"]["patience"]
            print(f"early stopping: `val_accuracy` has not risen for {patience} epochs", flush=True)
        if is_last:
            check_weights_finite(self.compiled_model.model)
        if checkpoints and (checkpoints.is_due() or is_last):
            checkpoints.write(*self._get_state(), is_last=is_last)
        self.callbacks.on_epoch(epoch + 1, metrics)

    def _select_best(self) -> None:
        """Set the weights that `select` asks for, and finish the learning check with their metrics."""
        result = self.history[-1]
        if self.settings.select == "last":
            self.step.set_averaged_weights()
        else:
            self.compiled_model.model.set_weights(self._best_weights)
            result = max(self.history, key=lambda metrics: metrics["val_accuracy"])
        if self.callbacks.learning_check:
            self.callbacks.learning_check.finish(result, self._find_dead_layer)

    def _is_stopped(self) -> bool:
        """Return whether the training ends before its last epoch."""
        learning_check = self.callbacks.learning_check
        return self._is_over_patience() or bool(learning_check and learning_check.state.stopped)

    def _is_over_patience(self) -> bool:
        early_stopping = self.settings.recipe.get("early_stopping")
        return early_stopping is not None and is_over_patience(self.history, **early_stopping)

    def _find_dead_layer(self) -> str | None:
        return find_dead_layer(self.compiled_model.model, self.batches.split.x)

    def _save_on_interrupt(self, progress: Progress) -> None:
        if self.callbacks.checkpoints and self._can_resume_here:
            self.step.synchronize()
            self._epoch_state.seconds += progress.epoch_seconds()
            self.callbacks.checkpoints.write(*self._get_state(), self._epoch_state.steps)

    def _get_state(self) -> tuple[list[np.ndarray], dict[str, Any]]:
        """Return the arrays and facts of a checkpoint."""
        values = [keras.ops.convert_to_numpy(variable) for variable in self.step.variables()]
        states = backend.get_random_states()
        learning_check = self.callbacks.learning_check
        facts = {
            "best_accuracy": self._best_accuracy,
            "variables": len(values),
            "states": len(states),
            "so_far": self._epoch_state.model_dump(),
            "learning": (learning_check.state if learning_check else LearningState()).model_dump(),
        }
        return [*values, *states, *(self._best_weights or [])], facts

    def _restore(self) -> None:
        """Set the state of the newest checkpoint, if there is one."""
        checkpoint = self.callbacks.checkpoints and self.callbacks.checkpoints.read(_TrainingFacts)
        if not checkpoint:
            return
        facts = checkpoint.facts
        if self.callbacks.learning_check:
            self.callbacks.learning_check.state = facts.learning
        epochs_done = len(self.history)
        is_over = epochs_done == self.settings.epochs or self._is_stopped()
        self._change_phase(epochs_done - is_over)  # the state is that of the next step, or of the last one
        values = checkpoint.arrays[: facts.variables]
        rest = checkpoint.arrays[facts.variables :]
        for variable, value in zip(self.step.variables(), values, strict=True):
            variable.assign(value)
        backend.set_random_states(rest[: facts.states])
        self._best_accuracy = facts.best_accuracy
        self._best_weights = rest[facts.states :] or None
        self._epoch_state = facts.so_far
        print(f"resuming {self._describe_position()}", flush=True)

    def _describe_position(self) -> str:
        epochs_done = len(self.history)
        steps_done = self._epoch_state.steps
        if epochs_done == self.settings.epochs or self._is_stopped():
            return f"after epoch {epochs_done}, the last"
        if steps_done == self.batches.steps:
            return f"from epoch {epochs_done + 1}, validation"
        return f"from epoch {epochs_done + 1}" + (f", step {steps_done + 1}" if steps_done else "")


def make_learning_check(
    compiled_model: CompiledModel, batches: Batches, validation: Split | None, settings: Mapping[str, Any]
) -> LearningCheck:
    """Return the `LearningCheck` of a training.

    Args:
        compiled_model, batches, validation: as for `Trainer`.
        settings: the resolved config; `recipe`, `epochs`, `learning_rate` and `on_stall` are used.
    """
    recipe = settings["recipe"]
    objective = compiled_model.objective
    classes = compiled_model.model.output_shape[-1]
    labels = batches.split.y
    if batches.mixes_labels:
        steps = min(batches.steps, _MIXED_STEPS)
        labels = np.concatenate([batches.labels(0, step) for step in range(steps)])
    baselines = {"train": Baseline.from_labels(labels, classes, recipe["label_smoothing"])}
    if validation is not None:
        baselines["val"] = Baseline.from_labels(validation.y, classes)
    # The training loss of a network with heads or penalties includes theirs.
    has_plain_loss = not (objective.outputs or compiled_model.model.losses)
    loss_part: str | None = "train" if has_plain_loss else "val"
    is_crossentropy = isinstance(objective.loss, keras.losses.SparseCategoricalCrossentropy)
    if not is_crossentropy or loss_part not in baselines:
        loss_part = None
    schedule = make_schedule(recipe["schedule"], settings["learning_rate"], settings["epochs"], batches.steps)
    length = TrainingLength(settings["epochs"], batches.steps, getattr(schedule, "warmup", 0.0))
    return LearningCheck(baselines, length, settings["learning_rate"], loss_part, settings["on_stall"])


def measure_speed(
    model: keras.Model,
    recipe: Mapping[str, Any],
    batch_size: int,
    objective: Objective | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Return the images per second of training, measured for two seconds on noise, without the step that compiles.

    Args:
        model: takes float images; its weights change.
        recipe: as for `make_optimizer`.
        batch_size: images per step.
        objective: the objective of the model; default None is the cross-entropy of the scores.
        clock: returns seconds; default `time.perf_counter`. For tests.
    """
    step = make_train_step(model, objective or make_objective(model), make_optimizer(recipe, 1e-3))
    steps_per_execution = AdaptiveStepsPerExecution(clock=clock)
    x = np.random.default_rng(0).normal(size=(batch_size, *model.input_shape[1:])).astype("float32")
    y = np.arange(batch_size) % model.output_shape[-1]
    step.train_on_batch(x, y)
    start = clock()
    steps = 0
    seconds = 0.0
    while steps < _SPEED_STEPS and seconds < _SPEED_SECONDS:
        stacked = step.stack(steps_per_execution.steps * [(x, y)])
        steps += len(steps_per_execution.run(step.train_on_batches, stacked))
        seconds = clock() - start
    return steps * batch_size / seconds


def downscale(images: np.ndarray, scale: float) -> Any:
    """Resize images by bilinear interpolation with antialiasing.

    Args:
        images: uint8, shape (n, height, width, channels).
        scale: factor of height and width; 1 returns the images themselves.

    Returns:
        A uint8 tensor of shape (n, round(height · scale), round(width · scale), channels).

    Example:
        >>> tuple(downscale(np.zeros((1, 32, 32, 3), "uint8"), 0.75).shape)
        (1, 24, 24, 3)
    """
    if scale == 1:
        return images
    size = [round(side * scale) for side in images.shape[1:3]]
    smaller = keras.ops.image.resize(keras.ops.cast(images, "float32"), size, antialias=True)
    return keras.ops.cast(keras.ops.round(smaller), "uint8")


def summarize(history: Sequence[Mapping[str, float]], select: str = "last") -> dict[str, float]:
    """Return metrics of a whole training.

    Args:
        history: metrics of all epochs, as `Trainer.fit` returns them.
        select: as in `TrainerSettings`; default "last".

    Returns:
        A mapping with `training_seconds`, without the time between an interrupt and a resume; for `select="best"` also
        `best_val_accuracy`.

    Example:
        >>> summarize([{"epoch_seconds": 2.0}, {"epoch_seconds": 3.0}])
        {'training_seconds': 5.0}
    """
    best = {"best_val_accuracy": max(metrics["val_accuracy"] for metrics in history)} if select == "best" else {}
    return {"training_seconds": sum(metrics["epoch_seconds"] for metrics in history), **best}
