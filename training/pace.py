"""How many steps of training go to the backend in one call."""

import time


class Pace:
    """As many steps as take a tenth of a second: one of a large network, a dozen of a small one.

    Between two calls the cores have little to do for about a millisecond. On two cores of a Zen 4 LeNet's step of 128
    images takes 8.2 ms by itself and 6.6 among ten, All-CNN-C's 0.6 s either way. An interrupt waits for the call.

    Args:
        most: steps of a call.
        clock: seconds, for tests.

    Attributes:
        steps: of the next call.
    """

    def __init__(self, most=32, clock=time.perf_counter):
        self.most, self.clock, self.steps = most, clock, 1

    def timed(self, learn, ready):
        """What `learn(ready)` gives, a list with an item a step, by whose time the next call is measured."""
        begun = self.clock()
        told = learn(ready)
        seconds = (self.clock() - begun) / len(told)
        self.steps = max(1, min(self.most, int(0.1 / max(seconds, 1e-9))))
        return told
