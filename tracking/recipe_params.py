"""The params that tell recipes apart, and those that former versions recorded."""

from collections.abc import Mapping
from typing import Any

_PREFIX = "recipe."
_SCHEDULES = {
    "constant": "Constant",
    "cosine": "WarmupCosine",
    "triangle": "Triangle",
    "steps": "Steps",
    "inverse": "Inverse",
}


def describe_recipe(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the params that name a recipe: its optimizer, schedule and augmentation, and their arguments.

    Args:
        recipe: as it takes effect, plain data.

    Example:
        >>> recipe = {"optimizer": {"_target_": "keras.optimizers.AdamW", "learning_rate": 0.1, "weight_decay": 0.5},
        ...           "schedule": {"_target_": "convzoo.training.Constant"}, "augmentation": {}}
        >>> describe_recipe(recipe)
        {'optimizer': 'AdamW', 'recipe.optimizer.weight_decay': 0.5, 'schedule': 'Constant', 'augmentation': 'none'}
    """
    params: dict[str, Any] = {}
    for part in ("optimizer", "schedule"):
        params[part] = _short(recipe[part])
        params |= _arguments(f"{_PREFIX}{part}", recipe[part])
    rows = recipe["augmentation"]
    params["augmentation"] = " + ".join(map(_short, rows.values())) or "none"
    for name, row in rows.items():
        params |= _arguments(f"{_PREFIX}augmentation.{name}", row)
    params |= {f"{_PREFIX}rate_factors.{key}": value for key, value in (recipe.get("rate_factors") or {}).items()}
    for part in ("lookahead", "early_stopping", "finetuning"):
        params |= {f"{_PREFIX}{part}.{key}": value for key, value in (recipe.get(part) or {}).items()}
    return params


def _short(row: Mapping[str, Any]) -> str:
    return str(row["_target_"]).rpartition(".")[2]


def _arguments(prefix: str, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"{prefix}.{key}": value
        for key, value in row.items()
        if key not in ("_target_", "learning_rate") and isinstance(value, int | float | str)
    }


def rename_params(params: Mapping[str, str]) -> dict[str, str]:
    """Return the params of a recorded run under today's names, as `describe_recipe` gives them.

    A recipe was flat until version 0.2.0: `momentum`, `weight_decay`, `flip`, `shift`.

    Args:
        params: as recorded.

    Example:
        >>> rename_params({"momentum": "0.9", "schedule": "constant"})
        {'optimizer': 'L2SGD', 'recipe.optimizer.momentum': '0.9', 'schedule': 'Constant', 'augmentation': 'none'}
    """
    if "augmentation" in params or "momentum" not in params:
        return dict(params)
    old = dict(params)
    new = {"optimizer": "AdamW" if old.pop("optimizer", "sgd") == "adamw" else "L2SGD"}
    is_sgd = new["optimizer"] == "L2SGD"
    prefix = f"{_PREFIX}optimizer."
    momentum, nesterov = old.pop("momentum"), old.pop("nesterov", "False")
    if is_sgd and not _is_zero(momentum):
        new[f"{prefix}momentum"] = momentum
    if is_sgd and nesterov == "True":
        new[f"{prefix}nesterov"] = nesterov
    if not is_sgd and momentum != "0.9":  # Keras's default
        new[f"{prefix}beta_1"] = momentum
    decay = old.pop("weight_decay", "0")
    if not _is_zero(decay):
        new[f"{prefix}{'l2' if is_sgd else 'weight_decay'}"] = decay
    clipnorm = old.pop("clipnorm", None)
    if clipnorm not in (None, "None"):
        new[f"{prefix}global_clipnorm"] = clipnorm
    schedule, warmup = old.pop("schedule", "constant"), old.pop("warmup", "0")
    new["schedule"] = _SCHEDULES.get(schedule, schedule)
    if not _is_zero(warmup):
        new[f"{_PREFIX}schedule.warmup"] = warmup
    flip, shift, fill = old.pop("flip", "False"), old.pop("shift", "0"), old.pop("fill", "zeros")
    rows = []
    if flip not in ("False", "0"):
        rows.append("RandomFlip")
        if flip == "alternate":
            new[f"{_PREFIX}augmentation.flip.mode"] = flip
    if not _is_zero(shift):
        rows.append("RandomTranslation")
        new[f"{_PREFIX}augmentation.translate.pixels"] = shift
        new[f"{_PREFIX}augmentation.translate.fill_mode"] = {"zeros": "constant"}.get(fill, fill)
    new["augmentation"] = " + ".join(rows) or "none"
    for key, name in {"bias_rate": "rate_factors.beta", "lookahead": "lookahead.rate"}.items():
        value = old.pop(key, "0")
        if not _is_zero(value) and not (key == "bias_rate" and float(value) == 1):
            new[f"{_PREFIX}{name}"] = value
    return old | new


def former_recipe(recipe: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a recipe as it was before it had rows, flat; None if that could not state it.

    Args:
        recipe: as it takes effect, plain data.
    """
    optimizer, schedule = dict(recipe["optimizer"]), dict(recipe["schedule"])
    name, schedule_name = _short(optimizer), _short(schedule)
    is_sgd = name == "L2SGD"
    rows = {_short(row): row for row in recipe["augmentation"].values()}
    flip, translate = rows.get("RandomFlip"), rows.get("RandomTranslation", {})
    factors, lookahead = recipe["rate_factors"], recipe["lookahead"] or {}
    own_arguments = {"momentum", "nesterov", "l2"} if is_sgd else {"beta_1", "weight_decay"}
    schedules = {new: old for old, new in _SCHEDULES.items()}
    if (
        name not in ("L2SGD", "AdamW")
        or schedule_name not in schedules
        or set(optimizer) - {"_target_", "learning_rate", "global_clipnorm", *own_arguments}
        or set(schedule) - {"_target_", "warmup", "boundaries"}
        or recipe["decay_variables"] != ["kernel"]
        or lookahead.get("period", 5) != 5
        or set(rows) - {"RandomFlip", "RandomTranslation"}
        or set(factors) - {"beta"}
        or recipe["early_stopping"]
        or recipe.get("finetuning")
    ):
        return None
    return {
        "schedule": schedules[schedule_name],
        "warmup": schedule.get("warmup", 0.0),
        "boundaries": schedule.get("boundaries", []),
        "optimizer": "sgd" if is_sgd else "adamw",
        "clipnorm": optimizer.get("global_clipnorm"),
        "momentum": optimizer.get("momentum", 0.0) if is_sgd else optimizer.get("beta_1", 0.9),
        "nesterov": optimizer.get("nesterov", False),
        "weight_decay": optimizer.get("l2" if is_sgd else "weight_decay", 0.0),
        "bias_rate": factors.get("beta", 1.0),
        "label_smoothing": recipe["label_smoothing"],
        "lookahead": lookahead.get("rate", 0.0),
        "flip": "alternate" if flip and flip.get("mode") == "alternate" else flip is not None,
        "shift": translate.get("pixels", 0),
        "fill": {"constant": "zeros"}.get(translate.get("fill_mode", "constant"), "reflect"),
        "sizes": recipe["image_scales"],
    }


def _is_zero(text: str) -> bool:
    try:
        return float(text) == 0
    except ValueError:
        return False
