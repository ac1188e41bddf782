import keras

from ..checks import check_bool, check_pair, check_positive_int
from ..initializers import clone_initializer
from ..padding import check_padding
from .conv2d import Conv2D


@keras.saving.register_keras_serializable(package="convzoo")
class MLPConv2D(keras.layers.Layer):
    """NiN's micro-network: a small multilayer perceptron that slides over the image in place of a linear filter.

    It is a k x k convolution and then 1x1 convolutions, each with the activation after it: the layer that
    reads the patch, and the perceptron's further layers, shared by all positions.

    Args:
        filters: list of ints, the widths of its layers: of the k x k convolution, then of each 1x1.
        kernel_size: int or pair (height, width), of the first.
        strides: int or pair, of the first.
        padding: zeros around the image, as in `Conv2D`.
        data_format: `"channels_last"` or `"channels_first"`; None is Keras's configured one.
        activation: after every layer; `"relu"` as in the paper, or another as in Keras.
        use_bias: bool, in every layer.
        kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer: as in Keras, of every layer.

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) for `"channels_first"`. Height and
        width may be unknown.

    Output shape:
        (batch, height', width', filters[-1]), or (batch, filters[-1], height', width'), where of each axis
        h' = floor((h + p1 + p2 - k) / s) + 1.

    Raises:
        ValueError: for an argument outside of the above, an input of another rank, or an image that is
            smaller, with its padding, than the kernel.

    Reference:
        Lin, Chen & Yan, Network in network, 2013 (arXiv 1312.4400).
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1),
        padding="valid",
        data_format=None,
        activation="relu",
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not isinstance(filters, (list, tuple)) or not filters:
            raise ValueError(f"`filters` must be a list of positive integers. Received: filters={filters!r}")
        self.filters = [check_positive_int("filters", n) for n in filters]
        self.kernel_size = check_pair("kernel_size", kernel_size)
        self.strides = check_pair("strides", strides)
        self.padding = check_padding(padding)
        self.use_bias = check_bool("use_bias", use_bias)
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        windows = [(self.kernel_size, self.strides, self.padding), *[(1, 1, "valid")] * (len(self.filters) - 1)]
        self.convolutions = [
            Conv2D(
                n,
                *window,
                data_format=data_format,
                activation=activation,
                use_bias=use_bias,
                kernel_initializer=clone_initializer(self.kernel_initializer),
                bias_initializer=clone_initializer(self.bias_initializer),
                kernel_regularizer=self.kernel_regularizer,
                bias_regularizer=self.bias_regularizer,
                dtype=self.dtype_policy,
                name=f"conv{i}",
            )
            for i, (n, window) in enumerate(zip(self.filters, windows, strict=True), 1)
        ]
        self.data_format = self.convolutions[0].data_format
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape):
        for convolution in self.convolutions:
            convolution.build(input_shape)
            input_shape = convolution.compute_output_shape(input_shape)

    def call(self, inputs):
        for convolution in self.convolutions:
            inputs = convolution(inputs)
        return inputs

    def compute_output_shape(self, input_shape):
        for convolution in self.convolutions:
            input_shape = convolution.compute_output_shape(input_shape)
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
        }
