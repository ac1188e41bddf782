"""Learning-rate schedules that a recipe's row may name. All but `Plateau` are pure functions of the step.

A step is a batch, also where an optimizer accumulates the gradients of several batches: Keras counts so.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from .. import UserError
from ..models.allowlist import first_line
from ..settings.target_rows import check_target_row, list_parameters, locate_error, read_arguments
from ..settings.user_classes import find_user_classes

METRICS = ("val_accuracy", "val_loss", "train_accuracy", "train_loss")
_KERAS = keras.optimizers.schedules


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """Base class of schedules over a training of known length.

    Args:
        learning_rate: the run's rate, which is the highest.
        total_steps: number of steps of the training.
        steps_per_epoch: number of steps of an epoch.

    Attributes:
        warmup: share of the training in which the rate rises.
    """

    warmup = 0.0

    def __init__(self, learning_rate: float, total_steps: int, steps_per_epoch: int):
        self.learning_rate = float(learning_rate)
        self.total_steps = total_steps
        self.steps_per_epoch = steps_per_epoch

    def __call__(self, step: Any) -> Any:
        return self.learning_rate * ops.cast(self.compute_factor(ops.cast(step, "float32")), "float32")

    def compute_factor(self, step: Any) -> Any:
        """Return the share of the run's rate at a step, a float32 tensor."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in list_parameters(type(self))}


@keras.saving.register_keras_serializable(package="convzoo")
class Constant(Schedule):
    """One rate throughout.

    Example:
        >>> float(Constant(0.5, total_steps=20, steps_per_epoch=10)(7))
        0.5
    """

    def compute_factor(self, step: Any) -> Any:
        return ops.ones_like(step)


@keras.saving.register_keras_serializable(package="convzoo")
class Steps(Schedule):
    """The rate times `factor` at each epoch of `boundaries`.

    Args:
        *args: as of `Schedule`.
        boundaries: rising numbers of epochs, above 0.
        factor: above 0; default 0.1.
        **kwargs: as of `Schedule`.

    Example:
        >>> float(Steps(0.5, total_steps=20, steps_per_epoch=10, boundaries=[1], factor=0.5)(10))
        0.25
    """

    def __init__(self, *args: Any, boundaries: Sequence[float], factor: float = 0.1, **kwargs: Any):
        super().__init__(*args, **kwargs)
        is_list = isinstance(boundaries, list | tuple) and all(isinstance(each, int | float) for each in boundaries)
        if not is_list or not boundaries or boundaries[0] <= 0 or list(boundaries) != sorted(set(boundaries)):
            raise ValueError(f"`boundaries` must be a list of rising epochs above 0. Received: {boundaries!r}")
        _check_range("factor", factor, factor > 0, "above 0")
        self.boundaries = list(boundaries)
        self.factor = factor
        # The last step before each boundary; and rates as by a division, which has no error for a tenth.
        steps = [round(epoch * self.steps_per_epoch) - 1 for epoch in boundaries]
        rates = [self.learning_rate / (1 / factor) ** n for n in range(len(boundaries) + 1)]
        self._pieces = _KERAS.PiecewiseConstantDecay(steps, rates)

    def __call__(self, step: Any) -> Any:
        return self._pieces(step)


@keras.saving.register_keras_serializable(package="convzoo")
class Linear(Schedule):
    """A line up to the rate over the first `warmup` of the training, then a line down to its end.

    Args:
        *args: as of `Schedule`.
        warmup: share of the training, below 1; default 0.
        initial: share of the rate at the start of a warm-up; default 0.
        final: share of the rate at the end; default 0.
        **kwargs: as of `Schedule`.

    Example:
        >>> float(Linear(0.5, total_steps=20, steps_per_epoch=10)(10))
        0.25
    """

    def __init__(self, *args: Any, warmup: float = 0.0, initial: float = 0.0, final: float = 0.0, **kwargs: Any):
        super().__init__(*args, **kwargs)
        _check_shares(warmup, initial=initial, final=final)
        self.warmup = warmup
        self.initial = initial
        self.final = final

    def compute_factor(self, step: Any) -> Any:
        warmup_steps = int(self.total_steps * self.warmup)
        rise = self.initial + (1 - self.initial) * step / max(warmup_steps, 1)
        fall = self.final + (1 - self.final) * (self.total_steps - step) / (self.total_steps - warmup_steps)
        return ops.minimum(rise if warmup_steps else 1.0, fall)


@keras.saving.register_keras_serializable(package="convzoo")
class Triangle(Linear):
    """airbench's line up from a fifth of the rate and down to 7 % of it: a `Linear` with other defaults.

    Args:
        *args: as of `Linear`.
        warmup: default 0.23.
        initial: default 0.2.
        final: default 0.07.
        **kwargs: as of `Linear`.

    Reference:
        Jordan, 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, 2024 (arXiv 2404.00498).

    Example:
        >>> round(float(Triangle(0.5, total_steps=100, steps_per_epoch=10)(0)), 6)
        0.1
    """

    def __init__(self, *args: Any, warmup: float = 0.23, initial: float = 0.2, final: float = 0.07, **kwargs: Any):
        super().__init__(*args, warmup=warmup, initial=initial, final=final, **kwargs)


@keras.saving.register_keras_serializable(package="convzoo")
class WarmupCosine(Schedule):
    """A line up from 0 over the first `warmup` of the training, then half a cosine down, once or more.

    Args:
        *args: as of `Schedule`.
        warmup: share of the training, below 1; default 0.
        final: share of the rate at the end of each cosine; default 0.
        restarts: number of returns to the rate, after equal parts of the steps behind the warm-up; default 0.
        **kwargs: as of `Schedule`.

    Reference:
        Loshchilov & Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, 2016 (arXiv 1608.03983).

    Example:
        >>> [round(float(WarmupCosine(0.5, 20, 10, warmup=0.5)(step)), 4) for step in (0, 5, 10, 15)]
        [0.0, 0.25, 0.5, 0.25]
    """

    def __init__(self, *args: Any, warmup: float = 0.0, final: float = 0.0, restarts: int = 0, **kwargs: Any):
        super().__init__(*args, **kwargs)
        _check_shares(warmup, final=final)
        _check_range("restarts", restarts, isinstance(restarts, int) and restarts >= 0, "a whole number, at least 0")
        self.warmup = warmup
        self.final = final
        self.restarts = restarts
        self._warmup_steps = min(int(self.total_steps * warmup), self.total_steps - 1)
        self._cosine_steps = (self.total_steps - self._warmup_steps) / (restarts + 1)
        self._cosine = _KERAS.CosineDecay(
            0.0 if self._warmup_steps else self.learning_rate,
            self._cosine_steps if restarts else self.total_steps - self._warmup_steps,
            alpha=final,
            warmup_target=self.learning_rate if self._warmup_steps else None,
            warmup_steps=self._warmup_steps,
        )

    def __call__(self, step: Any) -> Any:
        return self._cosine(self._fold(ops.cast(step, "float32")) if self.restarts else step)

    def _fold(self, step: Any) -> Any:
        """Return the step of the first cosine that has the rate of a step of any."""
        behind = ops.maximum(step - self._warmup_steps, 0.0)
        number = ops.minimum(ops.floor(behind / self._cosine_steps), float(self.restarts))
        return step - number * self._cosine_steps


@keras.saving.register_keras_serializable(package="convzoo")
class OneCycle(Schedule):
    """Half a cosine up to the rate over the first `warmup` of the training, then half a cosine down.

    Momentum stays as the optimizer has it.

    Args:
        *args: as of `Schedule`.
        warmup: share of the training, below 1; default 0.3.
        initial: share of the rate at the start; default 0.04.
        final: share of the rate at the end; default 4e-6.
        **kwargs: as of `Schedule`.

    Reference:
        Smith & Topin, Super-Convergence, 2017 (arXiv 1708.07120), with the form and the numbers of torch's OneCycleLR.

    Example:
        >>> [round(float(OneCycle(0.5, 100, 10)(step)), 4) for step in (0, 15, 30, 65)]
        [0.02, 0.26, 0.5, 0.25]
    """

    def __init__(self, *args: Any, warmup: float = 0.3, initial: float = 0.04, final: float = 4e-6, **kwargs: Any):
        super().__init__(*args, **kwargs)
        _check_shares(warmup, initial=initial, final=final)
        self.warmup = warmup
        self.initial = initial
        self.final = final

    def compute_factor(self, step: Any) -> Any:
        warmup_steps = self.total_steps * self.warmup
        rise = _interpolate(self.initial, 1.0, step / max(warmup_steps, 1))
        fall = _interpolate(1.0, self.final, (step - warmup_steps) / (self.total_steps - warmup_steps))
        return ops.where(step < warmup_steps, rise, fall)


@keras.saving.register_keras_serializable(package="convzoo")
class Polynomial(Schedule):
    """A power of the share of the training that is left, from the rate down to `final` of it.

    Args:
        *args: as of `Schedule`.
        power: above 0; default 1, a line.
        final: share of the rate at the end; default 0.
        **kwargs: as of `Schedule`.

    Example:
        >>> float(Polynomial(0.5, total_steps=20, steps_per_epoch=10, power=2.0)(10))
        0.125
    """

    def __init__(self, *args: Any, power: float = 1.0, final: float = 0.0, **kwargs: Any):
        super().__init__(*args, **kwargs)
        _check_range("power", power, power > 0, "above 0")
        _check_shares(final=final)
        self.power = power
        self.final = final

    def compute_factor(self, step: Any) -> Any:
        left = 1 - ops.minimum(step / self.total_steps, 1.0)
        return self.final + (1 - self.final) * left**self.power


@keras.saving.register_keras_serializable(package="convzoo")
class Inverse(Schedule):
    """The rate times (1 + `gamma` · step)^−`power`: Caffe's `inv`, by default with the constants of its LeNet.

    Args:
        *args: as of `Schedule`.
        gamma: at least 0; default 0.0001.
        power: at least 0; default 0.75.
        **kwargs: as of `Schedule`.

    Example:
        >>> round(float(Inverse(0.01, total_steps=10_000, steps_per_epoch=1000)(10_000)), 6)
        0.005946
    """

    def __init__(self, *args: Any, gamma: float = 1e-4, power: float = 0.75, **kwargs: Any):
        super().__init__(*args, **kwargs)
        _check_range("gamma", gamma, gamma >= 0, "at least 0")
        _check_range("power", power, power >= 0, "at least 0")
        self.gamma = gamma
        self.power = power

    def compute_factor(self, step: Any) -> Any:
        return (1.0 + self.gamma * step) ** -self.power


@keras.saving.register_keras_serializable(package="convzoo")
class Exponential(Schedule):
    """The rate times `factor` after every `epochs` epochs, at once.

    Args:
        *args: as of `Schedule`.
        factor: above 0 and at most 1; default 0.94.
        epochs: number of epochs, above 0; default 2.
        **kwargs: as of `Schedule`.

    Reference:
        Szegedy et al., Rethinking the Inception Architecture for Computer Vision, 2015 (arXiv 1512.00567), section 8.

    Example:
        >>> round(float(Exponential(0.5, total_steps=40, steps_per_epoch=10)(25)), 6)
        0.47
    """

    def __init__(self, *args: Any, factor: float = 0.94, epochs: float = 2.0, **kwargs: Any):
        super().__init__(*args, **kwargs)
        _check_range("factor", factor, 0 < factor <= 1, "above 0 and at most 1")
        _check_range("epochs", epochs, epochs > 0, "above 0")
        self.factor = factor
        self.epochs = epochs

    def compute_factor(self, step: Any) -> Any:
        return self.factor ** ops.floor(step / (self.epochs * self.steps_per_epoch))


class Plateau:
    """The rate times `factor` whenever a metric has not improved for `patience` epochs.

    It is a pure function of the metrics of the epochs. `Trainer` sets the rate before each epoch.

    Args:
        learning_rate: the run's rate.
        total_steps, steps_per_epoch: as of `Schedule`.
        factor: above 0 and below 1; default 0.1.
        patience: number of epochs, at least 1; default 5.
        metric: name in the history; default "val_accuracy", which needs validation images.
        min_delta: least change that is an improvement; default 0.

    Example:
        >>> schedule = Plateau(0.5, total_steps=30, steps_per_epoch=10, patience=2)
        >>> schedule.compute_rate([{"val_accuracy": 0.7}, {"val_accuracy": 0.6}, {"val_accuracy": 0.7}])
        0.05
    """

    warmup = 0.0

    def __init__(
        self,
        learning_rate: float,
        total_steps: int,
        steps_per_epoch: int,
        *,
        factor: float = 0.1,
        patience: int = 5,
        metric: str = "val_accuracy",
        min_delta: float = 0.0,
    ):
        _check_range("factor", factor, 0 < factor < 1, "above 0 and below 1")
        _check_range("patience", patience, isinstance(patience, int) and patience >= 1, "a whole number above 0")
        _check_range("metric", metric, metric in METRICS, f"one of {', '.join(METRICS)}")
        _check_range("min_delta", min_delta, min_delta >= 0, "at least 0")
        self.learning_rate = float(learning_rate)
        self.total_steps = total_steps
        self.steps_per_epoch = steps_per_epoch
        self.factor = factor
        self.patience = patience
        self.metric = metric
        self.min_delta = min_delta

    def compute_rate(self, history: Sequence[Mapping[str, float]]) -> float:
        """Return the rate of the epoch after these."""
        stalls = _count_stalls(history, self.metric, self.min_delta)
        return self.learning_rate * self.factor ** sum(epochs // self.patience for epochs in stalls)


def is_over_patience(
    history: Sequence[Mapping[str, float]], patience: int, min_delta: float = 0.0, metric: str = "val_accuracy"
) -> bool:
    """Return whether a metric has not improved for some epochs, as early stopping asks.

    Args:
        history: metrics of all epochs.
        patience: number of epochs.
        min_delta: least change that is an improvement; default 0.
        metric: name in the history; default "val_accuracy".

    Example:
        >>> is_over_patience([{"val_accuracy": 0.7}, {"val_accuracy": 0.6}], patience=1)
        True
    """
    return _count_stalls(history, metric, min_delta)[-1] >= patience


_OWN = (Constant, Exponential, Inverse, Linear, OneCycle, Plateau, Polynomial, Steps, Triangle, WarmupCosine)
SCHEDULES: dict[str, type] = {
    **{f"convzoo.training.{each.__name__}": each for each in _OWN},
    **{
        f"keras.optimizers.schedules.{name}": getattr(_KERAS, name)
        for name in """
        CosineDecay CosineDecayRestarts ExponentialDecay InverseTimeDecay PiecewiseConstantDecay PolynomialDecay
        """.split()
    },
}
_HIDDEN = ("learning_rate", "total_steps", "steps_per_epoch", "name")


def _find_classes() -> dict[str, Any]:
    return {**SCHEDULES, **find_user_classes(keras.optimizers.schedules.LearningRateSchedule)}


def make_schedule(
    row: Mapping[str, Any], learning_rate: float, epochs: int, steps_per_epoch: int
) -> keras.optimizers.schedules.LearningRateSchedule | Plateau:
    """Return the schedule of a checked row.

    Args:
        row: `_target_`, one of `SCHEDULES`, and its arguments. A schedule of Keras has the run's rate for its
            `initial_learning_rate` unless the row states one, and its lengths are in steps.
        learning_rate: the run's rate.
        epochs: number of epochs.
        steps_per_epoch: number of steps of an epoch.

    Example:
        >>> row = {"_target_": "convzoo.training.Steps", "boundaries": [1]}
        >>> round(float(make_schedule(row, 0.5, epochs=2, steps_per_epoch=10)(15)), 6)
        0.05
    """
    schedule_class = _find_classes()[row["_target_"]]
    arguments = read_arguments(row, schedule_class)
    parameters = list_parameters(schedule_class)
    if "total_steps" in parameters:
        return schedule_class(learning_rate, epochs * steps_per_epoch, steps_per_epoch, **arguments)
    # Keras takes the dtype of a rate from its numbers.
    if "initial_learning_rate" in parameters:
        arguments["initial_learning_rate"] = float(arguments.get("initial_learning_rate", learning_rate))
    if "values" in parameters:
        arguments["values"] = [float(value) for value in arguments["values"]]
    return schedule_class(**arguments)


def check_schedule(row: Mapping[str, Any]) -> None:
    """Refuse a row of a schedule whose class or arguments do not exist, or whose values its constructor refuses.

    Args:
        row: as for `make_schedule`.

    Raises:
        UserError: naming the key below `recipe.schedule`.
    """
    check_target_row(row, "recipe.schedule", _find_classes(), _HIDDEN, optional=["initial_learning_rate"])
    try:
        schedule = make_schedule(row, 0.1, epochs=10, steps_per_epoch=10)
        if not isinstance(schedule, Plateau):
            schedule(0)
    except Exception as error:
        raise UserError(f"`{locate_error(error, row, 'recipe.schedule')}`: {first_line(error)}") from error


def _interpolate(start: float, end: float, share: Any) -> Any:
    """Return half a cosine from one value to another."""
    share = ops.clip(share, 0.0, 1.0)
    return end + (start - end) * 0.5 * (1 + ops.cos(math.pi * share))


def _count_stalls(history: Sequence[Mapping[str, float]], metric: str, min_delta: float) -> list[int]:
    """Return the number of epochs without an improvement after each epoch that improved a metric, and before them."""
    stalls = [0]
    best = -math.inf
    for metrics in history:
        value = -metrics[metric] if metric.endswith("loss") else metrics[metric]
        if value > best + min_delta:
            best = value
            stalls.append(0)
        else:
            stalls[-1] += 1
    return stalls


def _check_shares(warmup: float = 0.0, **shares: float) -> None:
    _check_range("warmup", warmup, 0 <= warmup < 1, "from 0 to below 1")
    for name, share in shares.items():
        _check_range(name, share, 0 <= share <= 1, "from 0 to 1")


def _check_range(name: str, value: object, is_valid: bool, rule: str) -> None:
    if not is_valid:
        raise ValueError(f"`{name}` must be {rule}. Received: {value!r}")
