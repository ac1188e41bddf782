import keras
from keras import ops

from ..checks import check_data_format, check_positive_int


@keras.saving.register_keras_serializable(package="convzoo")
class ChannelShuffle(keras.layers.Layer):
    """Deals the channels of `groups` groups out in turn, so that the next grouped convolution mixes them.

    The channels stand as a table (groups, channels / groups), which is transposed: with 2 groups
    a1 a2 a3 b1 b2 b3 becomes a1 b1 a2 b2 a3 b3.

    Args:
        groups: int.
        data_format: `"channels_last"` or `"channels_first"`; None is Keras's configured one.

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) for `"channels_first"`, channels
        a multiple of `groups`. Height and width may be unknown.

    Output shape:
        The input's.

    Raises:
        ValueError: for an argument outside of the above, or an input that is not of the above shape.

    Reference:
        Zhang et al., ShuffleNet, 2017 (arXiv 1707.01083).
    """

    def __init__(self, groups, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.groups = check_positive_int("groups", groups)
        self.data_format = check_data_format(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape):
        channels = input_shape[-1 if self.data_format == "channels_last" else 1]
        if channels is None or channels % self.groups:
            raise ValueError(
                "The number of channels must be a multiple of `groups`. "
                f"Received: input_shape={tuple(input_shape)}, groups={self.groups}"
            )

    def call(self, inputs):
        sizes = ops.shape(inputs)
        if self.data_format == "channels_last":
            table = ops.reshape(inputs, (*sizes[:3], self.groups, inputs.shape[-1] // self.groups))
            return ops.reshape(ops.swapaxes(table, 3, 4), sizes)
        table = ops.reshape(inputs, (sizes[0], self.groups, inputs.shape[1] // self.groups, *sizes[2:]))
        return ops.reshape(ops.swapaxes(table, 1, 2), sizes)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "groups": self.groups, "data_format": self.data_format}
