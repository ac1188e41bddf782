"""A part of what a slow test is repeated for: CI has an hour."""

import os
from collections.abc import Sequence


def sample(values: Sequence, step: int = 2) -> Sequence:
    """Every `step`-th value; all of them with `CONVZOO_TEST=all`."""
    return values if os.environ.get("CONVZOO_TEST") == "all" else values[::step]
