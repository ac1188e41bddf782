"""Optimizers that a recipe's row may name, and how the row becomes one."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, cast

import keras

from ... import UserError
from ...models.allowlist import first_line
from ...settings.target_rows import check_target_row, list_parameters, locate_error, read_arguments
from ...settings.user_classes import find_user_classes
from ..schedules import Plateau
from .l2sgd import L2SGD
from .muon import Muon
from .recipe_mixin import RecipeMixin
from .schedule_free import ScheduleFreeAdamW

# Without Ftrl: it discards the initial weights, and divides by the rate, which may be 0.
_KERAS_OPTIMIZERS = "Adadelta Adafactor Adagrad Adam AdamW Adamax Lamb Lion Muon Nadam RMSprop SGD".split()
OPTIMIZERS: dict[str, type[keras.optimizers.Optimizer]] = {
    **{f"keras.optimizers.{name}": getattr(keras.optimizers, name) for name in _KERAS_OPTIMIZERS},
    "keras.optimizers.ScheduleFreeAdamW": ScheduleFreeAdamW,
    "convzoo.training.L2SGD": L2SGD,
    "convzoo.training.Muon": Muon,
}
# Of a row: the recipe's own keys, what names the object, and a scale of the loss, which no precision here needs.
_HIDDEN = (*list_parameters(RecipeMixin), "name", "loss_scale_factor")
_RECIPE_KEYS = ("rate_factors", "decay_variables")


def make_optimizer(
    recipe: Mapping[str, Any],
    schedule: float | keras.optimizers.schedules.LearningRateSchedule | Plateau,
    steps: int | None = None,
    rate_factor: Callable[[str], float] | None = None,
) -> keras.optimizers.Optimizer:
    """Return the optimizer of a recipe.

    Args:
        recipe: mapping with `optimizer`, a checked row, and perhaps `rate_factors`, `decay_variables` and `lookahead`.
        schedule: a rate or a schedule. The row's own `learning_rate` is not read.
        steps: number of steps of the training, which `lookahead` needs; default None: no Lookahead.
        rate_factor: from a variable's path to a learning-rate multiplier beside `rate_factors`; default None: 1.

    Example:
        >>> row = {"_target_": "convzoo.training.L2SGD", "momentum": 0.9, "nesterov": True, "l2": 5e-4}
        >>> make_optimizer({"optimizer": row}, 0.02).l2
        0.0005
    """
    row = recipe["optimizer"]
    optimizer_class = _find_class(row["_target_"])
    arguments = read_arguments(row, optimizer_class)
    arguments["learning_rate"] = schedule.learning_rate if isinstance(schedule, Plateau) else schedule
    arguments |= {key: recipe[key] for key in _RECIPE_KEYS if key in recipe}
    arguments["rate_factor"] = rate_factor
    if steps:
        arguments |= {"lookahead": recipe.get("lookahead"), "steps": steps}
    return optimizer_class(**arguments)


def check_optimizer(recipe: Mapping[str, Any]) -> None:
    """Refuse a row of an optimizer whose class or arguments do not exist, or whose values its constructor refuses.

    Args:
        recipe: as for `make_optimizer`.

    Raises:
        UserError: naming the key below `recipe.optimizer`.
    """
    row = recipe["optimizer"]
    check_target_row(row, "recipe.optimizer", _find_classes(), _HIDDEN)
    try:
        make_optimizer(recipe, 1e-3, steps=1)
    except Exception as error:
        raise UserError(f"`{locate_error(error, row, 'recipe.optimizer')}`: {first_line(error)}") from error
    if recipe.get("lookahead") and issubclass(_find_class(row["_target_"]), ScheduleFreeAdamW):
        raise UserError("`recipe.lookahead` moves the weights, and ScheduleFreeAdamW averages them; use only one")


def _find_classes() -> dict[str, type]:
    return {**OPTIMIZERS, **find_user_classes(keras.optimizers.Optimizer)}


@functools.cache
def _find_class(target: str) -> type[keras.optimizers.Optimizer]:
    """Return the class of a target; a subclass with `RecipeMixin` if it lacks the mixin."""
    optimizer_class = _find_classes()[target]
    if issubclass(optimizer_class, RecipeMixin):
        return optimizer_class
    subclass = type(optimizer_class.__name__, (RecipeMixin, optimizer_class), {"__module__": __name__})
    return cast("type[keras.optimizers.Optimizer]", subclass)
