"""The former name of `model_registry`, by which models registered with convzoo 0.2 are loaded."""

from .model_registry import _load_pyfunc

__all__ = ["_load_pyfunc"]
