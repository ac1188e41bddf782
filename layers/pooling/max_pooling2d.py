import keras

from .base_pooling2d import BasePooling2D


@keras.saving.register_keras_serializable(package="convzoo")
class MaxPooling2D(BasePooling2D):
    """Largest value of each window, of each channel alone.

    Unlike Keras's it takes any padding, gives the same at the borders on every backend, and has Caffe's
    and cuda-convnet's "ceil". Padded cells never win, be the image negative.

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
        ValueError: for an argument outside of the above, an input of another rank, or an image that is
            smaller, with its padding, than the window.
    """

    accumulates = False

    def pool(self, images):
        return self.largest(images)
