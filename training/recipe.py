"""A recipe's values, checked before anything is read or built."""

from .. import UserError
from ..configs.keys import NAME, check_keys, is_name

SCHEDULES = ("constant", "cosine", "steps", "inverse")
SELECTS = ("last", "best")
FILLS = ("reflect", "zeros")
ARTIFACTS = ("full", "light")


def _whole(minimum, maximum=2**32 - 1):
    def holds(v):
        return isinstance(v, int) and not isinstance(v, bool) and minimum <= v <= maximum

    return holds, f"an integer from {minimum} to {maximum}"


def _number(minimum, maximum=float("inf"), open_at_minimum=False):
    def holds(v):
        if isinstance(v, bool) or not isinstance(v, int | float):
            return False
        return (minimum < v if open_at_minimum else minimum <= v) and v < maximum

    bounds = f"{'above' if open_at_minimum else 'at least'} {minimum}" + (
        f" and below {maximum}" if maximum < float("inf") else ""
    )
    return holds, f"a number {bounds}"


def _one_of(words):
    return lambda v: v in words, f"one of {', '.join(words)}"


_FLAG = (lambda v: isinstance(v, bool)), "true or false"

RULES = {
    "epochs": _whole(1),
    "batch_size": _whole(1),
    "learning_rate": _number(0, open_at_minimum=True),
    "seed": _whole(0),
    "select": _one_of(SELECTS),
    "test_shift": _whole(0),
    "plan": (
        lambda v: isinstance(v, bool) or v == "json" or str(v).endswith((".png", ".svg", ".pdf")),
        "true, false, json or the name of a .png, .svg or .pdf file",
    ),
    "rerun": _FLAG,
    "resume": _one_of(("auto", "never")),
    "checkpoints.directory": (lambda v: isinstance(v, str) and v.strip() != "", "a folder"),
    "checkpoints.seconds": _number(0),
    "checkpoints.days": (lambda v: v is None or _number(0)[0](v), "a number of days, or null"),
    "study": (is_name, NAME),
    "recipe.schedule": _one_of(SCHEDULES),
    "recipe.warmup": _number(0, 1),
    "recipe.boundaries": (
        lambda v: isinstance(v, list) and all(isinstance(e, int) and e > 0 for e in v) and v == sorted(set(v)),
        "rising whole epochs",
    ),
    "recipe.momentum": _number(0, 1),
    "recipe.nesterov": _FLAG,
    "recipe.weight_decay": _number(0),
    "recipe.flip": _FLAG,
    "recipe.shift": _whole(0),
    "recipe.fill": _one_of(FILLS),
    "recipe.preprocess": (lambda v: v is None or isinstance(v, dict), "a mapping from names to rows"),
    "tracking.uri": (lambda v: isinstance(v, str), "sqlite:///file or the address of a server"),
    "tracking.artifacts": _one_of(ARTIFACTS),
}


KEYS = {
    "": (
        "model pooling stride dropout input_dropout data recipe epochs batch_size learning_rate seed precision "
        "select test_shift plan allow study rerun resume launcher checkpoints tracking"
    ).split(),
    "pooling": "kind row".split(),
    "recipe": ["name", "epochs", "batch_size", "learning_rate"]
    + [key.removeprefix("recipe.") for key in RULES if key.startswith("recipe.")],
    "checkpoints": ["directory", "seconds", "days"],
    "tracking": ["uri", "artifacts"],
}


def resolve(config):
    """Checks a training config and returns it with what will really happen.

    Args:
        config: the resolved config, a plain mapping, its `data` checked.

    Returns:
        A copy, in which the recipe's `flip` and `shift` are what the data set allows, what its schedule does not read
        is at zero, and numbers are numbers.

    Raises:
        UserError: naming the key, the rule and what came.
    """
    check_keys(config, KEYS)
    for key, (holds, rule) in RULES.items():
        value = config
        for part in key.split("."):
            value = value[part]
        if not holds(value):
            raise UserError(f"`{key}` must be {rule}. Received: {key}={value!r}")
    recipe, data = dict(config["recipe"]), config["data"]
    if config["select"] == "best" and data["validation"] == 0:
        raise UserError("`select=best` looks at validation, and `data.validation=0` leaves none")
    smallest = min(data["image_shape"][:2])
    for key, shift in {"recipe.shift": recipe["shift"], "test_shift": config["test_shift"]}.items():
        if shift >= smallest:
            raise UserError(f"`{key}` must be less than the image's {smallest} pixels. Received: {key}={shift}")

    recipe["flip"] = recipe["flip"] and data["augment"]["flip"]
    recipe["shift"] = recipe["shift"] if data["augment"]["shift"] else 0
    recipe["fill"] = recipe["fill"] if recipe["shift"] else "zeros"
    recipe["warmup"] = recipe["warmup"] if recipe["schedule"] == "cosine" else 0
    recipe["boundaries"] = recipe["boundaries"] if recipe["schedule"] == "steps" else []
    for key in ("warmup", "momentum", "weight_decay"):
        recipe[key] = float(recipe[key])
    return {**config, "recipe": recipe, "learning_rate": float(config["learning_rate"])}
