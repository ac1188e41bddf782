from math import prod

import keras
from keras import ops

from ..checks import check_data_format, check_pair
from ..padding import POOL_PADDINGS, backend_padding, check_padding, output_shape_2d, pad_amounts_2d, pad_images


class BasePooling2D(keras.layers.Layer):
    """Arguments, shapes, padding and precision of the pools; a subclass defines `pool(images)`.

    The backend's primitive runs on explicitly padded images where its own "same" is another, or its borders.
    """

    # Sums of half precision are taken in float32.
    accumulates = True
    has_weights = False

    def __init__(self, pool_size=(2, 2), strides=None, padding="valid", data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.pool_size = check_pair("pool_size", pool_size)
        self.strides = self.pool_size if strides is None else check_pair("strides", strides)
        self.padding = check_padding(padding, POOL_PADDINGS)
        if not isinstance(self.padding, str) and any(
            max(amounts) >= size for amounts, size in zip(self.padding, self.pool_size, strict=True)
        ):
            raise ValueError(
                "`padding` must be smaller than `pool_size`, so that every window holds a real cell. "
                f"Received: padding={padding!r}, pool_size={pool_size!r}"
            )
        self.data_format = check_data_format(data_format)
        self.channel_axis = -1 if self.data_format == "channels_last" else 1
        self.input_spec = keras.layers.InputSpec(ndim=4)
        self.built = not self.has_weights

    @property
    def equivalent_pooling(self):
        """The class whose operation this one is with these arguments, by name, or None."""
        return None

    def check_shape(self, input_shape):
        """Raises ValueError for a shape of images that the layer cannot take."""
        self.compute_output_shape(input_shape)
        self._amounts(input_shape)

    def build(self, input_shape):
        self.check_shape(input_shape)

    def compute_output_spec(self, inputs, **kwargs):
        self.check_shape(inputs.shape)
        return super().compute_output_spec(inputs, **kwargs)

    def call(self, inputs):
        return self.run(self.pool, inputs)

    def run(self, pool, inputs):
        """`pool` of checked inputs, in the precision that its sums need."""
        self.check_shape(inputs.shape)
        in_float32 = self.accumulates and self.compute_dtype in ("float16", "bfloat16")
        images = ops.cast(inputs, "float32" if in_float32 else self.compute_dtype)
        return ops.cast(pool(images), self.compute_dtype)

    def pad(self, images):
        return pad_images(images, self._amounts(images.shape), self.data_format)

    def pad_with_lowest(self, images):
        """Images padded with cells that win no max."""
        return pad_images(images, self._amounts(images.shape), self.data_format, value=float("-inf"))

    def mean_without_padding(self, images, reduce):
        """`reduce` of the windows, where padded cells are zeros, with these cells left out."""
        if not any(map(any, self._amounts(images.shape))):
            return reduce(images)
        return reduce(images) / reduce(self._ones(images))

    def average(self, images):
        """Mean of each window, the padded cells left out."""
        padding = self._backend_padding(images)
        return self.mean_without_padding(images, self._average) if padding is None else self._average(images, padding)

    def total(self, images):
        """Sum of each window."""
        cells = prod(self.pool_size)
        if self._backend_padding(images) == "same":
            return self.average(images) * (self._average(self._ones(images)) * cells)
        return self._average(images) * cells

    def largest(self, images):
        padding = self._backend_padding(images)
        images = self.pad_with_lowest(images) if padding is None else images
        return ops.max_pool(images, self.pool_size, self.strides, padding or "valid", self.data_format)

    def _average(self, images, padding=None):
        images = self.pad(images) if padding is None else images
        return ops.average_pool(images, self.pool_size, self.strides, padding or "valid", self.data_format)

    def _ones(self, images):
        return ops.ones_like(images[:1, :, :, :1] if self.data_format == "channels_last" else images[:1, :1])

    def _backend_padding(self, images):
        # Of the borders of Keras's "same", TensorFlow and JAX leave out the padded cells, torch does not.
        if keras.backend.backend() == "torch":
            return None
        return backend_padding(self.padding, images.shape, self.pool_size, self.strides, self.data_format)

    def require_channels(self, input_shape):
        if input_shape[self.channel_axis] is None:
            raise ValueError(f"The number of channels must be known. Received: input_shape={tuple(input_shape)}")
        return input_shape[self.channel_axis]

    def broadcast_to_channels(self, values, images):
        """One value a channel, in the shape and dtype that meet `images`."""
        values = ops.cast(values, images.dtype)
        return values if self.data_format == "channels_last" else ops.reshape(values, (-1, 1, 1))

    def compute_output_shape(self, input_shape):
        return output_shape_2d(self.padding, input_shape, self.pool_size, self.strides, self.data_format)

    def _amounts(self, input_shape):
        return pad_amounts_2d(self.padding, input_shape, self.pool_size, self.strides, self.data_format)

    def get_config(self):
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
        }
