"""Networks as tables of rows: `build("nin")` makes a `keras.Model`, `plan("nin")` says what it would cost."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .extraction import features
    from .loading import load
    from .planning import Plan, PlanRow
    from .registry import build, names, plan

_MODULES = {
    "Plan": ".planning",
    "PlanRow": ".planning",
    "features": ".extraction",
    "load": ".loading",
    "build": ".registry",
    "names": ".registry",
    "plan": ".registry",
}
__all__ = ["Plan", "PlanRow", "build", "features", "load", "names", "plan"]


def __getattr__(name: str) -> Any:  # late, so that `python -m convzoo.models` can start the backend without its noise
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import_module("..layers", __name__)  # which says what it lacks
    try:
        return getattr(import_module(_MODULES[name], __name__), name)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"convzoo.models.{name} needs {error.name}, which is not installed: pip install 'convzoo[train]'",
            name=error.name,
        ) from None
