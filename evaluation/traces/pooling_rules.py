"""The value that each kind of pooling makes of a window, with its terms and its formula."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np

from ...layers import (
    AveragePooling2D,
    LpPooling2D,
    MaxPooling2D,
    MixedPooling2D,
    StochasticPooling2D,
    TrainableSubsampling2D,
)
from ...settings.text import format_number
from .steps import format_operand, join_terms, sum_products, to_numpy


class Pooled(NamedTuple):
    """The value of a window, as `Part` and `Step` describe it; `value` is computed from the terms."""

    value: float
    formula: str
    terms: np.ndarray
    terms_name: str = "window"
    weights: np.ndarray | None = None
    selected: np.ndarray | None = None
    bias: float | None = None


def select_maximum(values: np.ndarray) -> Pooled:
    """Select the largest value of a window; NaN is left out."""
    largest = np.nanmax(values)
    present = values[~np.isnan(values)]
    formula = f"max({join_terms(map(format_number, present), ', ')})"
    return Pooled(float(largest), formula, values, selected=values == largest)


def take_mean(values: np.ndarray) -> Pooled:
    """Average a window; NaN is left out."""
    present = values[~np.isnan(values)]
    return Pooled(float(present.mean()), f"({_add(present)}) / {present.size}", values)


def take_norm(values: np.ndarray, p: float = 2.0, reduction: str = "sum") -> Pooled:
    """Take the Lp norm of a window; NaN adds nothing, and a mean does not count it."""
    powers = np.abs(values) ** p
    present = powers[~np.isnan(powers)]
    total, formula = float(present.sum()), _add(present)
    if reduction == "mean":
        total, formula = total / present.size, f"({formula}) / {present.size}"
    root = f"√({formula})" if p == 2 else f"({formula})^(1/{p:g})"
    return Pooled(total ** (1 / p), root, powers, "squares" if p == 2 else f"|x|^{p:g}")


def add_products(values: np.ndarray, weights: np.ndarray, terms_name: str = "products") -> Pooled:
    """Add the products of values and weights; NaN is left out."""
    terms = values * weights
    return Pooled(float(np.nansum(terms)), sum_products(values, weights), terms, terms_name, weights)


def _add(values: np.ndarray) -> str:
    return join_terms(map(format_operand, values))


def _pool_by_norm(layer: Any, values: np.ndarray, channel: int) -> Pooled:
    return take_norm(values, layer.p, layer.reduction)


def _subsample(layer: Any, values: np.ndarray, channel: int) -> Pooled:
    scale, bias = (float(to_numpy(weight)[channel]) for weight in (layer.scale, layer.bias))
    present = values[~np.isnan(values)]
    formula = f"{format_number(scale)} · ({_add(present)}) + {format_operand(bias)}"
    return Pooled(float(scale * present.sum() + bias), formula, values, bias=bias)


def _take_expected_draw(layer: Any, values: np.ndarray, channel: int) -> Pooled:
    positive = np.maximum(values, 0)
    present = positive[~np.isnan(positive)]
    total = float(present.sum())
    value = float((present**2).sum()) / total if total else 0.0
    formula = f"({_add(present**2)}) / ({_add(present)})" if total else "no positive value"
    return Pooled(value, formula, positive)


def _mix(layer: Any, values: np.ndarray, channel: int) -> Pooled:
    logit = to_numpy(layer.logit)
    alpha = float(1 / (1 + np.exp(-(logit[channel] if layer.per_channel else logit))))
    largest, mean = select_maximum(values), take_mean(values)
    value = alpha * largest.value + (1 - alpha) * mean.value
    formula = f"{format_number(alpha)} · max + {format_number(1 - alpha)} · mean"
    numbers = (
        f"{format_number(alpha)} · {format_operand(largest.value)} + "
        f"{format_number(1 - alpha)} · {format_operand(mean.value)}"
    )
    return largest._replace(value=value, formula=f"{formula} = {numbers}")


def _pool_by_maximum(layer: Any, values: np.ndarray, channel: int) -> Pooled:
    return select_maximum(values)


def _pool_by_mean(layer: Any, values: np.ndarray, channel: int) -> Pooled:
    return take_mean(values)


Rule = Callable[[Any, np.ndarray, int], Pooled]
RULES: dict[type, Rule] = {
    MaxPooling2D: _pool_by_maximum,
    keras.layers.MaxPooling2D: _pool_by_maximum,
    keras.layers.GlobalMaxPooling2D: _pool_by_maximum,
    AveragePooling2D: _pool_by_mean,
    keras.layers.AveragePooling2D: _pool_by_mean,
    keras.layers.GlobalAveragePooling2D: _pool_by_mean,
    LpPooling2D: _pool_by_norm,
    TrainableSubsampling2D: _subsample,
    StochasticPooling2D: _take_expected_draw,
    MixedPooling2D: _mix,
}


def find_rule(layer: keras.Layer) -> Rule:
    """Return the rule of a layer's class, or of the first base class that has one."""
    return next(RULES[base] for base in type(layer).__mro__ if base in RULES)
