import math

import keras
from keras import ops

from ..padding import spatial_axes
from ..pooling.windows import window_cells
from .base_convolution import BaseConvolution


@keras.saving.register_keras_serializable(package="convzoo")
class LocallyConnected2D(BaseConvolution):
    """2D convolution without parameter sharing: every position of the output has a kernel of its own.

    For what is not alike everywhere in the picture: aligned faces, digits, the last maps of a small network. The
    layer that Keras 2 had, with its arguments and its weights' layout (that of `implementation=1`, in
    `"channels_last"`), so trained weights can be set as they are:

    - `kernel`: (height' * width', kernel height * kernel width * channels, filters), positions and cells
      row by row, the channel last;
    - `bias`: (height', width', filters), one a position too.

    As in Keras 2, initializers see this shape, and those that count the inputs of a unit count the positions
    as well: `"glorot_uniform"` and `"he_normal"` give weights smaller than a convolution's by about the root of
    height' * width'. Give one with a fixed width to avoid that.

    Two things differ from Keras 2. Its `padding="same"` put k // 2 cells before the image, so weights trained with an
    even kernel and `"same"` do not carry over. Its `"channels_first"` read the bias as (filters, height', width').

    Args:
        filters: int, number of output channels.
        kernel_size: int or pair (height, width).
        strides: int or pair.
        padding: zeros around the image: `"valid"` (none); `"half"` (k // 2 on every side); `"full"` (k - 1 on
            every side); `"same"` (TensorFlow's, asymmetric where the number is odd); an int; a pair
            (height, width); or ((top, bottom), (left, right)).
        data_format: `"channels_last"` or `"channels_first"`; None is Keras's configured one. The weights' layout
            is the same for both (Keras 2 put the channel first, before the kernel's cells, in the latter).
        activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer,
            kernel_constraint, bias_constraint: as in Keras.

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) for `"channels_first"`; all sizes
        but the batch known.

    Output shape:
        (batch, height', width', filters), or (batch, filters, height', width'), where of each axis
        h' = floor((h + p1 + p2 - k) / s) + 1.

    Raises:
        ValueError: for an argument outside of the above, an input of another rank or with unknown sizes, or an
            image that is smaller, with its padding, than the kernel.

    Reference:
        LeCun, Generalization and network design strategies, 1989; Taigman et al., DeepFace, 2014.
    """

    def build(self, input_shape):
        output_shape = self.checked_output_shape(input_shape)
        if None in input_shape[1:]:
            raise ValueError(f"All sizes but the batch must be known. Received: input_shape={tuple(input_shape)}")
        rows, columns = (output_shape[axis] for axis in spatial_axes(self.data_format))
        cells = math.prod(self.kernel_size) * input_shape[self.channel_axis]
        self.add_kernel((rows * columns, cells, self.filters))
        self.add_bias((rows, columns, self.filters))
        self.input_spec = keras.layers.InputSpec(shape=(None, *input_shape[1:]))

    @property
    def multiplications(self):
        """Multiplications of one image with weights: no weight serves two positions."""
        return math.prod(self.kernel.shape)

    def convolve(self, images):
        # Positions first, as the products of matrices need them: moving the image costs less than its patches.
        last = self.data_format == "channels_last"
        images = ops.transpose(images, (1, 2, 0, 3) if last else (2, 3, 0, 1))
        patches = ops.concatenate(window_cells(images, self.kernel_size, self.strides, (0, 1)), -1)
        rows, columns, _, cells = patches.shape
        outputs = ops.matmul(ops.reshape(patches, (rows * columns, -1, cells)), self.kernel)
        outputs = ops.reshape(outputs, (rows, columns, -1, self.filters))
        return ops.transpose(outputs, (2, 0, 1, 3) if last else (2, 3, 0, 1))

    def output_bias(self):
        return self.bias if self.data_format == "channels_last" else ops.transpose(self.bias, (2, 0, 1))
