"""The part of every optimizer that a recipe sets beside the row of its class."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

if TYPE_CHECKING:
    from keras.optimizers import Optimizer as _Base
else:
    _Base = object


class RecipeMixin(_Base):
    """Mixin of a Keras optimizer: rates and weight decay by variable, and Lookahead.

    With Lookahead, every `period` steps the weights move part of the way back to the slow weights, which are those
    after the move before. The part rises with the cube of the share of the training that is done. Training continues
    from there, also for the steps after the last move. So the statistics of batch normalization are those of the final
    weights, as they would not be with a running mean of the weights.

    Args:
        *args: arguments of the optimizer.
        rate_factors: learning-rate multiplier by part of a variable's path; where several match, their product. They do
            not change weight decay. Default none.
        decay_variables: parts of the paths of the variables that weight decay touches; default kernels.
        lookahead: mapping with `rate`, the part of the way back at the end of the training, in [0, 1), and `period`,
            the number of steps between two moves, default 5; default None: no Lookahead.
        rate_factor: function from a variable's path to a further learning-rate multiplier; default None: 1.
        steps: number of steps of the whole training; `lookahead` needs it.
        **kwargs: arguments of the optimizer.

    Reference:
        Zhang et al., Lookahead Optimizer: k steps forward, 1 step back, 2019 (arXiv 1907.08610), with 1 − α the part of
        the way; its rise is from Jordan 2024 (arXiv 2404.00498).
    """

    def __init__(
        self,
        *args: Any,
        rate_factors: Mapping[str, float] | None = None,
        decay_variables: Sequence[str] = ("kernel",),
        lookahead: Mapping[str, Any] | None = None,
        steps: int | None = None,
        rate_factor: Callable[[str], float] | None = None,
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        self.rate_factors = dict(rate_factors or {})
        self.decay_variables = tuple(decay_variables)
        self.lookahead = dict(lookahead) if lookahead else None
        self.steps = steps
        self.rate_factor = rate_factor
        if lookahead and not steps:
            raise ValueError("`lookahead` needs `steps`, the number of steps of the training")

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        if self.lookahead:
            self._slow_weights = [self.add_variable_from_reference(each, "slow_weights") for each in variables]

    def apply(self, grads: Any, trainable_variables: list[keras.Variable] | None = None) -> None:
        super().apply(grads, trainable_variables)
        if self.lookahead:
            self._lookahead_update(self.lookahead["rate"], self.lookahead.get("period", 5))

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        super().update_step(gradient, variable, self.scale_rate(learning_rate, variable))

    def scale_rate(self, learning_rate: Any, variable: Any) -> Any:
        """Return the learning rate of a variable. An own `update_step` that calls no other one calls this."""
        path = self.find_path(variable)
        factor = math.prod(factor for part, factor in self.rate_factors.items() if part in path)
        factor *= self.rate_factor(path) if self.rate_factor else 1
        return learning_rate if factor == 1 else learning_rate * factor

    def is_decayed(self, variable: Any) -> bool:
        """Return whether weight decay touches a variable."""
        path = self.find_path(variable)
        return any(part in path for part in self.decay_variables)

    def find_path(self, variable: Any) -> str:
        """Return the path of a variable, also of the backend's own variable, which has none."""
        if not isinstance(variable, keras.Variable):
            variable = self._trainable_variables[self._get_variable_index(variable)]
        return str(variable.path)

    def evaluation_weights(self) -> list[Any] | None:
        """Return the values of the trainable variables to evaluate and save; None if they are the trained ones.

        With `use_ema` they are the moving averages.
        """
        if not self.use_ema:
            return None
        return [ops.convert_to_tensor(average) for average in self._model_variables_moving_average]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "rate_factors": dict(self.rate_factors),
            "decay_variables": list(self.decay_variables),
            "lookahead": dict(self.lookahead) if self.lookahead else None,
            "steps": self.steps,
        }

    def _lookahead_update(self, rate: float, period: int) -> None:
        step = self.iterations  # from 1; of the updates, where gradients are accumulated
        batches = self.gradient_accumulation_steps or 1
        updates = int(self.steps or 0) // batches
        is_due = ops.equal(ops.mod(updates - step, period), period - 1)
        if batches > 1:
            is_due = ops.logical_and(is_due, ops.equal(ops.mod(self._iterations, batches), 0))
        part = rate * (ops.cast(step, "float32") / updates) ** 3
        for variable, slow_weights in zip(self._trainable_variables, self._slow_weights, strict=True):
            fast = ops.convert_to_tensor(variable)
            slow = ops.where(ops.equal(step, 1), fast, ops.convert_to_tensor(slow_weights))
            fast = ops.where(is_due, fast + ops.cast(part, fast.dtype) * (slow - fast), fast)
            slow_weights.assign(ops.where(is_due, fast, slow))
            variable.assign(fast)

    def _apply_weight_decay(self, variables: Iterable[keras.Variable]) -> None:
        if decayed := [variable for variable in variables if self.is_decayed(variable)]:  # torch refuses an empty list
            super()._apply_weight_decay(decayed)

    def _all_reduce_sum_gradients(self, grads_and_vars: Iterable[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        """Skip TensorFlow's sum of gradients over replicas: a single replica has nothing to sum.

        The sum is a custom gradient, which TensorFlow registers by name, with the graph and its variables, and never
        drops: it would keep each network in memory for good.
        """
        return list(grads_and_vars)
