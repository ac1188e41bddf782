"""What a `_target_` may name: whole classes from a list, never a prefix; and how a row becomes a layer.

A prefix such as `keras.layers.` would admit `Lambda` and `TFSMLayer`, which run code from a config. Nothing but `allow`
imports what a config names, and nothing resolves a `${…}`: a string stays a string.
"""

import importlib
from collections.abc import Mapping
from difflib import get_close_matches

import keras

from .. import UserError, layers

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
LOSSES = {
    **{
        f"keras.losses.{name}": getattr(keras.losses, name)
        for name in ("MeanAbsoluteError", "MeanSquaredError", "SparseCategoricalCrossentropy")
    },
    "convzoo.layers.CapsuleMarginLoss": layers.CapsuleMarginLoss,
}
DEPTH = 50
# By short name what `allow` added: a saved model needs them to be read.
OWN = {}
# Other ways to name a class or a call, Hydra's and Keras's; and the layer's name, which is its row's.
_REFUSED = ("_args_", "_convert_", "_partial_", "_recursive_", "class_name", "module", "registered_name", "name")


def allow(classes, typed):
    """Lets rows name layers of the user's own, for the rest of the process.

    Args:
        classes: names of `keras.layers.Layer` classes, as `package.module.Class`.
        typed: the words that the user typed. A file may come from a stranger, and importing runs code.

    Raises:
        UserError: what came was not typed, or is no such class.
    """
    if not isinstance(classes, list | tuple) or not all(isinstance(name, str) for name in classes):
        raise UserError(f"`allow` must be a list of classes, as [package.module.Class]. Received: allow={classes!r}")
    if classes and not any(word.startswith("allow=") for word in typed):
        raise UserError("`allow` counts on the command line alone, not in a file")
    for name in classes:
        module, _, short = name.rpartition(".")
        try:
            found = getattr(importlib.import_module(module), short)
        except (ImportError, AttributeError, ValueError) as error:
            raise UserError(f"`allow={name}`: {error}") from error
        if not isinstance(found, type) or not issubclass(found, keras.layers.Layer):
            raise UserError(f"`allow={name}`: it is no class of layers")
        ALLOWED[name] = OWN[short] = found


def check(rows, where, allowed=ALLOWED):
    """Refuses rows that are none, and what a row or anything inside it must not name.

    Args:
        rows: mapping from names to rows.
        where: their place in the config, for the message.
        allowed: mapping from target to class.

    Raises:
        UserError: naming the place, what came, and the nearest allowed targets.
    """
    if not isinstance(rows, Mapping):
        raise UserError(f"`{where}` must be a mapping from names to rows. Received: {rows!r}")
    for name, row in rows.items():
        if not isinstance(row, Mapping) or not isinstance(row.get("_target_"), str):
            raise UserError(f"`{where}.{name}` must be a mapping with `_target_`. Received: {row!r}")
        if name == "image":
            raise UserError(f"`{where}.image`: a row may not be called so, it is the name of the network's input")
        _check(row, f"{where}.{name}", allowed)


def _check(value, where, allowed, depth=0):
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
            hint = f"; near it: {', '.join(near)}" if near else ""
            raise UserError(f"`{where}._target_={target}` is not among the layers that a config may name here{hint}")
        for key, inner in value.items():
            _check(inner, f"{where}.{key}", allowed, depth + 1)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            _check(inner, f"{where}[{index}]", allowed, depth + 1)


def make(name, row, allowed=ALLOWED, **defaults):
    """The layer, or loss, that a checked row describes.

    Args:
        name: its name.
        row: `_target_`, the layer's arguments and, as a word, the axis that reaches it. Rows inside it are made first.
        allowed: mapping from target to class.
        **defaults: arguments that the row may override.

    Raises:
        UserError: the layer refuses its arguments.
    """
    arguments = {
        key: _made(value)
        for key, value in row.items()
        if key != "_target_" and not (key == "axis" and isinstance(value, str))
    }
    try:
        return allowed[row["_target_"]](name=name, **{**defaults, **arguments})
    except Exception as error:
        raise UserError(f"row `{name}` cannot be built: {first_line(error)}") from error


def _made(value):
    if isinstance(value, Mapping):
        if all(isinstance(inner, Mapping) and "_target_" in inner for inner in value.values()) and value:
            return {name: make(name, inner) for name, inner in value.items()}
        return {key: _made(inner) for key, inner in value.items()}
    return value


def first_line(error):
    """The first line of what an error says, or its class where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
