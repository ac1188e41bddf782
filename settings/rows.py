"""Values that the rows of a model have without stating them: tables of blocks, and arguments that `shared` gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .blocks import ARGUMENTS, DEFAULTS, FORWARDED, OPTIONS, TARGETS, BlockOptions, block_tables
from .text import did_you_mean, find_near_words

_RESIDUAL_ARGUMENTS = ("activation", "dtype", "trainable")  # that the row of a block may have too


def expand_block(row: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of `Residual` that the row of a block stands for.

    Args:
        row: its `_target_` is one of `TARGETS`. Its keys `body` and `shortcut` change the tables of the block: they add
            rows and arguments, and those that both have are theirs.
        shared: arguments by class, as in a model's file. They win over `DEFAULTS`, and the block's own win over them.

    Raises:
        ValueError: an argument is missing, unknown or out of range; the message names it.
    """
    block = _class_name(row)
    row = {**_arguments(shared, block), **row}
    tables = block_tables(block, _read_options(block, row))
    residual = {"_target_": "convzoo.layers.Residual", **{key: row[key] for key in _RESIDUAL_ARGUMENTS if key in row}}
    if row.get("preactivation") is None:
        residual.setdefault("activation", "relu")
    for part in ("body", "shortcut"):
        changes = row.get(part) or {}
        if not isinstance(changes, Mapping):
            raise ValueError(f"`{part}` must be a mapping from names to rows. Received: {part}={changes!r}")
        rows = {name: _with_arguments(inner, row, shared) for name, inner in tables.get(part, {}).items()}
        if part == "body" or rows or changes:
            residual[part] = _merge(rows, changes)
    return residual


@dataclass(frozen=True)
class ImpliedValue:
    """A value that a model's config has without stating it.

    Attributes:
        value: the row, argument or table.
        is_in_block: whether it belongs to the row of a block.
    """

    value: Any
    is_in_block: bool


def find_implied(model: Mapping[str, Any], path: Sequence[str]) -> ImpliedValue:
    """Find what a model's config has at a path once `shared` and the tables of blocks have reached its rows.

    Args:
        model: the config, as plain containers.
        path: keys, the outermost first.

    Raises:
        KeyError: there is no such key.
        ValueError: a block on the way has wrong arguments.

    >>> conv1 = {"_target_": "convzoo.layers.Conv2D"}
    >>> model = {"shared": {"Conv2D": {"activation": "relu"}}, "layers": {"conv1": conv1}}
    >>> find_implied(model, ["layers", "conv1", "activation"])
    ImpliedValue(value='relu', is_in_block=False)
    """
    shared = model.get("shared")
    shared = shared if isinstance(shared, Mapping) else {}
    node: Any = model
    is_in_block = False
    for key in path:
        if isinstance(node, Mapping) and isinstance(node.get("_target_"), str):
            stated = {**_arguments(shared, _class_name(node)), **node}
            is_block = node["_target_"] in TARGETS
            node = {**stated, **expand_block(node, shared)} if is_block else stated
            is_in_block = is_in_block or is_block
        if not isinstance(node, Mapping):
            raise KeyError(key)
        node = node[key]
    return ImpliedValue(node, is_in_block)


def _read_options(block: str, row: Mapping[str, Any]) -> BlockOptions:
    for key in row:
        if key not in (*ARGUMENTS, *_RESIDUAL_ARGUMENTS, "body", "shortcut", "_target_"):
            hint = did_you_mean(find_near_words(str(key), ARGUMENTS)) or f"valid arguments: {', '.join(ARGUMENTS)}"
            raise ValueError(f"`{key}` is not an argument of {block}; {hint}")
    if "filters" not in row:
        raise ValueError(f"{block} needs the argument `filters`")
    return BlockOptions(**{key: row[key] for key in OPTIONS if key in row})


def _with_arguments(inner: Mapping[str, Any], row: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row inside a block with the arguments that the block, `shared` and `DEFAULTS` give its class."""
    class_name = _class_name(inner)
    forwarded = {key: row[key] for key in ("dtype", *FORWARDED.get(class_name, ())) if key in row}
    return {**DEFAULTS.get(class_name, {}), **_arguments(shared, class_name), **forwarded, **inner}


def _class_name(row: Mapping[str, Any]) -> str:
    return str(row["_target_"]).rpartition(".")[2]


def _arguments(shared: Mapping[str, Any], class_name: str) -> Mapping[str, Any]:
    arguments = shared.get(class_name)
    return arguments if isinstance(arguments, Mapping) else {}


def _merge(value: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(value)
    for key, change in changes.items():
        both = isinstance(merged.get(key), Mapping) and isinstance(change, Mapping)
        merged[key] = _merge(merged[key], change) if both else change
    return merged
