"""The check of a data config."""

from __future__ import annotations

from .. import UserError
from ..settings.data import DataSettings
from ..settings.schema import parse_settings
from .extra_tests import name_extra_tests
from .sources import find_sources


def check_config(config: object) -> None:
    """Refuses a data config with an unknown key or an invalid value, before any image is read.

    Args:
        config: the keys of a file in `configs/data`.

    Raises:
        UserError: it names the key, the rule and the value.
    """
    settings = parse_settings(DataSettings, config, "data")
    sources = find_sources()
    if settings.source not in sources:
        raise UserError(f"`data.source` must be one of {', '.join(sources)}. Received: data.source={settings.source}")
    for key in ("train", "test"):
        if getattr(settings, key) is not None and not sources[settings.source].has_named_splits:
            raise UserError(
                f"`data.{key}` chooses a split of a set of TensorFlow Datasets; this set is of `data.source` "
                f"{settings.source}. Received: data.{key}={getattr(settings, key)}"
            )
    if sources[settings.source].has_class_folders and not all(map(_is_folder_name, settings.class_names)):
        raise UserError(
            f"`data.class_names` must be {settings.classes} different names, none with a / or \\. "
            f"Received: {list(settings.class_names)}"
        )
    name_extra_tests(settings.model_dump())


def _is_folder_name(name: str) -> bool:
    return name.strip() not in (".", "..") and not {"/", "\\"} & set(name)
