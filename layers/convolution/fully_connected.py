import math

import keras
from keras import ops

from ..checks import check_bool, check_positive_int


@keras.saving.register_keras_serializable(package="convzoo")
class FullyConnected(keras.layers.Dense):
    """A dense layer over all values of its input: the "fc" row of the papers, Caffe's InnerProduct.

    `keras.layers.Dense` works on the last axis alone and needs a `Flatten` in front of it on images; here
    the input is flattened first, in the order of its axes: `kernel` is (product of the sizes, units), `bias`
    (units,).

    Args:
        units: int, number of outputs.
        activation: as in Keras.
        use_bias: bool.
        **kwargs: the other arguments of `keras.layers.Dense`: initializers, regularizers, constraints,
            `name`, `dtype`, …

    Input shape:
        (batch, …), all sizes but the batch known.

    Output shape:
        (batch, units).

    Raises:
        ValueError: for an argument that Keras refuses, or an input with unknown sizes.
    """

    def __init__(self, units, activation=None, use_bias=True, **kwargs):
        super().__init__(
            check_positive_int("units", units),
            activation=activation,
            use_bias=check_bool("use_bias", use_bias),
            **kwargs,
        )
        self.supports_masking = False

    def build(self, input_shape):
        super().build((input_shape[0], self._flat(input_shape)))
        self.input_spec = keras.layers.InputSpec(shape=(None, *input_shape[1:]))

    def call(self, inputs, training=None):
        return super().call(self._flattened(inputs), training=training)

    def quantized_call(self, inputs, training=None):
        return super().quantized_call(self._flattened(inputs), training=training)

    def compute_output_shape(self, input_shape):
        self._flat(input_shape)
        return (input_shape[0], self.units)

    def _flattened(self, inputs):
        return ops.reshape(inputs, (-1, self._flat(inputs.shape)))

    def _flat(self, input_shape):
        if len(input_shape) < 2 or None in input_shape[1:]:
            raise ValueError(
                "All sizes but the batch must be known to connect every value. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        return math.prod(input_shape[1:])
