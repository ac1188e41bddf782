import keras
from keras import ops

from ..checks import check_bool
from .base_pooling2d import BasePooling2D


@keras.saving.register_keras_serializable(package="convzoo")
class MixedPooling2D(BasePooling2D):
    """Learned mix of the max and the average of each window: y = alpha * max + (1 - alpha) * average.

    One alpha for the whole layer, the paper's choice ("1 per pooling layer"), or one a channel. It stays in
    (0, 1), for what is learned is its logit: alpha = sigmoid(`logit`), 1/2 at the start. Padded cells are
    left out of both.

    Args:
        pool_size: int or pair (height, width); the default is (2, 2).
        strides: int or pair; None is `pool_size`.
        padding: `"valid"` (none); `"half"` (k // 2 on every side); `"full"` (k - 1 on every side);
            `"same"` (TensorFlow's, asymmetric where the number is odd); `"ceil"` (the last partial window
            counts); an int; a pair (height, width); or ((top, bottom), (left, right)). Numbers must be
            smaller than `pool_size`.
        per_channel: bool. True learns one alpha a channel.
        data_format: `"channels_last"` or `"channels_first"`; None is Keras's configured one.

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) for `"channels_first"`.
        Height and width may be unknown, but for `"ceil"`, and `"same"` with a stride above 1.

    Output shape:
        As the input, but of each axis h' = floor((h + p1 + p2 - k) / s) + 1, which is
        ceil((h - k) / s) + 1 for `"ceil"`, less one where that window would start outside of the image.

    Raises:
        ValueError: for an argument outside of the above, an input of another rank or, per channel, unknown
            channels, or an image that is smaller, with its padding, than the window.

    Reference:
        Lee, Gallagher & Tu, Generalizing pooling functions in convolutional neural networks: mixed, gated,
        and tree, 2016 (arXiv 1509.08985).
    """

    has_weights = True

    def __init__(self, pool_size=(2, 2), strides=None, padding="valid", per_channel=False, data_format=None, **kwargs):
        super().__init__(pool_size, strides, padding, data_format, **kwargs)
        self.per_channel = check_bool("per_channel", per_channel)

    def build(self, input_shape):
        super().build(input_shape)
        shape = (self.require_channels(input_shape),) if self.per_channel else ()
        # Half precision would round what the mix is computed from in float32.
        self.logit = self.add_weight(name="logit", shape=shape, initializer="zeros", autocast=False)

    def pool(self, images):
        alpha = ops.sigmoid(ops.cast(self.logit, images.dtype))
        alpha = self.broadcast_to_channels(alpha, images) if self.per_channel else alpha
        largest = self.largest(images)
        average = self.average(images)
        return average + alpha * (largest - average)

    def get_config(self):
        return {**super().get_config(), "per_channel": self.per_channel}
