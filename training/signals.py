"""SIGTERM, Slurm's and Kubernetes' way to end a job, as an interrupt that a run can record."""

import contextlib
import signal
import threading


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""

    exit_code = 128 + signal.SIGTERM


@contextlib.contextmanager
def sigterm_interrupts():
    """Within it SIGTERM raises `Terminated`, as Ctrl-C raises KeyboardInterrupt. On the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number, frame):
        raise Terminated

    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
