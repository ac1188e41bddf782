import keras
from keras import ops

from ..checks import check_pair
from .base_pooling2d import BasePooling2D
from .windows import blur


@keras.saving.register_keras_serializable(package="convzoo")
class MaxBlurPooling2D(BasePooling2D):
    """Max at every position, a blur, then every stride-th value: max pooling without its aliasing.

    A max pool is a max at stride 1, which moves with the image, and a stride, which does not; the blur between
    the two makes the output change less when the image moves by a pixel. Its weights are binomial, as in
    `BlurPooling2D`; it reads (k - 1) // 2 cells before each value and k // 2 after, mirrored at the borders of
    the map of maxima, so the output has the shape of max pooling. Padded cells never win the max. A map too
    small to be mirrored that far continues by its border cell.

    With `blur_size=1` it is the max pool, and `equivalent_pooling` says so.

    Args:
        pool_size: int or pair (height, width), the window of the max; the default is (2, 2).
        strides: int or pair; the default is (2, 2), whatever the window. None is `pool_size`.
        padding: `"valid"` (none); `"half"` (k // 2 on every side); `"full"` (k - 1 on every side);
            `"same"` (TensorFlow's, asymmetric where the number is odd); `"ceil"` (the last partial window
            counts); an int; a pair (height, width); or ((top, bottom), (left, right)). Numbers must be
            smaller than `pool_size`.
        blur_size: int or pair, the number of weights of the blur on each axis.
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
        Zhang, Making convolutional networks shift-invariant again, 2019 (arXiv 1904.11486), whose networks
        blur by 3 or 5 weights, and by 4 in the published code.
    """

    def __init__(self, pool_size=(2, 2), strides=(2, 2), padding="valid", blur_size=3, data_format=None, **kwargs):
        super().__init__(pool_size, strides, padding, data_format, **kwargs)
        self.blur_size = check_pair("blur_size", blur_size)

    @property
    def equivalent_pooling(self):
        return "MaxPooling2D" if self.blur_size == (1, 1) else None

    @property
    def effective_size(self):
        """(height, width) of the cells that one output reads."""
        return tuple(pool + blur - 1 for pool, blur in zip(self.pool_size, self.blur_size, strict=True))

    def check_shape(self, input_shape):
        super().check_shape(input_shape)
        self.require_channels(input_shape)

    def pool(self, images):
        images = self.pad_with_lowest(images)
        largest = ops.max_pool(images, self.pool_size, 1, "valid", self.data_format)
        around = tuple(((k - 1) // 2, k // 2) for k in self.blur_size)
        return blur(largest, self.blur_size, self.strides, around, self.data_format)

    def get_config(self):
        return {**super().get_config(), "blur_size": self.blur_size}
