"""The signals that end a job, as an interrupt that a run can record."""

import contextlib
import signal
import threading

SIGNALS = (signal.SIGTERM, signal.SIGHUP)  # Slurm's and Kubernetes' way; a terminal that is closed


class Terminated(KeyboardInterrupt):
    """One of `SIGNALS` came; `exit_code` is what a shell would say of it."""

    def __init__(self, number):
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


@contextlib.contextmanager
def interrupting():
    """Within it each of `SIGNALS` raises `Terminated`, as Ctrl-C raises KeyboardInterrupt. On the main thread only.

    A signal that the process was started to ignore (`nohup`) stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number, frame):
        raise Terminated(number)

    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
