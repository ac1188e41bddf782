import inspect
import itertools
import math

import keras

from .covariance import batches, mean_and_variance


@keras.saving.register_keras_serializable(package="convzoo")
class Normalization(keras.layers.Normalization):
    """Keras's `Normalization`, on TensorFlow in less than half the time for images whose channels are last.

    The same arguments, weights and values, to float32's last digits. Keras takes three numbers from every pixel, in
    runs of three, and divides; here mean and deviation are written out for a whole image, and runs are as long as that.
    What small networks feel: an eighth of LeNet's step was this. `invert` and other shapes go Keras's way. To adapt to
    arrays, or a list or generator of them, is quicker too and exact for `axis=-1`: sums are in float64.

    Args:
        axis, mean, variance, invert: as in `keras.layers.Normalization`.

    Input shape:
        Any; `(batch, height, width, channels)` is fast.

    Output shape:
        The input's.

    Reference:
        LeCun, Bottou, Orr and Müller, Efficient BackProp, 1998, section 4.3.
    """

    def adapt(self, data):
        """Computes mean and variance of `data`, as Keras's does.

        Args:
            data: an array, or batches of them; what else Keras takes goes Keras's way.

        Raises:
            ValueError: no value, other channels than the layer was built for, arrays that differ in more than size.
        """
        first = data
        if inspect.isgenerator(data) or isinstance(data, list):
            rest = iter(data)
            first = next(rest, None)
            data = rest if first is None else itertools.chain([first], rest)
        shape = tuple(getattr(first, "shape", ()))
        if len(shape) < 2 or self.axis != (-1,) or self.input_mean is not None:
            return super().adapt(data)
        if not self.built:
            self.build((None, *shape[1:]))
        mean, variance = mean_and_variance(batches(data))
        if mean.shape != tuple(self.adapt_mean.shape):
            raise ValueError(f"`data` must have {self.adapt_mean.shape[0]} channels. Received: {shape}")
        self.adapt_mean.assign(mean)
        self.adapt_variance.assign(variance)
        self.finalize_state()

    def call(self, inputs):
        if self.mean is None:
            return super().call(inputs)  # which says what is missing
        of, shape = self.backend.numpy, tuple(inputs.shape)  # TensorFlow's within a `tf.data` of any backend
        images = self.backend.core.convert_to_tensor(inputs, dtype=self.compute_dtype)
        mean, variance = self._statistics()
        deviation = of.maximum(of.sqrt(variance), keras.config.epsilon())
        if self.invert:
            return images * deviation + mean
        if len(shape) != 4 or self.axis not in ((3,), (-1,)) or None in shape[1:]:
            return (images - mean) / deviation
        pixels = math.prod(shape[1:3])
        mean, scale = of.reshape(mean, (-1,)), 1 / of.reshape(deviation, (-1,))
        images = of.reshape(images, (-1, pixels * shape[3]))
        return of.reshape((images - of.tile(mean, pixels)) * of.tile(scale, pixels), (-1, *shape[1:]))

    def _statistics(self):
        """Mean and variance in the shape that meets the inputs.

        Keras's layer keeps copies of its weights, which `set_weights` does not change; here the weights themselves
        count.
        """
        if self.input_mean is not None:
            return self.convert_weight(self.mean), self.convert_weight(self.variance)
        of = self.backend.numpy
        weights = (self.convert_weight(each) for each in (self.adapt_mean, self.adapt_variance))
        return tuple(
            self.backend.core.cast(of.reshape(each, self._broadcast_shape), self.compute_dtype) for each in weights
        )
