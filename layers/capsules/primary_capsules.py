import math

import keras
from keras import ops

from ..checks import check_positive_int
from ..convolution.conv2d import Conv2D
from ..padding import spatial_axes
from .squash import Squash


@keras.saving.register_keras_serializable(package="convzoo")
class PrimaryCapsules(Conv2D):
    """The first capsules of a network: a convolution whose maps are read as vectors, each then squashed.

    At every position the convolution's capsules * dimension values are `capsules` vectors, the values of one
    next to each other. The capsules of all positions become one list, positions row by row.

    Args:
        capsules: int, capsules at a position.
        dimension: int, components of a capsule.
        kernel_size: int or pair (height, width).
        strides: int or pair.
        padding: zeros around the image, as in `Conv2D`.
        data_format: `"channels_last"` or `"channels_first"`; None is Keras's configured one.
        **kwargs: the other arguments of `Conv2D`: `use_bias`, initializers, regularizers, `name`, `dtype`, …

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) for `"channels_first"`. Height and
        width may be unknown.

    Output shape:
        (batch, height' * width' * capsules, dimension), where of each axis h' = floor((h + p1 + p2 - k) / s) + 1.

    Raises:
        ValueError: for an argument outside of the above, an input of another rank, or an image that is smaller,
            with its padding, than the kernel.

    Reference:
        Sabour, Frosst & Hinton, Dynamic routing between capsules, 2017 (arXiv 1710.09829), where it has 32 capsules
        of 8 dimensions, kernel 9 and stride 2.
    """

    def __init__(self, capsules, dimension, kernel_size, strides=(1, 1), padding="valid", data_format=None, **kwargs):
        self.capsules = check_positive_int("capsules", capsules)
        self.dimension = check_positive_int("dimension", dimension)
        super().__init__(self.capsules * self.dimension, kernel_size, strides, padding, data_format, **kwargs)
        self.squash = Squash(dtype=self.dtype_policy)

    def build(self, input_shape):
        super().build(input_shape)
        self._count = self.compute_output_shape(input_shape)[1]

    def call(self, inputs):
        maps = super().call(inputs)
        if self.data_format == "channels_first":
            maps = ops.transpose(maps, (0, 2, 3, 1))
        _, height, width, _ = ops.shape(maps)
        return self.squash(ops.reshape(maps, (-1, height * width * self.capsules, self.dimension)))

    @property
    def multiplications(self):
        """Multiplications of one image with weights: the kernel's at every position."""
        return math.prod(self.kernel.shape) * (self._count // self.capsules)

    def compute_output_shape(self, input_shape):
        maps = super().compute_output_shape(input_shape)
        height, width = (maps[axis] for axis in spatial_axes(self.data_format))
        count = None if None in (height, width) else height * width * self.capsules
        return (input_shape[0], count, self.dimension)

    def get_config(self):
        config = {**super().get_config(), "capsules": self.capsules, "dimension": self.dimension}
        del config["filters"]
        return config
