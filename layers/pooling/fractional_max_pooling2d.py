from fractions import Fraction

import keras
import numpy as np
from keras import ops

from ..checks import check_bool, check_data_format, check_number, check_seed
from ..padding import spatial_axes


@keras.saving.register_keras_serializable(package="convzoo")
class FractionalMaxPooling2D(keras.layers.Layer):
    """Max over regions of unequal size, drawn anew at each call: down-sampling by a ratio that is no integer.

    Each axis of h cells is cut into h' = floor(h / ratio) regions of floor(h / h') or ceil(h / h') cells, one or two
    for a ratio below 2. The cuts are alike for all images and channels of a call, and drawn in one of two ways:

    - pseudo-random: e_i = ceil(a (i + u)) - ceil(a u) with a = h / h' and one u from (0, 1), so sizes alternate
      as evenly as they can;
    - random: the sizes in a random order. It regularises more.

    As in the paper, and in TensorFlow and torch, cuts are drawn in use as well as in training: repeat a
    prediction and average, or set `seed`.

    Args:
        pool_ratio: number >= 1 or pair (height, width) of them.
        pseudo_random: bool. False draws the sizes in a random order.
        overlapping: bool. True lets each region reach over the first cell of the next.
        seed: int, of the draws; None is another at every start.
        data_format: `"channels_last"` or `"channels_first"`; None is Keras's configured one.

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) for `"channels_first"`, height and
        width known.

    Output shape:
        As the input, but of each axis h' = floor(h / ratio).

    Raises:
        ValueError: for an argument outside of the above, an input of another rank or of unknown size, or an
            image that is smaller than the ratio.

    Reference:
        Graham, Fractional max-pooling, 2014 (arXiv 1412.6071).
    """

    def __init__(self, pool_ratio, pseudo_random=False, overlapping=False, seed=None, data_format=None, **kwargs):
        super().__init__(**kwargs)
        ratios = tuple(pool_ratio) if isinstance(pool_ratio, (list, tuple)) else (pool_ratio, pool_ratio)
        if len(ratios) != 2:
            raise ValueError(
                f"`pool_ratio` must be a number or a pair (height, width) of them. Received: pool_ratio={pool_ratio!r}"
            )
        self.pool_ratio = tuple(check_number("pool_ratio", ratio, at_least=1) for ratio in ratios)
        self.pseudo_random = check_bool("pseudo_random", pseudo_random)
        self.overlapping = check_bool("overlapping", overlapping)
        self.seed = check_seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.data_format = check_data_format(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)
        self.built = True

    def build(self, input_shape):
        self.compute_output_shape(input_shape)

    def call(self, inputs):
        shape = self.compute_output_shape(inputs.shape)
        for axis in spatial_axes(self.data_format):
            inputs = self._pool(inputs, axis, inputs.shape[axis], shape[axis])
        return inputs

    def _pool(self, images, axis, cells, regions):
        edges = self._edges(cells, regions)
        last = ops.minimum(edges[1:] - (0 if self.overlapping else 1), cells - 1)
        pooled = None
        for i in range(-(-cells // regions) + self.overlapping):
            values = ops.take(images, ops.minimum(edges[:-1] + i, last), axis)
            pooled = values if pooled is None else ops.maximum(pooled, values)
        return pooled

    def _edges(self, cells, regions):
        """First cell of each region, and one past the last."""
        if self.pseudo_random:
            # In integers: only ceil(h u) matters, and 1, …, h are equally likely.
            start = keras.random.randint((), 1, cells + 1, seed=self.seed_generator)
            steps = ops.convert_to_tensor(np.arange(regions + 1) * cells, "int32") + start
            return (steps + (regions - 1)) // regions - (start + (regions - 1)) // regions
        size, larger = divmod(cells, regions)
        sizes = np.full(regions, size) + (np.arange(regions) < larger)
        sizes = keras.random.shuffle(ops.convert_to_tensor(sizes, "int32"), seed=self.seed_generator)
        return ops.concatenate([ops.zeros((1,), "int32"), ops.cumsum(sizes)])

    def compute_output_shape(self, input_shape):
        if len(input_shape) != 4:
            raise ValueError(f"The input must have 4 axes. Received: input_shape={tuple(input_shape)}")
        shape = list(input_shape)
        for axis, ratio in zip(spatial_axes(self.data_format), self.pool_ratio, strict=True):
            if shape[axis] is None or shape[axis] < ratio:
                raise ValueError(
                    "Height and width must be known and at least `pool_ratio`. "
                    f"Received: input_shape={tuple(input_shape)}, pool_ratio={self.pool_ratio}"
                )
            # In decimals: 33 / 1.1 is 29.999999999999996 in binary.
            shape[axis] = int(shape[axis] / Fraction(str(ratio)))
        return tuple(shape)

    def get_config(self):
        return {
            **super().get_config(),
            "pool_ratio": self.pool_ratio,
            "pseudo_random": self.pseudo_random,
            "overlapping": self.overlapping,
            "seed": self.seed,
            "data_format": self.data_format,
        }
