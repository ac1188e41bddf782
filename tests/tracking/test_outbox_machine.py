"""The outbox's guarantees (`docs/outbox.md`) under drawn kills, stops, clock steps and faults of the store."""

import contextlib
import itertools
import json
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import mlflow
import pytest
from hypothesis import HealthCheck, Phase, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from memory_store import Faulty, MemoryStore
from mlflow.exceptions import MlflowException

from convzoo.tracking import heartbeat
from convzoo.tracking.errors import is_refused
from convzoo.tracking.outbox import journal as journals
from convzoo.tracking.outbox import operations, transfer
from convzoo.tracking.outbox.journal import Journal
from convzoo.tracking.outbox.pending_run import PendingRun
from convzoo.tracking.outbox.transfer import Transfer, deliver_orphan
from convzoo.tracking.results import STALE, history

URI, STUDY = "memory", "mine"
MACHINES = ("first", "second")
STUDIES = itertools.count(1)
BAD = "a metric that the store does not take"


class Killed(BaseException):
    """The process is gone."""


class Writer:
    """A training process that records the epochs of one run."""

    def __init__(self, machine, pid):
        self.machine, self.pid, self.is_stopped, self.is_alive = machine, pid, False, True
        self.journal = self.transfer = None
        self.epoch, self.points = 0, {}  # by step: when it was logged


class Outbox(RuleBasedStateMachine):
    """Two machines that share a store and nothing else; each has a folder with a spool."""

    def __init__(self):
        super().__init__()
        in_memory = Path("/dev/shm")  # thousands of small writes: minutes on a slow disk
        self.folder = Path(tempfile.mkdtemp(prefix="outbox-", dir=in_memory if in_memory.is_dir() else None))
        self.store = Faulty(self.new_store())
        self.seconds, self.wall_offset = 1000.0, 1_800_000_000.0
        self.machine, self.pid = MACHINES[0], 0
        self.writers, self.pids, self.lines = [], itertools.count(1), []
        self.expected = {}  # by the name of a journal: the steps that it logged and that the store has to have
        self.bad, self.backup = set(), None  # names of journals with a record that no store takes
        patches = [
            mock.patch.object(heartbeat, "clock", self.clock),
            mock.patch.object(heartbeat, "time", SimpleNamespace(time=self.wall_time, sleep=self.sleep)),
            mock.patch.object(heartbeat, "_machine_id", self.current_machine),
            mock.patch.object(heartbeat, "_start_time", self.started),
            mock.patch.object(heartbeat, "owner", self.owner),
            mock.patch.object(transfer, "time", SimpleNamespace(sleep=self.sleep)),
            mock.patch.object(
                operations, "get_or_create_experiment", lambda client, uri, study: client.experiment_of(uri, study)
            ),
            mock.patch.object(operations, "artifact_repository", lambda client, run: Repository(client, run)),
            mock.patch.object(heartbeat, "_heartbeats_seen", {}),
            mock.patch("builtins.print"),
        ]
        self.patches = contextlib.ExitStack()
        for patch in patches:
            self.patches.enter_context(patch)
        self.home, self.study = os.getcwd(), f"{STUDY}-{next(STUDIES)}"

    def new_store(self):
        return MemoryStore()

    # Time, and who is there.

    def clock(self):
        return self.seconds

    def current_machine(self):
        return self.machine

    def owner(self):
        return f"{self.machine} {self.pid} 1"

    def wall_time(self):
        return self.wall_offset + self.seconds

    def sleep(self, seconds):
        """Time passes, and the hearts of all other processes beat."""
        current = self.machine, self.pid, os.getcwd()
        self.seconds += seconds
        for writer in self.awake():
            if (writer.machine, writer.pid) != current[:2]:
                self.deliver_now(writer)
        self.machine, self.pid = current[:2]
        os.chdir(current[2])

    def started(self, pid):
        gone = any(each.pid == int(pid) and not each.is_alive for each in self.writers)
        return "" if gone else "1"

    def awake(self, machine=None):
        return [
            each
            for each in self.writers
            if each.is_alive and not each.is_stopped and each.transfer and machine in (None, each.machine)
        ]

    def on(self, machine, pid):
        self.machine, self.pid = machine, pid
        (self.folder / machine).mkdir(exist_ok=True)
        os.chdir(self.folder / machine)

    # What processes do.

    @rule(machine=st.sampled_from(MACHINES))
    def start(self, machine):
        """A command begins a training, goes on with one that was left, or leaves it to another process."""
        if any(each.machine == machine and each.is_alive for each in self.writers):
            return
        self.command(machine)
        writer = Writer(machine, next(self.pids))
        self.on(machine, writer.pid)
        begin = {
            "do": "begin",
            "uri": URI,
            "study": self.study,
            "name": "a run",
            "params": {"rate": 0.5},
            "cell": "i-c",
        }
        begin |= {"tags": {"identity": "i", "code": "c"}, "go_on": True, "again": True, "at": int(self.seconds)}
        writer.journal = Journal.new(begin)
        pending = PendingRun(writer.journal, blocks_start=True)
        writer.transfer = Transfer(pending, lambda: self.store, self.lines.append)
        self.writers.append(writer)
        try:
            writer.transfer.deliver()
        except heartbeat.OwnedError:
            writer.journal.remove()
            writer.is_alive = False
        except MlflowException as error:
            if is_refused(error):
                raise
        pending.blocks_start = False
        self.expected.setdefault(writer.journal.begin["journal"], set())

    @rule(number=st.integers(0, 3), epochs=st.integers(1, 3))
    def log(self, number, epochs):
        writer = self.pick(number)
        for _ in range(epochs):
            self.log_epoch(writer)

    def log_epoch(self, writer):
        self.seconds += 1
        writer.epoch += 1
        self.on(writer.machine, writer.pid)
        at = int(self.seconds * 1000) + writer.pid
        record = {"do": "epoch", "metrics": {"train_loss": float(writer.epoch)}, "step": writer.epoch, "at": at}
        writer.journal.append(record)
        self.expected[writer.journal.begin["journal"]].add(writer.epoch)

    @rule(number=st.integers(0, 3), what=st.sampled_from(["file", "metric", "outside"]))
    def log_what_no_store_takes(self, number, what):
        writer = self.pick(number)
        record = {
            "file": {"do": "file", "file": "1-x/gone.txt", "folder": None},
            "outside": {"do": "file", "file": "/etc/passwd", "folder": None},
            "metric": {"do": "metrics", "metrics": {BAD: 1.0}, "step": 0, "at": int(self.seconds)},
        }[what]
        self.store.refused = (BAD,)
        writer.journal.append(record)
        self.bad.add(writer.journal.begin["journal"])

    @rule(number=st.integers(0, 3))
    def deliver(self, number):
        self.deliver_now(self.pick(number))

    def deliver_now(self, writer):
        self.on(writer.machine, writer.pid)
        try:
            writer.transfer.deliver()
        except heartbeat.OwnedError:
            pass  # the training has begun: the next try makes a run of its own
        except MlflowException:
            if not self.store.is_away:
                raise
        if writer.transfer.is_done and writer.journal.delivered:
            self.leave(writer)

    def leave(self, writer):
        """The process ends."""
        if writer.journal.refused:
            assert writer.journal.begin["journal"] in self.bad
            writer.journal.close()
        else:
            writer.journal.remove()
        writer.is_alive = False

    @rule(number=st.integers(0, 3))
    def end(self, number):
        writer = self.pick(number)
        writer.journal.append({"do": "end", "status": "FINISHED", "at": int(self.seconds * 1000)})
        self.deliver_now(writer)
        if writer.is_alive:  # the store is away
            self.kill_now(writer)

    @rule(number=st.integers(0, 3))
    def kill(self, number):
        self.kill_now(self.pick(number))

    def kill_now(self, writer):
        writer.is_alive = False
        writer.journal.close()

    @rule(number=st.integers(0, 3), write=st.integers(0, 3), when=st.sampled_from(["before", "after"]))
    def kill_in_a_write(self, number, write, when):
        writer = self.pick(number)

        def kill():
            raise Killed

        self.store.at_write = write, when, kill
        with contextlib.suppress(Killed):
            self.deliver_now(writer)
            self.store.at_write = None
            return
        self.kill_now(writer)

    @rule(number=st.integers(0, 3), byte=st.sampled_from([b"\xff\n", b"5\n", b"{}\n", b'{"do": "file"}\n']))
    def kill_and_damage(self, number, byte):
        """A line of the spool is damaged, behind those that were written."""
        writer = self.pick(number)
        self.kill_now(writer)
        with (writer.journal.folder / "journal.jsonl").open("ab") as file:
            file.write(byte)
        self.bad.add(writer.journal.begin["journal"])

    @rule(number=st.integers(0, 3))
    def stop(self, number):
        self.pick(number).is_stopped = True

    @rule(number=st.integers(0, 3), write=st.integers(0, 3), seconds=st.sampled_from([40, 200]))
    def stop_in_a_write(self, number, write, seconds):
        """It is suspended between its look at the owner and its write; another machine may take the run over."""
        writer = self.pick(number)

        def suspend():
            writer.is_stopped = True
            self.seconds += seconds
            self.start(MACHINES[1 - MACHINES.index(writer.machine)])
            for other in self.awake():
                self.log_epoch(other)
                self.deliver_now(other)
            writer.is_stopped = False
            self.on(writer.machine, writer.pid)

        self.store.at_write = write, "before", suspend
        self.deliver_now(writer)
        self.store.at_write = None

    @precondition(lambda self: any(each.is_stopped for each in self.writers))
    @rule()
    def wake(self):
        for writer in self.writers:
            writer.is_stopped = False

    def pick(self, number):
        writers = self.awake()
        assume(writers)
        return writers[number % len(writers)]

    @rule(machine=st.sampled_from(MACHINES))
    def command(self, machine):
        """The next command in a folder delivers what waits there."""
        self.on(machine, next(self.pids))
        for journal in journals.orphaned_journals(URI):
            name = journal.begin["journal"]
            try:
                deliver_orphan(journal, lambda: self.store, self.lines.append)
                assert not journal.refused or name in self.bad
            except MlflowException:
                if not self.store.is_away:
                    raise
            except transfer.TakenOverError:
                if name not in self.bad:
                    raise
            finally:
                journal.close()

    # What happens to clocks and to the store.

    @rule(seconds=st.sampled_from([10, 40, 200]))
    def pass_time(self, seconds):
        for _ in range(seconds // 10):
            self.sleep(10)

    @rule(hours=st.sampled_from([-1, 1, 24]))
    def step_the_clock(self, hours):
        self.wall_offset += 3600 * hours

    @rule(is_away=st.booleans())
    def leave_or_come_back(self, is_away):
        self.store.is_away = is_away

    @rule()
    def back_up(self):
        self.backup = self.store.store.backup()

    @precondition(lambda self: self.backup is not None)
    @rule()
    def restore(self):
        """What was delivered whole, and left no journal, is as the backup has it."""
        self.store.store.restore(self.backup)
        for name in self.expected.keys() - self.journals_on_disk():
            self.expected[name] = set()

    # What has to be so.

    def journals_on_disk(self):
        return {path.parent.name for path in self.folder.glob("*/spool/*/journal.jsonl")}

    @invariant()
    def bad_records_are_kept(self):
        lost = self.bad - self.journals_on_disk()
        assert not lost, f"deleted: {lost}"

    @invariant()
    def each_step_is_there_once(self):
        for run in self.runs():
            points = self.store.store.get_metric_history(run.info.run_id, "train_loss")
            stale = {
                point for key, text in run.data.tags.items() if key.startswith(STALE) for point in json.loads(text)
            }
            fresh = [point.step for point in points if f"{point.step}:{point.timestamp}" not in stale]
            if all(each.is_alive and not each.is_stopped for each in self.writers):
                assert len(fresh) == len(set(fresh)), (run.info.run_id, fresh)
            steps = [point.step for point in history(self.store.store, run.info.run_id, "train_loss")]
            assert steps == sorted({point.step for point in points})

    def runs(self):
        experiment = self.store.store.experiment_of(URI, self.study)
        return self.store.store.search_runs([experiment])

    def teardown(self):
        try:
            self.store.is_away = False
            self.wake()
            for writer in self.awake():
                writer.journal.append({"do": "end", "status": "FINISHED", "at": int(self.seconds * 1000)})
                for _ in range(3):
                    if writer.is_alive:
                        self.deliver_now(writer)
                assert not writer.is_alive
            for _ in range(2):
                for machine in MACHINES:
                    self.command(machine)
            self.assert_nothing_is_lost()
        finally:
            os.chdir(self.home)
            self.patches.close()
            shutil.rmtree(self.folder)
            for writer in self.writers:
                writer.journal.close()

    def assert_nothing_is_lost(self):
        runs = [
            {point.step for point in history(self.store.store, run.info.run_id, "train_loss")} for run in self.runs()
        ]
        for name, steps in self.expected.items():
            assert not steps or any(steps <= run for run in runs), f"{name} lacks {steps}"
        assert self.journals_on_disk() == self.bad, "what is good was held back, or what is bad was deleted"
        for seconds in (0, 200, 200):  # a backup may have brought back runs whose process is gone
            self.seconds += seconds
            self.on(MACHINES[0], next(self.pids))
            heartbeat.reap_stale_runs(self.store, self.store.store.experiment_of(URI, self.study))
        assert not [run.info.run_id for run in self.runs() if run.info.status == "RUNNING"]
        self.each_step_is_there_once()


class Repository:
    """Where a run's files go."""

    def __init__(self, client, run):
        self.client, self.run = client, run

    def log_artifact(self, path, folder=None):
        self.client.log_artifact(self.run, path)


QUICK = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


def test_outbox_under_drawn_faults_keeps_every_step_once():
    run_state_machine_as_test(Outbox, settings=QUICK)


class ServedStore:
    """An MLflow server over a sqlite file."""

    def __init__(self, address, file):
        self.client, self.file = mlflow.MlflowClient(address), file

    def __getattr__(self, name):
        return getattr(self.client, name)

    def experiment_of(self, uri, study):
        found = self.client.get_experiment_by_name(study)
        return found.experiment_id if found else self.client.create_experiment(study)

    def backup(self):
        backup = sqlite3.connect(":memory:")
        with contextlib.closing(sqlite3.connect(self.file)) as file:
            file.backup(backup)
        return backup

    def restore(self, backup):
        with contextlib.closing(sqlite3.connect(self.file)) as file:
            backup.backup(file)


@pytest.mark.slow
def test_outbox_at_a_real_server_keeps_every_step_once(serving, tmp_path):
    with serving(tmp_path, "server", "--backend-store-uri=sqlite:///server.db") as address:

        class ServedOutbox(Outbox):
            def new_store(self):
                return ServedStore(address, tmp_path / "server.db")

        run_state_machine_as_test(ServedOutbox, settings=settings(QUICK, max_examples=5, stateful_step_count=15))
