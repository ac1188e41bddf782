"""Traces of pooling over depth: windows of channels at one pixel."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from ...layers import ChannelPooling2D, Maxout
from ...settings.text import format_number
from .pooling_rules import Pooled, select_maximum, take_mean, take_norm
from .steps import Part, Step, check_count, check_value
from .titles import describe_layer

CHANNEL_POOLS: tuple[type, ...] = (ChannelPooling2D, Maxout)


def trace_depth_pooling(layer: keras.Layer, inputs: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
    """Return the fields of the `Trace` of a pool over channels.

    Args:
        layer: a `ChannelPooling2D`, or a `Maxout` over the last axis.
        inputs: shape (height, width, channels).
        outputs: the layer's, shape (height, width, groups).

    Raises:
        UserError: the terms do not give the outputs.
    """
    check_count(outputs)
    size, stride, pool = _find_window(layer)
    steps, name = [], ""
    for channel in range(outputs.shape[2]):
        for row in range(outputs.shape[0]):
            for column in range(outputs.shape[1]):
                position, first = (row, column, channel), channel * stride
                pooled = pool(inputs[row, column, first : first + size])
                value, name = float(outputs[position]), pooled.terms_name
                check_value(layer, position, pooled.value, value)
                parts = tuple(
                    Part(
                        first + index,
                        ((row, column),),
                        pooled.terms[index].reshape(1, 1),
                        selected=None if pooled.selected is None else pooled.selected[index].reshape(1, 1),
                    )
                    for index in range(size)
                )
                steps.append(Step(position, parts, value, f"{pooled.formula} = {format_number(value)}"))
    channels = inputs.shape[2]
    arithmetic = f"⌊({channels} − {size}) / {stride}⌋ + 1 = {outputs.shape[2]} channels"
    return dict(
        title=describe_layer(layer),
        arithmetic=arithmetic,
        padded=inputs,
        is_added=np.zeros(inputs.shape[:2], bool),
        steps=tuple(steps),
        terms_name=name,
    )


def _find_window(layer: Any) -> tuple[int, int, Callable[[np.ndarray], Pooled]]:
    if isinstance(layer, Maxout):
        return layer.pieces, layer.pieces, select_maximum
    pools: dict[str, Callable[[np.ndarray], Pooled]] = {
        "max": select_maximum,
        "average": take_mean,
        "lp": lambda values: take_norm(values, layer.p),
    }
    return layer.pool_size, layer.strides, pools[layer.mode]
