import keras
from keras import ops

from ..checks import check_bool, check_number


@keras.saving.register_keras_serializable(package="convzoo")
class GlobalContrastNormalization(keras.layers.Layer):
    """Gives every image mean 0 and one norm: y = scale * (x - m) / sqrt(sqrt_bias + sum (x - m)^2).

    The mean m and the sum are over all values of one image, channels included, so nothing is learned from the
    data. The conventions are those of pylearn2's `global_contrast_normalize`, which made the CIFAR-10 of
    Maxout, NiN and All-CNN: there `scale` is 55 and the divisor the norm, not the standard deviation,
    with nothing added to it. On 32x32x3 images that leaves values a standard deviation of
    55 / sqrt(3072) = 0.99.

    Args:
        scale: float > 0, the norm (or standard deviation) that images leave with.
        use_std: bool. True divides by the standard deviation instead (over n - 1, as MATLAB).
        sqrt_bias: float >= 0, added under the root; 10 with `use_std=True` and `scale=1` is Coates, Lee &
            Ng's.
        min_divisor: float > 0; an image whose divisor (over `scale`) is smaller is flat and not divided.

    Input shape:
        (batch, …), integers or floats.

    Output shape:
        The input's. Computed and returned in float32, whatever the policy or `dtype`.

    Raises:
        ValueError: for an argument outside of the above, or an input without axes beside the batch.

    Reference:
        Goodfellow et al., Maxout networks, 2013 (arXiv 1302.4389); Coates, Lee & Ng, An analysis of
        single-layer networks in unsupervised feature learning, 2011.
    """

    def __init__(self, scale=55.0, use_std=False, sqrt_bias=0.0, min_divisor=1e-8, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.scale = check_number("scale", scale, above=0)
        self.use_std = check_bool("use_std", use_std)
        self.sqrt_bias = check_number("sqrt_bias", sqrt_bias, at_least=0)
        self.min_divisor = check_number("min_divisor", min_divisor, above=0)
        self.input_spec = keras.layers.InputSpec(min_ndim=2)

    def call(self, inputs):
        images = ops.cast(inputs, "float32")
        axes = tuple(range(1, len(images.shape)))
        # Twice, for the rounding of a flat image's mean would be blown up to full contrast.
        for _ in range(2):
            images = images - ops.mean(images, axes, keepdims=True)
        energy = ops.sum(ops.square(images), axes, keepdims=True)
        if self.use_std:
            count = ops.sum(ops.ones_like(images[:1]), axes, keepdims=True)
            energy = energy / ops.maximum(count - 1, 1)
        energy = energy + self.sqrt_bias
        flat = energy < (self.min_divisor * self.scale) ** 2
        divisor = ops.sqrt(ops.where(flat, self.scale**2, energy)) / self.scale
        return images / divisor

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "scale": self.scale,
            "use_std": self.use_std,
            "sqrt_bias": self.sqrt_bias,
            "min_divisor": self.min_divisor,
        }
