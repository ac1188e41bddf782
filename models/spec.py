"""The layer tree of a network: rows in tables, tables in rows. It is traversed here alone, and without Keras.

A *row* is a mapping with `_target_`; a *table* is a mapping from names to rows. A row may hold tables: the body of a
block, the branches of a module.

The row of a `BasicBlock` or a `Bottleneck` stands for a row of `Residual` with the tables of `settings.blocks`. Its
keys `body` and `shortcut` change these tables: they add rows and arguments, and null removes a row.

    conv3_1: {_target_: convzoo.layers.BasicBlock, filters: 32, strides: 2, body: {conv2: {kernel_size: 5}}}
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .. import UserError
from ..settings.blocks import TARGETS
from ..settings.rows import expand_block

Row = Mapping[str, Any]
Table = Mapping[str, Row]

# By its role a row says which axis of the settings reaches it; see `models.axes`.
SITES = ("pool", "strided")
STRIDES = (*SITES, "stride")
DROPOUTS = ("dropout", "input_dropout")
ROLES = (*STRIDES, *DROPOUTS)


def is_row(value: object) -> bool:
    """Return whether a value is a row."""
    return isinstance(value, Mapping) and "_target_" in value


def has_only_rows(value: object) -> bool:
    """Return whether a value is a table with at least one row."""
    return isinstance(value, Mapping) and bool(value) and all(map(is_row, value.values()))


def iter_rows(value: object) -> Iterator[Row]:
    """Yield all rows of a tree, each before those inside it."""
    if not isinstance(value, Mapping):
        return
    if is_row(value):
        yield value
    for inner in value.values():
        yield from iter_rows(inner)


def map_tables(value: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """Return a copy of a tree in which `change` has replaced every table, the inner ones first."""
    if not isinstance(value, Mapping):
        return value
    mapped = {key: map_tables(inner, change) for key, inner in value.items()}
    return change(mapped) if has_only_rows(mapped) else mapped


def map_rows(value: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """Return a copy of a tree in which `change` has replaced every row, the inner ones first."""
    return map_tables(value, lambda table: {name: change(row) for name, row in table.items()})


def class_of(row: Row) -> str:
    """Return the name of a row's class, without its package."""
    return str(row["_target_"]).rpartition(".")[2]


def expand_blocks(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a model's config in which every row of a residual block is the row of `Residual` it stands for.

    Args:
        model: the config, with `layers` and, optionally, `shared` and `heads`. Whatever is malformed is left as it is.

    Returns:
        The copy. Its `shared` lacks the blocks' classes, whose arguments have reached their rows.

    Raises:
        UserError: a block has an argument that it cannot have; the message names it.
    """
    shared = model.get("shared")
    shared = shared if isinstance(shared, Mapping) else {}
    blocks = {class_of(row) for row in iter_rows(model) if row["_target_"] in TARGETS}
    expanded = {key: _expand(value, shared, f"model.{key}") for key, value in model.items()}
    if blocks.intersection(shared):
        expanded["shared"] = {key: value for key, value in shared.items() if key not in blocks}
    return expanded


def parse_model(model: Any) -> Any:
    """Return a model's config with roles under `role`, blocks expanded, and without the rows that are null.

    So a file leaves out a row that it inherits.

    Args:
        model: the resolved config, as plain containers. Whatever is malformed is left as it is.

    Raises:
        UserError: a block has an argument that it cannot have; the message names it.
    """
    model = rename_axis_keys(model)
    return drop_null_rows(expand_blocks(model) if isinstance(model, Mapping) else model)


def drop_null_rows(value: Any) -> Any:
    """Return a copy of a tree without the rows that are null."""
    if not isinstance(value, Mapping):
        return value
    has_rows = not is_row(value) and any(map(is_row, value.values()))
    return {key: drop_null_rows(inner) for key, inner in value.items() if inner is not None or not has_rows}


def read_whole_numbers(value: Any) -> Any:
    """Return a copy of a config in which whole numbers are ints: `1.0` and `1` are one network."""
    if isinstance(value, Mapping):
        return {key: read_whole_numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return list(map(read_whole_numbers, value))
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
    return int(value) if is_whole else value


def _expand(value: Any, shared: Mapping[str, Any], where: str) -> Any:
    if not isinstance(value, Mapping):
        return value
    expanded = {key: _expand(inner, shared, f"{where}.{key}") for key, inner in value.items()}
    is_block = isinstance(value.get("_target_"), str) and value["_target_"] in TARGETS
    if not is_block:
        return expanded
    try:
        return expand_block(expanded, shared)
    except ValueError as error:
        raise UserError(f"`{where}`: {error}") from error


def roles_of(value: object) -> set[str]:
    """Return the roles of all rows of a tree."""
    return {row["role"] for row in iter_rows(value) if isinstance(row.get("role"), str)}


def rename_axis_keys(value: Any) -> Any:
    """Return a copy of a config in which rows have their role under `role`, where older files have `axis`.

    An `axis` that is no role stays: it is an argument of the layer.
    """
    if isinstance(value, list):
        return list(map(rename_axis_keys, value))
    if not isinstance(value, Mapping):
        return value
    has_role = isinstance(value.get("axis"), str) and value["axis"] in ROLES
    return {"role" if key == "axis" and has_role else key: rename_axis_keys(inner) for key, inner in value.items()}


def warn_of_axis_keys(value: Any) -> None:
    """Log one warning if a row of a config has its role under the former key `axis`."""
    if rename_axis_keys(value) != value:
        logging.getLogger("convzoo").warning("`axis` of a row is now called `role`: rename the key in your file")
