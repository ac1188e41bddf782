"""Give a model the weights of a source, by the names of its layers."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import keras
import numpy as np

from ... import UserError
from ...settings.text import printable
from .. import allowlist
from ..builder import FLOATS
from .form import read_form
from .named_weights import NamedWeights, iter_layers, own_weights
from .source import read_source

_SHOWN = 3  # names in a message


@dataclass(frozen=True)
class LoadReport:
    """The outcome of `load_weights`.

    Attributes:
        weights: the source's, as `read_source` returned them.
        new_layers: paths of the layers that the source did not fill: a new head. They have their fresh weights.
        lines: sentences for the user.
    """

    weights: NamedWeights
    new_layers: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


def load_weights(
    model: keras.Model,
    source: NamedWeights | str | Path,
    network: str | None = None,
    *,
    new_head: bool = False,
    store: str | None = None,
) -> LoadReport:
    """Give a model of the zoo the weights of a source. It gets all of them or, after an error, none.

    A head for other classes keeps its fresh weights. A model without classifier, whose output is a map, takes those of
    its rows. Preprocessing layers take theirs if the model has them by the source's names; if the source states no
    preprocessing, those of the model stay as they are.

    Args:
        model: as `build` or `builder.assemble` made it, with or without preprocessing layers.
        source: as `read_source` returned it, or its argument: a file, or `run:ID`.
        network: name of the network, as in `names()`; None is `model.name`.
        new_head: whether the head keeps its fresh weights although the number of classes agrees.
        store: as for `read_source`.

    Returns:
        A `LoadReport`; print its `lines`.

    Raises:
        UserError: the source cannot be read, is of another network, or of one with other rows.

    Example:
        >>> model = build("resnet20", classes=5)                                    # doctest: +SKIP
        >>> load_weights(model, "resnet20.keras").new_layers                        # doctest: +SKIP
        ('score',)
    """
    weights = source if isinstance(source, NamedWeights) else read_source(source, network or model.name, store)
    own_scaling = _find_own_scaling(model, weights)
    layers = {path: layer for path, layer in iter_layers(model) if path not in own_scaling}
    _check_names(model, layers, weights)
    _check_form(model, weights)
    _check_values(weights)
    new_layers = _find_new_layers(model, layers, weights)
    if new_head and not new_layers:
        new_layers = list(layers)[-1:]
    for path, layer in layers.items():
        if path not in new_layers:
            layer.load_own_variables(dict(weights.layers[path]))
    lines = [*weights.lines]
    if own_scaling:
        lines.append(
            f"{weights.label} does not say how its images were scaled: {', '.join(own_scaling)} stays as it is"
        )
    if new_layers:
        lines.append(f"{', '.join(new_layers)}: a new head for {model.output_shape[-1]} classes, with fresh weights")
    return LoadReport(weights, tuple(new_layers), tuple(lines))


def _find_own_scaling(model: keras.Model, weights: NamedWeights) -> list[str]:
    """Return the names of the model's preprocessing layers, if the source states none and has no weights for them."""
    if weights.preprocessing:
        return []
    classes = tuple(allowlist.PREPROCESSING.values())
    leading = takewhile(lambda layer: isinstance(layer, (keras.layers.InputLayer, *classes)), model.layers)
    names = [layer.name for layer in leading if isinstance(layer, classes) and layer.name != FLOATS]
    return [name for name in names if name not in weights.layers and f"{name}.class" not in weights.form]


def _check_names(model: keras.Model, paths: Iterable[str], weights: NamedWeights) -> None:
    """Refuse a source whose layers have other names than the model's.

    Raises:
        UserError: naming the first layers.
    """
    paths = list(paths)
    missing = [path for path in paths if path not in weights.layers]
    if not weights.has_head and missing == paths[len(paths) - len(missing) :]:
        missing = []
    if missing and len(missing) == len(paths):
        raise UserError(
            f"{weights.label} is no file of {model.name}: it has {_some(weights.layers)}, the network {_some(paths)}"
        )
    if missing:
        raise UserError(
            f"{weights.label} has no weights for {_some(missing)}: it is of another network than {model.name}, "
            "or of one with other rows"
        )
    rows = {layer.name for layer in model.layers}
    is_cut = len(model.output_shape) == 4  # it ends in a map: its classifier was left out
    for path in weights.layers:
        row = path.partition("/")[0]
        is_left_out = row in weights.preprocessing or (is_cut and row not in rows)
        if path not in paths and not is_left_out:
            raise UserError(
                f"{weights.label} has weights for {path}, a layer that {model.name} has not: it is of another network, "
                "of one with other rows, or lacks the config of its preprocessing, which a `.keras` file has"
            )


def _check_form(model: keras.Model, weights: NamedWeights) -> None:
    """Refuse a source of another form of the network: the same weights would give other scores.

    Raises:
        UserError: naming the first setting that differs.
    """
    if not weights.form:
        return
    form = read_form(json.loads(model.to_json()))
    for key, value in weights.form.items():
        if key.partition("/")[0].partition(".")[0] not in weights.preprocessing and form.get(key, value) != value:
            raise UserError(
                f"{weights.label} is of another form of {model.name}: its {printable(key)} is "
                f"{printable(json.dumps(value))[:80]}, and {json.dumps(form[key])} in the model. Change the model's "
                "rows, or use the file as it is: convzoo.models.load(FILE)"
            )


def _check_values(weights: NamedWeights) -> None:
    for path, values in weights.layers.items():
        if not all(np.isfinite(value).all() for value in values.values()):
            raise UserError(f"{weights.label}: the weights of {path} are not all finite numbers")


def _find_new_layers(model: keras.Model, layers: Mapping[str, keras.Layer], weights: NamedWeights) -> list[str]:
    """Return the paths of the layers whose shapes differ in the number of classes alone.

    Raises:
        UserError: a shape differs in another number.
    """
    classes = model.output_shape[-1]
    other_classes: set[int] = set()
    new_layers = []
    for path, layer in layers.items():
        if path not in weights.layers:  # of a source without classifier
            new_layers.append(path)
            continue
        shapes = {number: tuple(weight.shape) for number, weight in own_weights(layer).items()}
        file_shapes = {number: value.shape for number, value in weights.layers[path].items()}
        if shapes == file_shapes:
            continue
        new_layers.append(path)
        for number, shape in shapes.items():
            others = file_shapes.get(number, ())
            sizes = {pair for pair in zip(shape, others, strict=False) if pair[0] != pair[1]}
            other_classes |= {other for _, other in sizes}
            is_same_but_classes = len(shape) == len(others) and all(mine == classes for mine, _ in sizes)
            if shapes.keys() != file_shapes.keys() or not is_same_but_classes or len(other_classes) > 1:
                raise UserError(
                    f"{weights.label}: the weights of {path} have the shapes {_shown(file_shapes)}, and "
                    f"{_shown(shapes)} in {model.name}: it is of another network, other rows or another image size"
                )
    return new_layers


def _shown(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join("×".join(map(str, shape)) for shape in shapes.values()) or "none"


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(printable, names[:_SHOWN])) + more
