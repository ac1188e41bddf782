"""Merging of the configs of a recipe: a row replaces a row, and a recipe replaces a recipe.

Hydra merges mappings. An AdamW over an SGD would keep the SGD's `nesterov`, and a recipe without augmentation would
keep that of the recipe before it.
"""

from collections.abc import Iterable
from typing import Any

from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf

from .. import UserError
from .recipe import RecipeSettings
from .schema import default_settings

ROW_GROUPS = ("optimizer", "schedule", "augmentation")  # folders of configs/, and keys of a recipe
_TABLES = ("recipe.augmentation", "recipe.preprocessing", "metrics")
_MAPPINGS = ("recipe.rate_factors", "recipe.lookahead", "recipe.early_stopping", "recipe.finetuning")
_PARTS = ("recipe.optimizer", "recipe.schedule", *_TABLES, *_MAPPINGS)
_RECIPES = ("recipe", "model.recipe")
_PAPER = "recipe/paper"


def fill_recipe(config: DictConfig) -> DictConfig:
    """Give a recipe the schema's values of the keys that its file leaves out."""
    filled: Any = OmegaConf.merge(default_settings(RecipeSettings), config)
    return filled


def merge_config(config: DictConfig, part: DictConfig, path: str) -> None:
    """Merge a config of the defaults list into those before it.

    Args:
        config: changed in place.
        part: the next config, under its package.
        path: of its file in `configs/`, without the ending, such as `recipe/fast`.
    """
    for recipe in _RECIPES:
        old, new = _select(config, recipe), _select(part, recipe)
        if old is not None and new is not None:
            _remove_replaced(old, new, path)
    config.merge_with(part)
    if path == _PAPER:
        _use_own_recipe(config)


def _remove_replaced(old: DictConfig, new: DictConfig, path: str) -> None:
    if set(default_settings(RecipeSettings)) <= set(new):  # a whole recipe, which the loader has filled
        for key in list(old):
            del old[key]
        return
    if path.startswith("augmentation/"):
        old.pop("augmentation", None)
    _remove_rows(old, new, depth=2)


def _remove_rows(old: DictConfig, new: DictConfig, depth: int) -> None:
    """Remove the rows, at most so deep, for which there is a new one that states its class."""
    for key in list(old):
        former, later = old._get_node(key), new._get_node(key)
        if isinstance(former, DictConfig) and isinstance(later, DictConfig):
            if "_target_" in later:
                del old[key]
            elif depth > 1:
                _remove_rows(former, later, depth - 1)


def _use_own_recipe(config: DictConfig) -> None:
    """Make the network's own recipe the recipe. Where there is none, what needs one says so when it is read."""
    own = _select(config, "model.recipe")
    if own is None:
        required = [key for key, field in RecipeSettings.model_fields.items() if field.is_required() and key != "name"]
        missing: Any = {key: f"${{model.recipe.{key}}}" for key in required}
        config.recipe.merge_with(missing)
    else:
        config.recipe = OmegaConf.merge(own, {"name": config.recipe.name})


def _select(config: DictConfig, path: str) -> DictConfig | None:
    node: Any = config
    for key in filter(None, path.split(".")):
        node = node._get_node(key) if isinstance(node, DictConfig) and key in node else None
    return node if isinstance(node, DictConfig) and not node._is_none() and not node._is_interpolation() else None


def adapt_row_overrides(overrides: Iterable[Override], config: DictConfig) -> None:
    """Let overrides give a row an argument that its config leaves out, and replace a row or a table of rows as a whole.

    Without this, Hydra asks for a `+`, and merges a mapping into the former one.

    Args:
        overrides: changed in place.
        config: composed, before the overrides; what an override replaces is emptied.

    Raises:
        UserError: an override is of the network's own recipe, which was taken into `recipe` already, or a word in the
            place of a row.
    """
    for override in overrides:
        key = override.key_or_group
        if key.startswith("model.recipe."):
            raise UserError(f"`{key}`: set `{key.removeprefix('model.')}`, also with recipe=paper")
        if override.type is OverrideType.CHANGE and key.startswith(("recipe.", "metrics")):
            _adapt_override(override, config)


def _adapt_override(override: Override, config: DictConfig) -> None:
    key, value = override.key_or_group, override.value()
    parent, _, last = key.rpartition(".")
    node = _select(config, parent)
    if isinstance(value, str) and parent == "recipe" and last in ROW_GROUPS:
        raise UserError(f"`{key}` is a row, with its arguments; {last}={value} chooses one of configs/{last}")
    is_part = key in _PARTS or parent in _TABLES
    if is_part and isinstance(value, dict) and node is not None:
        node[last] = {}
        override.type = OverrideType.FORCE_ADD
    elif parent in _MAPPINGS or (node is not None and "_target_" in node and last != "_target_"):
        override.type = OverrideType.FORCE_ADD
