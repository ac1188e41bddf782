"""The outputs of a network's rows, those inside its blocks too, as a Keras model."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from .. import UserError
from ..layers.blocks.composite import Composite
from ..layers.blocks.inner_outputs import InnerOutputs
from ..settings.text import did_you_mean, find_near_words
from .builder import make_model

_NUMBERED = re.compile(r"_(?=\d+$)")


def features(model: keras.Model, rows: str | Sequence[str]) -> keras.Model:
    """Return a model over the same layers and weights that gives the outputs of some rows.

    Args:
        model: a functional model, as `build` and `load` return it, or a `keras.Sequential`.
        rows: a name of a row, or several. A layer inside a block has a path, such as `conv4_x/block_1/body/relu1`: the
            names that `plan=true` and `summary(expand_nested=True)` show. Levels may be left out, and the underscore
            before a number, if one layer fits: `conv4_x/block1/relu1`.

    Returns:
        A `keras.Model` that takes what `model` takes. Its output is a tensor for one name, and a list of tensors, in
        the order of `rows`, for several.

    Raises:
        UserError: a name fits no row, or several.

    Example:
        >>> network = build("resnet20")
        >>> maps = features(network, ["conv2_x", "conv4_x/block1/relu1"])
        >>> [tuple(each.shape) for each in maps.outputs]
        [(None, 32, 32, 16), (None, 8, 8, 64)]
    """
    names = [rows] if isinstance(rows, str) else list(rows)
    if not names or not all(isinstance(name, str) for name in names):
        raise UserError(f"`rows` must be a name of a row, or several. Received: {rows!r}")
    # Over the same nodes: without what a model was compiled with, and functional where it was sequential.
    whole = keras.Model(_unpack(model.inputs), _unpack(model.outputs), name=model.name)
    paths = [find_path(whole, name) for name in names]
    inner_paths: dict[str, list[str]] = {}
    for layer_name, inner in paths:
        inner_paths.setdefault(layer_name, [])
        if inner and inner not in inner_paths[layer_name]:
            inner_paths[layer_name].append(inner)
    outputs: dict[tuple[str, str], Any] = {}

    def wrap(layer: keras.Layer) -> InnerOutputs:
        return InnerOutputs(layer, inner_paths.get(layer.name, ()))

    def call(layer: InnerOutputs, *args: Any, **kwargs: Any) -> Any:
        result = layer(*args, **kwargs)
        own, *inner = result if layer.paths else [result]
        outputs[layer.name, ""] = own
        outputs.update({(layer.name, path): each for path, each in zip(layer.paths, inner, strict=True)})
        return own

    # The wrappers are new layers, so that each layer of `model` still has one input and one output.
    copy = keras.models.clone_model(whole, clone_function=wrap, call_function=call)
    chosen = [outputs[path] for path in paths]
    return make_model(_unpack(copy.inputs), chosen[0] if isinstance(rows, str) else chosen, model.name)


def list_paths(model: keras.Model) -> Iterator[tuple[str, str]]:
    """Yield each layer of a model but its inputs: the name of a row, and the path inside it, "" for the row itself."""
    for layer in model.layers:
        if not isinstance(layer, keras.layers.InputLayer):
            yield layer.name, ""
            yield from ((layer.name, path) for path in _list_inner_paths(layer))


def _list_inner_paths(layer: keras.Layer) -> Iterator[str]:
    for inner in layer.layers if isinstance(layer, Composite) else ():
        yield inner.name
        yield from (f"{inner.name}/{path}" for path in _list_inner_paths(inner))


def find_path(model: keras.Model, name: str) -> tuple[str, str]:
    """Return the one element of `list_paths` that a name fits; see `features`.

    Raises:
        UserError: none fits, or several.
    """
    paths = ["/".join(filter(None, path)) for path in list_paths(model)]
    fitting = [name] if name in paths else [path for path in paths if _fits(name, path)]
    if not fitting:
        hint = did_you_mean(find_near_words(name, paths, 0.6)) or f"its rows: {', '.join(_row_names(model))}"
        raise UserError(f"{model.name} has no row {name!r}; {hint}")
    if len(fitting) > 1:
        raise UserError(f"{name!r} fits {len(fitting)} layers of {model.name}, such as {fitting[0]} and {fitting[1]}")
    row, _, inner = fitting[0].partition("/")
    return row, inner


def _fits(name: str, path: str) -> bool:
    """Return whether a name is a path with levels left out, but neither the first nor the last."""
    first, *rest = _split(name)
    path_first, *path_rest = _split(path)
    if first != path_first or rest[-1:] != path_rest[-1:]:
        return False
    levels = iter(path_rest)
    return all(part in levels for part in rest)


def _split(path: str) -> list[str]:
    return [_NUMBERED.sub("", part) for part in path.split("/")]


def _row_names(model: keras.Model) -> list[str]:
    return [name for name, inner in list_paths(model) if not inner]


def _unpack(tensors: list[Any]) -> Any:
    return tensors[0] if len(tensors) == 1 else tensors
