"""The model that a recipe trains: the network behind its preprocessing layers, adapted to the training images."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from .. import UserError
from ..data.augmentation.rows import mixing_rows
from ..models import allowlist, builder, objective
from .steps.base import attach_heads

_BATCH_SIZE = 1000


def check(recipe: Mapping[str, Any], network: Mapping[str, Any]) -> None:
    """Check that a recipe fits a network.

    Args:
        recipe: with `preprocessing`, `label_smoothing` and `augmentation`.
        network: its `rows`, `loss` and `heads`.

    Raises:
        UserError: a row of `preprocessing` is not allowed or has the name of one of the network's rows, or labels would
            be smoothed or mixed for a network with a loss of its own. The message names the key.
    """
    rows = recipe["preprocessing"]
    allowlist.check_rows(rows, "recipe.preprocessing", allowlist.PREPROCESSING)
    if both := set(rows) & set(network["rows"]):
        raise UserError(f"`recipe.preprocessing.{both.pop()}`: the network has a row of that name")
    if recipe["label_smoothing"] and network["loss"] is not None:
        raise UserError("`recipe.label_smoothing` must be 0 for a network with a loss of its own")
    check_mixed_labels(recipe["augmentation"], network)


def check_mixed_labels(rows: Mapping[str, Any], network: Mapping[str, Any]) -> None:
    """Check that a network takes the labels that the augmentations of a recipe mix, if any do.

    Args:
        rows: rows of `recipe.augmentation`.
        network: its `loss` and `heads`.

    Raises:
        UserError: the network or a head has a loss of its own, or a head takes labels as an input. The message names
            the row.
    """
    mixing = mixing_rows(rows)
    if not mixing:
        return
    reasons = ["the network has a loss of its own"] if network["loss"] is not None else []
    for name, head in (network.get("heads") or {}).items():
        if head.get("labels"):
            reasons.append(f"head `{name}` takes the label of each image as an input")
        elif head.get("loss") is not None and head.get("target", "labels") == "labels":
            reasons.append(f"head `{name}` has a loss of its own")
    if reasons:
        raise UserError(f"`recipe.augmentation.{mixing[0]}` mixes labels, which this network cannot take: {reasons[0]}")


def build_training_model(
    network: Mapping[str, Any], name: str, recipe: Mapping[str, Any], images: np.ndarray, classes: int
) -> tuple[keras.Model, objective.Objective]:
    """Build a network behind the recipe's preprocessing, and adapt the layers that learn from data.

    Args:
        network: its checked `rows`, `loss` and `heads`.
        name: name of the network.
        recipe: with `preprocessing` and `image_scales`.
        images: training images, uint8, shape (n, height, width, channels).
        classes: number of classes.

    Returns:
        The model, which takes such images, and its `convzoo.models.objective.Objective`.

    Raises:
        UserError: a row cannot be built or adapted, or a layer cannot take images of one of `recipe.image_scales`.
    """
    preprocessing = adapt_preprocessing(recipe["preprocessing"], images)
    model = builder.assemble(network["rows"], images.shape[1:], classes, name, preprocessing, dtype="uint8")
    adapt_rows(model, network["rows"], images)
    goal = objective.make_objective(model, network["loss"], network["heads"])
    check_image_scales(model, goal, recipe["image_scales"])
    return model, goal


def check_image_scales(model: keras.Model, goal: objective.Objective, scales: Sequence[float]) -> None:
    """Check that a network and its heads can be trained on images of smaller sizes.

    Args:
        model: as `builder.assemble` made it.
        goal: the objective of the model.
        scales: sides of the images as parts of those of the model's own images; the last is 1.

    Raises:
        UserError: the message names `recipe.image_scales`.
    """
    height, width, channels = model.input_shape[1:]
    for scale in scales[:-1]:
        sides = round(height * scale), round(width * scale)
        if not all(sides):
            raise UserError(f"`recipe.image_scales`: a scale of {scale:g} leaves no pixel of {height}×{width}")
        try:
            smaller = builder.resize_inputs(attach_heads(model, goal), (*sides, channels))
        except UserError as error:
            raise UserError(f"`recipe.image_scales`: {error}") from error
        for output, name, target in zip(smaller.outputs[1:], goal.outputs, goal.targets, strict=True):
            if target == "image" and tuple(output.shape[1:]) != (*sides, channels):
                raise UserError(f"`recipe.image_scales`: head `{name}` gives images of one size only")


def adapt_preprocessing(rows: Mapping[str, Any] | None, images: np.ndarray) -> list[keras.layers.Layer]:
    """Build preprocessing rows; adapt those that learn from data, each on the output of the rows before it.

    Args:
        rows: checked mapping from name to row, or None; the layers compute in float32.
        images: training images, uint8, shape (n, height, width, channels).

    Returns:
        The layers, in order.

    Raises:
        UserError: a row cannot be built or adapted.
    """
    layers: list[keras.layers.Layer] = []
    for name, row in (rows or {}).items():
        layer = allowlist.instantiate(name, {**row, "dtype": "float32"})
        if hasattr(layer, "adapt"):
            _adapt(layer, name, _preprocess_batches(images, layers))
        layers.append(layer)
    return layers


def adapt_rows(model: keras.Model, names: Iterable[str], images: np.ndarray) -> None:
    """Adapt those rows of a network that learn from data, such as a whitened convolution, each on its own input.

    Args:
        model: as `builder.assemble` made it, its preprocessing adapted.
        names: names of the network's rows.
        images: training images, uint8, shape (n, height, width, channels).

    Raises:
        UserError: a row cannot be adapted.
    """
    for layer in map(model.get_layer, names):
        if hasattr(layer, "adapt"):
            preceding = keras.Model(model.input, layer.input)
            batches = (preceding.predict_on_batch(batch) for batch in _split(images))
            _adapt(layer, layer.name, batches)


def _adapt(layer: keras.layers.Layer, name: str, batches: Iterator[np.ndarray]) -> None:
    try:
        layer.adapt(batches)
    except ValueError as error:
        raise UserError(f"row `{name}` cannot be adapted: {allowlist.first_line(error)}") from error


def _preprocess_batches(images: np.ndarray, layers: Iterable[keras.layers.Layer]) -> Iterator[np.ndarray]:
    for batch in _split(images):
        values = batch.astype("float32")
        for layer in layers:
            values = keras.ops.convert_to_numpy(layer(values))
        yield values


def _split(images: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(images), _BATCH_SIZE):
        yield images[start : start + _BATCH_SIZE]
