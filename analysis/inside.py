"""What happens inside a network: what its layers give, and which pixels a unit listens to."""

from typing import NamedTuple

import numpy as np
from keras import ops

from ..layers.composite import Composite, output_shape
from ..models.planning import Row

_PIXELS = 128 * 32 * 32  # of the images that go through at a time
_FEW = 5  # with fewer stages, those in a row of copies are shown one by one
_GRID = 16  # patches along the side of a large picture


class Stage(NamedTuple):
    """A step that changes a map, with what follows it value by value: a convolution, its normalization and its ReLU.

    Attributes:
        name: of its first layer.
        row: of the plan, its last layer; where that gives a map, all of them see and stand alike.
    """

    name: str
    row: Row


class Unit(NamedTuple):
    """One value of a map.

    Attributes:
        place: (row, column).
        channel: its number.
        value: as the network gave it.
        box: (top, left, height, width) in pixels: its receptive field, padding included.
        influence: shape (height, width) of the image: how far the value moves where a patch of the image turns grey.
    """

    place: tuple[int, int]
    channel: int
    value: float
    box: tuple[int, int, int, int]
    influence: np.ndarray


def stages(plan, most=None):
    """The `Stage`s of a network whose outputs are maps, from the first; preprocessing and vectors are left out.

    Args:
        plan: `convzoo.models.planning.Plan`.
        most: how many, taken evenly, the first and the last among them; None is all.
    """
    found = _stages(plan.rows)
    if len(found) < _FEW:
        found = _stages(_unfolded(plan.rows))
    if most is None or len(found) <= most:
        return found
    return [found[index] for index in np.linspace(0, len(found) - 1, most).round().astype(int)]


def outputs(model, plan, images, rows):
    """What layers of a model give.

    Args:
        model: a chain of layers, as `convzoo.models.assemble` makes it.
        plan: its own, `convzoo.models.planning.of(model)`.
        images: uint8, shape (n, height, width, channels).
        rows: rows of the plan, those inside of others too.

    Returns:
        A list of float32 arrays, one a row.
    """
    step = max(1, _PIXELS // (images.shape[1] * images.shape[2]))
    parts = [_outputs(model, plan, images[start : start + step], rows) for start in range(0, len(images), step)]
    return [np.concatenate(each) for each in zip(*parts, strict=True)]


def strongest_units(model, plan, image, rows):
    """The `Unit` of the highest value in the map of each row, for one image.

    Its influence is measured rather than derived: patches of the picture, pixels where it is small, turn into its
    mean colour, one after another. The receptive field says which of them can matter, the influence which do.

    Args:
        model, plan: as for `outputs`.
        image: uint8, shape (height, width, channels).
        rows: rows of the plan whose outputs are maps.

    Returns:
        A list of them.

    Reference:
        Zeiler & Fergus, Visualizing and understanding convolutional networks, 2013 (arXiv 1311.2901), section 4.2;
        what such fields look like: Luo, Li, Urtasun & Zemel, Understanding the effective receptive field in deep
        convolutional neural networks, 2016 (arXiv 1701.04128).
    """
    maps = [each[0] for each in outputs(model, plan, image[None], rows)]
    places = [np.unravel_index(each.argmax(), each.shape) for each in maps]
    greyed, patches = _greyed(image)
    step = max(1, _PIXELS // (image.shape[0] * image.shape[1]))
    moved = []
    for start in range(0, len(greyed), step):
        found = _outputs(model, plan, greyed[start : start + step], rows)
        moved.append([each[:, *place] for each, place in zip(found, places, strict=True)])
    units = []
    for row, each, place, after in zip(rows, maps, places, zip(*moved, strict=True), strict=True):
        influence = np.zeros(image.shape[:2])
        for patch, value in zip(patches, np.concatenate(after), strict=True):
            influence[patch] = abs(value - each[place])
        y, x, channel = map(int, place)
        units.append(Unit((y, x), channel, float(each[place]), field(row, (y, x)), influence))
    return units


def field(row, place):
    """(top, left, height, width) in pixels of what the unit at `place` of a plan's row sees, padding included."""
    top, left = (at * jump - before for at, jump, before in zip(place, row.jump, row.padding, strict=True))
    return (top, left, *row.receptive_field)


def first_kernel(model):
    """The weights of the first convolution, array (height, width, channels, filters), or None if there is none."""
    kernels = []

    def through(layer, shape):
        if isinstance(layer, Composite):
            return layer.flow(shape, through)
        kernels.extend(weight for weight in layer.weights if "kernel" in weight.name and len(weight.shape) == 4)
        return output_shape(layer, shape)

    shape = tuple(model.inputs[0].shape)
    for layer in model.layers[1:]:
        shape = through(layer, shape)
        if kernels:
            return ops.convert_to_numpy(ops.cast(kernels[0], "float32"))
    return None


def _unfolded(rows):
    """Rows with those of chains and of copies in their place."""
    for row in rows:
        yield from _unfolded(row.inside) if row.kind in ("Repeat", "Chain") else (row,)


def _stages(rows):
    found = []
    for row in rows:
        if len(row.output_shape) != 3:
            continue
        if found and _follows(row, found[-1].row):
            found[-1] = Stage(found[-1].name, row)
        elif row.macs or row.receptive_field != (1, 1):
            found.append(Stage(row.name, row))
    return found


def _follows(row, before):
    alike = ("output_shape", "receptive_field", "jump")
    return not row.macs and not row.inside and all(getattr(row, key) == getattr(before, key) for key in alike)


def _outputs(model, plan, images, rows):
    found, wanted = {}, {id(row) for row in rows}

    def through(layer, x, row):
        if isinstance(layer, Composite):
            inside = iter(row.inside)
            y = layer.flow(x, lambda inner, x: through(inner, x, next(inside)))
        else:
            y = layer(x)
        if id(row) in wanted:
            found[id(row)] = ops.convert_to_numpy(ops.cast(y, "float32"))
        return y

    x = ops.convert_to_tensor(images, model.input.dtype)
    for layer, row in zip(model.layers[1:], plan.rows, strict=True):
        x = through(layer, x, row)
    return [found[id(row)] for row in rows]


def _greyed(image):
    """Copies of an image, of each a patch in its mean colour, and the patches, as slices."""
    height, width = image.shape[:2]
    side = 1 if max(height, width) <= 40 else -(-max(height, width) // _GRID)
    starts = [(top, left) for top in range(0, height, side) for left in range(0, width, side)]
    patches = [(slice(top, top + side), slice(left, left + side)) for top, left in starts]
    copies = np.repeat(image[None], len(patches), axis=0)
    for copy, patch in zip(copies, patches, strict=True):
        copy[patch] = image.mean(axis=(0, 1)).round()
    return copies, patches
