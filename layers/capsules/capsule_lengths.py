import keras
from keras import ops

from ..numerics import root


@keras.saving.register_keras_serializable(package="convzoo")
class CapsuleLengths(keras.layers.Layer):
    """The length of each capsule, sqrt(sum v^2): how sure it is that what it stands for is there.

    Of a last layer with one capsule a class these are the class scores, to be trained with `CapsuleMarginLoss`.
    A capsule of zeros has length and gradient zero.

    Input shape:
        (batch, capsules, dimension).

    Output shape:
        (batch, capsules). Half precision is computed in float32.

    Reference:
        Sabour, Frosst & Hinton, Dynamic routing between capsules, 2017 (arXiv 1710.09829).
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def call(self, inputs):
        in_float32 = self.compute_dtype in ("float16", "bfloat16")
        capsules = ops.cast(inputs, "float32" if in_float32 else self.compute_dtype)
        return ops.cast(root(ops.sum(ops.square(capsules), -1), 2), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape[:-1])
