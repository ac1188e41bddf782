from keras import ops


def root(powers, p):
    """powers^(1 / p), with slope zero at zero: the root itself has none there, and 0 * inf would be nan."""
    zero = powers <= 0
    positive = ops.where(zero, 1.0, powers)
    roots = ops.sqrt(positive) if p == 2 else ops.power(positive, 1 / p)
    return ops.where(zero, 0.0, roots)
