import keras
from keras import ops

from ..checks import check_bool, check_data_format, check_pair, check_positive_int
from ..padding import check_padding, output_shape_2d, pad_amounts_2d, pad_images


class BaseConvolution(keras.layers.Layer):
    """Arguments and shapes of convolutions whose kernel is not shared alike by all positions and maps.

    A subclass adds its weights in `build` and defines `convolve(images)`, of padded images.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1),
        padding="valid",
        data_format=None,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = check_positive_int("filters", filters)
        self.kernel_size = check_pair("kernel_size", kernel_size)
        self.strides = check_pair("strides", strides)
        self.padding = check_padding(padding)
        self.data_format = check_data_format(data_format)
        self.activation = keras.activations.get(activation)
        self.use_bias = check_bool("use_bias", use_bias)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.channel_axis = -1 if self.data_format == "channels_last" else 1
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def add_kernel(self, shape, initializer=None):
        self.kernel = self.add_weight(
            name="kernel",
            shape=shape,
            initializer=initializer or self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )

    def add_bias(self, shape):
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=shape,
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def call(self, inputs):
        self.checked_output_shape(inputs.shape)
        window = self.kernel_size, self.strides, self.data_format
        amounts = pad_amounts_2d(self.padding, inputs.shape, *window)
        outputs = self.convolve(pad_images(inputs, amounts, self.data_format))
        if self.bias is not None:
            outputs = ops.add(outputs, self.output_bias())
        return self.activation(outputs)

    def compute_output_shape(self, input_shape):
        return self.checked_output_shape(input_shape)

    def checked_output_shape(self, input_shape):
        """Shape of the output of `call`, of images of a shape that is checked."""
        window = self.kernel_size, self.strides, self.data_format
        return output_shape_2d(self.padding, input_shape, *window, channels=self.filters)

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
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
        }
