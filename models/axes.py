"""Change a network by the axes `stride`, `pooling` and `dropout`: pure functions from rows to rows.

The key `role` of a row says which axis reaches it:

- `pool`: a row that only downsamples: a pooling layer, or the convolution that takes its place;
- `strided`: a working convolution with a stride;
- `stride`: a layer with a stride after which no pooling layer can stand: `stride` reaches it, `pooling` does not;
- `dropout`, `input_dropout`: a layer whose `rate` the axis of that name sets.

`pool` and `strided` rows are the network's *sites*. Rows inside rows (branches, bodies of blocks) are reached like the
others.
"""

import re
from collections.abc import Mapping
from typing import Any

from .. import UserError
from .spec import (
    DROPOUTS,
    ROLES,
    SITES,
    STRIDES,
    Row,
    Table,
    iter_rows,
    map_rows,
    map_tables,
    parse_model,
    roles_of,
)

PAPER = "paper"
NAMES = ("stride", "pooling", *DROPOUTS)
PRESERVED_ARGS = ("pool_size", "strides", "padding")  # of a pooling layer that another kind replaces

_NORMALIZATION = re.compile(r"Normalization$")
_ACTIVATION = re.compile(r"\.(Activation|\w*ReLU|ELU|Softmax|ScaledTanh)$")


def apply(
    rows: Table,
    *,
    stride: Any = PAPER,
    pooling: Mapping[str, Any] | None = None,
    dropout: Any = PAPER,
    input_dropout: Any = PAPER,
    network: str = "the network",
) -> dict[str, Any]:
    """Return a copy of `rows` with the values of the axes.

    Args:
        rows: mapping from row name to row, each a mapping with `_target_`.
        stride: a positive integer for the `strides` of every site and every `stride` row, or "paper".
        pooling: None for the paper's, or a mapping with `kind`, the kind's name, and `row`, the layer for a site. At a
            `pool` site it replaces the row and keeps `pool_size`, `strides` and `padding`. At a `strided` site the
            convolution gets stride 1, and the layer is inserted after its activation with a 3×3 window, padding "same"
            and the site's strides; the kind `strided` leaves the convolution as it is.
        dropout: rate of every `dropout` row, in [0, 1), or "paper".
        input_dropout: the same for `input_dropout` rows.
        network: name for the error messages.

    Dropout rows with rate 0 are left out.

    Raises:
        UserError: a value is out of range, or no row has a role that an axis with a value reaches.
    """
    roles = roles_of(rows)
    if unknown := roles - set(ROLES):
        raise UserError(f"`role` of a row must be one of {', '.join(ROLES)}. Received: {unknown.pop()!r}")
    rates = {"dropout": dropout, "input_dropout": input_dropout}
    kind = pooling["kind"] if pooling else PAPER
    _check_values({"stride": stride, "pooling": kind, **rates}, roles, network)
    result = map_rows(rows, lambda row: set_stride(row, stride))
    if pooling and kind != PAPER:
        result = map_rows(result, lambda row: replace_pool(row, pooling["row"]))
        if kind != "strided":
            result = map_tables(result, lambda table: pool_strided_sites(table, pooling["row"]))
    return map_tables(result, lambda table: set_dropout_rates(table, rates))


def set_stride(row: Row, stride: Any) -> dict[str, Any]:
    """Return a row with `stride` for its strides, if its role has a stride."""
    has_stride = row.get("role") in STRIDES and stride != PAPER
    return {**row, "strides": stride} if has_stride else dict(row)


def replace_pool(row: Row, layer: Row) -> dict[str, Any]:
    """Return `layer` with the window, strides and padding of a `pool` row; any other row as it is."""
    if row.get("role") != "pool":
        return dict(row)
    return {**layer, **{key: row[key] for key in PRESERVED_ARGS if key in row}, "role": "pool"}


def pool_strided_sites(rows: Table, layer: Row) -> dict[str, Any]:
    """Return a table whose `strided` rows have stride 1, each with `layer` after its activation.

    Raises:
        UserError: a row has the name of a row to be inserted.
    """
    result = dict(rows)
    for name, row in rows.items():
        if row.get("role") != "strided":
            continue
        pool_name = f"{name}_pool"
        if pool_name in rows:
            raise UserError(f"`pooling` inserts a row `{pool_name}` after `{name}`, and a row of that name exists")
        site = {"pool_size": 3, "strides": row.get("strides", 1), "padding": "same", "role": "pool"}
        result[name] = {key: value for key, value in row.items() if key != "role"} | {"strides": 1}
        result = insert_after_activation(result, name, {pool_name: {**layer, **site}})
    return result


def insert_after_activation(rows: Table, name: str, inserted: Table) -> dict[str, Any]:
    """Return a table with `inserted` after the activation that belongs to the row `name`.

    The activation is the row's own, or the first one among the normalizations and activations that follow. Without one,
    `inserted` comes after these.
    """
    names = list(rows)
    position = names.index(name)
    while not _has_activation(rows[names[position]]):
        if position + 1 == len(names) or not _follows_convolution(rows[names[position + 1]]):
            break
        position += 1
    before, after = names[: position + 1], names[position + 1 :]
    return {**{key: rows[key] for key in before}, **inserted, **{key: rows[key] for key in after}}


def set_dropout_rates(rows: Table, rates: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table whose dropout rows have the `rates` of their roles; those with rate 0 are left out."""
    result = {}
    for name, row in rows.items():
        role = row.get("role")
        if role in DROPOUTS:
            if rates[role] != PAPER:
                row = {**row, "rate": rates[role]}
            if row.get("rate") == 0:
                continue
        result[name] = dict(row)
    return result


def _has_activation(row: Row) -> bool:
    return bool(_ACTIVATION.search(row["_target_"])) or row.get("activation", "linear") not in (None, "linear")


def _follows_convolution(row: Row) -> bool:
    return bool(_NORMALIZATION.search(row["_target_"]) or _ACTIVATION.search(row["_target_"]))


def check_config(config: Mapping[str, Any]) -> None:
    """Refuse axes that a config cannot have, without Keras, so before a backend is loaded.

    Rows that are malformed are left for `apply` to refuse.

    Args:
        config: the resolved config, a plain mapping with `model`, `pooling` and the other axes.

    Raises:
        UserError: a value is out of range, or no row has a role that an axis with a value reaches.
    """
    model, pooling = parse_model(config["model"]), config["pooling"]
    if not isinstance(model, Mapping) or not isinstance(pooling, Mapping):
        return
    has_rows = any(True for _ in iter_rows(model.get("layers")))
    roles = roles_of(model.get("layers"))
    shared = model.get("shared")
    for arguments in shared.values() if isinstance(shared, Mapping) else ():
        if isinstance(arguments, Mapping) and isinstance(arguments.get("role"), str):
            roles.add(arguments["role"])
    values = {"stride": config["stride"], "pooling": pooling.get("kind")}
    values |= {axis: config[axis] for axis in DROPOUTS}
    _check_values(values, roles if has_rows else None, model.get("name"))


def _check_values(values: Mapping[str, Any], roles: set[str] | None, network: object) -> None:
    """Refuse values out of range, and an axis that reaches none of the roles; None stands for unknown roles."""
    stride = values["stride"]
    if stride != PAPER and (isinstance(stride, bool) or not isinstance(stride, int) or stride < 1):
        raise UserError(f'`stride` must be "paper" or a positive integer. Received: stride={stride!r}')
    for axis in DROPOUTS:
        rate = values[axis]
        if rate != PAPER and (isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < 1):
            raise UserError(f'`{axis}` must be "paper" or a rate in [0, 1). Received: {axis}={rate!r}')
    reached_roles = {"stride": STRIDES, "pooling": SITES, **{axis: (axis,) for axis in DROPOUTS}}
    for axis, value in values.items():
        if value != PAPER and roles is not None and not roles.intersection(reached_roles[axis]):
            raise UserError(f"`{axis}={value}`: no row of {network} refers to this axis")


def describe(rows: Table, kinds: Mapping[str, Row], kind: str = PAPER) -> dict[str, Any]:
    """Return the axes' values in `rows`, as plain numbers and words.

    Args:
        rows: rows as `apply` returned them.
        kinds: mapping from kind to the row that fills a site with it.
        kind: the kind that was chosen.

    Returns:
        A dict with `stride`, `pooling`, `dropout`, `input_dropout`: the value that all rows of the axis share, "paper"
        where they differ or the paper's is no kind, and the equivalent value where there are no such rows (stride 1,
        pooling "none", rate 0).
    """
    strided = [row for row in iter_rows(rows) if row.get("role") in STRIDES]
    sites = [row for row in strided if row["role"] in SITES]
    layers = {name: {key: row[key] for key in row if key not in PRESERVED_ARGS} for name, row in kinds.items()}

    def kind_of(row: Row) -> str:
        if kind != PAPER:
            return kind
        if row["role"] == "strided":
            return "strided"
        own = {key: value for key, value in row.items() if key not in (*PRESERVED_ARGS, "role")}
        return next((name for name, layer in layers.items() if layer == own), PAPER)

    def rates_of(axis: str) -> list[Any]:
        return [row.get("rate", 0) for row in iter_rows(rows) if row.get("role") == axis]

    return {
        "stride": _common_value([row.get("strides") or row.get("pool_size", 1) for row in strided], 1),
        "pooling": _common_value([kind_of(row) for row in sites], "none"),
        **{axis: _common_value(rates_of(axis), 0) for axis in DROPOUTS},
    }


def _common_value(values: list[Any], default: Any) -> Any:
    if not values:
        return default
    first = values[0]
    return first if all(value == first for value in values) and not isinstance(first, list | tuple) else PAPER
