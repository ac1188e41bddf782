"""The outputs of a network's layers, and the pixels that influence a unit."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from ..layers.blocks.composite import Composite, output_shape
from ..models.planning import Plan, PlanRow

_PIXELS_PER_BATCH = 128 * 32 * 32  # of the images of a batch
_MIN_STAGES = 5  # with fewer stages, the layers of repeated blocks are stages of their own
_PATCHES_PER_SIDE = 16  # patches along the side of a large image


class Stage(NamedTuple):
    """A layer that changes a map and the elementwise layers after it: a convolution, its normalization and its ReLU.

    Attributes:
        name: of its first layer.
        row: of its last layer, a row of the plan. All its layers have the same receptive field and jump.
    """

    name: str
    row: PlanRow


class Unit(NamedTuple):
    """One value of a map.

    Attributes:
        position: (row, column).
        channel: its number.
        value: the network's output there.
        box: (top, left, height, width) in pixels: its receptive field, padding included.
        influence: shape (height, width) of the image: the change of the value where a patch of the image turns grey.
    """

    position: tuple[int, int]
    channel: int
    value: float
    box: tuple[int, int, int, int]
    influence: np.ndarray


def find_stages(plan: Plan, max_stages: int | None = None) -> list[Stage]:
    """Find the stages of a network whose outputs are maps, in order, without those of preprocessing.

    Args:
        plan: the network's.
        max_stages: with more stages, evenly chosen ones are returned, the first and the last among them. None, the
            default, returns all.
    """
    stages = _group_stages(plan.rows)
    if len(stages) < _MIN_STAGES:
        stages = _group_stages(_unfold(plan.rows))
    if max_stages is None or len(stages) <= max_stages:
        return stages
    return [stages[index] for index in np.linspace(0, len(stages) - 1, max_stages).round().astype(int)]


def compute_outputs(model: keras.Model, plan: Plan, images: np.ndarray, rows: Sequence[PlanRow]) -> list[np.ndarray]:
    """Compute the outputs of layers.

    Args:
        model: a chain of layers, as `convzoo.models.builder` makes it.
        plan: the model's own plan.
        images: uint8, shape (n, height, width, channels).
        rows: rows of the plan, also those inside of other rows.

    Returns:
        A float32 array for each row.
    """
    step = max(1, _PIXELS_PER_BATCH // (images.shape[1] * images.shape[2]))
    parts = [_compute_batch(model, plan, images[start : start + step], rows) for start in range(0, len(images), step)]
    return [np.concatenate(values) for values in zip(*parts, strict=True)]


def find_strongest_units(model: keras.Model, plan: Plan, image: np.ndarray, rows: Sequence[PlanRow]) -> list[Unit]:
    """Find the unit with the highest value in the map of each row, for one image.

    The influence is measured: one patch of the image after another, or one pixel of a small image, turns into the
    image's mean colour. The receptive field shows which pixels can matter, the influence shows which do.

    Args:
        model, plan: as for `compute_outputs`.
        image: uint8, shape (height, width, channels).
        rows: rows of the plan whose outputs are maps.

    Returns:
        A unit for each row.

    Reference:
        Zeiler & Fergus, Visualizing and understanding convolutional networks, 2013 (arXiv 1311.2901), section 4.2;
        what such fields look like: Luo, Li, Urtasun & Zemel, Understanding the effective receptive field in deep
        convolutional neural networks, 2016 (arXiv 1701.04128).
    """
    maps = [feature_map[0] for feature_map in compute_outputs(model, plan, image[None], rows)]
    positions = [np.unravel_index(feature_map.argmax(), feature_map.shape) for feature_map in maps]
    occluded, patches = _occlude_patches(image)
    step = max(1, _PIXELS_PER_BATCH // (image.shape[0] * image.shape[1]))
    changed: list[list[np.ndarray]] = []
    for start in range(0, len(occluded), step):
        outputs = _compute_batch(model, plan, occluded[start : start + step], rows)
        changed.append([feature_map[:, *position] for feature_map, position in zip(outputs, positions, strict=True)])
    units = []
    for row, feature_map, position, after in zip(rows, maps, positions, zip(*changed, strict=True), strict=True):
        influence = np.zeros(image.shape[:2])
        for patch, value in zip(patches, np.concatenate(after), strict=True):
            influence[patch] = abs(value - feature_map[position])
        y, x, channel = map(int, position)
        units.append(Unit((y, x), channel, float(feature_map[position]), receptive_field_box(row, (y, x)), influence))
    return units


def receptive_field_box(row: PlanRow, position: tuple[int, int]) -> tuple[int, int, int, int]:
    """Compute the receptive field (top, left, height, width) in pixels of a unit at a position, padding included."""
    y, x = (index * jump - pad for index, jump, pad in zip(position, row.jump, row.padding, strict=True))
    height, width = row.receptive_field
    return y, x, height, width


def get_first_kernel(model: keras.Model) -> np.ndarray | None:
    """Return the weights of the first convolution, shape (height, width, channels, filters), or None without one."""
    kernels: list[keras.Variable] = []

    def call_layer(layer: keras.Layer, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        if isinstance(layer, Composite):
            return layer.connect(shape, call_layer)
        kernels.extend(weight for weight in layer.weights if "kernel" in weight.name and len(weight.shape) == 4)
        return output_shape(layer, shape)

    shape = tuple(model.inputs[0].shape)
    for layer in model.layers[1:]:
        shape = call_layer(layer, shape)
        if kernels:
            return ops.convert_to_numpy(ops.cast(kernels[0], "float32"))
    return None


def _unfold(rows: Iterable[PlanRow]) -> Iterator[PlanRow]:
    """Replace the rows of chains and of repeated layers by those of their layers."""
    for row in rows:
        yield from _unfold(row.inside) if row.kind in ("Repeat", "Chain") else (row,)


def _group_stages(rows: Iterable[PlanRow]) -> list[Stage]:
    stages: list[Stage] = []
    for row in rows:
        if len(row.output_shape) != 3:
            continue
        if stages and _belongs_to(row, stages[-1].row):
            stages[-1] = Stage(stages[-1].name, row)
        elif row.macs or row.receptive_field != (1, 1):
            stages.append(Stage(row.name, row))
    return stages


def _belongs_to(row: PlanRow, previous: PlanRow) -> bool:
    keys = ("output_shape", "receptive_field", "jump")
    return not row.macs and not row.inside and all(getattr(row, key) == getattr(previous, key) for key in keys)


def _compute_batch(model: keras.Model, plan: Plan, images: np.ndarray, rows: Sequence[PlanRow]) -> list[np.ndarray]:
    outputs: dict[int, np.ndarray] = {}
    requested = {id(row) for row in rows}

    def call_layer(layer: keras.Layer, x: Any, row: PlanRow) -> Any:
        if isinstance(layer, Composite):
            inside = iter(row.inside)
            y = layer.connect(x, lambda inner, x: call_layer(inner, x, next(inside)))
        else:
            y = layer(x)
        if id(row) in requested:
            outputs[id(row)] = ops.convert_to_numpy(ops.cast(y, "float32"))
        return y

    x = ops.convert_to_tensor(images, model.input.dtype)
    for layer, row in zip(model.layers[1:], plan.rows, strict=True):
        x = call_layer(layer, x, row)
    return [outputs[id(row)] for row in rows]


def _occlude_patches(image: np.ndarray) -> tuple[np.ndarray, list[tuple[slice, slice]]]:
    """Make copies of an image, each with one patch in the mean colour. Returns the copies and the patches."""
    height, width = image.shape[:2]
    side = 1 if max(height, width) <= 40 else -(-max(height, width) // _PATCHES_PER_SIDE)
    starts = [(y, x) for y in range(0, height, side) for x in range(0, width, side)]
    patches = [(slice(y, y + side), slice(x, x + side)) for y, x in starts]
    copies = np.repeat(image[None], len(patches), axis=0)
    for copy, patch in zip(copies, patches, strict=True):
        copy[patch] = image.mean(axis=(0, 1)).round()
    return copies, patches
