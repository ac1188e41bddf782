import keras
import numpy as np
from keras import ops

from ..checks import is_int
from .base_convolution import BaseConvolution


@keras.saving.register_keras_serializable(package="convzoo")
class PartiallyConnected2D(BaseConvolution):
    """2D convolution whose output maps read some of the input maps each, by a table: LeNet-5's C3.

    Connections that the table lacks have no weight. `kernel` is (kernel height, kernel width, connections), in
    the order of the table, `bias` (filters,). With the table of the reference,
    [[0, 1, 2], [1, 2, 3], …, [0, 1, 2, 3, 4, 5]], and `kernel_size=5` that is 60 * 25 + 16 = 1,516 parameters.

    Args:
        connections: a list that gives for each output map the list of the input maps that it reads, counted
            from 0, each at most once. There are as many filters as lists.
        kernel_size: int or pair (height, width).
        strides: int or pair.
        padding: zeros around the image: `"valid"` (none); `"half"` (k // 2 on every side); `"full"` (k - 1 on
            every side); `"same"` (TensorFlow's, asymmetric where the number is odd); an int; a pair
            (height, width); or ((top, bottom), (left, right)).
        data_format: `"channels_last"` or `"channels_first"`; None is Keras's configured one.
        activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer,
            kernel_constraint, bias_constraint: as in Keras. The kernel's initializer sees the shape of the
            convolution with all connections.

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) for `"channels_first"`. Height and
        width may be unknown, but for `"same"` with a stride above 1.

    Output shape:
        (batch, height', width', filters), or (batch, filters, height', width'), where of each axis
        h' = floor((h + p1 + p2 - k) / s) + 1.

    Raises:
        ValueError: for an argument outside of the above, an input of another rank or with fewer maps than the
            table reads, or an image that is smaller, with its padding, than the kernel.

    Reference:
        LeCun, Bottou, Bengio & Haffner, Gradient-based learning applied to document recognition, 1998, table 1.
    """

    def __init__(self, connections, kernel_size, strides=(1, 1), padding="valid", data_format=None, **kwargs):
        self.connections = _checked(connections)
        super().__init__(len(self.connections), kernel_size, strides, padding, data_format, **kwargs)

    def build(self, input_shape):
        self.checked_output_shape(input_shape)
        channels, needed = input_shape[self.channel_axis], 1 + max(map(max, self.connections))
        if channels is None or channels < needed:
            raise ValueError(
                f"The input must have the {needed} maps that `connections` reads. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        pairs = [(c, f) for f, maps in enumerate(self.connections) for c in maps]
        places = np.ravel_multi_index(np.transpose(pairs), (channels, self.filters))
        # Where each pair of the full kernel stands in ours; one past its end, a zero, for those without weight.
        self._sources = np.full(channels * self.filters, len(pairs))
        self._sources[places] = np.arange(len(pairs))
        self._full_shape = (*self.kernel_size, channels, self.filters)

        def initialize(shape, dtype=None):
            full = self.kernel_initializer(self._full_shape, dtype=dtype)
            return ops.take(ops.reshape(full, (*self.kernel_size, -1)), places, axis=-1)

        self.add_kernel((*self.kernel_size, len(pairs)), initialize)
        self.add_bias((self.filters,))
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={self.channel_axis: channels})

    def convolve(self, images):
        padded = ops.pad(self.kernel, ((0, 0), (0, 0), (0, 1)))
        full = ops.reshape(ops.take(padded, self._sources, axis=-1), self._full_shape)
        return ops.conv(images, full, self.strides, "valid", self.data_format)

    def output_bias(self):
        return self.bias if self.data_format == "channels_last" else ops.reshape(self.bias, (-1, 1, 1))

    def get_config(self):
        config = {**super().get_config(), "connections": self.connections}
        del config["filters"]
        return config


def _checked(connections):
    try:
        table = [list(maps) for maps in connections]
    except TypeError:
        table = []
    if not table or not all(
        maps and all(is_int(c) and c >= 0 for c in maps) and len(set(maps)) == len(maps) for maps in table
    ):
        raise ValueError(
            "`connections` must be a list that gives for each output map the list of the input maps it reads, "
            f"each once, counted from 0. Received: connections={connections!r}"
        )
    return [[int(c) for c in maps] for maps in table]
