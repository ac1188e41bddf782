import keras
from keras import ops

from ..checks import check_seed
from ..padding import spatial_axes
from .base_pooling2d import BasePooling2D
from .windows import window_cells


@keras.saving.register_keras_serializable(package="convzoo")
class StochasticPooling2D(BasePooling2D):
    """Draws one cell of each window, a large one more likely; in use, the mean over all draws.

    With the activations a of a window, in training y = a_l with l drawn with p_i = a_i / sum a, and the
    gradient goes to that cell alone; in use y = sum p_i a_i = sum a^2 / sum a. Noise that regularises like
    dropout, and unlike it makes no activation larger or smaller than it was.

    Meant for activations that are not negative, after a ReLU: negative ones count as zeros, and so does
    padding. A window of zeros gives zero, with gradient zero.

    Args:
        pool_size: int or pair (height, width); the default is (2, 2).
        strides: int or pair; None is `pool_size`.
        padding: `"valid"` (none); `"half"` (k // 2 on every side); `"full"` (k - 1 on every side);
            `"same"` (TensorFlow's, asymmetric where the number is odd); `"ceil"` (the last partial window
            counts); an int; a pair (height, width); or ((top, bottom), (left, right)). Numbers must be
            smaller than `pool_size`.
        seed: int, of the draws; None is another at every start.
        data_format: `"channels_last"` or `"channels_first"`; None is Keras's configured one.

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) for `"channels_first"`.
        Height and width may be unknown, but for `"ceil"`, and `"same"` with a stride above 1.

    Output shape:
        As the input, but of each axis h' = floor((h + p1 + p2 - k) / s) + 1, which is
        ceil((h - k) / s) + 1 for `"ceil"`, less one where that window would start outside of the image.

    Raises:
        ValueError: for an argument outside of the above, an input of another rank, or an image that is
            smaller, with its padding, than the window.

    Reference:
        Zeiler & Fergus, Stochastic pooling for regularization of deep convolutional neural networks, 2013
        (arXiv 1301.3557).
    """

    def __init__(self, pool_size=(2, 2), strides=None, padding="valid", seed=None, data_format=None, **kwargs):
        super().__init__(pool_size, strides, padding, data_format, **kwargs)
        self.seed = check_seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    def call(self, inputs, training=False):
        return self.run(self.draw if training else self.pool, inputs)

    def draw(self, images):
        images = self.pad(ops.relu(images))
        cells = window_cells(images, self.pool_size, self.strides, spatial_axes(self.data_format))
        total = sum(cells)
        mark = keras.random.uniform(ops.shape(total), dtype=total.dtype, seed=self.seed_generator) * total
        below, drawn = ops.zeros_like(total), ops.zeros_like(total)
        for cell in cells:
            # Summed in the order of `total`, so that the last sum is exactly it.
            above = below + cell
            drawn = ops.where((below <= mark) & (mark < above), cell, drawn)
            below = above
        return drawn

    def pool(self, images):
        images = ops.relu(images)
        total = self.average(images)
        return self.average(ops.square(images)) / ops.where(total > 0, total, 1.0)

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}
