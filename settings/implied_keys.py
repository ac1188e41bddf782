"""Overrides that set what the rows of a model have without stating it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import Override, OverrideType, ValueType
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from .rows import find_implied


def add_implied_keys(overrides: Iterable[Override], config: DictConfig) -> None:
    """Let overrides set what the rows of a model have without stating it, as if they were typed with `++`.

    These are the arguments that `shared` gives, and the rows inside a block. A row inside a block that an override
    deletes, as in `~model.layers.conv3_1.body.bn1`, becomes null, which leaves it out.

    Args:
        overrides: changed in place.
        config: composed, before the overrides.
    """
    tables = ("model.layers.", "model.heads.")
    of_rows = [override for override in overrides if override.key_or_group.startswith(tables)]
    if not of_rows or not isinstance(config.get("model"), DictConfig):
        return
    try:
        model: Any = OmegaConf.to_container(config.model, resolve=True)
    except OmegaConfBaseException:  # a value that the overrides are to give
        model = OmegaConf.to_container(config.model)
    for override in of_rows:
        path = override.key_or_group.split(".")[1:]
        try:
            implied = find_implied(model, path)
        except (KeyError, ValueError):
            continue
        if override.is_delete() and implied.is_in_block and "_target_" in (implied.value or ()):
            override.type, override.value_type, override._value = OverrideType.FORCE_ADD, ValueType.ELEMENT, None
        elif override.type is OverrideType.CHANGE and not _has_key(model, path):
            override.type = OverrideType.FORCE_ADD


def _has_key(node: Any, path: Sequence[str]) -> bool:
    for key in path:
        if not isinstance(node, Mapping) or key not in node:
            return False
        node = node[key]
    return True
