import keras

from .batch_normalization import BatchNormalization
from .checks import check_data_format
from .composite import Composite
from .initializers import copy_of


class BaseModule(Composite):
    """Arguments that the modules of papers share, and what their layers are given of them.

    A subclass makes its layers, in `build` where they depend on the number of channels, and defines `flow`.
    """

    def __init__(self, kernel_initializer="he_normal", kernel_regularizer=None, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.data_format = check_data_format(data_format)
        self.channel_axis = -1 if self.data_format == "channels_last" else 1
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def of_images(self):
        """Arguments of any layer inside that has a data format."""
        return {"data_format": self.data_format, "dtype": self.dtype_policy}

    def of_kernels(self, prefix="kernel"):
        """Arguments of a convolution inside, whose initializer draws apart from the others'."""
        return {
            **self.of_images(),
            f"{prefix}_initializer": copy_of(self.kernel_initializer),
            f"{prefix}_regularizer": self.kernel_regularizer,
        }

    def depthwise(self, strides):
        """A 3x3 depthwise convolution and its batch normalization, as a list."""
        return [
            keras.layers.DepthwiseConv2D(
                3, strides, padding="same", use_bias=False, name="depthwise", **self.of_kernels("depthwise")
            ),
            BatchNormalization(self.channel_axis, name="depthwise_norm", dtype=self.dtype_policy),
        ]

    def concatenation(self):
        return keras.layers.Concatenate(self.channel_axis, name="concatenate", dtype=self.dtype_policy)

    def known_channels(self, input_shape):
        if input_shape[self.channel_axis] is None:
            raise ValueError(f"The number of channels must be known. Received: input_shape={tuple(input_shape)}")
        return input_shape[self.channel_axis]

    def get_config(self):
        return {
            **super().get_config(),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "data_format": self.data_format,
        }
