import keras

from .. import backend_ops
from ..checks import is_int


@keras.saving.register_keras_serializable(package="convzoo")
class Dropout(keras.layers.Dropout):
    """Keras's `Dropout`, in less than half the time on TensorFlow, and at its rate in half precision.

    The same arguments. Keras draws a uniform number for each value, in the value's dtype: of bfloat16's 128 it drops
    26, so a rate of 0.2 is one of 0.203, while what stays is divided by 0.8. Here TensorFlow draws 16 bits for a value
    of any dtype, or 8 where they are exact, and the rate is right to 1/131072. `noise_shape` and the other backends go
    Keras's way.

    Args:
        rate: the probability that a value is dropped, from 0 to 1.
        noise_shape, seed: as in `keras.layers.Dropout`.

    Input shape:
        Any.

    Output shape:
        The input's.

    Reference:
        Hinton et al., Improving neural networks by preventing co-adaptation of feature detectors, 2012
        (arXiv 1207.0580).
    """

    def __init__(self, rate, noise_shape=None, seed=None, **kwargs):
        super().__init__(rate, noise_shape, int(seed) if is_int(seed) else seed, **kwargs)

    def call(self, inputs, training=False):
        ours = self.noise_shape is None and 0 < self.rate < 1 and backend_ops.supports_dropout()
        if not (training and ours):
            return super().call(inputs, training=training)
        return backend_ops.dropout(inputs, self.rate, self.seed_generator.next())
