"""Settings that had other names."""

_NEW_KEYS = {
    "learning_rate": "learning_rate",
    "momentum": "recipe.optimizer.momentum, or recipe.optimizer.beta_1 of Adam",
    "nesterov": "recipe.optimizer.nesterov",
    "weight_decay": "recipe.optimizer.weight_decay, or recipe.optimizer.l2 of L2SGD",
    "clipnorm": "recipe.optimizer.global_clipnorm",
    "warmup": "recipe.schedule.warmup",
    "boundaries": "recipe.schedule.boundaries",
    "bias_rate": "recipe.rate_factors.beta",
    "flip": "recipe.augmentation.flip: a row, or null for none",
    "shift": "recipe.augmentation.translate.pixels",
    "fill": "recipe.augmentation.translate.fill_mode",
    "sizes": "recipe.image_scales",
    "preprocess": "recipe.preprocessing",
}  # by the former key of a recipe
_PREFIX = "recipe."


def explain_renamed(key: str) -> str | None:
    """Name the key that replaces a former one; None if the key is not a former one.

    Example:
        >>> explain_renamed("recipe.sizes")
        'it is recipe.image_scales now'
    """
    key = key.removeprefix("model.")
    if key.startswith("recipe.preprocess."):
        return f"it is recipe.preprocessing.{key.removeprefix('recipe.preprocess.')} now"
    new = _NEW_KEYS.get(key.removeprefix(_PREFIX)) if key.startswith(_PREFIX) else None
    return new and f"it is {new} now"
