"""The slow tests that CI leaves out, for which it has no time: `CONVZOO_TEST=all` runs them."""

import os
from collections.abc import Sequence

import pytest

ALL = os.environ.get("CONVZOO_TEST") == "all"

# Marks a test that takes minutes and resembles another that CI runs.
rarely = pytest.mark.skipif(not ALL, reason="CONVZOO_TEST=all runs it")


def sample(values: Sequence, step: int = 2) -> Sequence:
    """Every `step`-th value; all of them with `CONVZOO_TEST=all`."""
    return values if ALL else values[::step]
