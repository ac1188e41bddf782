"""The delivery of journals by a thread: at once, or when the store accepts records again.

Training never waits for the store. A record is written to the run's journal; the worker of its store delivers the
journals of the process in order, after those of processes that are gone. While the store does not accept them they stay
on disk, for this process or for the next command that reaches the store. A record that the store refuses stops nothing
but itself (`transfer`). The guarantees are in `docs/outbox.md`.
"""

import atexit
import contextlib
import enum
import functools
import math
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ... import UserError
from ...settings.text import printable, without_password
from .. import heartbeat
from ..addresses import check_store, file_id, sqlite_path
from ..errors import StoreUnavailableError, is_auth_error, is_refused, one_line
from ..store import get_status, open_store
from ..tables import check_tables
from . import journal as journals
from .journal import Journal
from .pending_run import PendingRun
from .transfer import Transfer, deliver_orphan

START_TIMEOUT_S = 10  # a run waits so long for a server at its start
EXIT_TIMEOUT_S = 4  # a command waits so long for a store at its end
_POLL_S = 0.5  # between two calls of `poll`
_GRACE_S = 2  # for a training to reach its first step, before a file is opened, which would slow it down
_RETRY_DELAYS_S = (1, 2, 4, 8, 15, 30)  # before further attempts to reach a store
_PROGRESS_INTERVAL_S = 5  # between two lines of a command that waits


class StoreState(enum.Enum):
    """The state of a store, as its worker knows it."""

    ONLINE = enum.auto()
    OFFLINE = enum.auto()  # the worker tries to reach it again and again
    GAVE_UP = enum.auto()  # OFFLINE, and a run has already waited for it at its end, in vain


def get_worker(uri: str) -> "DeliveryWorker":
    """Return the worker of this process for a store."""
    return _worker_of_process(os.getpid(), uri)


@functools.cache
def _worker_of_process(pid: int, uri: str) -> "DeliveryWorker":
    """Return a worker; a forked process has none of its parent's threads, and gets one of its own."""
    return DeliveryWorker(uri)


def flush_pending(uri: str) -> None:
    """Refuse an address that cannot be a store, and deliver what earlier commands left for it.

    A store that worked before and does not answer now is reported, without an error.

    Raises:
        UserError: the message names `tracking.uri`.
    """
    warn_unreadable()
    try:
        if sqlite_path(uri) and not journals.pending_journals(uri):
            check_store(uri)
            return check_tables(uri)  # the run opens it
        open_store(uri)
        get_worker(uri).flush_pending()
    except StoreUnavailableError as error:
        get_worker(uri).mark_offline(error)
    return None


def warn_unreadable() -> None:
    """Print each folder of the spool that cannot be read, once, with the reason and what helps."""
    for folder, reason in journals.unreadable_folders():
        _warn_folder(folder, reason)


@functools.cache
def _warn_folder(folder: Path, reason: str) -> None:
    where = os.path.relpath(folder)
    print_line(f"warning: {where} cannot be delivered ({reason}); it stays there, `rm -r {where}` gives it up")


class DeliveryWorker:
    """Delivers the journals of a process to one store.

    Args:
        uri: address of the store.
    """

    def __init__(self, uri: str):
        self.uri = uri
        self._transfers: list[Transfer] = []
        self._changed = threading.Condition()
        self._state = StoreState.ONLINE
        self._attempts = 0  # to reach the store, since it is offline
        self._delayed = 0  # records that were delivered since then
        self._has_orphans = False  # whether journals of earlier commands are to be delivered
        self._delivered_count = 0  # records of this process and of earlier ones
        self._refused_journals: list[Journal] = []  # of runs that have ended
        self._client: Any = None
        self._file: tuple[int, int] | None = None  # that the client has opened
        self._reap_after: dict[str, float] = {}  # by experiment: when stale runs are looked for, by `heartbeat.clock`
        threading.Thread(target=self._work, daemon=True).start()

    @property
    def is_offline(self) -> bool:
        """True if the store accepts nothing now."""
        return self._state is not StoreState.ONLINE

    @property
    def pending_runs(self) -> list[PendingRun]:
        """The runs of this process that the store does not have whole."""
        return [transfer.pending for transfer in self._transfers]

    def flush_pending(self) -> None:
        """Deliver what earlier commands left; return when that is done, or when the store does not accept it."""
        # Journals whose records were all delivered count too: their runs may have no end.
        if orphans := journals.pending_journals(self.uri):
            count = sum(journal.pending_count for journal in orphans)
            self._has_orphans = True
            before = self._delivered_count
            self._wait(
                lambda: not self._has_orphans or self.is_offline,
                progress=lambda: (
                    f"delivering what earlier commands left in {journals.SPOOL}/: {self._delivered_count - before:,} "
                    f"of {count:,} records"
                ),
            )

    def start(self, pending: PendingRun, poll: Callable[[], object]) -> None:
        """Take over a run whose journal has its first record; return when the store has that, or does not accept it.

        A sqlite file is waited for only if other processes may make the same run.

        Args:
            pending: the run.
            poll: called now and then while the store is waited for.

        Raises:
            UserError: the store refuses the run, or another process makes it.
        """
        pending.blocks_start = "cell" in pending.journal.begin or not sqlite_path(self.uri)
        if not (pending.blocks_start or self._client):
            pending.deliver_after = time.monotonic() + _GRACE_S
        self._transfers.append(Transfer(pending, self._connect, print_line, self._progress, self._reap_stale_runs))
        if not pending.blocks_start:
            return self.notify()
        self.wait_registered(pending, poll)
        with self._changed:
            pending.blocks_start = False
            if pending.error:
                raise pending.error
        return None

    def wait_registered(self, pending: PendingRun, poll: Callable[[], object] = lambda: None) -> None:
        """Return when the store has the first record of a run, or does not accept it.

        A silent server is not waited for any longer. A file is waited for until MLflow has opened it or has failed: the
        delay is this machine's, and another process may make the same run.
        """

        def is_settled() -> bool:
            return bool(pending.journal.delivered or pending.error or self.is_offline)

        pending.deliver_after = 0.0
        if self._wait(is_settled, START_TIMEOUT_S, poll):
            return
        if sqlite_path(self.uri):
            print_line(f"waiting for {self.uri}")
            self._wait(is_settled, poll=poll)
        elif pending.is_watching:
            print_line("waiting to see whether another process still makes this run")
            self._wait(lambda: is_settled() or not pending.is_watching, poll=poll)
            self._wait(is_settled, START_TIMEOUT_S, poll)

    def notify(self) -> None:
        """Wake the worker: there are new records."""
        with self._changed:
            self._changed.notify_all()

    def finish(self, pending: PendingRun, timeout_s: float = math.inf) -> None:
        """Return when the store has all records of a run, or does not accept them.

        Args:
            pending: a run whose journal has its last record.
            timeout_s: the next command delivers what the store does not have after so long.

        Raises:
            UserError: neither the store nor the disk has all records.
        """
        journal = pending.journal
        name = journal.begin["name"]
        pending.deliver_after = 0.0
        self._wait(
            lambda: pending not in self.pending_runs or self.is_offline,
            timeout_s,
            progress=lambda: f"{self.uri} has yet to take {journal.pending_count:,} records of {name}",
        )
        if pending in self.pending_runs and not self.is_offline:
            self.mark_offline(TimeoutError(f"no answer in {timeout_s} s"), StoreState.GAVE_UP)
        if journal.pending_count and not pending.error and not journal.is_on_disk:
            raise UserError(f"neither {self.uri} nor {journals.SPOOL}/ takes what run {name} recorded")

    def flush_at_exit(self) -> None:
        """Try to reach the store for the last time, unless a run just did, and print what is left."""
        if self._state is StoreState.OFFLINE:
            self._attempts = 0
            self._wait(lambda: not self.is_offline, EXIT_TIMEOUT_S)
        pending = list(self._refused_journals)
        if self.is_offline:
            pending += [each.journal for each in self.pending_runs if each.journal.pending_count]
        if pending:
            runs = f"{len(pending)} run{'s' * (len(pending) != 1)}"
            print_line(f"{runs} for {self.uri} in {journals.SPOOL}/: the next command that reaches it delivers")

    def mark_offline(self, error: Exception, state: StoreState = StoreState.OFFLINE) -> None:
        """Note that the store accepts nothing, and print it once."""
        with self._changed:
            if not self.is_offline:
                self._state, self._delayed = state, 0
                get_status(self.uri).offline_reason = one_line(error)
                self._register_exit_flush()
                print_line(
                    f"warning: `tracking.uri={self.uri}` takes nothing now ({one_line(error)}); "
                    f"what is recorded waits in {journals.SPOOL}/"
                )
            self._changed.notify_all()

    def _mark_online(self) -> None:
        with self._changed:
            self._state, self._attempts = StoreState.ONLINE, 0
            get_status(self.uri).offline_reason = None
            if not self._refused_journals:
                atexit.unregister(self.flush_at_exit)
        delayed = f": all that waited has arrived, {self._delayed} records" if self._delayed else ""
        print_line(f"{self.uri} takes what is recorded again{delayed}")

    def _wait(
        self,
        is_done: Callable[[], object],
        timeout_s: float = math.inf,
        poll: Callable[[], object] = lambda: None,
        progress: Callable[[], str] | None = None,
    ) -> bool:
        """Wait until something is done, and return whether it is.

        Args:
            is_done: tells that.
            timeout_s: longest time to wait.
            poll: called twice a second meanwhile.
            progress: returns a line to print every few seconds.
        """
        start = time.monotonic()
        end, next_line_at = start + timeout_s, start + _PROGRESS_INTERVAL_S
        with self._changed:
            self._changed.notify_all()
            while not (result := self._changed.wait_for(is_done, min(max(end - time.monotonic(), 0), _POLL_S))):
                if time.monotonic() >= end:
                    break
                if progress and time.monotonic() >= next_line_at:
                    next_line_at = time.monotonic() + _PROGRESS_INTERVAL_S
                    print_line(progress())
                poll()
        return bool(result)

    def _register_exit_flush(self) -> None:
        atexit.unregister(self.flush_at_exit)
        atexit.register(self.flush_at_exit)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._is_due, self._pause())
            try:
                self._deliver_due()
            except Exception as error:
                self._attempts += 1
                self.mark_offline(error)

    def _is_due(self) -> bool:
        if self.is_offline:
            return self._attempts == 0
        now = time.monotonic()
        return self._has_orphans or any(each.is_due and each.pending.deliver_after <= now for each in self._transfers)

    def _pause(self) -> float:
        """Return the seconds after which the worker looks for work without being woken."""
        now = time.monotonic()
        if deadlines := [each.deliver_after for each in self.pending_runs if each.deliver_after > now]:
            return max(min(deadlines) - now, 0)
        if not self.is_offline:
            return heartbeat.HEARTBEAT_INTERVAL_S / 3  # so that a heartbeat is late by a third of its interval at most
        return _RETRY_DELAYS_S[min(max(self._attempts, 1), len(_RETRY_DELAYS_S)) - 1]

    def _deliver_due(self) -> None:
        """Deliver the journals of processes that are gone, and then those of this process."""
        due = [transfer for transfer in self._transfers if transfer.pending.deliver_after <= time.monotonic()]
        if not (self.is_offline or self._has_orphans or due):
            return
        if not self._open_store(due):
            return
        if self._has_orphans or self.is_offline:
            with journals.delivery_lock():
                for journal in journals.orphaned_journals(self.uri):
                    self._deliver_orphan(journal)
            self._has_orphans = False
        for transfer in due:
            self._deliver(transfer)
        if self.is_offline:
            self._mark_online()
        self.notify()

    def _open_store(self, due: list[Transfer]) -> bool:
        """Open the store, and return whether it is open; if it refuses to open, the due runs get its error."""
        try:
            self._connect(reconnect=self.is_offline)
        except UserError as error:
            if not is_refused(error):
                raise
            for transfer in due:
                transfer.pending.error = error
                self._transfers.remove(transfer)
            self.notify()
            return False
        return True

    def _connect(self, reconnect: bool = False) -> Any:
        """Return MLflow's client, a new one if the store's file was replaced.

        Raises:
            StoreUnavailableError: the store accepts nothing now.
            UserError: it has refused to open from the first time on.
        """
        if reconnect or not self._client or file_id(self.uri) != self._file:
            try:
                self._client = open_store(self.uri, force=True)
            except UserError as error:
                if not self._client or not is_refused(error):
                    raise
                raise StoreUnavailableError(str(error)) from error  # it worked before, and may work again
            self._file = file_id(self.uri)
        return self._client

    def _progress(self, count: int) -> None:
        """Note that so many records were delivered."""
        self._delivered_count += count
        self._delayed += count if self.is_offline else 0
        self._attempts = 0
        self.notify()

    def _deliver(self, transfer: Transfer) -> None:
        """Deliver the pending records of a run of this process."""
        pending, journal = transfer.pending, transfer.journal
        try:
            transfer.deliver(may_exist=self.is_offline)
        except Exception as error:
            with self._changed:
                if not is_refused(error) or is_auth_error(error):
                    raise
                if not pending.blocks_start and isinstance(error, heartbeat.OwnedError):
                    return  # the training has begun: the next attempt creates a new run
                pending.error = _as_user_error(error, self.uri)
                if pending.blocks_start:
                    journal.remove()
                elif journal.delivered or journal.has_ended:
                    print_line(f"warning: {self._describe_refusal(journal, error)}")
                self._transfers.remove(transfer)
                self._changed.notify_all()
            return
        self._reap_stale_runs(str(journal.experiment))
        if transfer.is_done:
            if journal.refused:
                self._refused_journals.append(journal)
                self._register_exit_flush()
                journal.close()
            else:
                journal.remove()
            self._transfers.remove(transfer)  # now the process may end

    def _deliver_orphan(self, journal: Journal) -> None:
        """Deliver the journal of a process that is gone; a run that it did not end is KILLED."""
        count, name = journal.pending_count, journal.begin["name"]
        try:
            deliver_orphan(journal, self._connect, print_line, self._progress)
            if count and not journal.refused:
                print_line(f"{name}: what waited in {journals.SPOOL}/ has arrived, {count} records")
        except Exception as error:
            if not is_refused(error) or is_auth_error(error):
                raise
            print_line(f"warning: {self._describe_refusal(journal, error)}")
        finally:
            journal.close()

    def _reap_stale_runs(self, experiment: str) -> None:
        """End the runs of a study whose process is gone: at once, and again after other machines' runs were watched."""
        due = self._reap_after.setdefault(experiment, 0.0)
        if heartbeat.clock() >= due:
            self._reap_after[experiment] = math.inf if due else heartbeat.clock() + 2 * heartbeat.HEARTBEAT_INTERVAL_S
            try:
                for name in heartbeat.reap_stale_runs(self._connect(), experiment):
                    print_line(f"{name}: its process is gone, the run is ended as KILLED")
            except Exception as error:
                if not is_refused(error):  # if it is, this user may not end them
                    raise

    def _describe_refusal(self, journal: Journal, error: Exception) -> str:
        where = journal.relative_folder
        return (
            f"{self.uri} refuses what {journal.begin['name']} records ({one_line(error)}); it stays in {where}: the "
            f"next command tries again, `rm -r {where}` gives it up"
        )


def _as_user_error(error: Exception, uri: str) -> UserError:
    if isinstance(error, UserError):
        return error
    refusal = UserError(f"`tracking.uri={uri}` refuses the run: {one_line(error)}")
    refusal.__cause__ = error
    return refusal


def print_line(text: str) -> None:
    """Print text on a line of its own, whatever a terminal's last line shows; never fail."""
    line = without_password(printable(text))
    with contextlib.suppress(OSError, ValueError):
        print(f"\r\033[K{line}" if sys.stdout.isatty() else line, flush=True)
