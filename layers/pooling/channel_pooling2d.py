import keras
from keras import ops

from ..checks import check_data_format, check_number, check_option, check_positive_int
from ..numerics import root


@keras.saving.register_keras_serializable(package="convzoo")
class ChannelPooling2D(keras.layers.Layer):
    """Pools over depth: max, average or Lp norm of neighbouring channels at each pixel; height and width stay.

    Where the channels of a window detect one thing in several forms (turned, larger), the output says that the
    thing is there, whatever its form: invariance to what the channels differ in.

    Args:
        pool_size: int, number of channels in a window; the default is 2.
        strides: int; None is `pool_size`.
        mode: `"max"`, `"average"`, or `"lp"`: (sum |x|^p)^(1/p), with gradient zero where all are zero.
        p: float >= 1, the order of the norm in mode `"lp"`.
        data_format: `"channels_last"` or `"channels_first"`; None is Keras's configured one.

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) for `"channels_first"`. Height and
        width may be unknown.

    Output shape:
        As the input, with floor((channels - pool_size) / strides) + 1 channels: a last partial window is left
        out.

    Raises:
        ValueError: for an argument outside of the above, an input of another rank, or with fewer channels than
            the window.

    Sums in half precision are taken in float32.
    """

    def __init__(self, pool_size=2, strides=None, mode="max", p=2.0, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.pool_size = check_positive_int("pool_size", pool_size)
        self.strides = self.pool_size if strides is None else check_positive_int("strides", strides)
        self.mode = check_option("mode", mode, ("max", "average", "lp"))
        self.p = check_number("p", p, at_least=1)
        self.data_format = check_data_format(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)
        self.built = True

    def build(self, input_shape):
        self.compute_output_shape(input_shape)

    def call(self, inputs):
        self.compute_output_shape(inputs.shape)
        if self.mode == "max":
            return self._pool(ops.max_pool, inputs)
        in_float32 = self.compute_dtype in ("float16", "bfloat16")
        images = ops.cast(inputs, "float32" if in_float32 else self.compute_dtype)
        if self.mode == "average":
            pooled = self._pool(ops.average_pool, images)
        else:
            powers = ops.square(images) if self.p == 2 else ops.power(ops.abs(images), self.p)
            pooled = root(self._pool(ops.average_pool, powers) * self.pool_size, self.p)
        return ops.cast(pooled, self.compute_dtype)

    def _pool(self, pool, images):
        """`pool` of a picture whose axes are pixels and channels."""
        n, *sizes = ops.shape(images)
        last = self.data_format == "channels_last"
        if last:
            height, width, channels = sizes
            shape, window, strides = (n, height * width, channels, 1), (1, self.pool_size), (1, self.strides)
        else:
            channels, height, width = sizes
            shape, window, strides = (n, channels, height * width, 1), (self.pool_size, 1), (self.strides, 1)
        pooled = pool(ops.reshape(images, shape), window, strides, "valid", "channels_last")
        groups = (channels - self.pool_size) // self.strides + 1
        return ops.reshape(pooled, (n, height, width, groups) if last else (n, groups, height, width))

    def compute_output_shape(self, input_shape):
        if len(input_shape) != 4:
            raise ValueError(f"The input must have 4 axes. Received: input_shape={tuple(input_shape)}")
        shape, axis = list(input_shape), -1 if self.data_format == "channels_last" else 1
        if shape[axis] is None or shape[axis] < self.pool_size:
            raise ValueError(
                "The input must have at least `pool_size` channels. "
                f"Received: input_shape={tuple(input_shape)}, pool_size={self.pool_size}"
            )
        shape[axis] = (shape[axis] - self.pool_size) // self.strides + 1
        return tuple(shape)

    def get_config(self):
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
            "mode": self.mode,
            "p": self.p,
            "data_format": self.data_format,
        }
