import keras
import numpy as np
import pytest


@pytest.fixture(scope="session")
def starts():
    """First row (or column) of every window along one axis of n cells, from each word's meaning."""

    def starts(padding, n, k, s):
        if padding == "same":
            windows = -(-n // s)
            before = max((windows - 1) * s + k - n, 0) // 2
            return [i * s - before for i in range(windows)]
        if padding == "ceil":
            actual = [0]
            while actual[-1] + k < n and actual[-1] + s < n:
                actual.append(actual[-1] + s)
            return actual
        words = {"valid": (0, 0), "half": (k // 2, k // 2), "full": (k - 1, k - 1)}
        before, after = words[padding] if isinstance(padding, str) else padding
        return list(range(-before, n + after - k + 1, s))

    return starts


@pytest.fixture(scope="session")
def loop_pool(starts):
    """Pools a (height, width) picture window by window; `reduce(cells, weights)` sees real cells alone."""

    def loop_pool(picture, size, strides, padding, reduce, weights=None):
        (h, w), (kh, kw) = picture.shape, size
        paddings = (padding, padding) if isinstance(padding, str) else padding
        tops = starts(paddings[0], h, kh, strides[0])
        lefts = starts(paddings[1], w, kw, strides[1])
        pooled = np.empty((len(tops), len(lefts)))
        for i, top in enumerate(tops):
            for j, left in enumerate(lefts):
                inside = [(y, x) for y in range(kh) for x in range(kw) if 0 <= top + y < h and 0 <= left + x < w]
                cells = np.array([picture[top + y, left + x] for y, x in inside])
                pooled[i, j] = reduce(cells, None if weights is None else [weights[y][x] for y, x in inside])
        return pooled

    return loop_pool


@pytest.fixture(scope="session")
def gradient():
    """d sum(layer(x, …) * weights) / dx."""

    def gradient(layer, x, weights=1.0, **arguments):
        if not layer.built:
            layer.build(x.shape)
        backend = keras.backend.backend()
        x = keras.ops.convert_to_tensor(x, dtype=layer.compute_dtype)

        def loss(x):
            return keras.ops.sum(layer(x, **arguments) * keras.ops.cast(weights, layer.compute_dtype))

        if backend == "tensorflow":
            import tensorflow as tf

            with tf.GradientTape() as tape:
                tape.watch(x)
                y = loss(x)
            slope = tape.gradient(y, x)
        elif backend == "jax":
            import jax

            slope = jax.grad(loss)(x)
        else:
            import torch

            x = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(loss(x), x)
        return keras.ops.convert_to_numpy(slope).astype("float32")

    return gradient
