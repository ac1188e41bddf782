"""Data sources: a module for each kind of image set."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from .base import Source, SourceData

__all__ = ["Source", "SourceData", "find_sources", "make_source"]


def find_sources() -> dict[str, type[Source]]:
    """Finds the subclasses of `Source` in the modules of this folder.

    Returns:
        Mapping from name, as `data.source` has it, to class, in alphabetical order of the modules.
    """
    modules = [importlib.import_module(f"{__name__}.{each.name}") for each in pkgutil.iter_modules(__path__)]
    classes = [value for module in modules for value in vars(module).values() if isinstance(value, type)]
    return {source.name: source for source in classes if issubclass(source, Source) and source is not Source}


def make_source(config: Mapping[str, Any]) -> Source:
    """Makes the source that a checked data config names."""
    return find_sources()[config["source"]](config)
