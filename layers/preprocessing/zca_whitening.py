import math

import keras
import numpy as np
from keras import ops

from ..checks import check_number
from .adapted import require_adapted_weight
from .covariance import batches, mean_and_covariance


@keras.saving.register_keras_serializable(package="convzoo")
class ZCAWhitening(keras.layers.Layer):
    """Makes the values of an image uncorrelated over the data: (x - mean) P, P = V (L + epsilon)^(-1/2) V'.

    V and L are the eigenvectors and eigenvalues of the covariance of the flattened images. Of all
    whitening matrices ZCA's moves the images least, so that they still look like images. The conventions
    are those of pylearn2's `ZCA`, which made the CIFAR-10 of Maxout, NiN and All-CNN after
    `GlobalContrastNormalization(scale=55)`: covariance over n, `epsilon` (there `filter_bias`, 0.1) added
    to its diagonal, all components kept.

    The matrix has (height * width * channels)^2 entries (38 MB for 32x32x3). It and the mean are weights,
    not trained, saved with the model. Call `adapt` before use.

    Args:
        epsilon: float > 0, added to every eigenvalue.

    Input shape:
        (batch, …), all sizes but the batch known; integers or floats.

    Output shape:
        The input's. Computed and returned in float32, whatever the policy or `dtype`.

    Raises:
        ValueError: for an `epsilon` outside of the above, unknown sizes, an input of another shape than
            the adapted one, or a use before `adapt`.

    Reference:
        Goodfellow et al., Maxout networks, 2013 (arXiv 1302.4389); Bell & Sejnowski, The "independent
        components" of natural scenes are edge filters, 1997.
    """

    def __init__(self, epsilon=0.1, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.epsilon = check_number("epsilon", epsilon, above=0)
        self.input_spec = keras.layers.InputSpec(min_ndim=2)
        self._is_adapted = False  # as far as is known: weights may come in by many ways

    def build(self, input_shape):
        if len(input_shape) < 2 or None in input_shape[1:]:
            raise ValueError(f"All sizes but the batch must be known. Received: input_shape={tuple(input_shape)}")
        size = math.prod(input_shape[1:])
        self.mean = self.add_weight(name="mean", shape=(size,), initializer="zeros", trainable=False)
        self.matrix = self.add_weight(name="matrix", shape=(size, size), initializer="zeros", trainable=False)
        self.input_spec = keras.layers.InputSpec(shape=(None, *input_shape[1:]))

    def adapt(self, data):
        """Computes mean and matrix from all of `data`, in float64 on the host.

        Args:
            data: an array (images, …), or an iterable of such batches, which is read once and never held
                as a whole.

        Raises:
            ValueError: for data without an image or of another shape than the layer was built for.
        """
        mean, covariance = mean_and_covariance(map(self._rows, batches(data)))
        values, vectors = np.linalg.eigh(covariance)
        scales = 1 / np.sqrt(np.maximum(values, 0) + self.epsilon)
        self.mean.assign(mean)
        self.matrix.assign((vectors * scales) @ vectors.T)

    def _rows(self, images):
        if not self.built:
            self.build((None, *images.shape[1:]))
        expected = self.input_spec.shape[1:]
        if images.shape[1:] != expected:
            raise ValueError(f"`data` must be images of shape {expected}. Received: a batch of shape {images.shape}")
        return images.reshape(len(images), -1)

    def call(self, inputs):
        matrix = self.matrix if self._is_adapted else require_adapted_weight(self, self.matrix)
        images = ops.reshape(ops.cast(inputs, "float32"), (-1, self.mean.shape[0]))
        return ops.reshape(ops.matmul(images - self.mean, matrix), (-1, *inputs.shape[1:]))

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon}
