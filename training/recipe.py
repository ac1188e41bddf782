"""A recipe's values, checked before anything is read or built."""

from .. import UserError
from ..configs.keys import FLAG, NAME, check_keys, check_rules, is_name, number, one_of, whole

SCHEDULES = ("constant", "cosine", "triangle", "steps", "inverse")
SELECTS = ("last", "best")
FILLS = ("reflect", "zeros")
ARTIFACTS = ("full", "light")
_SMALLER = number(0, 1, open_at_minimum=True)

RULES = {
    "epochs": whole(1),
    "batch_size": whole(1),
    "learning_rate": number(0, open_at_minimum=True),
    "seed": whole(0),
    "select": one_of(SELECTS),
    "test_shift": whole(0),
    "test_flip": FLAG,
    "plan": (
        lambda v: isinstance(v, bool) or v == "json" or str(v).endswith((".png", ".svg", ".pdf")),
        "true, false, json or the name of a .png, .svg or .pdf file",
    ),
    "rerun": FLAG,
    "resume": one_of(("auto", "never")),
    "checkpoints.directory": (lambda v: isinstance(v, str) and v.strip() != "", "a folder"),
    "checkpoints.seconds": number(0),
    "checkpoints.days": (lambda v: v is None or number(0)[0](v), "a number of days, or null"),
    "study": (is_name, NAME),
    "recipe.schedule": one_of(SCHEDULES),
    "recipe.warmup": number(0, 1),
    "recipe.boundaries": (
        lambda v: isinstance(v, list) and all(isinstance(e, int) and e > 0 for e in v) and v == sorted(set(v)),
        "rising whole epochs",
    ),
    "recipe.momentum": number(0, 1),
    "recipe.nesterov": FLAG,
    "recipe.weight_decay": number(0),
    "recipe.bias_rate": number(0, open_at_minimum=True),
    "recipe.label_smoothing": number(0, 1),
    "recipe.lookahead": number(0, 1),
    "recipe.flip": (lambda v: isinstance(v, bool) or v == "alternate", "true, false or alternate"),
    "recipe.shift": whole(0),
    "recipe.fill": one_of(FILLS),
    "recipe.sizes": (
        lambda v: isinstance(v, list) and all(map(_SMALLER[0], v[:-1])) and v[-1:] == [1],
        "parts of a picture's sides, the last of them 1",
    ),
    "recipe.preprocess": (lambda v: v is None or isinstance(v, dict), "a mapping from names to rows"),
    "tracking.uri": (lambda v: isinstance(v, str), "sqlite:///file or the address of a server"),
    "tracking.artifacts": one_of(ARTIFACTS),
}


KEYS = {
    "": (
        "model pooling stride dropout input_dropout data recipe epochs batch_size learning_rate seed precision "
        "select test_shift test_flip plan allow study rerun resume launcher checkpoints tracking"
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
    check_rules(config, RULES)
    recipe, data = dict(config["recipe"]), config["data"]
    if config["select"] == "best" and data["validation"] == 0:
        raise UserError("`select=best` looks at validation, and `data.validation=0` leaves none")
    smallest = min(data["image_shape"][:2])
    for key, shift in {"recipe.shift": recipe["shift"], "test_shift": config["test_shift"]}.items():
        if shift >= smallest:
            raise UserError(f"`{key}` must be less than the image's {smallest} pixels. Received: {key}={shift}")

    if config["test_flip"] and not data["augment"]["flip"]:
        raise UserError(f"`test_flip`: pictures of {data['name']} mean something else when they are mirrored")

    if recipe["schedule"] == "steps" and not recipe["boundaries"]:
        raise UserError("`recipe.schedule=steps` divides the rate at epochs, and `recipe.boundaries` names none")
    if len(recipe["sizes"]) > config["epochs"]:
        raise UserError(f"`recipe.sizes` are {len(recipe['sizes'])}, and `epochs={config['epochs']}` has none for each")

    recipe["flip"] = data["augment"]["flip"] and recipe["flip"]
    recipe["shift"] = recipe["shift"] if data["augment"]["shift"] else 0
    recipe["fill"] = recipe["fill"] if recipe["shift"] else "zeros"
    recipe["warmup"] = recipe["warmup"] if recipe["schedule"] in ("cosine", "triangle") else 0
    recipe["boundaries"] = recipe["boundaries"] if recipe["schedule"] == "steps" else []
    for key in ("warmup", "momentum", "weight_decay", "bias_rate", "label_smoothing", "lookahead"):
        recipe[key] = float(recipe[key])
    recipe["sizes"] = list(map(float, recipe["sizes"]))
    return {**config, "recipe": recipe, "learning_rate": float(config["learning_rate"])}
