"""What a person sees while a network trains."""

import sys
import time

_SETTLED = 5.0  # seconds of steps after which a rate may be trusted


class Progress:
    """Epoch, accuracy, images a second and time left: a live line on a terminal, a line an epoch elsewhere.

    Args:
        epochs: of the whole training.
        steps: of an epoch.
        batch_size: images of a step.
        before: epochs that were done before.
        stream: where it is shown; None is the output stream.
        clock: seconds, for tests.
    """

    def __init__(self, epochs, steps, batch_size, before=0, stream=None, clock=time.monotonic):
        self.epochs, self.steps, self.batch_size, self.before = epochs, steps, batch_size, before
        self.stream, self.clock = stream or sys.stdout, clock
        self.live = self.stream.isatty()
        self.epoch = 0
        self.seconds = 0.0  # of the epochs that have ended, validation included
        self.estimated = False
        self.shown = 0.0

    def begin_epoch(self, epoch, done=0, compiles=True):
        """Epoch number `epoch`, from 0, of which `done` steps were done before; its first call compiles, or not."""
        self.epoch, self.done, self.started, self.compiles = epoch, done, done, compiles
        self.begun = self.clock()
        self.first = None

    def step(self, done, accuracy):
        """A step was done, or some in one call, and `done` are now."""
        self.done, now = done, self.clock()
        if self.first is None:
            self.first = done, now
            self.train_seconds = now - self.begun
            return
        self.train_seconds = now - self.begun
        if not self.estimated and now - self.first[1] >= _SETTLED:
            self.estimated = True
            epochs = self.epochs - self.before
            total = epochs * self.steps * self._seconds_a_step()
            self._line(f"about {_duration(total)} for {epochs} epochs at {self.images_per_second():,.0f} images/s")
        if self.live and now - self.shown > 0.2:
            self.shown = now
            self.stream.write(
                f"\r\033[Kepoch {self.epoch + 1}/{self.epochs}  step {done}/{self.steps}  train {accuracy:.1%}  "
                f"{self.images_per_second():,.0f} images/s  {_duration(self._left())} left"
            )
            self.stream.flush()

    def end_epoch(self, metrics):
        """Tells of the epoch; returns its seconds, validation included."""
        seconds = self.epoch_seconds()
        self.seconds += seconds
        left = self.seconds / (self.epoch + 1 - self.before) * (self.epochs - self.epoch - 1)
        validation = f"  val {metrics['val_accuracy']:.2%}" if "val_accuracy" in metrics else ""
        self._line(
            f"epoch {self.epoch + 1:>{len(str(self.epochs))}}/{self.epochs}  loss {metrics['train_loss']:.3f}  "
            f"train {metrics['train_accuracy']:.2%}{validation}  {metrics['images_per_second']:,.0f} images/s  "
            + (f"{_duration(left)} left" if left else f"{_duration(self.seconds)} in all")
        )
        return seconds

    def epoch_seconds(self):
        """What the current epoch has taken so far."""
        return self.clock() - self.begun

    def images_per_second(self):
        """Rate of the current epoch's training steps, without a first call that compiles, if there are others."""
        return self.batch_size / self._seconds_a_step()

    def _seconds_a_step(self):
        done, since = self.first
        if self.done == done or not self.compiles:
            return self.train_seconds / (self.done - self.started)
        return (self.begun + self.train_seconds - since) / (self.done - done)

    def _left(self):
        steps = (self.epochs - self.epoch) * self.steps - self.done
        return steps * self._seconds_a_step()

    def _line(self, text):
        self.stream.write(("\r\033[K" if self.live else "") + text + "\n")
        self.stream.flush()


def _duration(seconds):
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
