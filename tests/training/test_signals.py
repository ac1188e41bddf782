"""Signals that a process sends itself."""

import os
import signal

import pytest

from convzoo.training.signals import SignalInterrupt, defer_interrupts


@pytest.fixture(autouse=True)
def started_in_the_foreground():
    """A shell starts what runs in its background with Ctrl-C ignored, `nohup` with a hang-up ignored."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def hit_by(*numbers, check=False):
    """Goes on after the signals, as a library does that swallows every exception; returns how far it came."""
    passed = []
    try:
        with defer_interrupts() as interrupts:
            for number in numbers:
                os.kill(os.getpid(), number)
                passed.append(number)
            if check:
                interrupts.check()
                passed.append("check")
    except SignalInterrupt as ended:
        return passed, ended.exit_code
    return passed, 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_first_signal_waits_for_check(number, code):
    assert hit_by(number, check=True) == ([number], code)


def test_second_signal_raises_at_once():
    assert hit_by(signal.SIGTERM, signal.SIGINT) == ([signal.SIGTERM], 143)


def test_signal_raises_at_end_of_context(capsys):
    assert hit_by(signal.SIGTERM) == ([signal.SIGTERM], 143)
    assert "Press Ctrl-C again" in capsys.readouterr().err


def test_ignored_signals_stay_ignored_and_handlers_return():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert hit_by(signal.SIGHUP, check=True) == ([signal.SIGHUP, "check"], 0)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    finally:
        signal.signal(signal.SIGHUP, before)
