import math

import keras
from keras import ops

from ..checks import check_positive_int
from .squash import Squash


@keras.saving.register_keras_serializable(package="convzoo")
class RoutingCapsules(keras.layers.Layer):
    """Capsules fed by those below through dynamic routing: each sends its vector where the others agree with it.

    Every input capsule i predicts every output capsule j by a matrix of their own, u_ij = u_i W_ij. From logits
    b_ij = 0, anew for each image, `iterations` times:

        c_ij = softmax over j of b_ij;   v_j = squash(sum_i c_ij u_ij);   b_ij = b_ij + u_ij . v_j

    and the last v are the output. `kernel` is (input capsules, capsules, input dimension, dimension). There is no
    bias, as in the paper's equations and its count of 8.2 million parameters.

    The gradient takes the couplings c as constants and flows through the last sum alone, as in most public
    implementations: the paper says nothing of it, the authors' code differentiates the whole loop, and this keeps
    one iteration's values instead of all.

    Args:
        capsules: int, output capsules; one a class in a last layer.
        dimension: int, components of each.
        iterations: int, rounds of routing, at most 100; 1 couples all alike.
        kernel_initializer: as in Keras; None is the authors' truncated normal of standard deviation 0.1. (Those that
            count the inputs of a unit take a kernel of this shape for a convolution's and start far too small.)
        kernel_regularizer: as in Keras.

    Input shape:
        (batch, input capsules, input dimension), all sizes but the batch known.

    Output shape:
        (batch, capsules, dimension), every capsule of a length in [0, 1).

    Raises:
        ValueError: for an argument outside of the above, or an input of another rank or with unknown sizes.

    Reference:
        Sabour, Frosst & Hinton, Dynamic routing between capsules, 2017 (arXiv 1710.09829), procedure 1.
    """

    sees_all = True  # for the plan: every capsule hears all those below

    def __init__(self, capsules, dimension, iterations=3, kernel_initializer=None, kernel_regularizer=None, **kwargs):
        super().__init__(**kwargs)
        self.capsules = check_positive_int("capsules", capsules)
        self.dimension = check_positive_int("dimension", dimension)
        self.iterations = check_positive_int("iterations", iterations, at_most=100)
        if kernel_initializer is None:
            kernel_initializer = keras.initializers.TruncatedNormal(stddev=0.1)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.squash = Squash(dtype=self.dtype_policy)
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def build(self, input_shape):
        if None in input_shape[1:]:
            raise ValueError(f"All sizes but the batch must be known. Received: input_shape={tuple(input_shape)}")
        self.kernel = self.add_weight(
            name="kernel",
            shape=(input_shape[1], self.capsules, input_shape[2], self.dimension),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
        )
        self.input_spec = keras.layers.InputSpec(shape=(None, *input_shape[1:]))

    def call(self, inputs):
        # The input capsules last but one, so that every sum of the loop is a product of matrices as they lie.
        predictions = ops.einsum("bid,ijde->bjie", inputs, self.kernel)
        constant = ops.stop_gradient(predictions)
        logits = ops.zeros_like(constant[..., 0])
        for _ in range(self.iterations - 1):
            logits = logits + ops.einsum("bjie,bje->bji", constant, self._routed(constant, logits))
        return self._routed(predictions, logits)

    def _routed(self, predictions, logits):
        return self.squash(ops.einsum("bji,bjie->bje", ops.softmax(logits, 1), predictions))

    @property
    def multiplications(self):
        """Multiplications of one image with weights: each once; routing multiplies predictions with each other."""
        return math.prod(self.kernel.shape)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.capsules, self.dimension)

    def get_config(self):
        return {
            **super().get_config(),
            "capsules": self.capsules,
            "dimension": self.dimension,
            "iterations": self.iterations,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }
