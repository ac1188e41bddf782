"""Losses of class scores."""

from typing import Any

import keras
from keras import ops


class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy of logits against labels of which a part is spread over all classes.

    Labels are integers of shape (n,), or distributions of shape (n, classes).

    Args:
        smoothing: the part, in [0, 1).
        **kwargs: arguments of `keras.losses.Loss`.

    Reference:
        Szegedy et al., Rethinking the Inception architecture for computer vision, 2015 (arXiv 1512.00567), section 7.

    Example:
        >>> float(SmoothedCrossentropy(0.1)(np.array([0]), np.zeros((1, 2), "float32"))).__round__(4)
        0.6931
        >>> float(SmoothedCrossentropy(0.0)(np.array([[0.5, 0.5]]), np.zeros((1, 2), "float32"))).__round__(4)
        0.6931
    """

    def __init__(self, smoothing: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.smoothing = smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        logs = ops.log_softmax(y_pred)
        if len(y_true.shape) == 2:
            own = ops.sum(ops.cast(y_true, logs.dtype) * logs, -1)
        else:
            own = ops.take_along_axis(logs, ops.cast(y_true, "int32")[:, None], -1)[:, 0]
        return -(1 - self.smoothing) * own - self.smoothing * ops.mean(logs, -1)


def with_soft_labels(loss: keras.losses.Loss) -> keras.losses.Loss:
    """Return a loss of labels that are distributions over the classes, in the place of one of integer labels.

    Args:
        loss: `keras.losses.SparseCategoricalCrossentropy` of logits, or a `SmoothedCrossentropy`, which takes both.

    Raises:
        ValueError: it is another loss.

    Example:
        >>> loss = with_soft_labels(keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> float(loss(np.array([[0.5, 0.5]]), np.zeros((1, 2), "float32"))).__round__(4)
        0.6931
    """
    if isinstance(loss, SmoothedCrossentropy):
        return loss
    if isinstance(loss, keras.losses.SparseCategoricalCrossentropy):
        return SmoothedCrossentropy(0.0)
    raise ValueError(f"{type(loss).__name__} takes no labels that are distributions over the classes")
