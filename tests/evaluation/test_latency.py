"""Latency, by a clock that a test sets."""

import numpy as np
import pytest

from convzoo.evaluation.latency import Latency, measure_latency


class Clock:
    """A clock that moves only while a call runs: the first three take ten seconds, then 1, 2, 3, … ms."""

    def __init__(self):
        self.now = 0.0
        self.calls = 0

    def __call__(self):
        return self.now

    def call(self):
        self.calls += 1
        self.now += 10.0 if self.calls <= 3 else (self.calls - 3) / 1000


def test_measure_latency_leaves_out_the_first_calls():
    clock = Clock()
    latency = measure_latency(clock.call, seconds=0, clock=clock)
    assert latency.calls == 10
    assert latency.median_ms == pytest.approx(5.5)
    assert latency.p95_ms == pytest.approx(np.percentile(np.arange(1, 11), 95))


def test_measure_latency_goes_on_for_the_seconds():
    clock = Clock()
    assert measure_latency(clock.call, seconds=0.2, clock=clock).calls == 20  # 1 + … + 19 ms are 190 ms


def test_latency_reads_as_a_line():
    assert str(Latency(1.234, 20.5, 1000)) == "median 1.23 ms, 95th percentile 20.50 ms (1,000 calls)"
