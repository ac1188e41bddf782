"""Training of a network: the trainer, steps on each backend, optimizers, checkpoints, precision and devices."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .optimizers import L2SGD, Muon
    from .schedules import (
        Constant,
        Exponential,
        Inverse,
        Linear,
        OneCycle,
        Plateau,
        Polynomial,
        Steps,
        Triangle,
        WarmupCosine,
    )

_MODULES = {
    "L2SGD": ".optimizers",
    "Muon": ".optimizers",
    "Constant": ".schedules",
    "Exponential": ".schedules",
    "Inverse": ".schedules",
    "Linear": ".schedules",
    "OneCycle": ".schedules",
    "Plateau": ".schedules",
    "Polynomial": ".schedules",
    "Steps": ".schedules",
    "Triangle": ".schedules",
    "WarmupCosine": ".schedules",
}
__all__ = [
    "L2SGD",
    "Constant",
    "Exponential",
    "Inverse",
    "Linear",
    "Muon",
    "OneCycle",
    "Plateau",
    "Polynomial",
    "Steps",
    "Triangle",
    "WarmupCosine",
]


def __getattr__(name: str) -> Any:  # late, so that the settings of a backend come before Keras
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name], __name__), name)
