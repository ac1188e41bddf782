"""The parts of a recipe, and a recipe without one of them.

A part is what a recipe states beyond the neutral values: those of the schema, of `NEUTRAL_ARGUMENTS`, and no row.
"""

from typing import Any

from .. import UserError
from .recipe import RecipeSettings

ABLATE = "ablate"  # the setting that leaves out a part, and the key of a study that does so for many parts
NOTHING = "nothing"  # its value that stands for the full recipe
_PREFIX = "recipe."
_TABLES = ("augmentation", "preprocessing")  # whose rows are parts
# The values at which an argument of a row does nothing. Other arguments cannot be left out: a learning rate, a period.
NEUTRAL_ARGUMENTS: dict[str, dict[str, Any]] = {
    "optimizer": {
        "weight_decay": 0.0,
        "l2": 0.0,
        "momentum": 0.0,
        "nesterov": False,
        "clipnorm": None,
        "global_clipnorm": None,
        "clipvalue": None,
        "use_ema": False,
        "amsgrad": False,
        "centered": False,
    },
    "schedule": {"warmup": 0.0, "restarts": 0},
}


def part_name(key: str) -> str:
    """Return the name of a part, which is its key without `recipe.`.

    Example:
        >>> part_name("recipe.augmentation.flip")
        'augmentation.flip'
    """
    return key.removeprefix(_PREFIX)


def list_parts(recipe: RecipeSettings) -> list[str]:
    """List the parts of a recipe that can be left out.

    Args:
        recipe: as it takes effect, see `RecipeSettings.resolve`.

    Example:
        >>> recipe = RecipeSettings(name="mine", epochs=1, batch_size=8, label_smoothing=0.1,
        ...     optimizer={"_target_": "keras.optimizers.AdamW", "learning_rate": 0.1, "weight_decay": 0.05})
        >>> list_parts(recipe)
        ['optimizer.weight_decay', 'label_smoothing']
    """
    return list(_list_changes(recipe))


def leave_out(recipe: RecipeSettings, part: str) -> RecipeSettings:
    """Return a recipe without one of its parts.

    Args:
        recipe: as it takes effect, see `RecipeSettings.resolve`.
        part: one of `list_parts`, or `nothing`.

    Raises:
        UserError: the recipe has no such part.
    """
    if part == NOTHING:
        return recipe
    changes = _list_changes(recipe)
    if part not in changes:
        raise UserError(f"`{ABLATE}` {describe_choice(recipe)}. Received: {ABLATE}={part}")
    return recipe.model_copy(update=changes[part])


def describe_choice(recipe: RecipeSettings) -> str:
    """Describe in words what can be left out of a recipe."""
    parts = list_parts(recipe)
    rule = f"must be {NOTHING} or a part that recipe={recipe.name} states and the data set allows"
    return f"{rule}: {', '.join(parts)}" if parts else f"{rule}, and there is none"


def _list_changes(recipe: RecipeSettings) -> dict[str, dict[str, Any]]:
    """Return a mapping from each part to the keys of the recipe that leave it out, with their values."""
    changes: dict[str, dict[str, Any]] = {}
    for key, field in RecipeSettings.model_fields.items():
        value = getattr(recipe, key)
        if key in _TABLES:
            for name in value:
                rest = {other: row for other, row in value.items() if other != name}
                changes |= {f"{key}.{name}": {key: rest}} if value[name] is not None else {}
        elif not field.is_required() and value != (neutral := field.get_default()):
            changes[key] = {key: neutral}
        for argument, neutral_argument in NEUTRAL_ARGUMENTS.get(key, {}).items():
            if value.get(argument):
                changes[f"{key}.{argument}"] = {key: {**value, argument: neutral_argument}}
    return changes
