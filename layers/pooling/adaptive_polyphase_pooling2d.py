import keras
import numpy as np
from keras import ops

from ..padding import spatial_axes
from .base_pooling2d import BasePooling2D


@keras.saving.register_keras_serializable(package="convzoo")
class AdaptivePolyphasePooling2D(BasePooling2D):
    """Max at every position, then, of the grids that a stride could keep, the one of the largest L2 norm.

    A stride of s keeps the values at 0, s, 2s, … whatever the image; a shift by one pixel brings others there.
    Here each image chooses, for all channels together, among the s * s grids (i, i + s, i + 2s, …), and the
    choice moves with the image. If every axis has a multiple of its stride in cells, and `padding` gives
    h / s windows (`"same"` always does), a circular shift of the image leaves the same values, circularly
    shifted by at most one: exactly so, but for grids of equal norm, of which the first is taken.

    The image is continued circularly: cells outside of it are those of its other side. `padding` says where
    the first window lies and how many there are, as for every pool. The gradient goes to the chosen grid.

    Args:
        pool_size: int or pair (height, width); the default is (2, 2).
        strides: int or pair; None is `pool_size`.
        padding: `"valid"` (none); `"half"` (k // 2 on every side); `"full"` (k - 1 on every side);
            `"same"` (TensorFlow's, asymmetric where the number is odd); `"ceil"` (the last partial window
            counts); an int; a pair (height, width); or ((top, bottom), (left, right)). Numbers must be
            smaller than `pool_size`.
        data_format: `"channels_last"` or `"channels_first"`; None is Keras's configured one.

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) for `"channels_first"`.
        Height and width must be known.

    Output shape:
        As the input, but of each axis h' = floor((h + p1 + p2 - k) / s) + 1, which is
        ceil((h - k) / s) + 1 for `"ceil"`, less one where that window would start outside of the image.

    Raises:
        ValueError: for an argument outside of the above, an input of another rank, unknown sizes, or an
            image that is smaller, with its padding, than the window.

    Reference:
        Chaman & Dokmanic, Truly shift-invariant convolutional neural networks, 2021 (arXiv 2011.14214).
    """

    def check_shape(self, input_shape):
        super().check_shape(input_shape)
        sizes = [input_shape[axis] for axis in spatial_axes(self.data_format)]
        if None in sizes:
            raise ValueError(f"Height and width must be known. Received: input_shape={tuple(input_shape)}")

    def pool(self, images):
        windows = self.compute_output_shape(images.shape)
        for axis, (before, _), k, s in zip(
            spatial_axes(self.data_format), self._amounts(images.shape), self.pool_size, self.strides, strict=True
        ):
            reached = (np.arange(windows[axis] * s + k - 1) - before) % images.shape[axis]
            runs = np.split(reached, np.flatnonzero(np.diff(reached) != 1) + 1)
            index = (slice(None),) * axis
            images = ops.concatenate([images[(*index, slice(run[0], run[-1] + 1))] for run in runs], axis)
        largest = ops.max_pool(images, self.pool_size, 1, "valid", self.data_format)
        # The chosen grid, among cells that never win the max of a window: much cheaper than slices by the stride.
        grid = ops.where(self._chosen(largest), largest, float("-inf"))
        return ops.max_pool(grid, self.strides, self.strides, "valid", self.data_format)

    def _chosen(self, images):
        """Return a mask of the cells of the grid with the largest norm, for each image."""
        channel = self.channel_axis
        squares = ops.sum(ops.square(images), axis=channel)
        (_, height, width), (sy, sx) = squares.shape, self.strides
        norms = ops.sum(ops.reshape(squares, (-1, height // sy, sy, width // sx, sx)), axis=(1, 3))
        chosen = ops.one_hot(ops.argmax(ops.reshape(norms, (-1, sy * sx)), axis=-1), sy * sx, dtype="bool")
        chosen = ops.tile(ops.reshape(chosen, (-1, sy, sx)), (1, height // sy, width // sx))
        return ops.expand_dims(chosen, channel)
