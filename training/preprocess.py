"""What stands in front of a network: layers fitted to the training part."""

import keras

from .. import UserError
from ..models import assemble, objective, targets
from .step import with_heads

_BATCH = 1000


def check(recipe, network):
    """Refuses a recipe that does not fit a network: rows of `preprocess` that are none or share a name with its own.

    Raises:
        UserError: naming the row or the key.
    """
    rows = recipe["preprocess"] or {}
    targets.check(rows, "recipe.preprocess", targets.PREPROCESSING)
    if both := set(rows) & set(network["rows"]):
        raise UserError(f"`recipe.preprocess.{both.pop()}`: the network has a row of that name")
    if recipe["label_smoothing"] and network["loss"] is not None:
        raise UserError("`recipe.label_smoothing` must be 0 for a network with a loss of its own")


def fitted(network, name, recipe, images, classes):
    """A network with its front, the rows that learn from data adapted, as a recipe trains it.

    Args:
        network: its rows, loss and heads, checked.
        name: the network's.
        recipe: with `preprocess` and `sizes`.
        images: the training part, uint8, shape (n, height, width, channels).
        classes: how many.

    Returns:
        The model, which takes such images, and its `convzoo.models.objective.Objective`.

    Raises:
        UserError: a row cannot be built or adapted, or a layer takes no pictures of one of `recipe.sizes`.
    """
    front = fit_front(recipe["preprocess"], images)
    model = assemble.assemble(network["rows"], images.shape[1:], classes, name, front, dtype="uint8")
    fit_rows(model, network["rows"], images)
    wanted = objective.make(model, network["loss"], network["heads"])
    check_sizes(model, wanted, recipe["sizes"])
    return model, wanted


def check_sizes(model, wanted, parts):
    """Refuses sizes of pictures that a network, or a head of it, cannot learn from.

    Args:
        model: as `assemble` made it.
        wanted: its `convzoo.models.objective.Objective`.
        parts: the sides, as parts of those of the model's own pictures.

    Raises:
        UserError: naming `recipe.sizes`.
    """
    height, width, channels = model.input_shape[1:]
    for part in parts[:-1]:
        sides = round(height * part), round(width * part)
        if not all(sides):
            raise UserError(f"`recipe.sizes`: a part of {part:g} leaves no pixel of {height}×{width}")
        try:
            smaller = assemble.resized(with_heads(model, wanted), (*sides, channels))
        except UserError as error:
            raise UserError(f"`recipe.sizes`: {error}") from error
        for output, name, target in zip(smaller.outputs[1:], wanted.outputs, wanted.targets, strict=True):
            if target == "image" and tuple(output.shape[1:]) != (*sides, channels):
                raise UserError(f"`recipe.sizes`: head `{name}` gives pictures of one size alone")


def fit_front(rows, images):
    """Builds checked rows and adapts those that learn from data, each on what the ones before give.

    Args:
        rows: mapping from name to row, or None; they compute in float32.
        images: the training part, uint8, shape (n, height, width, channels).

    Returns:
        The layers, in order.

    Raises:
        UserError: a row cannot be built or adapted.
    """
    front = []
    for name, row in (rows or {}).items():
        layer = targets.make(name, {**row, "dtype": "float32"})
        try:
            if hasattr(layer, "adapt"):
                layer.adapt(_batches(images, front))
        except ValueError as error:
            raise UserError(f"row `{name}` cannot be fitted: {targets.first_line(error)}") from error
        front.append(layer)
    return front


def fit_rows(model, names, images):
    """Adapts those rows of a network that learn from data, as a whitened convolution, each on what reaches it.

    Args:
        model: as `assemble` made it, its front fitted.
        names: of the network's own rows.
        images: the training part, uint8, shape (n, height, width, channels).

    Raises:
        UserError: a row cannot be adapted.
    """
    for layer in map(model.get_layer, names):
        if hasattr(layer, "adapt"):
            before = keras.Model(model.input, layer.input)
            starts = range(0, len(images), _BATCH)
            try:
                layer.adapt(before.predict_on_batch(images[start : start + _BATCH]) for start in starts)
            except ValueError as error:
                raise UserError(f"row `{layer.name}` cannot be fitted: {targets.first_line(error)}") from error


def _batches(images, front):
    for start in range(0, len(images), _BATCH):
        batch = images[start : start + _BATCH].astype("float32")
        for layer in front:
            batch = keras.ops.convert_to_numpy(layer(batch))
        yield batch
