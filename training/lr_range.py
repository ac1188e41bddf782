"""The learning-rate range test: training steps at rising learning rates."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import UserError

STEPS = 200
_SPAN = 1e5  # from a thousandth of the recipe's rate to a hundred times it
_SMOOTHING = 0.9
_DIVERGED = 4.0  # times the lowest mean loss


@dataclass(frozen=True)
class RateRange:
    """The outcome of a range test.

    Attributes:
        rates: learning rate of each step.
        losses: training loss of each step, before its update.
        smoothed: running mean of the losses, without the bias of its start.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]

    @property
    def suggested(self) -> float | None:
        """A tenth of the rate at which the running mean is lowest; None if it never falls.

        Reference:
            Smith, Cyclical learning rates for training neural networks, 2015 (arXiv 1506.01186), section 3.3, tests
            the rates so. The tenth is a rule of thumb, as in fastai's `lr_find`.
        """
        lowest = int(np.argmin(self.smoothed))
        return self.rates[lowest] / 10 if lowest else None


def learning_rates(learning_rate: float, steps: int = STEPS) -> list[float]:
    """Return rising rates, in equal ratios, around a rate.

    Args:
        learning_rate: of the recipe.
        steps: number of rates.

    Example:
        >>> rates = learning_rates(0.1)
        >>> len(rates), rates[0], round(rates[-1], 6)
        (200, 0.0001, 10.0)
    """
    lowest = learning_rate / 1000
    return [lowest * _SPAN ** (step / (steps - 1)) for step in range(steps)]


def run_range_test(losses: Iterator[float], rates: Sequence[float]) -> RateRange:
    """Collect losses until they diverge.

    Args:
        losses: of one training step at each rate. A `UserError`, of a loss that is not finite, ends the test.
        rates: learning rates.

    Raises:
        UserError: the first loss is not finite.
    """
    mean = 0.0
    finite_losses: list[float] = []
    smoothed: list[float] = []
    for number in range(1, len(rates) + 1):
        try:
            loss = next(losses)
        except UserError:
            if not finite_losses:
                raise
            break
        finite_losses.append(loss)
        mean = _SMOOTHING * mean + (1 - _SMOOTHING) * loss
        smoothed.append(mean / (1 - _SMOOTHING**number))
        if smoothed[-1] > _DIVERGED * min(smoothed):
            break
    return RateRange(tuple(rates[: len(finite_losses)]), tuple(finite_losses), tuple(smoothed))


def make_range_schedule(rates: Sequence[float]) -> Any:
    """Return a Keras schedule that takes one of `learning_rates` at each step."""
    import keras

    return keras.optimizers.schedules.ExponentialDecay(rates[0], len(rates) - 1, _SPAN)
