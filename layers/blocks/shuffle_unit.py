import keras

from ..checks import check_positive_int
from ..padding import output_shape_2d
from ..pooling.average_pooling2d import AveragePooling2D
from .base_module import BaseNormalizedModule
from .channel_shuffle import ChannelShuffle
from .conv_norm_activation import ConvNormActivation


@keras.saving.register_keras_serializable(package="convzoo")
class ShuffleUnit(BaseNormalizedModule):
    """ShuffleNet's module: a residual bottleneck of grouped 1x1 convolutions, with a shuffle to let the groups meet.

    Grouped 1x1 to filters / 4 maps with ReLU, channel shuffle, 3x3 depthwise, grouped 1x1; batch normalization after
    each. Where the shape is shortcut, y = relu(x + body(x)). Otherwise the image goes beside the body's maps,
    y = relu([pool(x), body(x)]), through a 3x3 average pool with the stride, and the body has only as many maps as
    `filters` lacks. Padding is "same"; the authors' release pads by 1 on each side and counts the padded cells in the
    pool.

    Args:
        filters: int, number of output channels; a multiple of 4 * groups.
        groups: int, of both 1x1 convolutions and the shuffle.
        strides: int, of the depthwise convolution and the pool.
        first_groups: int, of the first 1x1 convolution; None is `groups`. The paper's very first unit, which has few
            channels, has 1.
        **kwargs: `momentum` (0.99) and `epsilon` (0.001) of the normalizations, `kernel_initializer` (`"he_normal"`)
            and `kernel_regularizer`, as in Keras; `data_format`, `"channels_last"` or `"channels_first"`, None is
            Keras's configured one; `name`, `dtype`, …

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) for `"channels_first"`. Height and
        width may be unknown where `strides` is 1.

    Output shape:
        (batch, ceil(height / strides), ceil(width / strides), filters), or with the channels first.

    Raises:
        ValueError: for an argument outside of the above, an input of another rank or with unknown channels, channels
            that the groups do not divide, or no fewer than `filters` where the image goes beside the body.

    Reference:
        Zhang et al., ShuffleNet, 2017 (arXiv 1707.01083).
    """

    def __init__(self, filters, groups=3, strides=1, first_groups=None, **kwargs):
        super().__init__(**kwargs)
        self.filters = check_positive_int("filters", filters)
        self.groups = check_positive_int("groups", groups)
        if self.filters % (4 * self.groups):
            raise ValueError(
                f"`filters` must be a multiple of 4 * `groups`. Received: filters={filters!r}, groups={groups!r}"
            )
        self.strides = check_positive_int("strides", strides)
        self.first_groups = self.groups if first_groups is None else check_positive_int("first_groups", first_groups)

    def build(self, input_shape):
        channels = self.require_channels(input_shape)
        keeps_shape = self.strides == 1 and channels == self.filters
        grown = self.filters - (0 if keeps_shape else channels)
        if grown < 1 or grown % self.groups:
            raise ValueError(
                "`filters` less the channels of the image beside the body must be a positive multiple of `groups`. "
                f"Received: input_shape={tuple(input_shape)}, filters={self.filters}, groups={self.groups}"
            )
        self.body = [
            self._conv(self.filters // 4, self.first_groups, "relu", "gconv1"),
            ChannelShuffle(self.groups, name="shuffle", **self.image_args()),
            *self.make_depthwise(self.strides),
            self._conv(grown, self.groups, None, "gconv2"),
        ]
        if keeps_shape:
            self.pool, self.join = None, keras.layers.Add(name="add", dtype=self.dtype_policy)
        else:
            self.pool = AveragePooling2D(3, self.strides, "same", name="pool", **self.image_args())
            self.join = self.make_concatenate()
        self.activate = keras.layers.Activation("relu", name="relu", dtype=self.dtype_policy)
        super().build(input_shape)

    def _conv(self, filters, groups, activation, name):
        return ConvNormActivation(
            filters, 1, groups=groups, activation=activation, name=name, **self.norm_args(), **self.kernel_args()
        )

    def connect(self, x, apply):
        shortcut = x if self.pool is None else apply(self.pool, x)
        for layer in self.body:
            x = apply(layer, x)
        return apply(self.activate, apply(self.join, [shortcut, x]))

    def compute_output_shape(self, input_shape):
        return output_shape_2d(
            "same", input_shape, (3, 3), (self.strides,) * 2, self.data_format, channels=self.filters
        )

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "groups": self.groups,
            "strides": self.strides,
            "first_groups": self.first_groups,
        }
