import keras
import numpy as np

from ..checks import check_number
from .base_pooling2d import BasePooling2D
from .windows import weighted_sum


@keras.saving.register_keras_serializable(package="convzoo")
class WeightedAveragePooling2D(BasePooling2D):
    """Weighted mean of each window, of each channel alone: cells near the centre count more.

    The weight of a cell is a Gaussian of its distance from the window's centre,
    exp(-(dy^2 / (2 sy^2) + dx^2 / (2 sx^2))), or a given number. Weights are divided by the sum of those
    that fall on real cells, so padded cells are left out. All cells of a 2x2 window are equally far from
    its centre: there a Gaussian is the average, and `equivalent_pooling` says so.

    Args:
        pool_size: int or pair (height, width); the default is (2, 2).
        strides: int or pair; None is `pool_size`.
        padding: `"valid"` (none); `"half"` (k // 2 on every side); `"full"` (k - 1 on every side);
            `"same"` (TensorFlow's, asymmetric where the number is odd); `"ceil"` (the last partial window
            counts); an int; a pair (height, width); or ((top, bottom), (left, right)). Numbers must be
            smaller than `pool_size`.
        sigma: float > 0, in cells; None is 0.3 * ((k - 1) * 0.5 - 1) + 0.8 on each axis, OpenCV's
            default for k cells.
        weights: positive numbers, a list of pool height rows of pool width each, in place of the
            Gaussian.
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

    Reference:
        Sermanet et al., Convolutional neural networks applied to house numbers digit classification, 2012
        (arXiv 1204.3968), which pools with a Gaussian window.
    """

    def __init__(
        self,
        pool_size=(2, 2),
        strides=None,
        padding="valid",
        sigma=None,
        weights=None,
        data_format=None,
        **kwargs,
    ):
        super().__init__(pool_size, strides, padding, data_format, **kwargs)
        if sigma is not None and weights is not None:
            raise ValueError(
                f"`sigma` and `weights` must not be given together. Received: sigma={sigma!r}, weights={weights!r}"
            )
        self.sigma = None if sigma is None else check_number("sigma", sigma, above=0)
        self._given = None if weights is None else self._checked(weights)
        window = self._gaussian() if weights is None else self._given
        self.window = window / window.sum()

    @property
    def equivalent_pooling(self):
        return "AveragePooling2D" if np.allclose(self.window, 1 / self.window.size, rtol=1e-6) else None

    def check_shape(self, input_shape):
        super().check_shape(input_shape)
        self.require_channels(input_shape)

    def pool(self, images):
        return self.mean_without_padding(images, self._weighted)

    def _weighted(self, images):
        return weighted_sum(images, self.window, self.strides, self.padding, self.data_format)

    def _gaussian(self):
        axes = []
        for k in self.pool_size:
            sigma = self.sigma or 0.3 * ((k - 1) * 0.5 - 1) + 0.8
            axes.append(np.exp(-0.5 * ((np.arange(k) - (k - 1) / 2) / sigma) ** 2))
        window = np.outer(*axes)
        if window.min() < np.finfo("float32").tiny:
            raise ValueError(
                "`sigma` must be large enough for every cell of the window to have a weight in float32. "
                f"Received: sigma={self.sigma}, pool_size={self.pool_size}"
            )
        return window

    def _checked(self, weights):
        try:
            window = np.array([list(row) for row in weights], dtype="float64")
        except (TypeError, ValueError):
            window = np.empty(0)
        if window.shape != self.pool_size or not np.all(np.isfinite(window) & (window > 0)):
            raise ValueError(
                "`weights` must be positive numbers, one list of pool width for each row of the window. "
                f"Received: weights={weights!r}, pool_size={self.pool_size}"
            )
        return window

    def get_config(self):
        given = None if self._given is None else self._given.tolist()
        return {**super().get_config(), "sigma": self.sigma, "weights": given}
