"""What `stride`, `pooling` and `dropout` do to a network: a pure function from rows to rows.

A row says by its key `axis` which axis reaches it:

- `pool`: a row that only down-samples, a pool or the convolution that took its place;
- `strided`: a working convolution with a stride;
- `stride`: a layer with a stride behind which no pool can stand: `stride` reaches it, `pooling` does not;
- `dropout`, `input_dropout`: a layer whose `rate` the axis of that name sets.

`pool` and `strided` rows are the network's *sites*. Rows inside rows (branches, residual bodies) are reached
alike.
"""

import re
from collections.abc import Mapping

from .. import UserError

PAPER = "paper"
SITES = ("pool", "strided")
STRIDES = (*SITES, "stride")
DROPOUTS = ("dropout", "input_dropout")
NAMES = ("stride", "pooling", *DROPOUTS)
KEPT = ("pool_size", "strides", "padding")

_NORMALIZATION = re.compile(r"Normalization$")
_ACTIVATION = re.compile(r"\.(Activation|\w*ReLU|ELU|Softmax|ScaledTanh)$")


def apply(rows, *, stride=PAPER, pooling=None, dropout=PAPER, input_dropout=PAPER, network="the network"):
    """Returns `rows` as the axes leave them.

    Args:
        rows: mapping from row name to row, each a mapping with `_target_`.
        stride: a positive integer for the `strides` of every site and every `stride` row, or "paper".
        pooling: None for the paper's, or a mapping with `kind`, the kind's name, and `row`, what fills a
            site. At a `pool` site it replaces the row and keeps `pool_size`, `strides` and `padding`. At a
            `strided` site it sets the convolution to stride 1 and follows its activation, 3×3 and "same", with
            the site's strides; the kind `strided` leaves the convolution as it is.
        dropout: rate of every `dropout` row, in [0, 1), or "paper".
        input_dropout: the same for `input_dropout` rows.
        network: name for the error messages.

    Dropout rows at rate 0 are left out.

    Raises:
        UserError: a value is out of range, or no row refers to an axis that was set.
    """
    found = {row["axis"] for row in _every(rows) if isinstance(row.get("axis"), str)}  # Keras's own are numbers
    if unknown := found - {*STRIDES, *DROPOUTS}:
        raise UserError(f"`axis` of a row must be one of {', '.join(STRIDES + DROPOUTS)}. Received: {unknown.pop()!r}")
    rates = {"dropout": dropout, "input_dropout": input_dropout}
    if stride != PAPER and (isinstance(stride, bool) or not isinstance(stride, int) or stride < 1):
        raise UserError(f'`stride` must be "paper" or a positive integer. Received: stride={stride!r}')
    for axis, rate in rates.items():
        if rate != PAPER and (isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < 1):
            raise UserError(f'`{axis}` must be "paper" or a rate in [0, 1). Received: {axis}={rate!r}')

    kind = pooling["kind"] if pooling else PAPER
    for axis, value, reached in (
        ("stride", stride, STRIDES),
        ("pooling", kind, SITES),
        *((axis, rate, (axis,)) for axis, rate in rates.items()),
    ):
        if value != PAPER and not found.intersection(reached):
            raise UserError(f"`{axis}={value}`: no row of {network} refers to this axis")
    return _apply(rows, stride, pooling if kind != PAPER else None, rates)


def describe(rows, kinds, kind=PAPER):
    """The axes' values in `rows`, as plain numbers and words.

    Args:
        rows: rows as `apply` returned them.
        kinds: mapping from kind to the row that fills a site with it.
        kind: the kind that was asked for.

    Returns:
        A dict with `stride`, `pooling`, `dropout`, `input_dropout`: the value that all rows of the axis share, "paper"
        where they differ or the paper's is no kind, and what the absence of such rows amounts to (stride 1, pooling
        "none", rate 0).
    """
    strided = [row for row in _every(rows) if row.get("axis") in STRIDES]
    sites = [row for row in strided if row["axis"] in SITES]

    def kind_of(row):
        if kind != PAPER:
            return kind
        if row["axis"] == "strided":
            return "strided"
        own = {key: value for key, value in row.items() if key not in (*KEPT, "axis")}
        return next((kind for kind, filling in kinds.items() if filling == own), PAPER)

    values = {
        "stride": ([row.get("strides") or row.get("pool_size", 1) for row in strided], 1),
        "pooling": ([kind_of(row) for row in sites], "none"),
        **{axis: ([row.get("rate", 0) for row in _every(rows) if row.get("axis") == axis], 0) for axis in DROPOUTS},
    }
    return {axis: _common(found, absent) for axis, (found, absent) in values.items()}


def _common(found, absent):
    if not found:
        return absent
    first = found[0]
    return first if all(value == first for value in found) and not isinstance(first, list | tuple) else PAPER


def is_rows(value):
    """Whether a value is a mapping from names to rows."""
    return (
        isinstance(value, Mapping) and value and all(isinstance(v, Mapping) and "_target_" in v for v in value.values())
    )


def map_rows(value, change):
    """`value` with every mapping of rows in it, those of branches too, as `change` leaves it."""
    if is_rows(value):
        return change(value)
    return {key: map_rows(inner, change) for key, inner in value.items()} if isinstance(value, Mapping) else value


def _every(value):
    if isinstance(value, Mapping):
        if "_target_" in value:
            yield value
        for inner in value.values():
            yield from _every(inner)


def _apply(rows, stride, pooling, rates):
    result = {}
    waiting = None  # a pool that a strided site has yet to be followed by
    for name, row in rows.items():
        if waiting and not (_NORMALIZATION.search(row["_target_"]) or _ACTIVATION.search(row["_target_"])):
            result.update(waiting)
            waiting = None
        row = {key: map_rows(value, lambda rows: _apply(rows, stride, pooling, rates)) for key, value in row.items()}
        axis = row.get("axis")
        if axis in STRIDES and stride != PAPER:
            row["strides"] = stride
        if axis == "pool" and pooling:
            row = {**pooling["row"], **{key: row[key] for key in KEPT if key in row}, "axis": "pool"}
        elif axis == "strided" and pooling and pooling["kind"] != "strided":
            if f"{name}_pool" in rows:
                raise UserError(f"`pooling` puts a row `{name}_pool` behind `{name}`, and there is one of that name")
            waiting = {
                f"{name}_pool": {
                    **pooling["row"],
                    "pool_size": 3,
                    "strides": row.get("strides", 1),
                    "padding": "same",
                    "axis": "pool",
                }
            }
            row = {key: value for key, value in row.items() if key != "axis"} | {"strides": 1}
        elif axis in DROPOUTS:
            if rates[axis] != PAPER:
                row["rate"] = rates[axis]
            if row.get("rate") == 0:
                continue
        result[name] = row
        if waiting and (_ACTIVATION.search(row["_target_"]) or row.get("activation", "linear") not in (None, "linear")):
            result.update(waiting)
            waiting = None
    if waiting:
        result.update(waiting)
    return result
