import numpy as np
from keras import ops

from .. import backend_ops


def require_adapted_weight(layer, weight):
    """`weight` of a layer that must be adapted before use.

    Weights come in by many ways: `adapt`, `set_weights`, a file, a checkpoint. So the values say whether there are any:
    they are zeros before. Where a function is compiled whose arguments the weights are, zeros become NaN.

    Raises:
        ValueError: all values are zeros.
    """
    values = backend_ops.concrete_values(weight)
    if values is None:
        weight = ops.convert_to_tensor(weight)  # JAX takes no variable in a compiled function
        return ops.where(ops.any(ops.not_equal(weight, 0)), weight, float("nan"))
    if not np.any(values):
        raise ValueError(f"`adapt(data)` must be called before the layer is used. Received: {layer.name}")
    layer._is_adapted = True
    return weight
