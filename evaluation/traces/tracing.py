"""The trace of a layer: what it computes from one image, value by value."""

import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from ... import UserError
from ...layers import FractionalMaxPooling2D, LocallyConnected1D, Maxout
from .convolutions import CONVOLUTIONS, trace_convolution
from .depth import CHANNEL_POOLS, trace_depth_pooling
from .pools import POOLS, trace_pooling
from .steps import Trace, to_numpy

_TRACERS: dict[tuple[type, ...], Callable[..., dict[str, Any]]] = {
    CONVOLUTIONS: trace_convolution,
    POOLS: trace_pooling,
    CHANNEL_POOLS: trace_depth_pooling,
}


def has_trace(layer_class: type) -> bool:
    """Return whether the layers of a class can be traced."""
    return any(issubclass(layer_class, classes) for classes in _TRACERS)


def trace_layer(layer: keras.Layer, inputs: np.ndarray) -> Trace:
    """Call a layer on one image, and trace each value of its output to the cells, weights and terms behind it.

    The values are the layer's own: it is called, and what the terms give is compared with its output. A layer that is
    not built is built for the image. Nothing is trained, and dropout and random draws are those of inference.

    Args:
        layer: a convolution, transposed convolution, locally connected layer or pool of convzoo or Keras, with
            channels last.
        inputs: shape (height, width, channels); (steps, channels) for `LocallyConnected1D`.

    Returns:
        The trace, with one step for each output value, map by map.

    Raises:
        UserError: the layer is none of these, has its channels first, refuses the image, gives more values than a trace
            shows, or computes something else than its class.

    Reference:
        Dumoulin & Visin, A guide to convolution arithmetic for deep learning, 2016 (arXiv 1603.07285).

    Example:
        >>> from convzoo.layers import MaxPooling2D
        >>> trace = trace_layer(MaxPooling2D(2), np.arange(16.0).reshape(4, 4, 1))
        >>> trace.steps[0].formula
        'max(0, 1, 4, 5) = 5'
    """
    name = type(layer).__name__
    tracer = next((tracer for classes, tracer in _TRACERS.items() if isinstance(layer, classes)), None)
    if tracer is None:
        raise UserError(f"`{name}` cannot be traced: it is neither a convolution nor a pool with a sliding window")
    if getattr(layer, "data_format", "channels_last") != "channels_last" or getattr(layer, "axis", -1) not in (-1, 3):
        raise UserError(f"`{name}` cannot be traced: its channels must come last")
    inputs = np.asarray(inputs, dtype="float64")
    batch = inputs[None].astype("float32")
    is_drawn = isinstance(layer, FractionalMaxPooling2D)
    state = np.array(keras.ops.convert_to_numpy(layer.seed_generator.state)) if is_drawn else None
    try:
        layer.compute_output_shape(batch.shape)  # its errors are shorter than those of a call
        outputs = to_numpy(layer(batch))[0]
    except Exception as error:
        raise UserError(f"`{name}` refuses an image of shape {inputs.shape}: {_explain(error)}") from error
    if is_drawn:  # the regions are those of a second call, which must draw the same
        layer.seed_generator.state.assign(state)
    if isinstance(layer, LocallyConnected1D):
        inputs, outputs = inputs[:, None], outputs[:, None]
    if outputs.ndim == 1:  # of a whole map
        outputs = outputs[None, None]
    if isinstance(layer, Maxout) and inputs.ndim != 3:
        raise UserError(f"`{name}` cannot be traced: its input must have shape (height, width, channels)")
    return Trace(inputs=inputs, outputs=outputs, **tracer(layer, inputs, outputs))


def _explain(error: Exception) -> str:
    """Return the message of an error, without the frame that Keras puts around an error inside `call`."""
    message = re.search(r"\x1b\[1m(.*?)\x1b\[0m", str(error), re.DOTALL)
    return " ".join((message[1] if message else str(error)).split()) or type(error).__name__
