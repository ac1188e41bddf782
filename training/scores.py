"""Class scores of pictures, as one compiled function of the backend.

Keras's `predict` gives the same and takes up to half as long again on TensorFlow, for what it does between two batches;
its `evaluate` would be traced beside it.
"""

import keras
import numpy as np
from keras import ops

# Pictures at a time, at most, where nothing is learned: with more than a training step's their maps find no place in
# what it left of the memory, and a run's peak is theirs.
_BATCH = 125


class Scores:
    """Looks at pictures: `scores(images)`.

    Args:
        model: from pictures to class scores; its weights may change between two calls.
    """

    def __init__(self, model):
        make = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[keras.backend.backend()]
        self._run, self._one_size = make(model), make is _jax  # which compiles each shape for itself, for seconds

    def __call__(self, images, on_batch=lambda: None):
        """The scores of images, shape (n, classes), float32.

        Args:
            images: (n, height, width, channels).
            on_batch: called after each batch.
        """
        size, found = min(_BATCH, len(images)), []
        for start in range(0, len(images), size):
            batch = images[start : start + size]
            count = len(batch)
            if self._one_size and count < size:
                batch = np.concatenate([batch, np.repeat(batch[-1:], size - count, 0)])
            found.append(ops.convert_to_numpy(self._run(batch))[:count])
            on_batch()
        return np.concatenate(found)


def _tensorflow(model):
    import tensorflow as tf

    image = model.inputs[0]
    images = tf.TensorSpec((None, *image.shape[1:]), image.dtype)  # one trace for any number of them

    # As for a training step: without XLA, which is slower on a processor.
    @tf.function(jit_compile=False, autograph=False, input_signature=[images])
    def look(x):
        return tf.cast(model(x, training=False), "float32")

    return look


def _jax(model):
    import jax

    parts = model.trainable_variables, model.non_trainable_variables

    @jax.jit
    def look(trained, held, x):
        return ops.cast(model.stateless_call(trained, held, x, training=False)[0], "float32")

    return lambda x: look(*([variable.value for variable in part] for part in parts), x)


def _torch(model):
    import torch

    def run(x):
        with torch.no_grad():
            return ops.cast(model(ops.convert_to_tensor(x), training=False), "float32")

    return run
