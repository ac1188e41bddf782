"""Layers with weights in the order in which they run: slots, which are ours, and units of a source, which fill them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any

import keras
import numpy as np

from ...layers import Residual
from ...layers.blocks.composite import Composite, output_shape
from .named_weights import iter_layers, own_weights

# The kinds of units and slots. A convolution in groups is "conv"; a source that cannot tell a depthwise kernel from
# one in groups calls it so too.
CONV, DEPTHWISE, DENSE, NORM, OTHER = "conv", "depthwise", "dense", "norm", "other"
_SEPARABLE = {"depthwise_kernel": DEPTHWISE, "pointwise_kernel": CONV}


@dataclass
class Unit:
    """A layer of a source, with its weights in Keras's layout.

    Attributes:
        name: of the source's layer.
        kind: one of the above.
        weights: mapping from `kernel`, `bias`, `gamma`, `beta`, `moving_mean` and `moving_variance` to arrays.
        epsilon: of a normalization.
        is_channels_first: whether a dense kernel reads maps channel by channel, as in torch and Caffe.
    """

    name: str
    kind: str
    weights: dict[str, np.ndarray]
    epsilon: float = 0.0
    is_channels_first: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the kernel, or of a normalization's mean."""
        return main_weight(self.weights).shape


@dataclass
class WeightSlot:
    """A layer of ours, or a half of a separable convolution, that takes the weights of one unit.

    Attributes:
        path: of the layer, by names.
        kind: one of the above.
        numbers: mapping from the names of a unit's weights to the numbers that the layer's have in files.
        shapes: mapping from the same names to their shapes.
        epsilon: of a normalization.
        map_shape: (height, width, channels) of the map that a dense kernel reads, or None.
        source: the slot whose output a normalization reads with nothing between, or None.
    """

    path: str
    kind: str
    numbers: dict[str, str]
    shapes: dict[str, tuple[int, ...]]
    epsilon: float = 0.0
    map_shape: tuple[int, ...] | None = None
    source: "WeightSlot | None" = field(default=None, repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the kernel, or of a normalization's mean."""
        return main_weight(self.shapes)


def main_weight(weights: dict[str, Any]) -> Any:
    """Return the kernel of a mapping from names to weights, else the mean of a normalization, else the first."""
    return weights.get("kernel", weights.get("moving_mean", next(iter(weights.values()))))


def find_slots(model: keras.Model, shortcut_first: bool) -> list[WeightSlot]:
    """Return the slots of a model in the order in which its layers run.

    Args:
        model: a chain of layers, as `builder.assemble` makes it, for images of known size.
        shortcut_first: whether the shortcut of a residual block runs before its body.
    """
    walk = _Walk({id(layer): path for path, layer in iter_layers(model)}, shortcut_first)
    shape: Any = model.input_shape
    for layer in model.layers[1:]:
        shape = walk.apply(layer, shape)
    return walk.slots


class _Shape(tuple):
    """The shape of a map, which knows where it comes from.

    Attributes:
        source: the slot whose output it is, with no activation after it.
        map_shape: of the map that was flattened into it.
    """

    source: WeightSlot | None = None
    map_shape: tuple[int, ...] | None = None


class _Walk:
    def __init__(self, paths: dict[int, str], shortcut_first: bool) -> None:
        self.paths = paths
        self.shortcut_first = shortcut_first
        self.slots: list[WeightSlot] = []

    def apply(self, layer: keras.Layer, shape: Any) -> Any:
        if isinstance(layer, Residual) and not self.shortcut_first:
            after = self.apply(layer.body, shape)
            if layer.shortcut is not None:
                self.apply(layer.shortcut, shape)
            return tuple(after)
        if isinstance(layer, Composite):
            return layer.connect(shape, self.apply)
        result = _Shape(output_shape(layer, shape))
        source = shape if isinstance(shape, _Shape) else _Shape()
        if id(layer) in self.paths:
            slots = _make_slots(self.paths[id(layer)], layer)
            slots[0].source = source.source
            slots[0].map_shape = tuple(shape[1:]) if len(shape) == 4 else source.map_shape
            self.slots += slots
            is_linear = getattr(layer, "activation", None) in (None, keras.activations.linear)
            result.source = slots[-1] if is_linear else None
        elif not isinstance(shape, list) and prod(result[1:]) == prod(shape[1:]):
            result.map_shape = tuple(shape[1:]) if len(shape) == 4 and len(result) == 2 else source.map_shape
        return result


def _make_slots(path: str, layer: keras.Layer) -> list[WeightSlot]:
    numbers = {weight.name: number for number, weight in own_weights(layer).items()}
    shapes = {weight.name: tuple(weight.shape) for weight in own_weights(layer).values()}
    if not numbers.keys() >= _SEPARABLE.keys():
        kind = _kind_of(layer, shapes)
        return [WeightSlot(path, kind, numbers, shapes, getattr(layer, "epsilon", 0.0) if kind == NORM else 0.0)]
    slots = []
    for name, kind in _SEPARABLE.items():
        names = {"kernel": name} | ({"bias": "bias"} if kind == CONV and "bias" in numbers else {})
        inner = {key: numbers[name] for key, name in names.items()}
        slots.append(WeightSlot(path, kind, inner, {key: shapes[name] for key, name in names.items()}))
    slots[1].source = slots[0]
    return slots


def _kind_of(layer: keras.Layer, shapes: dict[str, Any]) -> str:
    if "moving_mean" in shapes:
        return NORM
    rank = len(shapes.get("kernel", ()))
    if rank == 4:
        return DEPTHWISE if isinstance(layer, keras.layers.DepthwiseConv2D) else CONV
    return DENSE if rank == 2 else OTHER


def units_of_keras(model: keras.Model) -> list[Unit]:
    """Return the units of a functional model of Keras layers, by a walk from its output back to its inputs."""
    units = []
    for layer in _iter_depth_first(model):
        if not isinstance(layer, keras.Layer) or not layer.weights:
            continue
        values = {weight.name: keras.ops.convert_to_numpy(weight) for weight in own_weights(layer).values()}
        for slot in _make_slots(layer.name, layer):
            names = dict(zip(slot.numbers, slot.numbers, strict=True))
            if slot.kind in (DEPTHWISE, CONV) and "kernel" not in values:
                names["kernel"] = "depthwise_kernel" if slot.kind == DEPTHWISE else "pointwise_kernel"
            weights = {key: values[name] for key, name in names.items()}
            units.append(Unit(layer.name, slot.kind, weights, slot.epsilon))
    return units


def _iter_depth_first(model: keras.Model) -> Iterator[Any]:
    """Yield the operations of a functional model, each behind all that it reads, first inputs first."""
    pending = [tensor._keras_history[:2] for tensor in reversed(model.outputs)]
    visited: set[int] = set()
    while pending:
        operation, index = pending.pop()
        if index is None:
            yield operation
        elif id(operation) not in visited:
            visited.add(id(operation))
            pending.append((operation, None))
            inputs = operation._inbound_nodes[index].input_tensors
            pending += [tensor._keras_history[:2] for tensor in reversed(inputs)]
