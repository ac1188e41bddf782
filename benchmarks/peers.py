"""Peers of our layers that are not a single layer of Keras 3."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from ..layers import LocallyConnected2D


def chain(*parts: layers.Layer | Callable[[Any], Any]) -> keras.Sequential:
    """Return layers and functions in sequence."""
    return keras.Sequential([part if isinstance(part, layers.Layer) else layers.Lambda(part) for part in parts])


def mean_of(shape: Sequence[int], *parts: layers.Layer) -> keras.Model:
    """Return the mean of layers on one input."""
    inputs = keras.Input(batch_shape=shape)
    return keras.Model(inputs, layers.Average()([part(inputs) for part in parts]))


def local_response_normalization() -> keras.Sequential | None:
    """Return the backend's own operation, with the defaults of our layer, or None."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        own = tf.nn.local_response_normalization
        return chain(lambda x: ops.cast(own(ops.cast(x, "float32"), 2, 2, 1e-4, 0.75), x.dtype))  # it has no bfloat16
    if keras.backend.backend() == "torch":
        from torch.nn.functional import local_response_norm

        return chain(lambda x: local_response_norm(x.movedim(-1, 1), 5, 5e-4, 0.75, 2).movedim(1, -1))
    return None


class LoopLocal(LocallyConnected2D):
    """Keras 2's `implementation=1`: a slice for each position, one product of all."""

    def convolve(self, images: Any) -> Any:
        rows, columns = self.bias.shape[:2]
        (kh, kw), (sh, sw) = self.kernel_size, self.strides
        patches = [
            ops.reshape(images[:, y : y + kh, x : x + kw], (1, -1, self.kernel.shape[1]))
            for y in range(0, rows * sh, sh)
            for x in range(0, columns * sw, sw)
        ]
        outputs = ops.matmul(ops.concatenate(patches), self.kernel)
        return ops.transpose(ops.reshape(outputs, (rows, columns, -1, self.filters)), (2, 0, 1, 3))


class DenseLocal(LocallyConnected2D):
    """Its `implementation=2`: a weight from every input to every output, times a mask."""

    def add_kernel(self, shape: Sequence[int], initializer: Any = None) -> None:
        sources, targets = list_connections(self.image_shape, self)
        sizes = np.prod(self.image_shape[1:]), targets.max() + 1
        mask = np.zeros(sizes, "float32")
        mask[sources, targets] = 1
        self.mask = ops.convert_to_tensor(mask, self.compute_dtype)
        super().add_kernel(sizes)

    def build(self, input_shape: Sequence[int]) -> None:
        self.image_shape = input_shape
        super().build(input_shape)

    def convolve(self, images: Any) -> Any:
        outputs = ops.matmul(ops.reshape(images, (images.shape[0], -1)), self.kernel * self.mask)
        return ops.reshape(outputs, (-1, *self.bias.shape))


class SparseLocal(DenseLocal):
    """Its `implementation=3`: a product with a sparse matrix, of TensorFlow alone."""

    def add_kernel(self, shape: Sequence[int], initializer: Any = None) -> None:
        sources, targets = list_connections(self.image_shape, self)
        order = np.lexsort((sources, targets))
        self.indices = np.stack([targets, sources], 1)[order]
        self.sizes = targets.max() + 1, np.prod(self.image_shape[1:])
        LocallyConnected2D.add_kernel(self, (len(order),), "random_normal")

    def convolve(self, images: Any) -> Any:
        import tensorflow as tf

        matrix = tf.SparseTensor(self.indices, self.kernel, self.sizes)
        outputs = tf.sparse.sparse_dense_matmul(matrix, tf.reshape(images, (images.shape[0], -1)), adjoint_b=True)
        return tf.reshape(tf.transpose(outputs), (-1, *self.bias.shape))


def list_connections(image_shape: Sequence[int], layer: LocallyConnected2D) -> np.ndarray:
    """Return the index of the input and of the output of each connection, shape (2, connections)."""
    inputs = np.arange(np.prod(image_shape[1:])).reshape(image_shape[1:])
    shape = layer.compute_output_shape(image_shape)[1:]
    outputs = np.arange(np.prod(shape)).reshape(shape)
    (kh, kw), (sh, sw) = layer.kernel_size, layer.strides
    windows = [
        np.meshgrid(inputs[y * sh : y * sh + kh, x * sw : x * sw + kw], outputs[y, x]) for y, x in np.ndindex(shape[:2])
    ]
    return np.concatenate([np.reshape(window, (2, -1)) for window in windows], axis=1)
