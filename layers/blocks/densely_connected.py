import keras

from ..checks import check_data_format
from .repeat import Repeat


@keras.saving.register_keras_serializable(package="convzoo")
class DenselyConnected(Repeat):
    """Copies of a body, each of which reads the input and the outputs of all copies before it: DenseNet's block.

    With a body that gives k channels (the growth rate) an image of c channels leaves with c + k * times:
    x_l = body_l([x_0, x_1, …, x_(l-1)]), y = [x_0, x_1, …, x_times], concatenated by channels.

    Args:
        body: a layer, a list of layers or a mapping whose values are layers, which keeps height and width: the template
            of the copies, not itself in use.
        times: int, number of copies.
        vary: what differs from copy to copy, as in `Repeat`.
        data_format: `"channels_last"` or `"channels_first"`, which says where the channels are; None is Keras's
            configured one. The layers inside have their own.

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) for `"channels_first"`.

    Output shape:
        The input's, with channels + times * (channels of the body's output).

    Raises:
        ValueError: for an argument outside of the above, an input that a copy refuses, or a body that changes height
            or width.

    Reference:
        Huang et al., Densely connected convolutional networks, 2016 (arXiv 1608.06993).
    """

    def __init__(self, body, times, vary=None, data_format=None, **kwargs):
        super().__init__(body, times, vary, **kwargs)
        self.data_format = check_data_format(data_format)
        axis = -1 if self.data_format == "channels_last" else 1
        self.joins = [
            keras.layers.Concatenate(axis, name=f"concatenate_{i}", dtype=self.dtype_policy)
            for i in range(1, times + 1)
        ]

    def connect(self, x, apply):
        for layer, join in zip(self.copies, self.joins, strict=True):
            x = apply(join, [x, apply(layer, x)])
        return x

    def get_config(self):
        return {**super().get_config(), "data_format": self.data_format}
