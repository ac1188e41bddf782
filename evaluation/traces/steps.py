"""The data of a trace, and the parts of its formulas."""

from collections.abc import Iterable
from dataclasses import dataclass

import keras
import numpy as np

from ... import UserError
from ...settings.text import format_number

MAX_STEPS = 400  # output values of a trace
_MAX_TERMS = 12  # of a formula


@dataclass(frozen=True)
class Part:
    """The cells of one input map that an output value reads.

    Attributes:
        channel: the map.
        cells: (row, column) of each cell in the padded map.
        terms: what is combined, as products, squares or values, in the shape of the window. NaN: the cell is left out.
        weights: of the window, in the shape of `terms`; None for a layer without weights.
        selected: where a maximum lies, in the shape of `terms`; None for a layer that selects nothing.
    """

    channel: int
    cells: tuple[tuple[int, int], ...]
    terms: np.ndarray
    weights: np.ndarray | None = None
    selected: np.ndarray | None = None

    @property
    def total(self) -> float:
        """Sum of the terms that are not left out."""
        return float(np.nansum(self.terms))


@dataclass(frozen=True)
class Step:
    """One output value.

    Attributes:
        position: (row, column, channel) of the output.
        parts: one for each input map that is read.
        value: the layer's own output.
        formula: the terms and the value, as text.
        bias: None for a layer without one.
    """

    position: tuple[int, int, int]
    parts: tuple[Part, ...]
    value: float
    formula: str
    bias: float | None = None


@dataclass(frozen=True)
class Trace:
    """A call of a layer on one image, value by value.

    Attributes:
        title: the layer and its arguments.
        arithmetic: the size of the output, computed from that of the input; "" where no formula says it.
        inputs: shape (height, width, channels).
        padded: the input with its padding, shape (height', width', channels). NaN: the cell is left out.
        is_added: the cells of `padded` that are not of the input, shape (height', width').
        outputs: the layer's output, shape (rows, columns, channels).
        steps: one for each output value, map by map.
        terms_name: of `Part.terms`, as "products".
        weights_name: of `Part.weights`; "" for a layer without weights.
        adds_maps: whether an output value adds what several input maps give.
        added_name: of the cells that are not of the input.
        note: a further line of text; "" for none.
    """

    title: str
    arithmetic: str
    inputs: np.ndarray
    padded: np.ndarray
    is_added: np.ndarray
    outputs: np.ndarray
    steps: tuple[Step, ...]
    terms_name: str
    weights_name: str = ""
    adds_maps: bool = False
    added_name: str = "padding"
    note: str = ""


def format_operand(value: float) -> str:
    """Format a number of a formula: a negative one stands in parentheses.

    Example:
        >>> format_operand(-2)
        '(−2)'
    """
    text = format_number(value)
    return f"({text})" if value < 0 and text.startswith("−") else text


def join_terms(texts: Iterable[str], sign: str = " + ") -> str:
    """Join the terms of a formula; of more than twelve the first ten and the last one are written.

    Example:
        >>> join_terms("abc")
        'a + b + c'
    """
    texts = list(texts)
    if len(texts) > _MAX_TERMS:
        texts = [*texts[: _MAX_TERMS - 2], "…", texts[-1]]
    return sign.join(texts)


def sum_products(values: np.ndarray, weights: np.ndarray) -> str:
    """Format a sum of products, value by value; NaN is left out.

    Example:
        >>> sum_products(np.array([3, -1]), np.array([0, 2]))
        '3·0 + (−1)·2'
    """
    pairs = zip(np.ravel(values), np.ravel(weights), strict=True)
    return join_terms(f"{format_operand(a)}·{format_operand(b)}" for a, b in pairs if not np.isnan(a * b))


def to_numpy(tensor: object) -> np.ndarray:
    """Copy a tensor to a float64 array."""
    return np.asarray(keras.ops.convert_to_numpy(tensor), dtype="float64")


def check_value(layer: keras.Layer, position: tuple[int, int, int], computed: float, value: float) -> None:
    """Compare what the terms give with the output of the layer.

    Raises:
        UserError: they differ, so the trace would show what the layer does not do.
    """
    if not np.isclose(computed, value, rtol=1e-3, atol=1e-4):
        raise UserError(
            f"`{type(layer).__name__}` cannot be traced: at {position} its terms give {computed:g}, "
            f"and the layer gives {value:g}"
        )


def check_count(outputs: np.ndarray) -> None:
    """Refuse an output that has more values than a trace shows.

    Raises:
        UserError: it has.
    """
    if outputs.size > MAX_STEPS:
        shape = "×".join(map(str, outputs.shape))
        raise UserError(
            f"the layer gives {outputs.size:,} values, {shape}; an animation shows at most {MAX_STEPS}. "
            "Take a smaller image or fewer filters"
        )
