"""Networks as tables of rows: `build("nin")` makes a `keras.Model`, `plan("nin")` says what it would cost."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .planning import Plan, Row
    from .zoo import build, names, plan

__all__ = ["Plan", "Row", "build", "names", "plan"]


def __getattr__(name):  # late, so that `python -m convzoo.models` can start the backend without its noise
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(".planning" if name in ("Plan", "Row") else ".zoo", __name__), name)
