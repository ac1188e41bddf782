"""The delivery of one journal to its store.

Three rules (`docs/outbox.md`):

- Directly before each write, the owner of the run and the number of records in the store are checked.
- A record that the store refuses is set aside, and the next ones are delivered. Another write to the same run shows
  whether the record or the store is the reason.
- A run that another process has taken over, or that the store has lost, is written again from its first record, as a
  new run.
"""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ... import UserError
from .. import heartbeat
from ..errors import has_no_answer, is_auth_error, is_refused, mlflow_error, one_line
from . import operations
from .journal import Journal, Record
from .pending_run import PendingRun

BATCH = 100  # largest number of records in one write
_RETRY_PAUSES_S = 2, 30  # before a refused record is sent again: the first pause and the longest
_LAST_RETRY_PAUSE_S = 0.5  # before a refused record is sent for the last time


class TakenOverError(UserError):
    """Another process has taken the run over, and this one has no records to write as a new run."""


class Transfer:
    """Delivers one journal to its store.

    Attributes:
        pending: the run.
        last_heartbeat: time of the last heartbeat in the store, by `heartbeat.clock`.
        may_start_over: whether a run that another process has taken over is written again as a new run.

    Args:
        pending: the run.
        connect: returns MLflow's client of the store, a new one if the store's file was replaced.
        print_line: called with a line for the user.
        on_progress: called with the number of records that were just delivered.
        on_begin: called with MLflow's id of the experiment when the run is in the store, before the journal notes it.
    """

    def __init__(
        self,
        pending: PendingRun,
        connect: Callable[[], Any],
        print_line: Callable[[str], object] = print,
        on_progress: Callable[[int], object] = lambda count: None,
        on_begin: Callable[[str], object] = lambda experiment: None,
    ):
        self.pending = pending
        self.last_heartbeat = 0.0
        self.may_start_over = True
        self._connect = connect
        self._print_line = print_line
        self._on_progress = on_progress
        self._on_begin = on_begin
        self._checked = 0.0  # when the run was last known to be this journal's, by `heartbeat.clock`
        self._stored: int | None = None  # number of records that the store had after the last write
        self._retry_at = 0.0
        self._retry_pause: float = _RETRY_PAUSES_S[0]
        self._has_warned = False
        self._was_sent = False  # whether the first record was sent, so that the run may exist
        self._unanswered: set[int] = set()  # positions of records that were sent once and got no answer

    @property
    def journal(self) -> Journal:
        """The journal of the run."""
        return self.pending.journal

    @property
    def is_due(self) -> bool:
        """True if there are records to deliver now."""
        is_new = self.journal.delivered < len(self.journal.records)
        return is_new or bool(self.journal.refused and heartbeat.clock() >= self._retry_at)

    @property
    def is_done(self) -> bool:
        """True if the run has ended and each record was delivered or refused."""
        return self.journal.has_ended and self.journal.delivered == len(self.journal.records)

    def deliver(self, may_exist: bool = False) -> None:
        """Deliver the pending records and the heartbeat.

        Args:
            may_exist: whether an earlier try may have created the run.

        Raises:
            OwnedError: another process makes the run, which is not in the store yet.
            TakenOverError: another process has taken the run over, and this one has no records for a new run.
            UserError: the store refuses the run.
            Exception: the store accepts nothing now; its own exception.
        """
        journal = self.journal
        retried = sorted(journal.refused) if heartbeat.clock() >= self._retry_at else []
        tried = set(retried)
        while True:
            if not journal.delivered:
                self._begin(may_exist)
                retried = []
            elif journal.delivered < len(journal.records):
                if self._check():
                    self._write(self._next_batch())
            elif retried:
                number = retried.pop(0)
                if self._check() and number in journal.refused:
                    self._retry(number)
            elif self.is_done and (retried := sorted(journal.refused.keys() - tried)):
                tried.update(retried)
                time.sleep(_LAST_RETRY_PAUSE_S)
            elif self._is_uncertain() or (
                not self.is_done and heartbeat.clock() - self.last_heartbeat >= heartbeat.HEARTBEAT_INTERVAL_S
            ):
                self._check()
            else:
                break
        if self._stored != journal.delivered:
            operations.note_delivered(self._connect(), journal)
            self._stored = journal.delivered

    def _begin(self, may_exist: bool) -> None:
        journal = self.journal
        client = self._connect()
        may_exist = may_exist or self._was_sent
        self._was_sent = True
        try:
            run, experiment = operations.begin(client, self.pending, may_exist)
        except Exception as error:
            if is_refused(error) or has_no_answer(error) or not _is_about_the_record(error):
                raise
            raise UserError(one_line(error)) from error
        self._on_begin(experiment)
        journal.note_delivery(run, experiment)
        self._stored, self._checked = 1, heartbeat.clock()
        self.last_heartbeat = 0.0  # the record may be from long ago
        self._on_progress(1)

    def _next_batch(self) -> list[Record]:
        """Return the records of the next write: several of metrics, or one of another kind."""
        batch = self.journal.records[self.journal.delivered : self.journal.delivered + BATCH]
        count = 0
        while count < len(batch) and batch[count]["do"] in ("epoch", "metrics"):
            count += 1
        return batch[: max(count, 1)]

    def _check(self) -> bool:
        """Return whether the run is this journal's and the store has all delivered records; else rewind the journal.

        Send a heartbeat if it is due.
        """
        journal, client = self.journal, self._connect()
        try:
            run = client.get_run(journal.run)
        except mlflow_error() as error:
            if getattr(error, "error_code", None) != "RESOURCE_DOES_NOT_EXIST":
                raise
            self._print_line(
                f"warning: the store no longer has run {journal.run} of {journal.begin['name']}, as after a return to "
                "an older backup; the run is written again from its first record"
            )
            return self._rewind(0)
        if run.info.lifecycle_stage == "deleted":
            raise UserError(
                f"run {journal.run} was deleted in MLflow; `mlflow runs restore --run-id {journal.run}`, with "
                "MLFLOW_TRACKING_URI set, brings it back"
            )
        tags = run.data.tags
        if any(tags.get(key) != journal.begin[key] for key in ("owner", "journal")):
            return self._handle_takeover(client, tags)
        count = operations.read_delivered_count(tags, journal)
        expected = journal.delivered if self._stored is None else self._stored
        if count is not None and count < expected:
            if self._stored:  # else the process was killed before it wrote the count down
                self._print_line(
                    f"warning: the store has {count} of {expected} records of {journal.begin['name']}, as after a "
                    "return to an older backup; the others are written again"
                )
            return self._rewind(count)
        now = heartbeat.clock()
        if run.info.status != "RUNNING" and not self.is_done:  # another process took this one for gone
            client.update_run(journal.run, status="RUNNING")
        if now - self.last_heartbeat >= heartbeat.HEARTBEAT_INTERVAL_S:
            was_long_silent = now - self.last_heartbeat >= heartbeat.EXPIRY_S / 2 and self.last_heartbeat
            client.set_tag(journal.run, "heartbeat", heartbeat.heartbeat_now())
            self.last_heartbeat = heartbeat.clock()
            if was_long_silent:  # another may have taken it between the look and the heartbeat
                return self._check()
        self._checked = now
        return True

    def _handle_takeover(self, client: Any, tags: Mapping[str, str]) -> bool:
        """Rewind the journal to its first record, to write a new run: another process has taken the run over."""
        journal = self.journal
        with contextlib.suppress(mlflow_error()):
            operations.tag_stale_points(client, journal, journal.delivered - BATCH, journal.delivered + BATCH)
        if not self.may_start_over:
            raise TakenOverError(f"run {journal.run} of {journal.begin['name']} is another process's now")
        self._print_line(
            f"warning: {tags.get('owner', 'another process')} has taken over run {journal.run} of "
            f"{journal.begin['name']}; what this process recorded becomes a run of its own"
        )
        return self._rewind(0)

    def _rewind(self, count: int) -> bool:
        self.pending.rewind(count)
        self._stored, self._was_sent = count or None, True
        return False

    def _is_uncertain(self) -> bool:
        """Return whether the last write took so long that another process may have taken the run over before it."""
        return bool(self._checked) and heartbeat.clock() - self._checked > heartbeat.EXPIRY_S / 4

    def _write(self, batch: Sequence[Record]) -> None:
        """Deliver records, one by one if the store refuses them together."""
        journal, client = self.journal, self._connect()
        try:
            if batch[0]["do"] in ("epoch", "metrics"):
                count = journal.delivered + len(batch)
                operations.log_metrics(client, self.pending, batch, count)
                self._stored = count
            else:
                operations.apply_record(client, self.pending, batch[0])
        except Exception as error:
            if len(batch) > 1 and not self._is_store_away(client, journal.delivered, error):
                for record in batch:
                    self._write([record])
                return
            self._set_aside(client, journal.delivered, error)
        else:
            journal.note_delivery(records=len(batch))
        self._on_progress(len(batch))

    def _retry(self, number: int) -> None:
        """Deliver a record that the store has refused before."""
        journal, client = self.journal, self._connect()
        record = journal.records[number]
        try:
            if record["do"] in ("epoch", "metrics"):
                operations.log_metrics(client, self.pending, [record], journal.delivered)
                self._stored = journal.delivered
            else:
                operations.apply_record(client, self.pending, record)
        except Exception as error:
            self._set_aside(client, number, error)
            self._retry_pause = min(2 * self._retry_pause, _RETRY_PAUSES_S[1])
            self._warn_refused(number)
        else:
            journal.accept(number)
            self._on_progress(1)

    def _set_aside(self, client: Any, number: int, error: Exception) -> None:
        """Note that the store refuses a record; raise the error if the store accepts nothing at all."""
        if self._is_store_away(client, number, error):
            raise error
        self.journal.refuse(number, one_line(error))
        self._retry_at = heartbeat.clock() + self._retry_pause
        if is_refused(error):
            self._warn_refused(number)

    def _is_store_away(self, client: Any, number: int, error: Exception) -> bool:
        """Return whether the store accepts nothing now, which another write to the same run shows.

        If there was no answer, that write is made only when the record gets no answer for the second time. A store that
        is away is detected before that, without a second timeout.
        """
        if is_auth_error(error):
            return True
        if is_refused(error):
            return False
        is_file = self.journal.records[number]["do"] == "file"  # files may lie elsewhere
        if not is_file and number not in self._unanswered and has_no_answer(error):
            self._unanswered.add(number)
            return True
        try:
            client.set_tag(self.journal.run, "heartbeat", heartbeat.heartbeat_now())
        except Exception:
            return True
        self.last_heartbeat = heartbeat.clock()
        return False

    def _warn_refused(self, number: int) -> None:
        """Print the record that the store refuses and what helps, once for a journal."""
        if not self._has_warned:
            self._has_warned = True
            self._print_line(f"warning: {describe_refusal(self.journal, number)}")


def deliver_orphan(
    journal: Journal,
    connect: Callable[[], Any],
    print_line: Callable[[str], object] = print,
    on_progress: Callable[[int], object] = lambda count: None,
) -> None:
    """Deliver the journal of a process that is gone, and remove it if the store has all of it.

    A run that the process did not end is KILLED.

    Args:
        journal: of the process.
        connect: as for `Transfer`.
        print_line: as for `Transfer`.
        on_progress: as for `Transfer`.

    Raises:
        UserError: the store refuses the run, or pending records belong to a run that another process has taken over.
        Exception: the store accepts nothing now; its own exception.
    """
    transfer = Transfer(PendingRun(journal), connect, print_line, on_progress)
    transfer.may_start_over = journal.delivered < len(journal.records)
    if not journal.has_ended:
        at = int((journal.folder / "journal.jsonl").stat().st_mtime * 1000)
        journal.records.append({"do": "end", "status": "KILLED", "at": at})
    try:
        transfer.deliver(may_exist=True)
    except TakenOverError:
        if journal.refused:
            raise
    if not journal.refused:
        journal.remove()


def describe_refusal(journal: Journal, number: int | None = None) -> str:
    """Describe a record that the store refuses: which, why, and what helps.

    Args:
        journal: of the record.
        number: position of the record; None is the first that was refused.
    """
    number = min(journal.refused) if number is None else number
    record = journal.records[number]
    what = f"{record['do']} {record.get('step', record.get('file', ''))}".strip()
    what = "a damaged line" if record["do"] == "damaged" else what
    where = journal.relative_folder
    return (
        f"{journal.begin['uri']} takes nothing now of {what} of {journal.begin['name']} ({journal.refused[number]}); "
        f"it waits in {where}: the next command tries again, `rm -r {where}` gives it up"
    )


def _is_about_the_record(error: Exception) -> bool:
    """Return whether an error at the start of a run is due to its first record."""
    kinds = LookupError, ArithmeticError, TypeError, ValueError, AttributeError
    return isinstance(error, kinds) or getattr(error, "error_code", None) == "BAD_REQUEST"
