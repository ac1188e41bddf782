"""Class scores of images, computed by one compiled function of the backend.

Keras's `predict` gives the same scores. On TensorFlow it takes up to half as long again, because of its work between
two batches, and Keras's `evaluate` needs a trace of its own.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from .. import UserError
from . import diagnosis

# A larger batch than a training step's would find no room in the memory that training has left, and would set the
# peak of the run.
_BATCH_SIZE = 125


class Predictor:
    """Computes class scores: `predict = Predictor(model); scores = predict(images)`.

    Args:
        model: a `keras.Model` from images to class scores; its weights may change between two calls.
    """

    def __init__(self, model: keras.Model):
        backend = keras.backend.backend()
        self.model = model
        self._run = {"tensorflow": _compile_tensorflow, "jax": _compile_jax, "torch": _wrap_torch}[backend](model)
        self._pads_batches = backend == "jax"  # it compiles each shape by itself, which takes seconds

    def __call__(self, images: np.ndarray, on_batch: Callable[[], object] = lambda: None) -> np.ndarray:
        """Compute the scores of images.

        Args:
            images: array of shape (n, height, width, channels).
            on_batch: called after each batch; default does nothing.

        Returns:
            A float32 array of shape (n, classes).

        Raises:
            UserError: a score is infinite or not a number; the message names the layer at fault.
        """
        size = min(_BATCH_SIZE, len(images))
        scores = []
        for start in range(0, len(images), size):
            batch = images[start : start + size]
            count = len(batch)
            if self._pads_batches and count < size:
                batch = np.concatenate([batch, np.repeat(batch[-1:], size - count, 0)])
            scores.append(self.predict_on_batch(batch)[:count])
            if not np.isfinite(scores[-1]).all():
                fault = diagnosis.find_nonfinite(self.model, [ops.convert_to_tensor(batch)], training=False)
                raise UserError(f"the class scores are not finite: {fault}; {diagnosis.REMEDY}")
            on_batch()
        return np.concatenate(scores)

    def predict_on_batch(self, images: np.ndarray) -> np.ndarray:
        """Compute the scores of images in one call of the backend, without a check that they are finite.

        Args:
            images: as for a call of the object.
        """
        return np.asarray(ops.convert_to_numpy(self._run(images)))


def _compile_tensorflow(model: keras.Model) -> Callable[[np.ndarray], Any]:
    import tensorflow as tf

    image = model.inputs[0]
    images = tf.TensorSpec((None, *image.shape[1:]), image.dtype)  # one trace for any number of images

    # Without XLA, which is slower on a processor, as in a training step.
    @tf.function(jit_compile=False, autograph=False, input_signature=[images])
    def predict(x: Any) -> Any:
        return tf.cast(model(x, training=False), "float32")

    return predict


def _compile_jax(model: keras.Model) -> Callable[[np.ndarray], Any]:
    import jax

    trainable, non_trainable = model.trainable_variables, model.non_trainable_variables

    @jax.jit
    def predict(trainable_values: list[Any], non_trainable_values: list[Any], x: Any) -> Any:
        outputs, _ = model.stateless_call(trainable_values, non_trainable_values, x, training=False)
        return ops.cast(outputs, "float32")

    def run(x: np.ndarray) -> Any:
        return predict([each.value for each in trainable], [each.value for each in non_trainable], x)

    return run


def _wrap_torch(model: keras.Model) -> Callable[[np.ndarray], Any]:
    import torch

    def predict(x: np.ndarray) -> Any:
        with torch.no_grad():
            return ops.cast(model(ops.convert_to_tensor(x), training=False), "float32")

    return predict
