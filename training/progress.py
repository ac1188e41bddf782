"""Progress of a training on the screen."""

import sys
import time
from collections.abc import Callable, Mapping
from typing import TextIO

from .learning_check import TrainingLength

_WARM_UP_SECONDS = 5.0  # of steps, after which their rate is trusted
_REFRESH_SECONDS = 0.2


class Progress:
    """Epoch, accuracy, images per second and time left: a live line on a terminal, otherwise a line per epoch.

    Args:
        length: epochs, and steps per epoch, of the training.
        batch_size: images per step.
        epochs_done: number of epochs that were done before; default 0.
        stream: where lines are written; default the output stream.
        clock: returns seconds; default `time.monotonic`. For tests.

    Attributes:
        steps_done: number of the current epoch's steps that are done.
        seconds: time of the epochs that have ended, validation included.
    """

    def __init__(
        self,
        length: TrainingLength,
        batch_size: int,
        epochs_done: int = 0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.length = length
        self.batch_size = batch_size
        self.epochs_done = epochs_done
        self.stream = stream or sys.stdout
        self.clock = clock
        self.is_live = self.stream.isatty()
        self.epoch = 0
        self.steps_done = 0
        self.seconds = 0.0
        self.train_seconds = 0.0  # of the current epoch's steps
        self.compiles = True
        self._first_step = 0
        self._epoch_start = 0.0
        self._first_call: tuple[int, float] | None = None  # steps done after it, and its end
        self._typical_epochs: list[float] = []  # seconds of epochs, with compilation left out
        self._has_estimate = False
        self._last_refresh = 0.0

    def begin_epoch(self, epoch: int, steps_done: int = 0, compiles: bool = True) -> None:
        """Start an epoch.

        Args:
            epoch: its number, from 0.
            steps_done: number of its steps that were done before; default 0.
            compiles: whether its first call compiles the network; default True.
        """
        self.epoch = epoch
        self.steps_done = steps_done
        self.compiles = compiles
        self._first_step = steps_done
        self._epoch_start = self.clock()
        self._first_call = None

    def step(self, steps_done: int, accuracy: float) -> None:
        """Report that a call of one or more steps has ended; `steps_done` of the epoch are done now."""
        now = self.clock()
        self.steps_done = steps_done
        self.train_seconds = now - self._epoch_start
        if self._first_call is None:
            self._first_call = steps_done, now
            return
        if not self._has_estimate and now - self._first_call[1] >= _WARM_UP_SECONDS:
            self._has_estimate = True
            epochs = self.length.epochs - self.epochs_done
            total = epochs * self.length.steps * self._seconds_per_step()
            self._print(
                f"about {_format_duration(total)} for {epochs} epochs at {self.images_per_second():,.0f} images/s"
            )
        if self.is_live and now - self._last_refresh > _REFRESH_SECONDS:
            self._last_refresh = now
            self.stream.write(
                f"\r\033[Kepoch {self.epoch + 1}/{self.length.epochs}  step {steps_done}/{self.length.steps}  "
                f"train {accuracy:.1%}  {self.images_per_second():,.0f} images/s  "
                f"{_format_duration(self._remaining_seconds())} left"
            )
            self.stream.flush()

    def end_epoch(self, metrics: Mapping[str, float]) -> float:
        """Print a line about the epoch; return its seconds, validation included."""
        seconds = self.epoch_seconds()
        self.seconds += seconds
        if (typical := self._typical_seconds(seconds)) is not None:
            self._typical_epochs.append(typical)
        epochs_left = self.length.epochs - self.epoch - 1
        duration = f"  {_format_duration(self.seconds)} of training" if not epochs_left else ""
        if epochs_left and self._typical_epochs:
            mean = sum(self._typical_epochs) / len(self._typical_epochs)
            duration = f"  {_format_duration(epochs_left * mean)} left"
        validation = f"  val {metrics['val_accuracy']:.2%}" if "val_accuracy" in metrics else ""
        self._print(
            f"epoch {self.epoch + 1:>{len(str(self.length.epochs))}}/{self.length.epochs}  "
            f"loss {metrics['train_loss']:.3f}  train {metrics['train_accuracy']:.2%}{validation}  "
            f"{metrics['images_per_second']:,.0f} images/s{duration}"
        )
        return seconds

    def _typical_seconds(self, seconds: float) -> float | None:
        """Return the seconds of the current epoch without compilation; None if they are not known."""
        if self.compiles and (
            self._first_call is None or self._epoch_start + self.train_seconds - self._first_call[1] < _WARM_UP_SECONDS
        ):
            return None
        return seconds - self.train_seconds + self.length.steps * self._seconds_per_step()

    def epoch_seconds(self) -> float:
        """Return the seconds since the current epoch started."""
        return self.clock() - self._epoch_start

    def images_per_second(self) -> float:
        """Return the rate of the current epoch's training steps, without a first call that compiles if possible."""
        return self.batch_size / self._seconds_per_step()

    def _seconds_per_step(self) -> float:
        assert self._first_call, "no step was reported"
        steps_done, end = self._first_call
        if self.steps_done == steps_done or not self.compiles:
            return self.train_seconds / (self.steps_done - self._first_step)
        return (self._epoch_start + self.train_seconds - end) / (self.steps_done - steps_done)

    def _remaining_seconds(self) -> float:
        steps = (self.length.epochs - self.epoch) * self.length.steps - self.steps_done
        return steps * self._seconds_per_step()

    def _print(self, text: str) -> None:
        self.stream.write(("\r\033[K" if self.is_live else "") + text + "\n")
        self.stream.flush()


def _format_duration(seconds: float) -> str:
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
