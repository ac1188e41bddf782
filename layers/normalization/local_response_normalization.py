import keras
import numpy as np
from keras import ops

from ..checks import check_data_format, check_number, check_option, check_positive_int
from ..padding import pad_images


@keras.saving.register_keras_serializable(package="convzoo")
class LocalResponseNormalization(keras.layers.Layer):
    """Divides each value by the activity around it: y = x / (bias + alpha * A)^beta.

    A is the sum, or the mean, of x^2 over a window of `size` neighbouring channels at the same pixel
    (`across="channels"`), or of size * size pixels of the same channel (`across="space"`). The window has
    size // 2 cells before x and (size - 1) // 2 after; cells outside of the image count as zeros and, for the
    mean, as cells.

    The same name stands for different numbers, and libraries differ in their defaults too:

    | source | arguments here |
    |---|---|
    | AlexNet, as its paper writes it | `size=5, alpha=1e-4, beta=0.75, bias=2, reduction="sum"` (the defaults) |
    | cuda-convnet `cmrnorm` (size, scale, pow) | `size, alpha=scale, beta=pow, bias=1, reduction="mean"` |
    | cuda-convnet `rnorm` (size, scale, pow) | the same, with `across="space"` |
    | Caffe `LRN` (local_size, alpha, beta, k) | `size=local_size, alpha, beta, bias=k, reduction="mean"` |
    | Caffe `WITHIN_CHANNEL` (ignores k) | the same with `bias=1, across="space"` |
    | TensorFlow (depth_radius, bias, alpha, beta) | `size=2 * depth_radius + 1, alpha, beta, bias, reduction="sum"` |
    | torch (size, alpha, beta, k) | `size, alpha, beta, bias=k, reduction="mean"` |

    Args:
        size: int, cells of the window (on each axis).
        alpha: float >= 0.
        beta: float >= 0.
        bias: float > 0.
        across: `"channels"` or `"space"`.
        reduction: `"sum"` or `"mean"`.
        data_format: `"channels_last"` or `"channels_first"`; None is Keras's configured one.

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) for `"channels_first"`. Height and
        width may be unknown.

    Output shape:
        The input's. Half precision is computed in float32.

    Raises:
        ValueError: for an argument outside of the above, or an input of another rank or with unknown channels.

    Reference:
        Krizhevsky, Sutskever & Hinton, ImageNet classification with deep convolutional neural networks, 2012.
    """

    def __init__(
        self,
        size=5,
        alpha=1e-4,
        beta=0.75,
        bias=2.0,
        across="channels",
        reduction="sum",
        data_format=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.size = check_positive_int("size", size)
        self.alpha = check_number("alpha", alpha, at_least=0)
        self.beta = check_number("beta", beta, at_least=0)
        self.bias = check_number("bias", bias, above=0)
        self.across = check_option("across", across, ("channels", "space"))
        self.reduction = check_option("reduction", reduction, ("sum", "mean"))
        self.data_format = check_data_format(data_format)
        self.channel_axis = -1 if self.data_format == "channels_last" else 1
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape):
        if input_shape[self.channel_axis] is None:
            raise ValueError(f"The number of channels must be known. Received: input_shape={tuple(input_shape)}")

    def call(self, inputs):
        in_float32 = self.compute_dtype in ("float16", "bfloat16")
        images = ops.cast(inputs, "float32" if in_float32 else self.compute_dtype)
        window_sum = self._sum_over_channels if self.across == "channels" else self._sum_over_space
        activity = window_sum(ops.square(images))
        cells = self.size if self.across == "channels" else self.size**2
        alpha = self.alpha / cells if self.reduction == "mean" else self.alpha
        # TensorFlow's own power is ten times slower than exp and log.
        scale = ops.exp(-self.beta * ops.log(self.bias + alpha * activity))
        return ops.cast(images * scale, self.compute_dtype)

    def _sum_over_channels(self, values):
        channels = np.arange(values.shape[self.channel_axis])
        distances = channels[:, None] - channels
        # A product with a band of ones: one pass, where a sum of slices would copy the image `size` times.
        band = (distances >= -(self.size // 2)) & (distances <= (self.size - 1) // 2)
        band = ops.convert_to_tensor(band.astype("float32"), dtype=values.dtype)
        last = self.data_format == "channels_last"
        return ops.matmul(values, band) if last else ops.einsum("bchw,co->bohw", values, band)

    def _sum_over_space(self, values):
        around = self.size // 2, (self.size - 1) // 2
        padded = pad_images(values, (around, around), self.data_format)
        return ops.average_pool(padded, self.size, 1, "valid", self.data_format) * self.size**2

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "size": self.size,
            "alpha": self.alpha,
            "beta": self.beta,
            "bias": self.bias,
            "across": self.across,
            "reduction": self.reduction,
            "data_format": self.data_format,
        }
