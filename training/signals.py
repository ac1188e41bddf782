"""The signals that end a job, taken where the work can be ended well."""

import contextlib
import signal
import sys
import threading

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C; Slurm's and Kubernetes' way; a closed terminal


class Interrupted(KeyboardInterrupt):
    """One of `SIGNALS` came; `exit_code` is what a shell would say of it."""

    def __init__(self, number):
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class Interrupts:
    """What came so far."""

    number = None

    def check(self):
        """Raises `Interrupted` if a signal came."""
        if self.number is not None:
            raise Interrupted(self.number)

    def handle(self, number, frame):
        self.check()
        self.number = number
        print("\nending as soon as it can go on from there; once more ends at once", file=sys.stderr, flush=True)


def interrupt():
    """From now on each of `SIGNALS` raises `Interrupted` at once, unless the process was started to ignore it."""
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number, frame):
    raise Interrupted(number)


@contextlib.contextmanager
def interrupting():
    """Yields `Interrupts`: within it one of `SIGNALS` waits until `check` is called, or the end; a second does not.

    An exception that a handler raises at once comes up wherever the program happens to be: in a library's own cleaning
    up it may be swallowed or turned into another. On the main thread only, as Python's handlers are; a signal that the
    process was started to ignore (`nohup`) stays ignored.
    """
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, interrupts.handle)
    try:
        yield interrupts
        interrupts.check()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
