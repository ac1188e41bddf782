"""What the tests leave out, for which there is no time each day: `CONVZOO_TEST=all` runs it.

The samples differ from day to day; `CONVZOO_DAY=2026-12-01` takes those of a past day.
"""

import datetime
import os
from collections.abc import Sequence

import pytest

ALL = os.environ.get("CONVZOO_TEST") == "all"

# In the environment, so that the processes of one test run agree at midnight.
DAY = os.environ.setdefault("CONVZOO_DAY", datetime.datetime.now(datetime.UTC).date().isoformat())

# Marks a test that takes minutes and resembles another that CI runs.
rarely = pytest.mark.skipif(not ALL, reason="CONVZOO_TEST=all runs it")


def sample(values: Sequence, step: int = 2) -> Sequence:
    """Every `step`-th value, from another one each day; all of them with `CONVZOO_TEST=all`."""
    first = datetime.date.fromisoformat(DAY).toordinal() % min(step, len(values))
    return values if ALL else values[first::step]
