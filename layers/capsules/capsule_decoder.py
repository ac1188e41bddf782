import math

import keras
from keras import ops

from ..checks import check_positive_int
from ..numerics import one_hot


@keras.saving.register_keras_serializable(package="convzoo")
class CapsuleDecoder(keras.layers.Layer):
    """Draws the image again from one capsule: dense layers with ReLU, and a sigmoid for every value of the image.

    Trained beside the classifier, it makes a capsule hold what its digit looks like. All capsules but one are set
    to zero: called as `decoder(capsules, labels)` the labels' is left, as in training; as `decoder(capsules)` the
    longest. The paper adds to its loss 0.0005 times the sum of the squared differences, of images within [0, 1].

    Args:
        image_shape: sizes of an image, (height, width, channels) or however it is laid out.
        units: list of ints, widths of the hidden layers.

    Input shape:
        `capsules`: (batch, capsules, dimension), all sizes but the batch known. `labels`, optional: integers (batch,)
        or (batch, 1), or one-hot (batch, capsules).

    Output shape:
        (batch, *image_shape), values in [0, 1].

    Raises:
        ValueError: for an argument outside of the above, an input of another rank or with unknown sizes, or labels of
            another shape.

    Reference:
        Sabour, Frosst & Hinton, Dynamic routing between capsules, 2017 (arXiv 1710.09829), figure 2.
    """

    def __init__(self, image_shape, units=(512, 1024), **kwargs):
        super().__init__(**kwargs)
        self.image_shape = _sizes("image_shape", image_shape)
        self.units = _sizes("units", units)
        self.hidden = [
            keras.layers.Dense(n, activation="relu", dtype=self.dtype_policy, name=f"dense{i}")
            for i, n in enumerate(self.units, 1)
        ]
        self.pixels = keras.layers.Dense(
            math.prod(self.image_shape), activation="sigmoid", dtype=self.dtype_policy, name="pixels"
        )
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def build(self, capsules_shape, labels_shape=None):
        if None in capsules_shape[1:]:
            raise ValueError(f"All sizes but the batch must be known. Received: input_shape={tuple(capsules_shape)}")
        size = math.prod(capsules_shape[1:])
        for dense in (*self.hidden, self.pixels):
            dense.build((None, size))
            size = dense.units
        self.input_spec = keras.layers.InputSpec(shape=(None, *capsules_shape[1:]))

    def call(self, capsules, labels=None):
        if labels is None:
            labels = ops.argmax(ops.sum(ops.square(ops.cast(capsules, "float32")), -1), -1)
        count, dimension = capsules.shape[1:]
        mask = ops.expand_dims(one_hot("labels", labels, count, capsules.dtype), -1)
        values = ops.reshape(capsules * mask, (-1, count * dimension))
        for dense in (*self.hidden, self.pixels):
            values = dense(values)
        return ops.reshape(values, (-1, *self.image_shape))

    @property
    def multiplications(self):
        """Multiplications of one image with weights: each kernel once."""
        return sum(math.prod(dense.kernel.shape) for dense in (*self.hidden, self.pixels))

    def compute_output_shape(self, capsules_shape, labels_shape=None):
        return (capsules_shape[0], *self.image_shape)

    def get_config(self):
        return {**super().get_config(), "image_shape": self.image_shape, "units": self.units}


def _sizes(name, value):
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError(f"`{name}` must be a list of positive integers. Received: {name}={value!r}")
    return [check_positive_int(name, size) for size in value]
