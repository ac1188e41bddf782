from functools import reduce

import keras
from keras import ops

from ..checks import check_positive_int, is_int


@keras.saving.register_keras_serializable(package="convzoo")
class Maxout(keras.layers.Layer):
    """The largest of each `pieces` neighbouring values: an activation that learns its own shape.

    After a dense layer or a convolution with pieces * n outputs it leaves n, each the max of `pieces` linear
    functions, which can come near to any convex function. Output j is the max of the inputs j * pieces, …,
    j * pieces + pieces - 1.

    Args:
        pieces: int, values in a group.
        axis: int, the axis of the groups, not the batch's; 1 for images in `"channels_first"`.

    Input shape:
        Any with that axis, its size known and a multiple of `pieces`.

    Output shape:
        As the input, that axis divided by `pieces`.

    Raises:
        ValueError: for an argument outside of the above, or an input whose axis cannot be divided so.

    Reference:
        Goodfellow et al., Maxout networks, 2013 (arXiv 1302.4389).
    """

    def __init__(self, pieces=2, axis=-1, **kwargs):
        super().__init__(**kwargs)
        self.pieces = check_positive_int("pieces", pieces)
        if not is_int(axis) or axis == 0:
            raise ValueError(f"`axis` must be an integer other than 0. Received: axis={axis!r}")
        self.axis = int(axis)

    def build(self, input_shape):
        self.compute_output_shape(input_shape)

    def call(self, inputs):
        axis, sizes = self.axis % len(inputs.shape), ops.shape(inputs)
        groups = inputs.shape[axis] // self.pieces, self.pieces
        inputs = ops.reshape(inputs, (*sizes[:axis], *groups, *sizes[axis + 1 :]))
        # TensorFlow's max over a short axis is slow, and its slope more so.
        return reduce(ops.maximum, ops.unstack(inputs, self.pieces, axis + 1))

    def compute_output_shape(self, input_shape):
        shape = list(input_shape)
        if not -len(shape) < self.axis < len(shape) or shape[self.axis] is None or shape[self.axis] % self.pieces:
            raise ValueError(
                "The size of `axis` must be a multiple of `pieces`. "
                f"Received: input_shape={tuple(input_shape)}, axis={self.axis}, pieces={self.pieces}"
            )
        shape[self.axis] //= self.pieces
        return tuple(shape)

    def get_config(self):
        return {**super().get_config(), "pieces": self.pieces, "axis": self.axis}
