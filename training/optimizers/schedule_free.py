"""Schedule-free AdamW."""

from collections.abc import Iterable
from typing import Any

import keras
from keras import ops

from .recipe_mixin import RecipeMixin


class ScheduleFreeAdamW(RecipeMixin, keras.optimizers.ScheduleFreeAdamW):
    """Keras's schedule-free AdamW, whose averages are evaluated, with the same update on every backend.

    Keras 3.15 reads the momentum after its update on TensorFlow and torch, where the paper has the momentum before; and
    its weight decay leaves the momentum as it is, so that little of it lasts. Here both are as in the paper.

    Reference:
        Defazio et al., The Road Less Scheduled, 2024 (arXiv 2405.15682).

    Example:
        >>> optimizer = ScheduleFreeAdamW(0.0025, warmup_steps=100)
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        dtype = variable.dtype
        gradient = ops.cast(gradient, dtype)
        step = ops.cast(self.iterations + 1, dtype)
        rate = ops.cast(self.scale_rate(learning_rate, variable), dtype)
        if self.warmup_steps > 0:
            rate = rate * ops.minimum(step / self.warmup_steps, 1.0)
        start = ops.convert_to_tensor(self._momentums[index])
        square = self.beta_2 * ops.convert_to_tensor(self._velocities[index]) + (1 - self.beta_2) * gradient**2
        weights = ops.convert_to_tensor(variable)
        update = gradient / (ops.sqrt(square / (1 - self.beta_2**step)) + self.epsilon)
        if self.weight_decay and self.is_decayed(variable):
            update = update + self.weight_decay * weights
        end = start - rate * update
        average = self._find_average(weights, start)
        average = average + (end - average) / step
        self.assign(self._velocities[index], square)
        self.assign(self._momentums[index], end)
        self.assign(variable, (1 - self.beta_1) * end + self.beta_1 * average)

    def evaluation_weights(self) -> list[Any] | None:
        """Return the averages, which the trained weights lie beside; with `use_ema` the moving averages."""
        pairs = zip(self._trainable_variables, self._momentums, strict=True)
        averages = [self._find_average(*map(ops.convert_to_tensor, pair)) for pair in pairs]
        return super().evaluation_weights() or averages

    def _apply_weight_decay(self, variables: Iterable[keras.Variable]) -> None:
        """Do nothing: decay is part of the update."""

    def _find_average(self, weights: Any, momentum: Any) -> Any:
        return (weights - (1 - self.beta_1) * momentum) / self.beta_1
