"""Search for the layer at fault in a network whose numbers are not finite, or that does not learn."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from .. import UserError
from ..models.builder import resize_inputs

REMEDY = "a lower `learning_rate=` may help"
_IMAGES = 8  # in a search for dead layers, which holds all their feature maps in memory at once


def find_nonfinite(model: keras.Model, inputs: Sequence[Any], training: bool = True) -> str:
    """Describe the origin of a number that is not finite: an update of weights, a layer's output, or the loss.

    Args:
        model: a functional `keras.Model`.
        inputs: its inputs, of a batch.
        training: whether the layers run in training mode; default True.
    """
    if fault := find_nonfinite_weights(model):
        return fault
    names = []
    outputs = []

    def call(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        output = layer(*args, **kwargs)
        names.append(layer.name)
        outputs.append(output)
        return output

    inner_inputs = resize_inputs(model, inputs[0].shape[1:], call).inputs
    values = keras.Model(inner_inputs, outputs)(inputs, training=training)
    for name, output in zip(names, values, strict=True):
        if not all(map(_is_finite, keras.tree.flatten(output))):
            return f"layer `{name}` is the first whose output is not finite"
    return "the outputs of all layers are finite"


def find_nonfinite_weights(model: keras.Model) -> str | None:
    """Return a sentence that names the layers whose weights are not finite; None if there are none."""
    names = [layer.name for layer in model.layers if not all(map(_is_finite, layer.weights))]
    if not names:
        return None
    # Gradients flow backwards: the layers after the last of these are intact.
    others = f", as are those of {', '.join(f'`{name}`' for name in names[:-1])}" if names[:-1] else ""
    return f"the weights of layer `{names[-1]}` are not finite since the last update{others}"


def check_weights_finite(model: keras.Model) -> None:
    """Raise UserError if a weight is not finite: no loss shows the effect of the last update of a training."""
    if fault := find_nonfinite_weights(model):
        raise UserError(f"{fault}; {REMEDY}")


def check_metrics_finite(metrics: Mapping[str, float]) -> None:
    """Raise UserError, naming the metric, if a metric is not finite."""
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise UserError(f"`{name}` is {value}: the network's scores are too large for a loss; {REMEDY}")


def find_dead_layer(model: keras.Model, images: np.ndarray) -> str | None:
    """Return the name of the first layer whose outputs are all 0, if the network gives all images the same scores.

    Behind such a layer images have no effect, and no gradient passes back through it.

    Args:
        model: a functional `keras.Model` from images to class scores.
        images: images, of which the first are used.

    Returns:
        The name, or None.
    """
    layers = [layer for layer in model.layers if layer is not model.layers[0]]
    compute_outputs = keras.Model(model.inputs, [layer.output for layer in layers])
    batch = ops.convert_to_tensor(images[:_IMAGES])
    outputs = [ops.convert_to_numpy(ops.cast(x, "float32")) for x in compute_outputs(batch, training=False)]
    if np.ptp(outputs[-1], axis=0).any():
        return None
    return next((layer.name for layer, output in zip(layers, outputs, strict=True) if not output.any()), None)


def _is_finite(values: Any) -> bool:
    return bool(ops.all(ops.isfinite(ops.cast(values, "float32"))))
