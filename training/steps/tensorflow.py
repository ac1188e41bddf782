"""Training step on TensorFlow."""

from typing import Any

import keras
import tensorflow as tf

from ...models.objective import Objective
from .base import TrainStep


class TensorFlowStep(TrainStep):
    """Trains on some batches in one compiled loop, which is traced once for any number of batches of a size."""

    def __init__(self, model: keras.Model, objective: Objective, optimizer: keras.optimizers.Optimizer):
        super().__init__(model, objective, optimizer)
        self._variables = self.model.trainable_variables
        self._functions: dict[tuple[tf.TensorSpec, ...], Any] = {}

    def _stack(self, tensors: list[Any]) -> Any:
        return tf.stack(tensors)

    def _train(self, images: Any, labels: Any) -> Any:
        signature = tuple(tf.TensorSpec((None, *part.shape[1:]), part.dtype) for part in (images, labels))
        if signature not in self._functions:
            self.model_for(images[0].shape[1:])
            # XLA trains these networks three to nine times slower on a processor.
            function = tf.function(self._train_on_each, jit_compile=False, autograph=False)
            self._functions[signature] = function.get_concrete_function(*signature)
        return self._functions[signature](images, labels).numpy()

    def _train_on_each(self, images: Any, labels: Any) -> Any:
        def train(number: Any, _: Any, metrics: Any) -> tuple[Any, Any, Any]:
            is_finite, batch_metrics = self._train_on_one(images[number], labels[number])
            return number + 1, is_finite, metrics.write(number, batch_metrics)

        def continues(number: Any, is_finite: Any, _: Any) -> Any:
            return is_finite & (number < tf.shape(labels)[0])

        metrics = tf.TensorArray(tf.float32, 0, dynamic_size=True, element_shape=(2,))
        return tf.while_loop(continues, train, (0, True, metrics), parallel_iterations=1)[2].stack()

    def _train_on_one(self, x: Any, y: Any) -> tuple[Any, Any]:
        model = self.model_for(x.shape[1:])
        with tf.GradientTape() as tape:
            outputs = model(self.model_inputs(x, y), training=True)
            loss, accuracy = self.compute_loss(x, y, outputs, model.losses)
        gradients = tape.gradient(loss, self._variables)
        is_finite = tf.math.is_finite(loss)
        tf.cond(is_finite, lambda: self.optimizer.apply(gradients, self._variables), lambda: None)
        return is_finite, tf.stack([tf.cast(loss, tf.float32), accuracy])
