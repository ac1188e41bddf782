"""A recipe's values, checked before anything is read or built."""

from .. import UserError

SCHEDULES = ("constant", "cosine", "steps", "inverse")
SELECTS = ("last", "best")
FILLS = ("reflect", "zeros")


def _whole(minimum):
    return (
        lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= minimum,
        f"an integer of at least {minimum}",
    )


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
    "plan": _FLAG,
    "study": (lambda v: isinstance(v, str) and v.strip() != "", "a name"),
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
}


# What may stand where; `+key=` of anything else would be kept by Hydra and change nothing.
KEYS = {
    "": (
        "model pooling stride dropout input_dropout data recipe epochs batch_size learning_rate seed precision "
        "select plan study tracking"
    ).split(),
    "model": "name paper recipe shared layers".split(),
    "pooling": "kind row".split(),
    "recipe": ["name", "epochs", "batch_size", "learning_rate"]
    + [key.removeprefix("recipe.") for key in RULES if key.startswith("recipe.")],
    "tracking": ["uri"],
}


def check(config):
    """Checks a resolved training config, as a plain mapping.

    Raises:
        UserError: naming the key, the rule and what came.
    """
    for section, keys in KEYS.items():
        part = config.get(section) if section else config
        if not isinstance(part, dict):
            raise UserError(f"`{section}` must be one of its configs or a mapping. Received: {section}={part!r}")
        prefix = f"{section}." if section else ""
        if unknown := [key for key in part if key not in keys]:
            raise UserError(f"`{prefix}{unknown[0]}`: there is no such key; there are: {', '.join(keys)}")
        if missing := [key for key in keys if key not in part and section != "model"]:
            raise UserError(f"`{prefix}{missing[0]}` is missing")
    for key, (holds, rule) in RULES.items():
        value = config
        for part in key.split("."):
            value = value[part]
        if not holds(value):
            raise UserError(f"`{key}` must be {rule}. Received: {key}={value!r}")
    if config["select"] == "best" and config["data"]["validation"] == 0:
        raise UserError("`select=best` looks at validation, and `data.validation=0` leaves none")
