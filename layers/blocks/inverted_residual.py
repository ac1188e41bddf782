import keras

from ..checks import check_positive_int
from ..padding import output_shape_2d
from .base_module import BaseNormalizedModule
from .conv_norm_activation import ConvNormActivation


@keras.saving.register_keras_serializable(package="convzoo")
class InvertedResidual(BaseNormalizedModule):
    """MobileNetV2's module: a wide depthwise convolution between two narrow 1x1, with a shortcut around them.

    1x1 to expansion * channels maps, 3x3 depthwise, 1x1 to `filters` maps; batch normalization after each, ReLU6 after
    the first two: what is narrow stays linear. The input is added where its shape is the output's. Padding is "same",
    as in the authors' TensorFlow code.

    Args:
        filters: int, number of output channels.
        strides: int, of the depthwise convolution.
        expansion: int, how many times more maps the depthwise convolution has than the input. At 1 there is no
            first 1x1.
        **kwargs: `momentum` (0.99) and `epsilon` (0.001) of the normalizations, `kernel_initializer` (`"he_normal"`)
            and `kernel_regularizer`, as in Keras; `data_format`, `"channels_last"` or `"channels_first"`, None is
            Keras's configured one; `name`, `dtype`, …

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) for `"channels_first"`. Height and
        width may be unknown.

    Output shape:
        (batch, ceil(height / strides), ceil(width / strides), filters), or with the channels first.

    Raises:
        ValueError: for an argument outside of the above, or an input of another rank or with unknown channels.

    Reference:
        Sandler et al., MobileNetV2: inverted residuals and linear bottlenecks, 2018 (arXiv 1801.04381).
    """

    def __init__(self, filters, strides=1, expansion=6, **kwargs):
        super().__init__(**kwargs)
        self.filters = check_positive_int("filters", filters)
        self.strides = check_positive_int("strides", strides)
        self.expansion = check_positive_int("expansion", expansion)

    def build(self, input_shape):
        channels = self.require_channels(input_shape)
        self.body = [*self.make_depthwise(self.strides), self._relu6("depthwise_relu6")]
        if self.expansion > 1:
            self.body.insert(0, self._conv(self.expansion * channels, "expand", "relu6"))
        self.body.append(self._conv(self.filters, "project", None))
        self.add = None
        if self.strides == 1 and channels == self.filters:
            self.add = keras.layers.Add(name="add", dtype=self.dtype_policy)
        super().build(input_shape)

    def _conv(self, filters, name, activation):
        return ConvNormActivation(
            filters, 1, activation=activation, name=name, **self.norm_args(), **self.kernel_args()
        )

    def _relu6(self, name):
        return keras.layers.Activation("relu6", name=name, dtype=self.dtype_policy)

    def connect(self, x, apply):
        y = x
        for layer in self.body:
            y = apply(layer, y)
        return y if self.add is None else apply(self.add, [x, y])

    def compute_output_shape(self, input_shape):
        return output_shape_2d(
            "same", input_shape, (3, 3), (self.strides,) * 2, self.data_format, channels=self.filters
        )

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "strides": self.strides,
            "expansion": self.expansion,
        }
