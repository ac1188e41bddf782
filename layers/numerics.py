from keras import ops


def root(powers, p):
    """powers^(1 / p), with slope zero at zero: the root itself has none there, and 0 * inf would be nan."""
    if p == 2:
        # A slope that is finite, for the squares that come in have slope zero; one pass less than a choice.
        return ops.sqrt(powers + 2.0**-120) - 2.0**-60
    zero = powers <= 0
    # TensorFlow's own power is ten times slower than exp and log.
    roots = ops.exp(ops.log(ops.where(zero, 1.0, powers)) / p)
    return ops.where(zero, 0.0, roots)


def one_hot(name, labels, classes, dtype):
    """(batch, classes) of labels that are so already, or of integers (batch,) or (batch, 1).

    Raises:
        ValueError: for labels of another shape, with their `name`.
    """
    shape = tuple(labels.shape)
    if len(shape) == 2 and shape[1] == classes:
        return ops.cast(labels, dtype)
    if len(shape) == 1 or (len(shape) == 2 and shape[1] == 1):
        return ops.one_hot(ops.cast(ops.reshape(labels, (-1,)), "int32"), classes, dtype=dtype)
    raise ValueError(
        f"`{name}` must be integers of shape (batch,) or (batch, 1), or of shape (batch, {classes}). "
        f"Received: a shape of {shape}"
    )
