"""Classes that a `_target_` may name, whole names and never a prefix; and how a row becomes a layer.

A prefix such as `keras.layers.` would admit `Lambda` and `TFSMLayer`, which run code from a config. Nothing but `allow`
imports what a config names, and nothing resolves a `${…}`: a string stays a string.
"""

import functools
import importlib
import inspect
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import keras

from .. import UserError, layers
from ..settings.text import did_you_mean
from ..settings.user_classes import add_user_class, find_user_classes

KERAS_LAYERS = """
Activation AlphaDropout AveragePooling2D BatchNormalization Conv2D Cropping2D Dense DepthwiseConv2D Dropout ELU Flatten
GaussianDropout GaussianNoise GlobalAveragePooling2D GlobalMaxPooling2D GroupNormalization Identity LayerNormalization
LeakyReLU MaxPooling2D Normalization PReLU Permute RMSNormalization ReLU Rescaling Reshape SeparableConv2D Softmax
SpatialDropout2D UnitNormalization ZeroPadding2D
""".split()

ALLOWED = {
    **{f"keras.layers.{name}": getattr(keras.layers, name) for name in KERAS_LAYERS},
    **{
        f"convzoo.layers.{name}": cls
        for name in layers.__all__
        if issubclass(cls := getattr(layers, name), keras.Layer)
    },
}
PREPROCESSING = {
    target: ALLOWED[target]
    for target in (
        "keras.layers.Normalization",
        "keras.layers.Rescaling",
        "convzoo.layers.GlobalContrastNormalization",
        "convzoo.layers.Normalization",
        "convzoo.layers.ZCAWhitening",
    )
}
# A row gives one of them to an argument `…_initializer`, with numbers for arguments.
INITIALIZERS = {
    f"keras.initializers.{name}": getattr(keras.initializers, name)
    for name in """
    Constant GlorotNormal GlorotUniform HeNormal HeUniform LecunNormal LecunUniform Ones Orthogonal RandomNormal
    RandomUniform TruncatedNormal VarianceScaling Zeros
    """.split()
}
_TEXT_ARGUMENTS = ("mode", "distribution")  # their arguments that are words, whose rules Keras has
_LARGEST = 1e30  # number that they take
LOSSES = {
    **{
        f"keras.losses.{name}": getattr(keras.losses, name)
        for name in ("MeanAbsoluteError", "MeanSquaredError", "SparseCategoricalCrossentropy")
    },
    "convzoo.layers.CapsuleMarginLoss": layers.CapsuleMarginLoss,
}
DEPTH = 50
NAME_RULE = "have English letters, digits, `_`, `-` and `.` alone, and at most 100 of them"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")  # TensorFlow takes no other for a layer
# Other ways to name a class or a call, Hydra's and Keras's; and the layer's name, which is its row's.
_REFUSED = ("_args_", "_convert_", "_partial_", "_recursive_", "class_name", "module", "registered_name", "name")


def allow_classes(classes: Any, overrides: Sequence[str], bases: tuple[type, ...] = (keras.layers.Layer,)) -> None:
    """Let rows name classes of the user's own, for the rest of the process.

    Args:
        classes: names of classes, as `package.module.Class`.
        overrides: the settings on the command line. A file may come from a stranger, and importing runs code.
        bases: a class must be a subclass of one of them; default: layers alone.

    Raises:
        UserError: the classes were not typed, or one of them is no subclass of `bases`.
    """
    if not isinstance(classes, list | tuple) or not all(isinstance(name, str) for name in classes):
        raise UserError(f"`allow` must be a list of classes, as [package.module.Class]. Received: allow={classes!r}")
    if classes and not any(word.startswith("allow=") for word in overrides):
        raise UserError("`allow` can only be set on the command line, not in a config file")
    for name in classes:
        module, _, short = name.rpartition(".")
        try:
            user_class = getattr(importlib.import_module(module), short)
        except (ImportError, AttributeError, ValueError) as error:
            raise UserError(f"`allow={name}`: {error}") from error
        if not isinstance(user_class, type) or not issubclass(user_class, bases):
            kinds = ", ".join(base.__name__ for base in bases)
            raise UserError(f"`allow={name}`: it must be a subclass of {kinds}")
        add_user_class(name, user_class)


def allowed_layers() -> dict[str, type]:
    """Return the layers that rows may name, by target: those of Keras and ours, and the user's that were allowed."""
    return {**ALLOWED, **find_user_classes(keras.layers.Layer)}


def user_layers() -> dict[str, type]:
    """Return the user's layers by the names of their classes: Keras needs them to read a saved model."""
    return {target.rpartition(".")[2]: each for target, each in find_user_classes(keras.layers.Layer).items()}


def check_rows(rows: Any, where: str, allowed: Mapping[str, type] | None = None) -> None:
    """Refuse rows that are malformed, and what a row or anything inside it must not name.

    Args:
        rows: mapping from names to rows.
        where: their place in the config, for the message.
        allowed: mapping from target to class; default: `allowed_layers`.

    Raises:
        UserError: naming the place, what came, and the nearest allowed targets.
    """
    allowed = allowed_layers() if allowed is None else allowed
    if not isinstance(rows, Mapping):
        raise UserError(f"`{where}` must be a mapping from names to rows. Received: {rows!r}")
    for name, row in rows.items():
        if not isinstance(row, Mapping) or not isinstance(row.get("_target_"), str):
            raise UserError(f"`{where}.{name}` must be a mapping with `_target_`. Received: {row!r}")
        _check_name(name, where)
        if name == "image":
            raise UserError(f"`{where}.image`: a row may not be called so, it is the name of the network's input")
        _check_value(row, f"{where}.{name}", allowed)


def _check_value(value: Any, where: str, allowed: Mapping[str, type], depth: int = 0) -> None:
    if depth > DEPTH:
        raise UserError(f"`{where[:40]}…` must not nest deeper than {DEPTH} levels")
    if isinstance(value, Mapping):
        if strange := [key for key in value if not isinstance(key, str)]:
            raise UserError(f"`{where}` must have words for keys. Received: {strange[0]!r}")
        if refused := [key for key in value if key in _REFUSED]:
            raise UserError(f"`{where}.{refused[0]}` is not a key that a row may have")
        if "_target_" in value and (target := str(value["_target_"])) not in allowed:
            name = target.rpartition(".")[2]
            near = sorted(t for t in allowed if t.endswith(f".{name}")) or get_close_matches(target, allowed, 3)
            hint = f"; {did_you_mean(near)}" if near else ""
            raise UserError(f"`{where}._target_={target}` is not among the layers that a config may name here{hint}")
        for key, inner in value.items():
            if "_target_" not in value:  # rows or branches by name
                _check_name(key, where)
            if key.endswith("_initializer") and isinstance(inner, Mapping):
                _check_initializer(inner, f"{where}.{key}")
            else:
                _check_value(inner, f"{where}.{key}", allowed, depth + 1)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            _check_value(inner, f"{where}[{index}]", allowed, depth + 1)


def is_name(name: object) -> bool:
    """Return whether a layer or a model may have this name, with every backend and in a file."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def _check_name(name: object, where: str) -> None:
    if not is_name(name):
        raise UserError(f"`{where}`: the name of a row must {NAME_RULE}. Received: {name!r}")


def _check_initializer(value: Mapping[str, Any], where: str) -> None:
    if refused := [key for key in value if key in _REFUSED]:
        raise UserError(f"`{where}.{refused[0]}` is not a key that a row may have")
    target = value.get("_target_")
    if not isinstance(target, str) or target not in INITIALIZERS:
        raise UserError(
            f"`{where}._target_` must be one of {', '.join(INITIALIZERS)}, not among which is {target!r}; "
            "or give an initializer's name, as he_normal"
        )
    known = [key for key in inspect.signature(INITIALIZERS[target]).parameters if key != "self"]
    for key, argument in value.items():
        if key == "_target_":
            continue
        if key not in known:
            raise UserError(f"`{where}.{key}`: there is no such argument; there are: {', '.join(known) or 'none'}")
        is_word = isinstance(argument, str) and key in _TEXT_ARGUMENTS
        is_number = isinstance(argument, int | float) and abs(argument) < _LARGEST
        if argument is not None and not is_word and not is_number:
            rule = "a word" if key in _TEXT_ARGUMENTS else f"a number below {_LARGEST:g}"
            raise UserError(f"`{where}.{key}` must be {rule}. Received: {argument!r}")
    try:
        _resolve({"seed": 0, **value} if "seed" in known else value)  # else it would draw one from the random state
    except Exception as error:
        raise UserError(f"`{where}`: {first_line(error)}") from error


def instantiate(
    name: str, row: Mapping[str, Any], *, allowed: Mapping[str, type] | None = None, **defaults: Any
) -> Any:
    """Make the layer, or loss, that a checked row describes.

    Images have their channels last here, so a layer that has a `data_format` is given that one, whatever Keras is
    configured to.

    Args:
        name: its name.
        row: `_target_`, the layer's arguments and its `role`. Rows inside it are made first.
        allowed: mapping from target to class; default: `allowed_layers`.
        **defaults: arguments that the row may override.

    Raises:
        UserError: the layer refuses its arguments.
    """
    arguments = {key: _resolve(value) for key, value in row.items() if key not in ("_target_", "role")}
    layer_class = (allowed_layers() if allowed is None else allowed)[row["_target_"]]
    if _has_argument(layer_class, "data_format"):
        defaults = {"data_format": "channels_last", **defaults}
    try:
        return layer_class(name=name, **{**defaults, **arguments})
    except Exception as error:
        raise UserError(f"row `{name}` cannot be built: {first_line(error)}") from error


@functools.cache
def _has_argument(cls: type, name: str) -> bool:
    """Return whether a class, or one that it passes its keyword arguments to, has an argument of this name."""
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(vars(base)["__init__"]).parameters
        if name in parameters:
            return True
        if not any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
            return False
    return False


def _resolve(value: Any) -> Any:
    if isinstance(value, Mapping):
        if value.get("_target_") in INITIALIZERS:
            return INITIALIZERS[value["_target_"]](**{key: v for key, v in value.items() if key != "_target_"})
        if all(isinstance(inner, Mapping) and "_target_" in inner for inner in value.values()) and value:
            return {name: instantiate(name, inner) for name, inner in value.items()}
        return {key: _resolve(inner) for key, inner in value.items()}
    return value


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or the name of its class if it has no message."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
