"""convzoo: convolutional networks as Keras tables, and the harness that compares them.

Nothing heavy is imported here: `convzoo.layers` needs Keras and one backend alone, the rest `convzoo[train]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .experiments.run_result import RunResult as RunResult
    from .experiments.runner import compose_settings as compose_settings
    from .experiments.runner import run_training as run_training
    from .experiments.study_results import results as results

__version__ = "0.2.0"  # the head of CHANGELOG.md

_LAZY_EXPORTS = {
    "run_training": "experiments.runner",
    "compose_settings": "experiments.runner",
    "RunResult": "experiments.run_result",
    "results": "experiments.study_results",
}
RUN_WEIGHTS_MODULE = f"{__name__}.tracking.run_weights"  # registers with `models` how `run:ID` is opened


class UserError(ValueError):
    """An error caused by user input; commands print it in one line and exit with 2."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY_EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f".{_LAZY_EXPORTS[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY_EXPORTS])
