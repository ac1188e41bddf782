"""Mean, variance and covariance of data that is read once and never held as a whole."""

import numpy as np
from keras import ops

_ROWS = 4096


def batches(data):
    """NumPy arrays of `data`, which is an array or an iterable of arrays."""
    parts = (data[start : start + _ROWS] for start in range(0, len(data), _ROWS)) if hasattr(data, "shape") else data
    return (np.asarray(ops.convert_to_numpy(part)) for part in parts)


def mean_and_covariance(arrays):
    """Compute mean and covariance of the rows of all arrays, over n, in float64.

    Raises:
        ValueError: when there is no row.
    """
    count, total, products = 0, 0.0, 0.0
    for rows in arrays:
        rows = rows.astype("float64")
        if not count:
            # Far from zero the difference of two large sums would lose the covariance.
            offset = rows.mean(axis=0) if len(rows) else 0.0
        rows -= offset
        count += len(rows)
        total += rows.sum(axis=0)
        products += rows.T @ rows
    if not count:
        raise ValueError("`data` must hold at least one image. Received: none")
    mean = total / count
    return mean + offset, products / count - np.outer(mean, mean)


def mean_and_variance(arrays):
    """Compute mean and variance of all values at each place of the last axis, in float64.

    A row of numbers is as long as an array without its first axis: NumPy adds up runs of three slowly.

    Raises:
        ValueError: when there is no value, or arrays differ in their rank or their last axis.
    """
    count, total, squares, first = 0, 0.0, 0.0, None
    for array in arrays:
        first = array.shape if first is None else first
        channels = array.shape[-1]
        if (array.ndim, channels) != (len(first), first[-1]):
            raise ValueError(f"all of `data` must be alike but in size. Received: {first}, then {array.shape}")
        if not array.size:
            continue
        rows = array.reshape(len(array), -1).astype("float64")
        if not count:
            offset = rows.reshape(-1, channels).mean(axis=0)
        rows -= np.tile(offset, rows.shape[1] // channels)
        count += rows.size // channels
        total += rows.sum(axis=0).reshape(-1, channels).sum(axis=0)
        squares += np.einsum("ij,ij->j", rows, rows).reshape(-1, channels).sum(axis=0)
    if not count:
        raise ValueError("`data` must hold at least one value. Received: none")
    mean = total / count
    return mean + offset, np.maximum(squares / count - mean**2, 0)
