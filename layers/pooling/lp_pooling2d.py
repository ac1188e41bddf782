import keras
from keras import ops

from ..checks import check_number, check_option
from ..numerics import root
from .base_pooling2d import BasePooling2D


@keras.saving.register_keras_serializable(package="convzoo")
class LpPooling2D(BasePooling2D):
    """Lp norm of each window, of each channel alone: (sum |x|^p)^(1/p).

    Between the average (p = 1) and the max (p to infinity): every cell counts, large ones more.

    Two readings are about. The norm's definition, and torch's `LPPool2d`, sum over the window; others
    take the mean, which stays within the range of the values whatever the size of the window. `reduction`
    says which. Where no cell is padded the second is the first divided by (height * width)^(1/p).

    Args:
        pool_size: int or pair (height, width); the default is (2, 2).
        strides: int or pair; None is `pool_size`.
        padding: `"valid"` (none); `"half"` (k // 2 on every side); `"full"` (k - 1 on every side);
            `"same"` (TensorFlow's, asymmetric where the number is odd); `"ceil"` (the last partial window
            counts); an int; a pair (height, width); or ((top, bottom), (left, right)). Numbers must be
            smaller than `pool_size`.
        p: float >= 1, the order of the norm.
        reduction: `"sum"`, or `"mean"`, which leaves padded cells out.
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

    The gradient of a window of zeros is zero. Half precision is computed in float32. There |x|^p must neither
    overflow nor vanish: with p = 7 values of 1e5 give infinity, with p = 50 values below 0.1 give 0.

    torch's `LPPool2d(ceil_mode=True)` gives other numbers than "ceil" in a partial last window: it takes the mean
    of the cells that are there times the size of the whole window.

    Reference:
        Sermanet et al., Convolutional neural networks applied to house numbers digit classification, 2012
        (arXiv 1204.3968).
    """

    def __init__(
        self,
        pool_size=(2, 2),
        strides=None,
        padding="valid",
        p=2.0,
        reduction="sum",
        data_format=None,
        **kwargs,
    ):
        super().__init__(pool_size, strides, padding, data_format, **kwargs)
        self.p = check_number("p", p, at_least=1)
        self.reduction = check_option("reduction", reduction, ("sum", "mean"))

    @property
    def equivalent_pooling(self):
        return "L2Pooling2D" if self.p == 2 else None

    def pool(self, images):
        powers = ops.square(images) if self.p == 2 else ops.power(ops.abs(images), self.p)
        return root(self.average(powers) if self.reduction == "mean" else self.total(powers), self.p)

    def get_config(self):
        return {**super().get_config(), "p": self.p, "reduction": self.reduction}
