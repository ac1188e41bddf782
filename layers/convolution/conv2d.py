import keras
from keras import ops

from ..checks import check_bool, check_option, check_pair, check_positive_int
from ..padding import (
    MODES,
    PADDINGS,
    backend_padding,
    check_border,
    check_padding,
    output_shape_2d,
    pad_amounts_2d,
    pad_images,
)
from .partial_identity import PartialIdentity


@keras.saving.register_keras_serializable(package="convzoo")
class Conv2D(keras.layers.Conv2D):
    """2D convolution whose padding may be any amount, of zeros or of the image itself.

    It is `keras.layers.Conv2D` with more paddings: the amounts that papers, Caffe and PyTorch write
    (`padding=1`), which differ from TensorFlow's `"same"` wherever a stride meets an even size, and
    borders that continue the image where zeros would show as an edge.

    Args:
        filters: int, number of output channels.
        kernel_size: int or pair (height, width).
        strides: int or pair.
        padding: `"valid"` (none); `"half"` (k' // 2 on every side, with k' = d(k - 1) + 1, the symmetric
            "same"); `"full"` (k' - 1 on every side); `"same"` (TensorFlow's, asymmetric where the number
            is odd); an int; a pair (height, width); or ((top, bottom), (left, right)).
        data_format: `"channels_last"` or `"channels_first"`; None is Keras's configured one.
        dilation_rate: int or pair. A stride and a dilation above 1 together are refused, as in Keras.
        groups: int, groups of channels convolved apart.
        activation: as in Keras.
        use_bias: bool.
        padding_mode: what stands in the added cells: `"zeros"`, `"reflect"` (mirrored, the border cell
            not repeated), `"circular"` (the other side) or `"replicate"` (the border cell).
        **kwargs: the other arguments of `keras.layers.Conv2D`: initializers, regularizers, constraints,
            `name`, `dtype`, …; `kernel_initializer="identity"` is a `PartialIdentity`, of one group.

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) for `"channels_first"`.
        Height and width may be unknown, but for `"same"` with a stride above 1 and a `padding_mode` other
        than zeros.

    Output shape:
        (batch, height', width', filters), or (batch, filters, height', width'), where of each axis
        h' = floor((h + p1 + p2 - d(k - 1) - 1) / s) + 1.

    Raises:
        ValueError: for an argument outside of the above, an input of another rank, an image that is
            smaller, with its padding, than the kernel, or too small to be mirrored or wrapped that far.

    Reference:
        Dumoulin & Visin, A guide to convolution arithmetic for deep learning, 2016 (arXiv 1603.07285).
    """

    _words = PADDINGS
    _filters_may_be_none = False

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1),
        padding="valid",
        data_format=None,
        dilation_rate=(1, 1),
        groups=1,
        activation=None,
        use_bias=True,
        *,
        padding_mode="zeros",
        **kwargs,
    ):
        if not (filters is None and self._filters_may_be_none):
            filters = check_positive_int("filters", filters)
        padding = check_padding(padding, self._words)
        if kwargs.get("kernel_initializer") == "identity":
            if groups != 1:
                raise ValueError(
                    f"`groups` must be 1 for kernels that begin as the identity. Received: groups={groups}"
                )
            kwargs["kernel_initializer"] = PartialIdentity()
        super().__init__(
            filters=filters,
            kernel_size=check_pair("kernel_size", kernel_size),
            strides=check_pair("strides", strides),
            padding="valid",
            data_format=data_format,
            dilation_rate=check_pair("dilation_rate", dilation_rate),
            groups=check_positive_int("groups", groups),
            activation=activation,
            use_bias=check_bool("use_bias", use_bias),
            **kwargs,
        )
        self.padding = padding
        self.padding_mode = check_option("padding_mode", padding_mode, MODES)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape):
        super().build(input_shape)
        self.input_spec = keras.layers.InputSpec(ndim=4, axes=self.input_spec.axes)

    def convolution_op(self, inputs, kernel):
        self.compute_output_shape(inputs.shape)
        padding = self._backend_padding(inputs.shape)
        if padding is None:
            inputs = pad_images(inputs, self._amounts(inputs.shape), self.data_format, self.padding_mode)
        return ops.conv(
            inputs,
            kernel,
            strides=self.strides,
            padding=padding or "valid",
            data_format=self.data_format,
            dilation_rate=self.dilation_rate,
        )

    def compute_output_shape(self, input_shape):
        window = self.kernel_size, self.strides, self.data_format, self.dilation_rate
        shape = output_shape_2d(self.padding, input_shape, *window, channels=self.filters)
        if self._backend_padding(input_shape) is None:
            check_border(input_shape, self._amounts(input_shape), self.data_format, self.padding_mode)
        return shape

    def _amounts(self, input_shape):
        window = self.kernel_size, self.strides, self.data_format, self.dilation_rate
        return pad_amounts_2d(self.padding, input_shape, *window)

    def _backend_padding(self, input_shape):
        window = self.kernel_size, self.strides, self.data_format, self.dilation_rate
        if self.padding == "valid" or self.padding_mode == "zeros":
            return backend_padding(self.padding, input_shape, *window)
        return None

    def get_config(self):
        return {**super().get_config(), "padding_mode": self.padding_mode}
