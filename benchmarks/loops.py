"""Training steps as one writes them by hand, on each backend: the bare loop of the speed table runs them."""

from collections.abc import Callable
from typing import Any

import keras


def make_step(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, loss: keras.losses.Loss
) -> Callable[[Any, Any], Any]:
    """Return a function of images and labels that trains on them and returns the loss.

    Args:
        model: from images to class scores.
        optimizer: a built Keras optimizer.
        loss: of labels and scores.
    """
    makers: dict[str, Callable[..., Callable[[Any, Any], Any]]]
    makers = {"tensorflow": _make_tensorflow, "jax": _JaxLoop, "torch": _make_torch}
    return makers[keras.backend.backend()](model, optimizer, loss)


def _make_tensorflow(model: Any, optimizer: Any, loss: Any) -> Callable[[Any, Any], Any]:
    import tensorflow as tf

    weights = model.trainable_variables

    @tf.function(jit_compile=False)
    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            value = loss(y, model(x, training=True))
        optimizer.apply(tape.gradient(value, weights), weights)
        return value

    return step


class _JaxLoop:
    """A step that keeps the trained values in itself."""

    def __init__(self, model: Any, optimizer: Any, loss: Any):
        import jax

        self.model = model
        self.optimizer = optimizer
        self.loss = loss
        parts = model.trainable_variables, model.non_trainable_variables, optimizer.variables
        self.values = [[variable.value for variable in part] for part in parts]
        self._gradients = jax.value_and_grad(self._compute_loss, has_aux=True)
        self._update = jax.jit(self._train)

    def __call__(self, x: Any, y: Any) -> Any:
        value, self.values = self._update(*self.values, x, y)
        return value

    def _train(self, weights: Any, others: Any, optimizer_values: Any, x: Any, y: Any) -> Any:
        (value, others), gradients = self._gradients(weights, others, x, y)
        weights, optimizer_values = self.optimizer.stateless_apply(optimizer_values, gradients, weights)
        return value, [weights, others, optimizer_values]

    def _compute_loss(self, weights: Any, others: Any, x: Any, y: Any) -> Any:
        scores, others = self.model.stateless_call(weights, others, x, training=True)
        return self.loss(y, scores), others


def _make_torch(model: Any, optimizer: Any, loss: Any) -> Callable[[Any, Any], Any]:
    import torch

    weights = model.trainable_variables

    def step(x: Any, y: Any) -> Any:
        value = loss(y, model(x, training=True))
        model.zero_grad()
        value.backward()
        with torch.no_grad():
            optimizer.apply([weight.value.grad for weight in weights], weights)
        return value.detach()

    return step
