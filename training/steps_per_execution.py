"""Number of training steps that one call of the backend runs."""

import time
from collections.abc import Callable
from typing import TypeVar

ItemT = TypeVar("ItemT")

_TARGET_SECONDS = 0.1  # of one call


class AdaptiveStepsPerExecution:
    """Adapts `steps_per_execution`, so that one call of the backend takes about a tenth of a second.

    Between two calls the cores idle for about a millisecond: a call runs one step of a large network and a dozen of a
    small one. On two cores of a Zen 4, LeNet's step of 128 images takes 8.2 ms in a call of its own and 6.6 among ten;
    All-CNN-C's takes 0.6 s either way. An interrupt waits for the end of a call.

    Args:
        maximum: largest number of steps of a call; default 32.
        clock: returns seconds; default `time.perf_counter`. For tests.

    Attributes:
        steps: number of steps of the next call.
    """

    def __init__(self, maximum: int = 32, clock: Callable[[], float] = time.perf_counter):
        self.maximum = maximum
        self.clock = clock
        self.steps = 1

    def run(self, train: Callable[..., list[ItemT]], *batches: object) -> list[ItemT]:
        """Call `train(*batches)`, and set `steps` by the time that it takes.

        Args:
            train: trains on the batches; returns a list with one item for each step.
            batches: its arguments.

        Returns:
            The list that `train` returned.
        """
        start = self.clock()
        step_metrics = train(*batches)
        seconds = (self.clock() - start) / len(step_metrics)
        self.steps = max(1, min(self.maximum, int(_TARGET_SECONDS / max(seconds, 1e-9))))
        return step_metrics
