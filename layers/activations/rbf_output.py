import math

import keras
import numpy as np
from keras import ops

from ..checks import check_number

_CELLS = {"#": 1, ".": -1}


@keras.saving.register_keras_serializable(package="convzoo")
class RBFOutput(keras.layers.Layer):
    """Class scores by the distance to one fixed vector a class: y_c = -scale * sum_i (x_i - w_ci)^2.

    LeNet-5's output layer, whose vectors are drawings of the characters, 7 x 12 pixels of -1 and +1, so that
    characters that look alike have outputs that are alike. The paper's penalty is the distance, smaller being
    better; its negative is a score, larger being better, as of any classifier.

    The vectors are given, not learned: a weight `centers` (classes, features) that is not trained.

    Args:
        centers: numbers, one array or list a class; its values are flattened, row by row. LeNet-5's ten bitmaps are
            an array (10, 12, 7), 840 numbers. Or drawings, one string a class, of `#` for 1, `.` for -1, and white
            space, which does not count.
        scale: float > 0. 1 in the reference; in cross-entropy the distances' inverse temperature, which also scales
            the gradient: over many values it must be small, or the learning rate.

    Input shape:
        (batch, …), as many values an image as a class has; flattened, in the order of its axes.

    Output shape:
        (batch, classes). Half precision is computed in float32.

    Raises:
        ValueError: for centers that are not finite numbers of one size or such drawings, another argument outside of
            the above, or an input of another size.

    Reference:
        LeCun, Bottou, Bengio & Haffner, Gradient-based learning applied to document recognition, 1998.
    """

    def __init__(self, centers, scale=1.0, **kwargs):
        super().__init__(**kwargs)
        try:
            values = np.array([_drawn(center) for center in centers], dtype="float32")
        except (KeyError, TypeError, ValueError):
            values = np.empty(0)
        if values.ndim < 2 or not values.size or not np.all(np.isfinite(values)):
            raise ValueError(
                "`centers` must be finite numbers, as many for each class, or drawings of `#` and `.`. "
                f"Received: centers={centers!r}"
            )
        self._given = values.reshape(len(values), -1)
        self.scale = check_number("scale", scale, above=0)
        self.input_spec = keras.layers.InputSpec(min_ndim=2)

    def build(self, input_shape):
        if None in input_shape[1:] or math.prod(input_shape[1:]) != self._given.shape[1]:
            raise ValueError(
                f"The input must have {self._given.shape[1]} values an image, as many as a class of `centers`. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        self.centers = self.add_weight(
            name="centers",
            shape=self._given.shape,
            initializer=lambda shape, dtype=None: ops.convert_to_tensor(self._given, dtype=dtype),
            trainable=False,
            autocast=False,
        )
        self.input_spec = keras.layers.InputSpec(shape=(None, *input_shape[1:]))

    def call(self, inputs):
        in_float32 = self.compute_dtype in ("float16", "bfloat16")
        values = ops.cast(inputs, "float32" if in_float32 else self.compute_dtype)
        values = ops.reshape(values, (-1, 1, self._given.shape[1]))
        distances = ops.sum(ops.square(values - ops.cast(self.centers, values.dtype)), -1)
        return ops.cast(-self.scale * distances, self.compute_dtype)

    @property
    def multiplications(self):
        """Multiplications of one image with weights: the square of each difference."""
        return self._given.size

    def compute_output_shape(self, input_shape):
        return (input_shape[0], len(self._given))

    def get_config(self):
        return {**super().get_config(), "centers": self._given.tolist(), "scale": self.scale}


def _drawn(center):
    return [_CELLS[cell] for cell in "".join(center.split())] if isinstance(center, str) else center
