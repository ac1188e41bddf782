"""What a person sees of a sweep, and what is kept of it beside its runs."""

import contextlib
import math
import os
import sys
import threading
import time
from datetime import timedelta

from hydra.core.utils import JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode

from .. import UserError
from ..configs.keys import NAME, check_rules, is_name
from ..tracking import EVERYDAY
from ..training import signals
from . import files, jobs, launchers
from .estimate import estimate

_LOOK_SECONDS = 1.0


class SweepError(BaseException):
    """What ends a sweep with a line; Hydra lets no `Exception` out of a callback."""


class Board:
    """Says how a sweep stands: how many runs are done, running, failed, the best so far on validation, the time left.

    Args:
        told: the sweep's `Jobs`.
        queued: whether its jobs go on in a queue when the command has ended.
    """

    def __init__(self, told, queued=False):
        self.jobs, self.queued = told, queued
        self._most, self._ended, self._thread = 0, threading.Event(), None

    def watch(self):
        """Looks by itself from now on, until `close`."""
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def look(self):
        """Prints how it stands, if a job has ended or more run at a time than before."""
        new = self.jobs.look()
        for number in new:
            self._tell(number, self.jobs.ended[number])
        if new or len(self.jobs.running) > self._most:
            print(f"── {self}\n", flush=True)
        self._most = max(self._most, len(self.jobs.running))

    def close(self):
        """Looks for the last time; what is of no more use is removed."""
        self._ended.set()
        if self._thread:
            self._thread.join()
        self.look()
        self.jobs.clear()

    def leave(self):
        """Closes before all have ended, and says what becomes of the others; "" if none has begun."""
        self.close()
        if not (self.jobs.ended or self.jobs.running):
            return ""
        return "jobs in the queue go on, and " * self.queued + "the same command makes what is missing"

    def lacking(self):
        """What stands between the sweep and its end, in words; "" if nothing does."""
        runs = f"of {self.jobs.total} run{'s' * (self.jobs.total != 1)}"
        counts = {how: len(self._which(how)) for how in ("failed", "stopped")}
        counts["lost"] = self.jobs.total - len(self.jobs.ended)
        return ", ".join(f"{count} {runs} {how}" for how, count in counts.items() if count)

    def __str__(self):
        ended, running = self.jobs.ended, self.jobs.running
        found = [told for told in ended.values() if told.get("found")]
        made = [told for told in ended.values() if told.get("found") is False]
        words = [f"{len(made) + len(found)} of {self.jobs.total} done"]
        words += [f"{len(running)} running"] * bool(running) + [f"{len(found)} before"] * bool(found)
        words += [f"{len(which)} {how}" for how in ("failed", "stopped") if (which := self._which(how))]
        words += [f"{len(which)} left to another process" for which in [self._which("elsewhere")] if which]
        said = [", ".join(words)]
        if scored := [told for told in made + found if told["val_accuracy"] is not None]:
            best = max(scored, key=lambda told: told["val_accuracy"])
            said.append(f"best on validation: {best['val_accuracy']:.2%}, {best['name']}")
        if made and len(ended) < self.jobs.total:
            said.append(f"about {timedelta(seconds=round(self._left(made)))} left")
        return "; ".join(said)

    def _left(self, made):
        """Seconds left, if the other runs take as long as these and as many go on at a time as do now."""
        mean = sum(told["ended"] - told["begun"] for told in made) / len(made)
        running, now = self.jobs.running.values(), time.time()
        waiting = self.jobs.total - len(self.jobs.ended) - len(running)
        return (waiting * mean + sum(max(0, mean - (now - told["begun"])) for told in running)) / max(1, len(running))

    def _which(self, how):
        return [told for told in self.jobs.ended.values() if how in told]

    def _tell(self, number, told):
        output = self.jobs.output(number)
        words = " ".join(word for word in told["words"] if not word.startswith(("study=", "tracking.", "launcher")))
        where = f" ({os.path.relpath(output)})" if output else ""
        if "elsewhere" in told:
            print(f"{words}: left out, {told['elsewhere']}")
        for how in ("failed", "stopped"):
            if how in told:
                print(f"{how}: {words}: {told[how]}{where}", file=sys.stderr, flush=True)

    def _watch(self):
        while not self._ended.wait(_LOOK_SECONDS):
            self.look()


class Watch(Callback):
    """Begins and ends a sweep, and each of its jobs in the process that makes it.

    A job returns a mapping: `failed`, the error; `stopped`, the signal; `elsewhere`, why another process makes its run;
    or its `name`, its `val_accuracy` or None, and whether it was `found` done. The study's page is laid out before the
    first, and a job that fails before its run begins is recorded.
    """

    board = page = total = None  # in a process that makes one job of many

    def __getstate__(self):
        return {}

    def on_run_start(self, config, **kwargs):
        if not launchers.here(config.hydra):
            raise SweepError("`launcher` is for a sweep: -m before its settings, or the `study=` of a file")

    def on_multirun_start(self, config, **kwargs):
        global sweep
        here = launchers.here(config.hydra)
        try:
            choices = files.choices(config.hydra.overrides.task)
            self.total = math.prod(map(len, choices.values()))
            launchers.check(config.launcher)
            if config.plan:
                if not here:
                    raise UserError("`plan` prints here: leave out `launcher`")
                return
            self._begin(config, [key.lstrip("+") for key, words in choices.items() if len(words) > 1], here)
            print(f"{config.study}: {self._estimate(config)}\n", flush=True)
        except UserError as error:
            raise SweepError(error) from error
        told, queued = jobs.Jobs(config.hydra.sweep.dir, self.total), launchers.queue(config.hydra)
        self.board = sweep = Board(told, queued)
        if not here:
            signals.interrupt()
            self.board.watch()

    def on_job_start(self, config, **kwargs):
        if config.plan and self.total is not None:
            print(f"\n── {' '.join(config.hydra.overrides.task)}")
        if config.plan or config.hydra.mode != RunMode.MULTIRUN:
            return
        os.chdir(config.hydra.runtime.cwd)  # a cluster's worker begins in a folder of its own
        jobs.begin(jobs.folder_of(config.hydra), config.hydra.overrides.task)

    def on_job_end(self, config, job_return, **kwargs):
        if config.plan or config.hydra.mode != RunMode.MULTIRUN:
            return
        done = job_return.status == JobStatus.COMPLETED
        outcome = job_return.return_value if done else {"failed": job_return._return_value}
        if "failed" in outcome:
            self._keep(config, outcome["failed"])
            outcome = {"failed": str(outcome["failed"])}  # not every error can be sent from process to process
        job_return.return_value, job_return.status = outcome, JobStatus.COMPLETED
        job_return.cfg = job_return.hydra_cfg = None  # Hydra keeps what all jobs of a sweep return until its end
        jobs.end(jobs.folder_of(config.hydra), outcome)
        if self.board:
            self.board.look()

    def on_multirun_end(self, config, **kwargs):
        if config.plan:
            return
        self.board.close()
        if config.study != EVERYDAY:
            print(f"the report: python evaluate.py study={config.study}")
            print(f"to see the runs: {self.page}", flush=True)
        if lacking := self.board.lacking():
            raise SweepError(lacking)

    def _begin(self, config, swept, here):
        from ..tracking import study
        from ..tracking.store import AwayError

        check_rules(config, {"study": (is_name, NAME)})
        if config.study != EVERYDAY:
            file = files.read(config.study, [source.path for source in config.hydra.runtime.config_sources])
            self.page = study.begin(config.tracking.uri, config.study, swept, file)
        elif not here:
            with contextlib.suppress(AwayError):  # its runs wait for it in the spool
                study.make(config.tracking.uri, config.study)  # before many workers would

    def _estimate(self, config):
        """In words; a sweep goes on without one."""
        from ..tracking.store import AwayError

        try:
            return estimate(config, launchers.on_this_machine(config.hydra))
        except UserError as error:
            if isinstance(error, AwayError):
                return f"{self.total} runs; no telling how long: {error}"
            raise
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            return f"{self.total} runs; no telling how long ({reason})"

    def _keep(self, config, error):
        from ..tracking import study

        if config.study != EVERYDAY:
            with contextlib.suppress(Exception):  # a store that is gone: the sweep tells the failure itself
                telling = files.telling(config.hydra, config.study)  # the name that it has once it is done
                study.keep_failure(config.tracking.uri, config.study, config.hydra.overrides.task, error, telling)


sweep = None  # the `Board` of the sweep that was begun in this process
