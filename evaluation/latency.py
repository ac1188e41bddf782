"""Latency: how long a call of a network takes."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_WARM_UP_CALLS = 3  # the first compiles
_MIN_CALLS = 10
_MAX_CALLS = 10_000


@dataclass(frozen=True)
class Latency:
    """Durations of the calls of a function.

    Attributes:
        median_ms: median, in milliseconds.
        p95_ms: 95th percentile, in milliseconds.
        calls: number of calls.
    """

    median_ms: float
    p95_ms: float
    calls: int

    def __str__(self) -> str:
        return f"median {self.median_ms:.2f} ms, 95th percentile {self.p95_ms:.2f} ms ({self.calls:,} calls)"


def measure_latency(
    call: Callable[[], object], seconds: float = 1.0, clock: Callable[[], float] = time.perf_counter
) -> Latency:
    """Measure how long a function takes, call after call, without its first three calls.

    Args:
        call: returns when its work is done.
        seconds: how long to measure; at least 10 calls.
        clock: returns seconds; default `time.perf_counter`. For tests.

    Example:
        >>> measure_latency(lambda: sum(range(1000)), seconds=0.01).calls >= 10
        True
    """
    for _ in range(_WARM_UP_CALLS):
        call()
    durations: list[float] = []
    while len(durations) < _MIN_CALLS or (sum(durations) < seconds and len(durations) < _MAX_CALLS):
        start = clock()
        call()
        durations.append(clock() - start)
    milliseconds = 1000 * np.array(durations)
    return Latency(float(np.median(milliseconds)), float(np.percentile(milliseconds, 95)), len(durations))
