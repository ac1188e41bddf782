import keras
from keras import ops

from ..checks import is_int
from ..numerics import root


@keras.saving.register_keras_serializable(package="convzoo")
class Squash(keras.layers.Layer):
    """Shrinks vectors to a length below 1 and keeps their direction: v = |s|^2 / (1 + |s|^2) * s / |s|.

    The activation of capsules, whose length is the probability that what they stand for is there: short vectors
    go to nearly nothing, long ones to nearly 1. A vector of zeros stays so, with gradient zero.

    Args:
        axis: int, along which a vector's components lie, not the batch's.

    Input shape:
        Any with that axis.

    Output shape:
        The input's. Half precision is computed in float32.

    Raises:
        ValueError: for an `axis` that is no integer or 0, or an input without it.

    Reference:
        Sabour, Frosst & Hinton, Dynamic routing between capsules, 2017 (arXiv 1710.09829).
    """

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        if not is_int(axis) or axis == 0:
            raise ValueError(f"`axis` must be an integer other than 0. Received: axis={axis!r}")
        self.axis = int(axis)

    def build(self, input_shape):
        if not -len(input_shape) < self.axis < len(input_shape):
            raise ValueError(
                f"The input must have the axis {self.axis} beside the batch's. "
                f"Received: input_shape={tuple(input_shape)}"
            )

    def call(self, inputs):
        in_float32 = self.compute_dtype in ("float16", "bfloat16")
        vectors = ops.cast(inputs, "float32" if in_float32 else self.compute_dtype)
        squares = ops.sum(ops.square(vectors), self.axis, keepdims=True)
        return ops.cast(vectors * (root(squares, 2) / (1 + squares)), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "axis": self.axis}
