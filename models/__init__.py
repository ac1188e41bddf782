"""Networks as tables of rows: `build("nin")` makes a `keras.Model`, `plan("nin")` says what it would cost."""

from .planning import Plan, Row
from .zoo import build, names, plan

__all__ = ["Plan", "Row", "build", "names", "plan"]
