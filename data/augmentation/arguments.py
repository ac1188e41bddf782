"""Checks of the arguments of augmentations. Each error names the argument, the rule and the value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ... import UserError


def check_int(name: str, value: Any, low: int, high: int | None = None) -> None:
    """Refuse what is no whole number from `low` to `high`; None is no upper limit."""
    is_int = isinstance(value, int) and not isinstance(value, bool)
    if not is_int or value < low or (high is not None and value > high):
        rule = f"a whole number of at least {low}" if high is None else f"a whole number from {low} to {high}"
        raise ValueError(f"`{name}` must be {rule}. Received: {name}={value!r}")


def check_number(name: str, value: Any, low: float, high: float = math.inf) -> None:
    """Refuse what is no finite number from `low` to `high`."""
    if not _is_number(value) or not low <= value <= high:
        rule = f"a number of at least {low:g}" if high == math.inf else f"a number from {low:g} to {high:g}"
        raise ValueError(f"`{name}` must be {rule}. Received: {name}={value!r}")


def check_positive(name: str, value: Any) -> None:
    """Refuse what is no finite number above 0."""
    if not _is_number(value) or value <= 0:
        raise ValueError(f"`{name}` must be a number above 0. Received: {name}={value!r}")


def check_range(name: str, value: Any, high: float = math.inf) -> tuple[float, float]:
    """Return a pair of numbers above 0 and up to `high`, the lower first; refuse anything else."""
    is_pair = isinstance(value, Sequence) and len(value) == 2 and all(map(_is_number, value))
    if not is_pair or not 0 < value[0] <= value[1] <= high:
        limit = "above 0" if high == math.inf else f"above 0 and up to {high:g}"
        raise ValueError(f"`{name}` must be two numbers {limit}, the lower first. Received: {name}={value!r}")
    return float(value[0]), float(value[1])


def check_word(name: str, value: Any, words: Sequence[str]) -> None:
    """Refuse what is none of `words`."""
    if not isinstance(value, str) or value not in words:
        raise ValueError(f"`{name}` must be {' or '.join(words)}. Received: {name}={value!r}")


def check_side(name: str, value: int, shape: tuple[int, ...], is_allowed: bool) -> None:
    """Refuse a number of pixels unless it `is_allowed` for images of this `(height, width, channels)`."""
    if not is_allowed:
        sides = f"{shape[0]}×{shape[1]}"
        raise ValueError(f"`{name}` is too large for images of {sides} pixels. Received: {name}={value!r}")


def check_channels(augmentation: object, shape: tuple[int, ...]) -> None:
    """Refuse images of other than one or three channels.

    Args:
        augmentation: for the message.
        shape: of the images; the channels are last.

    Raises:
        UserError: naming the class and the number of channels.
    """
    if shape[-1] not in (1, 3):
        name = type(augmentation).__name__
        raise UserError(f"{name} takes images of 1 or 3 channels. Received: {shape[-1]} channels")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
