import keras

from ..checks import check_data_format, check_number
from ..initializers import clone_initializer
from ..normalization.batch_normalization import BatchNormalization
from .composite import Composite


class BaseModule(Composite):
    """Arguments that the modules of papers share, and what their layers are given of them.

    A subclass makes its layers, in `build` where they depend on the number of channels, and defines `connect`.
    """

    def __init__(self, kernel_initializer="he_normal", kernel_regularizer=None, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.data_format = check_data_format(data_format)
        self.channel_axis = -1 if self.data_format == "channels_last" else 1
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def image_args(self):
        """Arguments of any layer inside that has a data format."""
        return {"data_format": self.data_format, "dtype": self.dtype_policy}

    def kernel_args(self, prefix="kernel"):
        """Arguments of a convolution inside, whose initializer draws apart from the others'."""
        return {
            **self.image_args(),
            f"{prefix}_initializer": clone_initializer(self.kernel_initializer),
            f"{prefix}_regularizer": self.kernel_regularizer,
        }

    def make_concatenate(self):
        return keras.layers.Concatenate(self.channel_axis, name="concatenate", dtype=self.dtype_policy)

    def require_channels(self, input_shape):
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


class BaseNormalizedModule(BaseModule):
    """A module with batch normalizations, which all have its `momentum` and `epsilon`."""

    def __init__(self, momentum=0.99, epsilon=1e-3, **kwargs):
        super().__init__(**kwargs)
        self.momentum = check_number("momentum", momentum, at_least=0)
        self.epsilon = check_number("epsilon", epsilon, above=0)

    def norm_args(self):
        """Arguments of any batch normalization inside, or of a layer that has one."""
        return {"momentum": self.momentum, "epsilon": self.epsilon}

    def make_depthwise(self, strides):
        """A 3x3 depthwise convolution and its batch normalization, as a list."""
        return [
            keras.layers.DepthwiseConv2D(
                3, strides, padding="same", use_bias=False, name="depthwise", **self.kernel_args("depthwise")
            ),
            BatchNormalization(self.channel_axis, name="depthwise_norm", dtype=self.dtype_policy, **self.norm_args()),
        ]

    def get_config(self):
        return {**super().get_config(), **self.norm_args()}
