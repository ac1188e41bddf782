"""Signals that stop a job, deferred until the work can be stopped without a loss."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C; Slurm's and Kubernetes' way; a closed terminal


class SignalInterrupt(KeyboardInterrupt):
    """One of `SIGNALS` arrived.

    Args:
        number: number of the signal.

    Attributes:
        exit_code: the exit code that a shell reports for the signal.
    """

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class DeferredInterrupts:
    """The signal that has arrived, if any; `check` raises it.

    Attributes:
        number: number of the signal, or None.
    """

    def __init__(self) -> None:
        self.number: int | None = None

    def check(self) -> None:
        """Raise `SignalInterrupt` if a signal has arrived."""
        if self.number is not None:
            raise SignalInterrupt(self.number)

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Store a first signal; raise at a second."""
        self.check()
        self.number = number
        line = "\nStopping: saving a checkpoint after this step. Press Ctrl-C again to stop immediately."
        print(line, file=sys.stderr, flush=True)


def raise_on_signals() -> None:
    """From now on, raise `SignalInterrupt` at once for each of `SIGNALS` that the process was not told to ignore."""
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _raise)


def _raise(number: int, frame: FrameType | None) -> None:
    raise SignalInterrupt(number)


@contextlib.contextmanager
def defer_interrupts() -> Iterator[DeferredInterrupts]:
    """Defer the first of `SIGNALS` within this context, until `check` is called or the context ends.

    A second signal raises at once. An exception that a handler raises appears wherever the program happens to be; in a
    library's clean-up it may be swallowed or turned into another one. So this defers it. Python calls handlers on the
    main thread only; elsewhere nothing is deferred. A signal that the process was started to ignore (`nohup`) stays
    ignored.

    Yields:
        A `DeferredInterrupts`.

    Raises:
        SignalInterrupt: at the end of the context, if a signal has arrived.
    """
    interrupts = DeferredInterrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in handlers.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, interrupts.handle)
    try:
        yield interrupts
        interrupts.check()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
