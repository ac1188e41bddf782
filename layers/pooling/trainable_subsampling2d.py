from math import prod

import keras

from .base_pooling2d import BasePooling2D


@keras.saving.register_keras_serializable(package="convzoo")
class TrainableSubsampling2D(BasePooling2D):
    """Sum of each window, times a learned scale and plus a learned bias, one of each a map: y = w sum x + b.

    LeNet-5's S2 and S4, the pooling before there was max pooling. There a squashing follows, which is a layer
    apart here (`ScaledTanh`, or a sigmoid). `scale` starts at 1 / (pool height * pool width), the average,
    and `bias` at 0. Padded cells add nothing to the sum.

    Args:
        pool_size: int or pair (height, width); the default is (2, 2).
        strides: int or pair; None is `pool_size`.
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
        ValueError: for an argument outside of the above, an input of another rank or with unknown channels,
            or an image that is smaller, with its padding, than the window.

    Reference:
        LeCun, Bottou, Bengio & Haffner, Gradient-based learning applied to document recognition, 1998.
    """

    has_weights = True

    def build(self, input_shape):
        super().build(input_shape)
        shape = (self.require_channels(input_shape),)
        start = keras.initializers.Constant(1 / prod(self.pool_size))
        # Half precision would round what the window's sum is computed with in float32.
        self.scale = self.add_weight(name="scale", shape=shape, initializer=start, autocast=False)
        self.bias = self.add_weight(name="bias", shape=shape, initializer="zeros", autocast=False)

    def pool(self, images):
        scale, bias = (self.broadcast_to_channels(weights, images) for weights in (self.scale, self.bias))
        return self.total(images) * scale + bias
