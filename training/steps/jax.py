"""Training step on JAX."""

from typing import Any

import jax
import keras

from ...models.objective import Objective
from .base import TrainStep


class JaxStep(TrainStep):
    """Trains by a compiled pure function; the variables change when `synchronize` is called."""

    def __init__(self, model: keras.Model, objective: Objective, optimizer: keras.optimizers.Optimizer):
        super().__init__(model, objective, optimizer)
        variables = self.model.trainable_variables, self.model.non_trainable_variables, self.optimizer.variables
        self._variables = variables
        self._values: list[list[Any]] | None = None  # of `_variables` after the last step; None if synchronized
        self._update = jax.jit(self._train_on_one)

    def synchronize(self) -> None:
        if self._values is None:
            return
        for variables, values in zip(self._variables, self._values, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        self._values = None

    def _train(self, images: Any, labels: Any) -> list[tuple[Any, Any]]:
        self.model_for(images[0].shape[1:])
        if self._values is None:
            self._values = [[variable.value for variable in variables] for variables in self._variables]
        is_finite = jax.numpy.asarray(True)
        step_metrics = []
        for x, y in zip(images, labels, strict=True):
            self._values, is_finite, metrics = self._update(self._values, is_finite, x, y)
            step_metrics.append(metrics)  # not waited for: the next step is dispatched at once
        return step_metrics

    def _train_on_one(
        self, values: list[list[Any]], is_finite: Any, x: Any, y: Any
    ) -> tuple[list[list[Any]], Any, tuple[Any, Any]]:
        trainable, old, optimizer_values = values
        compute = jax.value_and_grad(self._compute_loss_of_values, has_aux=True)
        (loss, (accuracy, new)), gradients = compute(trainable, old, x, y)
        # After a batch at fault, everything stays as that batch left it.
        non_trainable = jax.lax.cond(is_finite, lambda: new, lambda: old)
        is_finite = is_finite & jax.numpy.isfinite(loss)
        trainable, optimizer_values = jax.lax.cond(
            is_finite,
            lambda: self.optimizer.stateless_apply(optimizer_values, gradients, trainable),
            lambda: (trainable, optimizer_values),
        )
        return [trainable, non_trainable, optimizer_values], is_finite, (loss, accuracy)

    def _compute_loss_of_values(
        self, trainable: list[Any], non_trainable: list[Any], x: Any, y: Any
    ) -> tuple[Any, tuple[Any, list[Any]]]:
        outputs, non_trainable, penalties = self.model_for(x.shape[1:]).stateless_call(
            trainable, non_trainable, self.model_inputs(x, y), training=True, return_losses=True
        )
        loss, accuracy = self.compute_loss(x, y, outputs, penalties)
        return loss, (accuracy, non_trainable)
