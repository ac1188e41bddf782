import keras

from .base_pooling2d import BasePooling2D
from .windows import blur


@keras.saving.register_keras_serializable(package="convzoo")
class BlurPooling2D(BasePooling2D):
    """Blurs by binomial weights, then takes every stride-th value: the anti-aliased stride.

    The weights of k cells are the row of Pascal's triangle with k numbers, divided by their sum, on each axis:
    [1, 1] / 2, [1, 2, 1] / 4, [1, 3, 3, 1] / 8, … Every channel is blurred alone, nothing is learned. The
    cells that padding adds mirror the image at its border, the border cell not repeated; an image too small to
    be mirrored that far continues by its border cell.

    Two cells or fewer weigh alike: there, without padding, it is the average, and `equivalent_pooling` says so.

    Args:
        pool_size: int or pair (height, width), the number of weights; the default is (2, 2).
        strides: int or pair; the default is (2, 2), whatever the window. None is `pool_size`.
        padding: `"valid"` (none); `"half"` (k // 2 on every side); `"full"` (k - 1 on every side);
            `"same"` (TensorFlow's, asymmetric where the number is odd); `"ceil"` (the last partial window
            counts); an int; a pair (height, width); or ((top, bottom), (left, right)). Numbers must be
            smaller than `pool_size`.
        data_format: `"channels_last"` or `"channels_first"`; None is Keras's configured one.

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) for `"channels_first"`.
        Height and width may be unknown, but for `"ceil"`, and `"same"` with a stride above 1.

    Output shape:
        As the input, but of each axis h' = floor((h + p1 + p2 - k) / s) + 1, which is
        ceil((h - k) / s) + 1 for `"ceil"`, less one where that window would start outside of the image.

    Raises:
        ValueError: for an argument outside of the above, an input of another rank, unknown channels, or an
            image that is smaller, with its padding, than the window.

    Reference:
        Zhang, Making convolutional networks shift-invariant again, 2019 (arXiv 1904.11486).
    """

    def __init__(self, pool_size=(2, 2), strides=(2, 2), padding="valid", data_format=None, **kwargs):
        super().__init__(pool_size, strides, padding, data_format, **kwargs)

    @property
    def equivalent_pooling(self):
        unpadded = self.padding in ("valid", ((0, 0), (0, 0)))
        return "AveragePooling2D" if unpadded and max(self.pool_size) <= 2 else None

    def check_shape(self, input_shape):
        super().check_shape(input_shape)
        self.require_channels(input_shape)

    def pool(self, images):
        return blur(images, self.pool_size, self.strides, self._amounts(images.shape), self.data_format)
