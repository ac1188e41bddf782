import math

import keras
from keras import ops

from ..checks import check_positive_int, is_int
from ..padding import check_padding
from .locally_connected2d import LocallyConnected2D


@keras.saving.register_keras_serializable(package="convzoo")
class LocallyConnected1D(LocallyConnected2D):
    """1D convolution without parameter sharing: every position of the output has a kernel of its own.

    The layer that Keras 2 had, with its arguments and its weights' layout (that of `implementation=1`, in
    `"channels_last"`): `kernel` is (steps', kernel_size * channels, filters), `bias` (steps', filters).
    Initializers see these shapes, as `LocallyConnected2D` explains.

    Args:
        filters: int, number of output channels.
        kernel_size: int.
        strides: int.
        padding: zeros at the ends: `"valid"` (none); `"half"` (k // 2 at both); `"full"` (k - 1 at both);
            `"same"` (TensorFlow's, asymmetric where the number is odd); an int; or a pair (before, after).
        data_format: `"channels_last"` or `"channels_first"`; None is Keras's configured one.
        activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer,
            kernel_constraint, bias_constraint: as in Keras.

    Input shape:
        (batch, steps, channels), or (batch, channels, steps) for `"channels_first"`; all sizes but the batch
        known.

    Output shape:
        (batch, steps', filters), or (batch, filters, steps'), with
        steps' = floor((steps + p1 + p2 - k) / s) + 1.

    Raises:
        ValueError: for an argument outside of the above, an input of another rank or with unknown sizes, or one
            that is shorter, with its padding, than the kernel.
    """

    def __init__(self, filters, kernel_size, strides=1, padding="valid", data_format=None, **kwargs):
        if not isinstance(padding, str):
            ends = (padding, padding) if is_int(padding) else padding
            padding = check_padding((ends, 0))
        kernel_size = check_positive_int("kernel_size", kernel_size), 1
        strides = check_positive_int("strides", strides), 1
        super().__init__(filters, kernel_size, strides, padding, data_format, **kwargs)
        # The steps are the rows of an image of one column.
        self._column_axis = 2 if self.data_format == "channels_last" else 3
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def build(self, input_shape):
        super().build(self._image_shape(input_shape))
        self.input_spec = keras.layers.InputSpec(shape=(None, *input_shape[1:]))

    def add_bias(self, shape):
        super().add_bias((shape[0], shape[2]))

    def output_bias(self):
        bias = ops.expand_dims(self.bias, 1)
        return bias if self.data_format == "channels_last" else ops.transpose(bias, (2, 0, 1))

    @property
    def multiplications(self):
        """Multiplications of one image with weights: no weight serves two positions."""
        return math.prod(self.kernel.shape)

    def call(self, inputs):
        return ops.squeeze(super().call(ops.expand_dims(inputs, self._column_axis)), self._column_axis)

    def compute_output_shape(self, input_shape):
        shape = list(self.checked_output_shape(self._image_shape(input_shape)))
        del shape[self._column_axis]
        return tuple(shape)

    def _image_shape(self, input_shape):
        if len(input_shape) != 3:
            raise ValueError(f"The input must have 3 axes. Received: input_shape={tuple(input_shape)}")
        shape = list(input_shape)
        shape.insert(self._column_axis, 1)
        return tuple(shape)

    def get_config(self):
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size[0],
            "strides": self.strides[0],
            "padding": self.padding if isinstance(self.padding, str) else self.padding[0],
        }
