import keras

from ..checks import check_bool, check_number, check_positive_int
from ..convolution.conv2d import Conv2D
from ..normalization.batch_normalization import BatchNormalization
from .base_module import BaseModule


@keras.saving.register_keras_serializable(package="convzoo")
class ConvNormActivation(BaseModule):
    """Convolution without a bias, batch normalization, activation: what most networks since 2015 are made of.

    The normalization's own shift takes the place of the bias.

    Args:
        filters: int, number of output channels.
        kernel_size: int or pair (height, width).
        strides: int or pair.
        padding: as in `Conv2D`.
        groups: int, groups of channels convolved apart.
        activation: as in Keras; None for a linear one, as before an addition.
        momentum, epsilon, scale: as in `keras.layers.BatchNormalization`. Keras's Inception v3 has no scale.
        **kwargs: `kernel_initializer` (`"he_normal"`) and `kernel_regularizer`, as in Keras; `data_format`,
            `"channels_last"` or `"channels_first"`, None is Keras's configured one; `name`, `dtype`, …

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) for `"channels_first"`. Height and
        width may be unknown.

    Output shape:
        (batch, height', width', filters), or (batch, filters, height', width'), as of `Conv2D`.

    Raises:
        ValueError: for an argument outside of the above, an input of another rank, or an image that is smaller, with
            its padding, than the kernel.

    Reference:
        Ioffe & Szegedy, Batch normalization, 2015 (arXiv 1502.03167).
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="same",
        groups=1,
        activation="relu",
        momentum=0.99,
        epsilon=1e-3,
        scale=True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.conv = Conv2D(
            check_positive_int("filters", filters),
            kernel_size,
            strides,
            padding,
            groups=groups,
            use_bias=False,
            name="conv",
            **self.kernel_args(),
        )
        self.norm = BatchNormalization(
            self.channel_axis,
            momentum=check_number("momentum", momentum, at_least=0),
            epsilon=check_number("epsilon", epsilon, above=0),
            scale=check_bool("scale", scale),
            name="norm",
            dtype=self.dtype_policy,
        )
        self.activation = keras.activations.get(activation)
        self.activate = None
        if activation is not None:
            self.activate = keras.layers.Activation(self.activation, name="activation", dtype=self.dtype_policy)

    def connect(self, x, apply):
        x = apply(self.norm, apply(self.conv, x))
        return x if self.activate is None else apply(self.activate, x)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.conv.filters,
            "kernel_size": self.conv.kernel_size,
            "strides": self.conv.strides,
            "padding": self.conv.padding,
            "groups": self.conv.groups,
            "activation": keras.activations.serialize(self.activation) if self.activate else None,
            "momentum": self.norm.momentum,
            "epsilon": self.norm.epsilon,
            "scale": self.norm.scale,
        }
