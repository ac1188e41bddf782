"""Operations that a backend has and Keras composes of many: the one place of `layers` with operations of its own."""

import functools
import math

import keras
import numpy as np
from keras import ops

_SMALLEST_EPSILON = 1e-5  # cuDNN's


def has_fused_batch_normalization(images, epsilon):
    """Return whether the backend has a fused batch normalization for images of this dtype."""
    name = keras.backend.backend()
    if name not in ("tensorflow", "torch"):
        return False
    if keras.backend.standardize_dtype(images.dtype) not in ("float32", "bfloat16", "float16"):
        return False
    if name == "torch" and math.prod(images.shape[:3]) == 1:  # it refuses a variance of one value
        return False
    return epsilon >= _SMALLEST_EPSILON or not has_gpu(name)


def batch_normalization(images, scale, offset, epsilon, statistics=None):
    """(images - mean) / sqrt(variance + epsilon) * scale + offset, in float32 inside, in the images' dtype outside.

    Args:
        images: (batch, height, width, channels).
        scale, offset: (channels,), floats.
        epsilon: float.
        statistics: mean and variance, (channels,); None takes those of `images`.

    Returns:
        The images; without `statistics` also their mean and variance, which divides by their count.
    """
    normalize = _normalize_in_tensorflow if keras.backend.backend() == "tensorflow" else _normalize_in_torch
    scale, offset = ops.cast(scale, "float32"), ops.cast(offset, "float32")
    if statistics is not None:
        return normalize(images, scale, offset, epsilon, [ops.cast(value, "float32") for value in statistics], False)[0]
    outputs, mean, variance = normalize(images, scale, offset, epsilon, None, True)
    # Both divide by the count less one.
    count = ops.cast(math.prod(ops.shape(images)[:3]), "float32")
    return outputs, mean, variance * ((count - 1) / count)


def gelu(values, training):
    """x Φ(x), in float32 inside, in the values' dtype outside."""
    name, dtype = keras.backend.backend(), keras.backend.standardize_dtype(values.dtype)
    # A compiled function within another cannot be exported to LiteRT.
    if training and name == "tensorflow" and dtype != "float64" and not has_gpu(name):
        return _gelu()(values)  # one pass, where its own operations take a dozen
    if name == "torch" or dtype == "float64":
        return keras.activations.gelu(values, approximate=False)
    return ops.cast(keras.activations.gelu(ops.cast(values, "float32"), approximate=False), dtype)


def supports_dropout():
    """Return whether the backend has a fused dropout."""
    return keras.backend.backend() == "tensorflow"


def dropout(values, rate, seed):
    """`values / (1 - rate)`, and 0 with a probability of `rate`, to the nearest of 65,536.

    Args:
        values: of any shape.
        rate: in (0, 1).
        seed: (2,), what a `keras.random.SeedGenerator` gives.
    """
    import tensorflow as tf

    # The generator is what takes the time: a half is as exact with a quarter of a word.
    bits = 8 if (rate * 2**8).is_integer() else 16
    count, least = tf.size(values, tf.int64), min(max(round(rate * 2**bits), 1), 2**bits - 1)
    words = tf.random.stateless_uniform([(count * bits + 31) // 32], tf.cast(seed, "int32"), None, None, "uint32")
    drawn = tf.reshape(tf.reshape(tf.bitcast(words, f"uint{bits}"), [-1])[:count], tf.shape(values))
    factor = tf.constant(1 / (1 - least / 2**bits), values.dtype)
    return tf.where(drawn < least, tf.zeros_like(factor), values * factor)  # infinity times 0 is no number


@functools.cache
def _gelu():
    import tensorflow as tf

    def cdf(x, dtype):
        if dtype == tf.float32:
            return 0.5 * tf.math.erfc(x * -math.sqrt(0.5))
        return 0.5 * (1 + tf.math.erf(x * math.sqrt(0.5)))  # right to 1e-7, in half the time

    @tf.function(jit_compile=True)
    def forward(values):
        x = tf.cast(values, "float32")
        return tf.cast(x * cdf(x, values.dtype), values.dtype)

    @tf.function(jit_compile=True)
    def backward(values, gradient):
        x = tf.cast(values, "float32")
        slope = cdf(x, values.dtype) + x * tf.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
        return tf.cast(tf.cast(gradient, "float32") * slope, values.dtype)

    # TensorFlow never lets go of a custom gradient or of the graph that it is traced in: here a small one of its own.
    return tf.function(
        tf.custom_gradient(lambda values: (forward(values), lambda gradient: backward(values, gradient))),
        autograph=False,
    )


def _normalize_in_tensorflow(images, scale, offset, epsilon, statistics, training):
    import tensorflow as tf

    mean, variance = statistics or (tf.constant([], tf.float32), tf.constant([], tf.float32))
    outputs = tf.raw_ops.FusedBatchNormV3(
        x=images, scale=scale, offset=offset, mean=mean, variance=variance, epsilon=epsilon, is_training=training
    )
    return outputs[:3]


def _normalize_in_torch(images, scale, offset, epsilon, statistics, training):
    import torch

    mean, variance = statistics or (torch.zeros_like(scale), torch.ones_like(scale))
    outputs = torch.nn.functional.batch_norm(
        images.movedim(-1, 1), mean, variance, scale, offset, training, 1.0, epsilon
    )
    return outputs.movedim(1, -1), mean, variance


def concrete_values(variable):
    """The numbers that a variable holds, or None within a traced function whose arguments they are."""
    try:
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            with tf.init_scope():
                return np.asarray(variable.numpy())
        return ops.convert_to_numpy(variable)
    except Exception:  # of each backend its own
        return None


def has_gpu(backend):
    """Return whether TensorFlow or torch has a GPU."""
    if backend == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_physical_devices("GPU"))
    import torch

    return torch.cuda.is_available()
