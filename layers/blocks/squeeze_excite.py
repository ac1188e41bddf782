import math

import keras
from keras import ops

from ..checks import check_data_format, check_positive_int
from ..initializers import clone_initializer


@keras.saving.register_keras_serializable(package="convzoo")
class SqueezeExcite(keras.layers.Layer):
    """Weighs the channels of each image by what the whole image holds: y_c = x_c * s_c.

    The means of all channels over the image go through a dense layer to channels / ratio units, ReLU, a dense
    layer back and a sigmoid: s = sigmoid(W2 relu(W1 mean(x) + b1) + b2), a number in (0, 1) a channel.

    Args:
        ratio: int, by which the dense layer between is narrower; rounded down, at least one unit.
        kernel_initializer, kernel_regularizer: as in Keras, of both dense layers.
        data_format: `"channels_last"` or `"channels_first"`; None is Keras's configured one.

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) for `"channels_first"`. Height and
        width may be unknown.

    Output shape:
        The input's.

    Raises:
        ValueError: for an argument outside of the above, or an input of another rank or with unknown channels.

    Reference:
        Hu, Shen & Sun, Squeeze-and-excitation networks, 2018 (arXiv 1709.01507).
    """

    sees_all = True  # for the plan: what leaves depends on all of the image

    def __init__(self, ratio=16, kernel_initializer="he_normal", kernel_regularizer=None, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.ratio = check_positive_int("ratio", ratio)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.data_format = check_data_format(data_format)
        self.channel_axis = -1 if self.data_format == "channels_last" else 1
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape):
        channels = input_shape[self.channel_axis]
        if channels is None:
            raise ValueError(f"The number of channels must be known. Received: input_shape={tuple(input_shape)}")
        units = max(channels // self.ratio, 1)
        self.squeeze = self._dense(units, "relu", "squeeze")
        self.excite = self._dense(channels, "sigmoid", "excite")
        self.squeeze.build((input_shape[0], channels))
        self.excite.build((input_shape[0], units))

    def _dense(self, units, activation, name):
        return keras.layers.Dense(
            units,
            activation=activation,
            kernel_initializer=clone_initializer(self.kernel_initializer),
            kernel_regularizer=self.kernel_regularizer,
            dtype=self.dtype_policy,
            name=name,
        )

    def call(self, inputs):
        spatial = (1, 2) if self.data_format == "channels_last" else (2, 3)
        scales = self.excite(self.squeeze(ops.mean(inputs, spatial)))
        return inputs * ops.expand_dims(scales, spatial)

    @property
    def multiplications(self):
        """Multiplications of one image with weights: each of both kernels once."""
        return math.prod(self.squeeze.kernel.shape) + math.prod(self.excite.kernel.shape)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "ratio": self.ratio,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "data_format": self.data_format,
        }
