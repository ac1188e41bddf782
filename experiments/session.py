"""The state of one call of a command, which its jobs and callbacks share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .sweep import SweepProgress

_current: ContextVar[Session | None] = ContextVar("session", default=None)


@dataclass
class Session:
    """One call of a command.

    Hydra calls jobs and callbacks without a way to hand them an object, so they find it by `current_session`.

    Attributes:
        has_started_job: whether a job started in this process.
        failure: the error of the first job that failed in this process.
        progress: of the sweep that the command started.
        is_selected: says of the words of a combination of its sweep whether it is a job.
    """

    has_started_job: bool = False
    failure: Exception | None = None
    progress: SweepProgress | None = None
    is_selected: Callable[[Collection[str]], bool] = lambda words: True

    @property
    def is_remote_sweep(self) -> bool:
        """True if the command started a sweep whose jobs run in other processes."""
        return self.progress is not None and not self.has_started_job


@contextlib.contextmanager
def new_session() -> Iterator[Session]:
    """Start a session; within it `current_session` returns it."""
    session = Session()
    token = _current.set(session)
    try:
        yield session
    finally:
        _current.reset(token)


def current_session() -> Session:
    """Return the session of the command, or an unused one in a process that a launcher started."""
    return _current.get() or Session()
