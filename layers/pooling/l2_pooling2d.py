import keras

from .lp_pooling2d import LpPooling2D


@keras.saving.register_keras_serializable(package="convzoo")
class L2Pooling2D(LpPooling2D):
    """L2 norm of each window, of each channel alone: sqrt(sum x^2). `LpPooling2D` with p = 2.

    Args:
        pool_size: int or pair (height, width); the default is (2, 2).
        strides: int or pair; None is `pool_size`.
        padding: `"valid"` (none); `"half"` (k // 2 on every side); `"full"` (k - 1 on every side);
            `"same"` (TensorFlow's, asymmetric where the number is odd); `"ceil"` (the last partial window
            counts); an int; a pair (height, width); or ((top, bottom), (left, right)). Numbers must be
            smaller than `pool_size`.
        reduction: `"sum"`, or `"mean"` for the root of the mean square, which leaves padded cells out.
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

    def __init__(self, pool_size=(2, 2), strides=None, padding="valid", reduction="sum", data_format=None, **kwargs):
        super().__init__(pool_size, strides, padding, p=2, reduction=reduction, data_format=data_format, **kwargs)

    @property
    def equivalent_pooling(self):
        return None

    def get_config(self):
        config = super().get_config()
        del config["p"]
        return config
