"""Brings what runs record to the store: at once, or when it takes it again, by a thread of its own.

Training never waits for the store. A record is written to the run's journal; the thread of its store carries the
journals of the process out in their order, and first those that a process left which is gone. While the store does not
take them they stay on disk, for this process or for the next command that reaches it.
"""

import atexit
import contextlib
import math
import os
import sys
import threading
import time

from .. import UserError
from . import journal as journals
from . import lease, records
from .store import AWAY, AwayError, check_store, is_strange, one_line, open_store, refused, sqlite_path

START_SECONDS, LEAVE_SECONDS = 10, 4  # a run waits so long for a server at its start, a command at its end
_LOOK = 0.5  # seconds between two looks for a signal
_GRACE = 2  # seconds that a training has to itself to come to its first step, which opening a file would hold up
_PAUSES = (1, 2, 4, 8, 15, 30)  # seconds between two tries
_DELIVERIES = {}


def of(uri):
    """The `Delivery` of this process to a store."""
    key = os.getpid(), uri
    if key not in _DELIVERIES:
        _DELIVERIES[key] = Delivery(uri)
    return _DELIVERIES[key]


def settle(uri):
    """Refuses a store that cannot be there; delivers what earlier commands left for it.

    One that has been there and does not answer now is told, and no error.

    Raises:
        UserError: naming `tracking.uri`.
    """
    try:
        if sqlite_path(uri) and not journals.waiting(uri):
            return check_store(uri)  # the run opens it
        open_store(uri)
        of(uri).settle()
    except AwayError as error:
        of(uri).troubled(error)


class Delivery:
    """What a process has for a store.

    Args:
        uri: the store.
    """

    def __init__(self, uri):
        self.uri, self.journals = uri, []
        self._changed = threading.Condition()
        self._since = None  # when the store ceased to take what is recorded
        self._left = False  # whether a run has waited for it to its end since, in vain
        self._unsettled = False
        self._tries = self._late = 0  # since then
        self._client, self._looked = None, set()
        threading.Thread(target=self._work, daemon=True).start()

    def settle(self):
        """Delivers what earlier commands left; returns when that is done, or the store does not take it."""
        if journals.waiting(self.uri):
            self._unsettled = True
            self._wait(lambda: not self._unsettled or self._since)

    def start(self, journal, look):
        """Takes a journal over whose first record is in it; returns when the store has that, or does not take it.

        A file is not waited for, but where others may make the same run.

        Args:
            journal: of a run that begins.
            look: called now and then while the store is waited for.

        Raises:
            UserError: the store refuses it, or another process makes the run.
        """
        journal.waited = "cell" in journal.begin or not sqlite_path(self.uri)
        if not (journal.waited or self._client):
            journal.due = time.monotonic() + _GRACE
        self.journals.append(journal)
        if not journal.waited:
            return self.come()
        self.reach(journal, look)
        with self._changed:
            journal.waited = False
            if journal.error:
                raise journal.error

    def reach(self, journal, look=lambda: None):
        """Returns when the store has the first record of a journal, or does not take it.

        A server that is silent is left for later. A file is waited for until MLflow has it or gives up: what takes long
        there is this machine, and a run that begins before it has looked may be another process's too.
        """

        def done():
            return journal.taken or journal.error or self._since

        journal.due = 0
        if not self._wait(done, START_SECONDS, look) and sqlite_path(self.uri):
            _say(f"waiting for {self.uri}")
            self._wait(done, look=look)

    def come(self):
        """Says that there are new records."""
        with self._changed:
            self._changed.notify_all()

    def finish(self, journal, seconds=math.inf):
        """Returns when the store has all of a journal, or does not take it.

        Args:
            journal: one that has its last record.
            seconds: how long it waits at the most; what is not there then is the next command's to deliver.

        Raises:
            UserError: neither the store nor the disk has it.
        """
        journal.due = 0
        self._wait(lambda: journal not in self.journals or self._since, seconds)
        if journal in self.journals and not self._since:
            self._left = True
            self.troubled(TimeoutError(f"no answer in {seconds} s"))
        if journal in self.journals and not journal.kept:
            raise UserError(f"neither {self.uri} nor {journals.SPOOL}/ takes what run {journal.begin['name']} recorded")

    def leave(self):
        """Tries for the last time, unless a run just did, and says what is left."""
        if self._since and not self._left:
            self._tries = 0
            self._wait(lambda: not self._since, LEAVE_SECONDS)
        if self._since and (mine := [journal for journal in self.journals if journal.waiting]):
            runs = f"{len(mine)} run{'s' * (len(mine) != 1)}"
            print(f"{runs} for {self.uri} in {journals.SPOOL}/: the next command that reaches it delivers", flush=True)

    def troubled(self, error):
        """Notes that the store does not take what is recorded, and says so, once."""
        with self._changed:
            if self._since is None:
                self._since, self._late = time.time(), 0
                self._client = None
                AWAY[self.uri] = one_line(error)
                atexit.register(self.leave)
                _say(
                    f"warning: `tracking.uri={self.uri}` takes nothing now ({one_line(error)}); "
                    f"what is recorded waits in {journals.SPOOL}/"
                )
            self._changed.notify_all()

    def _wait(self, done, seconds=math.inf, look=lambda: None):
        """What `done` says in the end; `look` is called twice a second meanwhile."""
        until = time.monotonic() + seconds
        with self._changed:
            self._changed.notify_all()
            while not (found := self._changed.wait_for(done, min(max(until - time.monotonic(), 0), _LOOK))):
                if time.monotonic() >= until:
                    break
                look()
        return found

    def _work(self):
        while True:
            with self._changed:
                self._changed.wait_for(self._is_due, self._pause())
            try:
                self._round()
            except Exception as error:
                self._tries += 1
                self.troubled(error)

    def _is_due(self):
        if self._since:
            return self._tries == 0
        return self._unsettled or any(each.waiting and each.due <= time.monotonic() for each in self.journals)

    def _pause(self):
        if early := [each.due for each in self.journals if each.due > time.monotonic()]:
            return max(min(early) - time.monotonic(), 0)
        if not self._since:
            return lease.BEAT / 3  # a look is not late by a whole beat
        return _PAUSES[min(max(self._tries, 1), len(_PAUSES)) - 1]

    def _round(self):
        due = [journal for journal in self.journals if journal.due <= time.monotonic()]
        if not (self._since or self._unsettled or due):
            return
        if not (client := self._open(due)):
            return
        if self._unsettled or self._since:
            with journals.delivering():
                for journal in journals.left(self.uri):
                    self._deliver_left(client, journal)
            self._unsettled = False
        for journal in due:
            self._deliver(client, journal)
        if self._since:
            self._well()
        with self._changed:
            self._changed.notify_all()

    def _open(self, due):
        """The client; None where the store refuses, and so the runs that are due."""
        if self._since or not self._client:
            try:
                self._client = open_store(self.uri, again=True)
            except UserError as error:
                if not refused(error):
                    raise
                for journal in due:
                    journal.error = error
                    self.journals.remove(journal)
                with self._changed:
                    self._changed.notify_all()
                return None
        return self._client

    def _well(self):
        with self._changed:
            self._since, self._left, self._tries = None, False, 0
            AWAY.pop(self.uri, None)
            atexit.unregister(self.leave)
        late = f": all that waited has arrived, {self._late} records" if self._late else ""
        _say(f"{self.uri} takes what is recorded again{late}")

    def _deliver(self, client, journal):
        """Carries out what waits of a journal of this process."""
        try:
            self._carry_out(client, journal)
        except Exception as error:
            with self._changed:
                if not refused(error) or is_strange(error):
                    raise
                if not journal.waited and isinstance(error, lease.OwnedError):
                    return  # the training has begun: the next round makes a run of its own
                journal.error = _told(error, self.uri)
                if journal.waited:
                    journal.remove()
                elif journal.taken or journal.ended:
                    _say(f"warning: {self._refusal(journal, error)}")
                self.journals.remove(journal)
                self._changed.notify_all()
            return
        if journal.ended and not journal.waiting:
            journal.remove()
            self.journals.remove(journal)  # then the process may end
        elif time.time() - journal.beaten >= lease.BEAT:
            client.set_tag(journal.run, "heartbeat", lease.beat())
            journal.beaten = time.time()

    def _deliver_left(self, client, journal):
        """Delivers what a process left that is gone; a run that it did not end is KILLED."""
        count, name = journal.waiting, journal.begin["name"]
        if not journal.ended:
            at = int((journal.folder / "journal.jsonl").stat().st_mtime * 1000)
            journal.records.append({"do": "end", "status": "KILLED", "at": at})
        try:
            if count or self._is_ours(client, journal):
                self._carry_out(client, journal, before=True)
            journal.remove()
            if count:
                _say(f"{name}: what waited in {journals.SPOOL}/ has arrived, {count} records")
        except Exception as error:
            if not refused(error) or is_strange(error):
                raise
            _say(f"warning: {self._refusal(journal, error)}")
        finally:
            journal.close()

    def _carry_out(self, client, journal, before=False):
        doubtful = before or self._since or time.time() - journal.beaten > lease.EXPIRY
        if doubtful and journal.waiting and not self._is_ours(client, journal):
            journal.again()
        while journal.waiting:
            record = journal.records[journal.taken]
            if record["do"] == "begin":
                journal.take(*records.begin(client, journal, before or bool(self._since)))
                journal.beaten = float(record["heartbeat"])
                if not before:
                    self._close_left(client, journal.experiment)
            else:
                if journal.epochs is None:
                    journal.epochs = records.held(client, journal.run)
                records.carry_out(client, journal, record, journal.epochs)
                journal.take()
            self._late += bool(self._since)
            self._tries = 0
            with self._changed:
                self._changed.notify_all()

    def _is_ours(self, client, journal):
        """Whether no other process has gone on with the journal's run."""
        return not journal.run or client.get_run(journal.run).data.tags.get("owner") == journal.begin["owner"]

    def _close_left(self, client, experiment):
        """Ends the runs of a study whose process is gone, once."""
        if experiment not in self._looked:
            self._looked.add(experiment)
            for name in lease.close_left(client, experiment):
                _say(f"{name}: its process is gone, the run is ended as KILLED")

    def _refusal(self, journal, error):
        where = os.path.relpath(journal.folder)
        return f"{self.uri} refuses what {journal.begin['name']} records ({one_line(error)}); it stays in {where}"


def _told(error, uri):
    if isinstance(error, UserError):
        return error
    told = UserError(f"`tracking.uri={uri}` refuses the run: {one_line(error)}")
    told.__cause__ = error
    return told


def _say(words):
    """On a line of its own, whatever a terminal's last line shows; what cannot be printed holds up no delivery."""
    with contextlib.suppress(OSError, ValueError):
        print(f"\r\033[K{words}" if sys.stdout.isatty() else words, flush=True)
