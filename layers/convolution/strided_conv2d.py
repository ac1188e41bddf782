import keras

from ..checks import check_pair
from ..padding import POOL_PADDINGS
from .conv2d import Conv2D


@keras.saving.register_keras_serializable(package="convzoo")
class StridedConv2D(Conv2D):
    """Down-samples by a convolution with a stride: the learned replacement of a pool.

    It stands where a pool stands and takes a pool's arguments. Springenberg et al. replace every max pool
    by it and lose no accuracy: what a pool fixes, that each map is reduced alone and by its largest
    value, this layer learns, at the price of pool height * pool width * channels^2 weights.

    Args:
        pool_size: int or pair (height, width), the size of the kernel; the default is (2, 2).
        strides: int or pair; None is `pool_size`.
        padding: zeros around the image: `"valid"` (none); `"half"` (k // 2 on every side); `"full"`
            (k - 1 on every side); `"same"` (TensorFlow's, asymmetric where the number is odd); `"ceil"`
            (at the bottom and right, so that the last partial window counts); an int; a pair
            (height, width); or ((top, bottom), (left, right)).
        filters: int, number of output channels; None keeps the number that comes in.
        activation: `"relu"` as in the paper, or another as in Keras.
        use_bias: bool.
        kernel_initializer: `"he_normal"` keeps the variance of the activations through the ReLU that
            follows (He et al. 2015), which Keras's default halves in every layer.
        data_format: `"channels_last"` or `"channels_first"`; None is Keras's configured one.
        **kwargs: the other arguments of `Conv2D`: `groups`, regularizers, constraints, `name`, `dtype`, …

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) for `"channels_first"`.
        Height and width may be unknown, but for `"ceil"`.

    Output shape:
        (batch, height', width', filters), or (batch, filters, height', width'), of each axis
        h' = floor((h + p1 + p2 - k) / s) + 1.

    Raises:
        ValueError: for an argument outside of the above, an input of another rank, or an image that is
            smaller, with its padding, than the window.

    Reference:
        Springenberg et al., Striving for simplicity: the all convolutional net, 2014 (arXiv 1412.6806).
    """

    _words = POOL_PADDINGS
    _filters_may_be_none = True

    def __init__(
        self,
        pool_size=(2, 2),
        strides=None,
        padding="valid",
        filters=None,
        activation="relu",
        use_bias=True,
        kernel_initializer="he_normal",
        data_format=None,
        **kwargs,
    ):
        pool_size = check_pair("pool_size", pool_size)
        super().__init__(
            filters,
            pool_size,
            strides=pool_size if strides is None else strides,
            padding=padding,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            data_format=data_format,
            **kwargs,
        )
        self._keeps_channels = filters is None

    @property
    def pool_size(self):
        return self.kernel_size

    def build(self, input_shape):
        if self._keeps_channels:
            self.filters = input_shape[-1 if self.data_format == "channels_last" else 1]
        super().build(input_shape)

    def get_config(self):
        config = {**super().get_config(), "pool_size": self.pool_size}
        del config["kernel_size"]
        if self._keeps_channels:
            config["filters"] = None
        return config
