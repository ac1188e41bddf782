import keras

from ..checks import check_positive_int
from ..convolution.conv2d import Conv2D
from .base_module import BaseModule


@keras.saving.register_keras_serializable(package="convzoo")
class Fire(BaseModule):
    """SqueezeNet's module: few 1x1 filters, whose maps alone the 1x1 and 3x3 filters behind them read.

    With s = relu(1x1(x)), y = [relu(1x1(s)), relu(3x3(s))]. The arguments are the columns of the paper's Table 1:
    its row fire2 is `Fire(16, 64, 64)`.

    Args:
        squeeze: int, filters of the first 1x1 convolution.
        expand_1x1: int, filters of the second.
        expand_3x3: int, filters of the 3x3 convolution beside it.
        **kwargs: `kernel_initializer` (`"he_normal"`) and `kernel_regularizer`, as in Keras; `data_format`,
            `"channels_last"` or `"channels_first"`, None is Keras's configured one; `name`, `dtype`, …

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) for `"channels_first"`. Height and
        width may be unknown.

    Output shape:
        The input's with expand_1x1 + expand_3x3 channels.

    Raises:
        ValueError: for an argument outside of the above, or an input of another rank.

    Reference:
        Iandola et al., SqueezeNet, 2016 (arXiv 1602.07360).
    """

    def __init__(self, squeeze, expand_1x1, expand_3x3, **kwargs):
        super().__init__(**kwargs)
        self.squeeze = self._conv(check_positive_int("squeeze", squeeze), 1, "squeeze1x1")
        self.expand_1x1 = self._conv(check_positive_int("expand_1x1", expand_1x1), 1, "expand1x1")
        self.expand_3x3 = self._conv(check_positive_int("expand_3x3", expand_3x3), 3, "expand3x3")
        self.join = self.make_concatenate()

    def _conv(self, filters, kernel_size, name):
        return Conv2D(filters, kernel_size, padding="half", activation="relu", name=name, **self.kernel_args())

    def connect(self, x, apply):
        x = apply(self.squeeze, x)
        return apply(self.join, [apply(self.expand_1x1, x), apply(self.expand_3x3, x)])

    def get_config(self):
        return {
            **super().get_config(),
            "squeeze": self.squeeze.filters,
            "expand_1x1": self.expand_1x1.filters,
            "expand_3x3": self.expand_3x3.filters,
        }
