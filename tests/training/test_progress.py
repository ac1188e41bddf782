"""What the screen shows, under a clock that the test turns."""

import io

import pytest

from convzoo.training.learning_check import TrainingLength
from convzoo.training.progress import Progress


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def run(stream):
    """Two epochs of 10 steps of 100 images: 3 s for the first step, which compiles, then 1 s a step."""
    clock = Clock()
    progress = Progress(TrainingLength(2, 10), 100, stream=stream, clock=clock)
    rates = []
    for epoch in range(2):
        progress.begin_epoch(epoch)
        for step in range(1, 11):
            clock.now += 3 if epoch == 0 and step == 1 else 1
            progress.step(step, 0.5)
        clock.now += 2  # validation
        rates.append(progress.images_per_second())
        progress.end_epoch(dict(train_loss=1.5, train_accuracy=0.5, val_accuracy=0.25, images_per_second=rates[-1]))
    return rates


def test_progress_rate_excludes_step_that_compiles():
    assert run(io.StringIO()) == pytest.approx([100, 100])


@pytest.mark.parametrize("before", [0, 4])
def test_progress_counts_all_steps_of_a_call(before):
    """All of an epoch, or what is left of it, in one call: nothing is left out, and a second is shared by its steps."""
    clock = Clock()
    progress = Progress(TrainingLength(1, 10), 100, stream=io.StringIO(), clock=clock)
    progress.begin_epoch(0, before)
    clock.now += 3
    progress.step(10, 0.5)
    assert progress.images_per_second() == pytest.approx((10 - before) * 100 / 3)


def test_progress_counts_first_call_when_it_compiles_nothing():
    """Of 33 steps in calls of 32 and 1, the second made ready beside the first, a rate would be of a single step."""
    clock = Clock()
    progress = Progress(TrainingLength(2, 33), 100, stream=io.StringIO(), clock=clock)
    rates = []
    for compiles in (True, False):
        progress.begin_epoch(0, compiles=compiles)
        for done, seconds in ((32, 64), (33, 1)):
            clock.now += seconds
            progress.step(done, 0.5)
        rates.append(progress.images_per_second())
    assert rates == pytest.approx([100, 3300 / 65])


def test_progress_prints_line_per_epoch_without_terminal():
    stream = io.StringIO()
    run(stream)
    assert stream.getvalue().splitlines() == [
        "about 20 s for 2 epochs at 100 images/s",
        "epoch 1/2  loss 1.500  train 50.00%  val 25.00%  100 images/s  12 s left",
        "epoch 2/2  loss 1.500  train 50.00%  val 25.00%  100 images/s  26 s of training",
    ]


def test_progress_prints_live_line_on_terminal():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    run(stream)
    assert "\r\033[Kepoch 1/2  step 5/10  train 50.0%  100 images/s  15 s left" in stream.getvalue()


def test_progress_gives_no_estimate_when_epoch_only_compiles():
    """Of a first epoch of 20 s, 19 of them to compile, nothing follows for the others; the second tells."""
    clock, stream = Clock(), io.StringIO()
    progress = Progress(TrainingLength(4, 2), 100, stream=stream, clock=clock)
    for epoch, first in enumerate((19, 1)):
        progress.begin_epoch(epoch, compiles=epoch == 0)
        for step, seconds in ((1, first), (2, 1)):
            clock.now += seconds
            progress.step(step, 0.5)
        progress.end_epoch(dict(train_loss=1.5, train_accuracy=0.5, images_per_second=100))
    assert [line.rpartition("images/s")[2].strip() for line in stream.getvalue().splitlines()] == ["", "4 s left"]
