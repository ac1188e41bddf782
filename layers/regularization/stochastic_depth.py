import keras
from keras import ops

from ..checks import check_number, check_option, check_seed


@keras.saving.register_keras_serializable(package="convzoo")
class StochasticDepth(keras.layers.Layer):
    """Drops a whole branch at random in training: put it after a residual body, before the addition.

    In training y = b x / (1 - rate), with b = 0 at `rate` and 1 otherwise, drawn once a batch or once an image; in
    use y = x. The paper divides not in training but multiplies by 1 - rate in use: the same mean, and the
    same network after its weights are scaled, in the form of `keras.layers.Dropout` and torchvision's
    `StochasticDepth`.

    Args:
        rate: float in [0, 1), how often the branch is dropped. In the paper it grows linearly with depth, to 0.5.
        mode: `"batch"` drops the branch for all images of a batch, as the paper; `"row"` for each image apart, as
            later networks ("drop path").
        seed: int, of the draws; None is another at every start.

    Input shape:
        (batch, …).

    Output shape:
        The input's.

    Raises:
        ValueError: for an argument outside of the above.

    Reference:
        Huang et al., Deep networks with stochastic depth, 2016 (arXiv 1603.09382).
    """

    def __init__(self, rate, mode="batch", seed=None, **kwargs):
        super().__init__(**kwargs)
        self.rate = check_number("rate", rate, at_least=0)
        if self.rate >= 1:
            raise ValueError(f"`rate` must be in [0, 1). Received: rate={rate!r}")
        self.mode = check_option("mode", mode, ("batch", "row"))
        self.seed = check_seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.input_spec = keras.layers.InputSpec(min_ndim=1)

    def call(self, inputs, training=False):
        if not training or not self.rate:
            return inputs
        images = ops.shape(inputs)[0] if self.mode == "row" else 1
        shape = (images, *[1] * (len(inputs.shape) - 1))
        keep = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator) >= self.rate
        return ops.where(keep, inputs / (1 - self.rate), ops.zeros_like(inputs))

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "mode": self.mode, "seed": self.seed}
