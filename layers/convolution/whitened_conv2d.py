import math

import keras
import numpy as np
from keras import ops

from ..checks import check_bool, check_data_format, check_number, check_pair
from ..padding import check_padding, output_shape_2d, pad_amounts_2d, pad_images
from ..preprocessing.adapted import require_adapted_weight
from ..preprocessing.covariance import batches, mean_and_covariance

_IMAGES = 128


@keras.saving.register_keras_serializable(package="convzoo")
class WhitenedConv2D(keras.layers.Layer):
    """A first convolution that is not trained: it makes the values of each patch of the image uncorrelated.

    With v_i and l_i the eigenvectors and eigenvalues of the covariance of the data's patches, its kernels are
    v_i / sqrt(l_i + epsilon), those of the largest eigenvalues first, and then their negatives, so that a ReLU after
    them loses nothing. Networks that are trained on CIFAR within seconds begin so: the next layer need not learn
    first that neighbouring pixels are alike.

    `kernel` is a weight, not trained, saved with the model; `bias` is trained. The mean is not subtracted: give
    images that are normalised, for whose values `epsilon` is meant too. Call `adapt` before use. The last kernels
    magnify the rounding of the images as well: on CIFAR-10, to 0.05 in bfloat16 and 0.007 in float16, where outputs
    have a standard deviation of about 1.

    Args:
        kernel_size: int or pair (height, width) of a patch.
        strides: int or pair.
        padding: zeros around the image: `"valid"` (none); `"half"` (k // 2 on every side); `"full"` (k - 1 on
            every side); `"same"` (TensorFlow's, asymmetric where the number is odd); an int; a pair
            (height, width); or ((top, bottom), (left, right)).
        epsilon: float > 0, added to every eigenvalue.
        use_bias: bool.
        data_format: `"channels_last"` or `"channels_first"`; None is Keras's configured one.

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) for `"channels_first"`. Height and
        width may be unknown, but for `"same"` with a stride above 1.

    Output shape:
        (batch, height', width', filters), or (batch, filters, height', width'), with filters = 2 * kernel height *
        kernel width * channels, where of each axis h' = floor((h + p1 + p2 - k) / s) + 1.

    Raises:
        ValueError: for an argument outside of the above, an input of another rank, with unknown or other channels
            than the adapted ones, an image that is smaller, with its padding, than the kernel, or a use before
            `adapt`.

    Reference:
        Page, How to train your ResNet 8: bag of tricks, 2019; Jordan, 94% on CIFAR-10 in 3.29 seconds on a single
        GPU, 2024 (arXiv 2404.00498).
    """

    def __init__(
        self, kernel_size=2, strides=(1, 1), padding="valid", epsilon=5e-4, use_bias=True, data_format=None, **kwargs
    ):
        super().__init__(**kwargs)
        self.kernel_size = check_pair("kernel_size", kernel_size)
        self.strides = check_pair("strides", strides)
        self.padding = check_padding(padding)
        self.epsilon = check_number("epsilon", epsilon, above=0)
        self.use_bias = check_bool("use_bias", use_bias)
        self.data_format = check_data_format(data_format)
        self.channel_axis = -1 if self.data_format == "channels_last" else 1
        self.input_spec = keras.layers.InputSpec(ndim=4)
        self._is_adapted = False  # as far as is known: weights may come in by many ways

    def build(self, input_shape):
        filters = self.compute_output_shape(input_shape)[self.channel_axis]
        channels = input_shape[self.channel_axis]
        self.kernel = self.add_weight(
            name="kernel", shape=(*self.kernel_size, channels, filters), initializer="zeros", trainable=False
        )
        self.bias = self.add_weight(name="bias", shape=(filters,), initializer="zeros") if self.use_bias else None
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={self.channel_axis: channels})

    def adapt(self, data):
        """Computes the kernels from all patches of all of `data`, in float64 on the host.

        Args:
            data: an array (images, …), or an iterable of such batches, which is read once and never held
                as a whole.

        Raises:
            ValueError: for data without an image, of another rank or channels than the layer was built for, or
                smaller than a patch.
        """
        _, covariance = mean_and_covariance(self._patches(data))
        values, vectors = np.linalg.eigh(covariance)
        kernels = (vectors / np.sqrt(np.maximum(values, 0) + self.epsilon))[:, ::-1]
        self.kernel.assign(np.concatenate([kernels, -kernels], 1).reshape(self.kernel.shape))

    def _patches(self, data):
        for images in batches(data):
            if not self.built:
                self.build((None, *images.shape[1:]))
            self.compute_output_shape(images.shape)
            last = np.moveaxis(images, self.channel_axis, -1)
            if last.shape[-1] != self.kernel.shape[2]:
                raise ValueError(
                    f"`data` must be images of {self.kernel.shape[2]} channels. "
                    f"Received: a batch of shape {images.shape}"
                )
            patches = np.lib.stride_tricks.sliding_window_view(last, self.kernel_size, (1, 2))
            patches = np.moveaxis(patches, 3, -1)
            for start in range(0, len(images), _IMAGES):
                yield patches[start : start + _IMAGES].reshape(-1, math.prod(self.kernel.shape[:3]))

    def call(self, inputs):
        kernel = self.kernel if self._is_adapted else require_adapted_weight(self, self.kernel)
        self.compute_output_shape(inputs.shape)
        amounts = pad_amounts_2d(self.padding, inputs.shape, self.kernel_size, self.strides, self.data_format)
        padded = pad_images(inputs, amounts, self.data_format)
        outputs = ops.conv(padded, kernel, self.strides, "valid", self.data_format)
        if self.bias is None:
            return outputs
        last = self.data_format == "channels_last"
        return outputs + (self.bias if last else ops.reshape(self.bias, (-1, 1, 1)))

    def compute_output_shape(self, input_shape):
        window = self.kernel_size, self.strides, self.data_format
        shape = list(output_shape_2d(self.padding, input_shape, *window))
        channels = shape[self.channel_axis]
        if channels is None:
            raise ValueError(f"The number of channels must be known. Received: input_shape={tuple(input_shape)}")
        shape[self.channel_axis] = 2 * math.prod(self.kernel_size) * channels
        return tuple(shape)

    def get_config(self):
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "epsilon": self.epsilon,
            "use_bias": self.use_bias,
            "data_format": self.data_format,
        }
