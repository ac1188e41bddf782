"""A run that the store does not have whole."""

from dataclasses import dataclass, field
from typing import Any

from .journal import Journal


@dataclass(eq=False)
class PendingRun:
    """A journal, and the state of its delivery, which only the process that delivers it needs.

    Attributes:
        journal: the records of the run.
        error: why the store has refused the run, or None.
        blocks_start: whether the training waits until the store has the first record.
        deliver_after: time by `time.monotonic` before which the journal is not delivered.
        is_watching: whether the worker watches another process's heartbeat before it starts the run.
        logged_steps: by the name of a metric, the steps at which the store has it.
        repository: MLflow's repository of the run's files; None before it is needed.
    """

    journal: Journal
    error: Exception | None = None
    blocks_start: bool = False
    deliver_after: float = 0.0
    is_watching: bool = False
    logged_steps: dict[str, set[int]] = field(default_factory=dict)
    repository: Any = None

    def rewind(self, count: int) -> None:
        """Deliver all records but the first `count` again, since the store has lost them.

        With a count of 0 they become a new run: the old one belongs to another process, or is gone.
        """
        self.logged_steps = {}
        self.repository = None
        if count:
            self.journal.rewind(count)
        else:
            self.journal.reset()
