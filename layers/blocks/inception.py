import keras

from ..checks import check_positive_int, is_int
from ..convolution.conv2d import Conv2D
from ..pooling.max_pooling2d import MaxPooling2D
from .base_module import BaseModule


@keras.saving.register_keras_serializable(package="convzoo")
class Inception(BaseModule):
    """GoogLeNet's module: windows of three sizes and a pool look at the same image, their maps are stacked.

    A 1x1 convolution before each of the larger windows, and after the pool, keeps the cost down:
    y = [1x1(x), 3x3(1x1(x)), 5x5(1x1(x)), 1x1(pool(x))], a ReLU after every convolution. The arguments are the columns
    of the paper's Table 1: its row 3a is `Inception(64, (96, 128), (16, 32), 32)`.

    Args:
        filters_1x1: int.
        filters_3x3: pair of ints, of the 1x1 reduction and of the 3x3 convolution behind it.
        filters_5x5: pair of ints, of the 1x1 reduction and of the 5x5 convolution behind it.
        filters_pool: int, of the 1x1 projection behind the 3x3 max pool.
        **kwargs: `kernel_initializer` (`"he_normal"`) and `kernel_regularizer`, as in Keras; `data_format`,
            `"channels_last"` or `"channels_first"`, None is Keras's configured one; `name`, `dtype`, …

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) for `"channels_first"`. Height and
        width may be unknown.

    Output shape:
        The input's with filters_1x1 + filters_3x3[1] + filters_5x5[1] + filters_pool channels.

    Raises:
        ValueError: for an argument outside of the above, or an input of another rank.

    Reference:
        Szegedy et al., Going deeper with convolutions, 2014 (arXiv 1409.4842).
    """

    def __init__(self, filters_1x1, filters_3x3, filters_5x5, filters_pool, **kwargs):
        super().__init__(**kwargs)
        self.filters_1x1 = check_positive_int("filters_1x1", filters_1x1)
        self.filters_3x3 = _check_reduced("filters_3x3", filters_3x3)
        self.filters_5x5 = _check_reduced("filters_5x5", filters_5x5)
        self.filters_pool = check_positive_int("filters_pool", filters_pool)
        self.conv_1x1 = self._conv(self.filters_1x1, 1, "1x1")
        self.reduce_3x3 = self._conv(self.filters_3x3[0], 1, "3x3_reduce")
        self.conv_3x3 = self._conv(self.filters_3x3[1], 3, "3x3")
        self.reduce_5x5 = self._conv(self.filters_5x5[0], 1, "5x5_reduce")
        self.conv_5x5 = self._conv(self.filters_5x5[1], 5, "5x5")
        self.pool = MaxPooling2D(3, 1, "half", name="pool", **self.image_args())
        self.project = self._conv(self.filters_pool, 1, "pool_proj")
        self.join = self.make_concatenate()

    def _conv(self, filters, kernel_size, name):
        return Conv2D(filters, kernel_size, padding="half", activation="relu", name=name, **self.kernel_args())

    def connect(self, x, apply):
        branches = [
            apply(self.conv_1x1, x),
            apply(self.conv_3x3, apply(self.reduce_3x3, x)),
            apply(self.conv_5x5, apply(self.reduce_5x5, x)),
            apply(self.project, apply(self.pool, x)),
        ]
        return apply(self.join, branches)

    def get_config(self):
        return {
            **super().get_config(),
            "filters_1x1": self.filters_1x1,
            "filters_3x3": self.filters_3x3,
            "filters_5x5": self.filters_5x5,
            "filters_pool": self.filters_pool,
        }


def _check_reduced(name, value):
    if isinstance(value, list | tuple) and len(value) == 2 and all(is_int(n) and n > 0 for n in value):
        return tuple(map(int, value))
    raise ValueError(f"`{name}` must be a pair (reduction, filters) of positive integers. Received: {name}={value!r}")
