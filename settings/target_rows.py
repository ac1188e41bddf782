"""Checks of a row that names one class by `_target_` and states its arguments, as of an optimizer or a schedule.

Its values are numbers, words, true, false, null and lists of those: no row makes an object inside another.
"""

import inspect
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from .. import UserError
from .text import did_you_mean, find_near_words

_LARGEST = 1e38  # of float32
_SHORTEST_NAME = 3  # a shorter one may be a word of any message
_RANGES: tuple[tuple[tuple[str, ...], Callable[[float], bool], str], ...] = (
    (
        ("learning_rate", "initial_learning_rate", "clipnorm", "clipvalue", "global_clipnorm"),
        lambda v: v > 0,
        "above 0",
    ),
    (("weight_decay", "adam_weight_decay", "l2", "epsilon"), lambda v: v >= 0, "at least 0"),
    (
        ("beta_1", "beta_2", "adam_beta_1", "adam_beta_2", "momentum", "sgd_momentum", "rho", "ema_momentum"),
        lambda v: 0 <= v < 1,
        "from 0 to below 1",
    ),
    (
        ("gradient_accumulation_steps", "ema_overwrite_frequency"),
        lambda v: isinstance(v, int) and v >= 1,
        "a whole number above 0",
    ),
)
_NULLABLE = ("rms_rate", "adam_weight_decay")  # null turns off what they do


def check_target_row(
    row: Any, where: str, classes: Mapping[str, type], hidden: Collection[str] = (), optional: Collection[str] = ()
) -> None:
    """Refuse a row whose class or arguments do not exist, or whose values have the wrong type or range.

    Args:
        row: `_target_` and arguments.
        where: place of the row in the settings, for the message.
        classes: class by target.
        hidden: arguments that a row must not state; default none.
        optional: arguments without a default that a row need not state; default none.

    Raises:
        UserError: naming the key, the rule and the value.

    Example:
        >>> check_target_row({"_target_": "TextWrapper", "widht": 40}, "part", {"TextWrapper": TextWrapper})
        Traceback (most recent call last):
        convzoo.UserError: `part.widht`: TextWrapper has no such argument; did you mean width?
    """
    if not isinstance(row, Mapping) or not isinstance(row.get("_target_"), str):
        raise UserError(f"`{where}` must be a mapping with `_target_`. Received: {row!r}")
    target = row["_target_"]
    if target not in classes:
        raise UserError(f"`{where}._target_={target}`: there is no such class here; {_find_targets(target, classes)}")
    parameters = {key: each for key, each in list_parameters(classes[target]).items() if key not in hidden}
    name = target.rpartition(".")[2]
    for key, value in row.items():
        if key == "_target_":
            continue
        if key not in parameters:
            near = did_you_mean(find_near_words(str(key), parameters))
            hint = near or f"valid arguments: {', '.join(parameters) or 'none'}"
            raise UserError(f"`{where}.{key}`: {name} has no such argument; {hint}")
        _check_value(value, parameters[key].default, f"{where}.{key}", str(key))
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and key not in row and key not in optional:
            raise UserError(f"`{where}` needs `{key}`, an argument of {name}")


def list_parameters(cls: type) -> dict[str, inspect.Parameter]:
    """Return the named parameters of a class, with those of the bases that it passes its keyword arguments to.

    Example:
        >>> list(list_parameters(TextWrapper))[:2]
        ['width', 'initial_indent']
    """
    parameters: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        own = [each for each in inspect.signature(vars(base)["__init__"]).parameters.values() if each.name != "self"]
        for each in own:
            if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
                parameters.setdefault(each.name, each)
        if not any(each.kind is each.VAR_KEYWORD for each in own):
            break
    return parameters


def read_arguments(row: Mapping[str, Any], cls: type) -> dict[str, Any]:
    """Return the arguments of a checked row; where the default is a float, a whole number becomes one.

    Keras refuses `momentum: 0`.
    """
    parameters = list_parameters(cls)
    return {
        key: float(value) if _is_number(value) and isinstance(parameters[key].default, float) else value
        for key, value in row.items()
        if key != "_target_"
    }


def locate_error(error: Exception, row: Mapping[str, Any], where: str) -> str:
    """Return the key that a constructor's message is about: an argument that it names, or the row.

    Example:
        >>> locate_error(ValueError("`rate` must be positive"), {"_target_": "X", "rate": -1}, "recipe.optimizer")
        'recipe.optimizer.rate'
    """
    named = [key for key in row if len(key) >= _SHORTEST_NAME and f"`{key}`" in str(error)]
    return f"{where}.{named[0]}" if named else where


def _find_targets(target: str, classes: Mapping[str, type]) -> str:
    name = target.rpartition(".")[2]
    same = [each for each in classes if each.rpartition(".")[2].lower() == name.lower()]
    by_name = {each.rpartition(".")[2]: each for each in classes}
    near = same or [by_name[each] for each in find_near_words(name, by_name)]
    return did_you_mean(near) or f"there are: {', '.join(classes)}"


def _check_value(value: Any, default: Any, where: str, key: str) -> None:
    values = value if isinstance(value, list | tuple) else [value]
    if not all(each is None or isinstance(each, bool | str) or _is_number(each) for each in values):
        raise UserError(
            f"`{where}` must be a number, a word, true, false, null or a list of those. Received: {value!r}"
        )
    rule = None
    if isinstance(default, bool):
        rule = None if isinstance(value, bool) else "true or false"
    elif isinstance(default, str):
        rule = None if isinstance(value, str) else "a word"
    elif isinstance(default, int | float) and not (value is None and key in _NULLABLE):
        rule = None if _is_number(value) else "a number"
    for keys, is_valid, range_rule in _RANGES:
        if not rule and key in keys and value is not None and not (_is_number(value) and is_valid(value)):
            rule = range_rule if range_rule.startswith("a ") else f"a number {range_rule}"
    if rule:
        raise UserError(f"`{where}` must be {rule}. Received: {value!r}")


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and abs(value) < _LARGEST
