import keras
from keras import ops

from ..checks import check_data_format, check_option, check_positive_int


@keras.saving.register_keras_serializable(package="convzoo")
class ChannelPadding(keras.layers.Layer):
    """Adds channels of zeros: the shortcut without a weight that lets a residual network grow wider.

    Args:
        filters: int, number of channels that leave.
        where: `"after"` the image's own channels, or `"around"` them: (filters - channels) // 2 before and the rest
            after, as in Lasagne's and Y. Idelbayev's ports. The authors released no code for CIFAR; fb.resnet.torch
            has `"after"`.
        data_format: `"channels_last"` or `"channels_first"`; None is Keras's configured one.

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) for `"channels_first"`, at most
        `filters` channels. Height and width may be unknown.

    Output shape:
        The input's with `filters` channels.

    Raises:
        ValueError: for an argument outside of the above, or an input of another rank or with more channels.

    Reference:
        He et al., Deep residual learning for image recognition, 2015 (arXiv 1512.03385), section 3.3, option A.
    """

    def __init__(self, filters, where="after", data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.filters = check_positive_int("filters", filters)
        self.where = check_option("where", where, ("after", "around"))
        self.data_format = check_data_format(data_format)
        self.channel_axis = -1 if self.data_format == "channels_last" else 1
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape):
        self.compute_output_shape(input_shape)

    def call(self, inputs):
        missing = self.filters - inputs.shape[self.channel_axis]
        before = missing // 2 if self.where == "around" else 0
        widths = [(0, 0)] * 4
        widths[self.channel_axis] = (before, missing - before)
        return ops.pad(inputs, widths)

    def compute_output_shape(self, input_shape):
        shape = list(input_shape)
        if len(shape) != 4 or shape[self.channel_axis] is None or shape[self.channel_axis] > self.filters:
            raise ValueError(
                f"The input must have 4 axes and at most {self.filters} channels. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        shape[self.channel_axis] = self.filters
        return tuple(shape)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "where": self.where, "data_format": self.data_format}
