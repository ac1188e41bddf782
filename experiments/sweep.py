"""The progress of a sweep, and the callback by which Hydra reports it."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from .. import UserError
from ..settings import study_file
from ..settings.hydra_internals import parse_word
from ..settings.rules import check_study_name
from ..settings.terminal import closed_output_interrupts, print_folded
from ..settings.text import printable, without_password
from ..tracking import DEFAULT_EXPERIMENT
from ..training import backend, signals
from . import jobs, launchers, study_page
from .estimate import Estimate, estimate_sweep
from .run_result import RunResult, Status
from .session import current_session

_POLL_SECONDS = 1.0


class SweepError(BaseException):
    """Ends a sweep with an error message; Hydra lets no `Exception` out of a callback."""


class SweepProgress:
    """Prints how many runs of a sweep are done, running and failed, the best accuracy so far, and the time left.

    Args:
        sweep_jobs: of the sweep.
        is_queued: whether the jobs continue in a queue when the command has ended.
        estimate: of the sweep, if there is one: later cells may take longer.
    """

    def __init__(self, sweep_jobs: jobs.Jobs, is_queued: bool = False, estimate: Estimate | None = None) -> None:
        self.jobs = sweep_jobs
        self.is_queued = is_queued
        self.estimate = estimate
        self._most_running = 0
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def start_polling(self) -> None:
        """Update in a thread from now on, until `close`."""
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()

    def update(self) -> None:
        """Print the progress, if a job has ended or more jobs run at a time than before."""
        new = self.jobs.update()
        for number in new:
            self._print_trouble(number, self.jobs.ended[number])
        if new or len(self.jobs.running) > self._most_running:
            print_folded(f"── {self}\n")
        self._most_running = max(self._most_running, len(self.jobs.running))

    def close(self) -> None:
        """Update for the last time, and remove files that are not needed any more."""
        self._closed.set()
        if self._thread:
            self._thread.join()
        self.update()
        self.jobs.clear()

    def abandon(self) -> str:
        """Close before all jobs have ended; returns what happens to the others, "" if none has started."""
        self.close()
        if not (self.jobs.ended or self.jobs.running):
            return ""
        return "jobs in the queue continue, and " * self.is_queued + "the same command runs what is missing"

    def describe_incomplete(self) -> str:
        """Describe which runs are missing, such as "1 of 6 runs failed"; "" if none is."""
        runs = f"of {self.jobs.total} run{'s' * (self.jobs.total != 1)}"
        counts = {str(status): len(self.jobs.with_status(status)) for status in (Status.FAILED, Status.STOPPED)}
        counts["lost"] = self.jobs.total - len(self.jobs.ended)
        return ", ".join(f"{count} {runs} {state}" for state, count in counts.items() if count)

    def __str__(self) -> str:
        reused, finished = self.jobs.with_status(Status.REUSED), self.jobs.with_status(Status.FINISHED)
        counts = {
            "running": len(self.jobs.running),
            "reused": len(reused),
            "failed": len(self.jobs.with_status(Status.FAILED)),
            "stopped": len(self.jobs.with_status(Status.STOPPED)),
            "trained by another process": len(self.jobs.with_status(Status.ELSEWHERE)),
        }
        parts = [f"{len(finished) + len(reused)} of {self.jobs.total} done"]
        parts += [f"{count} {state}" for state, count in counts.items() if count]
        sentences = [", ".join(parts)]
        if scores := [(job.val_accuracy, job.name) for job in finished + reused if job.val_accuracy is not None]:
            accuracy, name = max(scores, key=lambda score: score[0])
            sentences.append(f"best validation accuracy: {accuracy:.2%}, {printable(name)}")
        if finished and len(self.jobs.ended) < self.jobs.total:
            sentences.append(f"about {timedelta(seconds=round(self._seconds_left(finished)))} left")
        return "; ".join(sentences)

    def _seconds_left(self, finished: list[jobs.JobRecord]) -> float:
        """Extrapolate: as many jobs run at a time as do now, and the estimate stays as wrong as it was so far."""
        running, now = self.jobs.running.values(), time.time()
        total = sum(_seconds(job) for job in finished)
        expected = [self._expect_seconds(job) for job in finished]
        if self.estimate is not None and None not in expected and (sum_expected := sum(filter(None, expected))) > 0:
            pace = total / sum_expected
            ended = [self._expect_seconds(job) or 0 for job in self.jobs.ended.values() if job.status != Status.REUSED]
            seconds = pace * max(0, (self.estimate.seconds or 0) - sum(ended))
            seconds -= sum(min(now - job.started, pace * (self._expect_seconds(job) or 0)) for job in running)
        else:
            mean = total / len(finished)
            pending = self.jobs.total - len(self.jobs.ended) - len(running)
            seconds = pending * mean + sum(max(0, mean - (now - job.started)) for job in running)
        return max(0, seconds) / max(1, len(running))

    def _expect_seconds(self, job: jobs.JobRecord) -> float | None:
        return self.estimate.expect_seconds(list(job.words)) if self.estimate else None

    def _print_trouble(self, number: int, job: jobs.JobRecord) -> None:
        hidden = ("study=", "tracking.", "launcher")
        words = printable(" ".join(word for word in job.words if not word.startswith(hidden)))
        reason = without_password(printable(job.message))
        output = self.jobs.output(number)
        where = f" ({os.path.relpath(output)})" if output else ""
        if job.status == Status.ELSEWHERE:
            print_folded(f"{words}: skipped, {reason}")
        elif job.has_trouble:
            print_folded(f"{job.status}: {words}: {reason}{where}", sys.stderr)

    def _poll(self) -> None:
        with contextlib.suppress(BrokenPipeError):  # the main thread will notice at its next line
            while not self._closed.wait(_POLL_SECONDS):
                self.update()


def _seconds(job: jobs.JobRecord) -> float:
    return (job.ended or job.started) - job.started


def _check_weights(weights: object, choices: Mapping[str, Sequence[str]]) -> None:
    """Refuse the weights of the latest run: in a sweep, that is the run before.

    Args:
        weights: the setting of all runs.
        choices: the `key=value` words of the sweep, by key.

    Raises:
        UserError: a run would start from `run:latest`.
    """
    words = [word for key in choices if key.lstrip("+") == "weights" for word in choices[key]]
    if "run:latest" in [weights, *(parsed.value for parsed in map(parse_word, words) if parsed)]:
        raise UserError(
            "`weights` must not be run:latest in a sweep or study, whose runs would start from one another: name the "
            "run, as in weights=run:ID. Received: weights=run:latest"
        )


class SweepCallback(Callback):
    """Starts and ends a sweep in the process of the command, and each of its jobs in the process that runs it.

    A job returns a `RunResult`. The page of the study is laid out before the first job, and a job that fails before its
    run starts is recorded.
    """

    def __init__(self) -> None:
        self.progress: SweepProgress | None = None
        self.page = ""
        self.total: int | None = None  # None in a process that a launcher started

    def __getstate__(self) -> dict[str, Any]:
        return {"progress": None, "page": "", "total": None}

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        if not launchers.runs_in_process(config.hydra):
            raise SweepError("`launcher` is for a sweep: type -m before its settings, or the `study=` of a file")

    @closed_output_interrupts()
    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        try:
            estimate = self._start(config)
        except UserError as error:
            raise SweepError(error) from error
        if self.total is None or config.plan:
            return
        sweep_jobs = jobs.Jobs(config.hydra.sweep.dir, self.total)
        self.progress = SweepProgress(sweep_jobs, launchers.uses_queue(config.hydra), estimate)
        current_session().progress = self.progress
        if not launchers.runs_in_process(config.hydra):
            signals.raise_on_signals()
            self.progress.start_polling()

    @closed_output_interrupts()
    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        if config.plan and self.total is not None:
            print_folded(f"\n── {printable(' '.join(config.hydra.overrides.task))}")
        if config.plan or config.hydra.mode != RunMode.MULTIRUN:
            return
        os.chdir(config.hydra.runtime.cwd)  # a cluster's worker starts in a folder of its own
        jobs.record_start(jobs.job_folder(config.hydra), config.hydra.overrides.task)

    @closed_output_interrupts()
    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        if config.plan or config.hydra.mode != RunMode.MULTIRUN:
            return
        if job_return.status == JobStatus.COMPLETED:
            result = job_return.return_value
        else:
            error = job_return._return_value
            result = RunResult(Status.FAILED, message=str(error), error=error)
        if result.error is not None:
            self._record_failure(config, result.error)
            result = replace(result, error=None)  # not every error can be sent from process to process
        job_return.return_value, job_return.status = result, JobStatus.COMPLETED
        job_return.cfg = job_return.hydra_cfg = None  # Hydra keeps what all jobs of a sweep return until its end
        jobs.record_end(jobs.job_folder(config.hydra), result)
        if self.progress:
            self.progress.update()

    @closed_output_interrupts()
    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        if config.plan or self.progress is None:
            return
        self.progress.close()
        if config.study != DEFAULT_EXPERIMENT:
            study_page.finish_page(config.tracking.uri, config.study)
            print(f"Report: python evaluate.py {shlex.quote(f'study={config.study}')}")
            print(f"MLflow: {self.page}", flush=True)
        if incomplete := self.progress.describe_incomplete():
            raise SweepError(incomplete)

    def _start(self, config: DictConfig) -> Estimate | None:
        """Check the sweep, lay out its page, and print what it will take."""
        choices = study_file.overrides_by_key(config.hydra.overrides.task)
        _check_weights(config.weights, choices)
        self.total = len(study_file.list_jobs(config.hydra.overrides.task, current_session().is_selected))
        launchers.check(config.launcher)
        in_process = launchers.runs_in_process(config.hydra)
        if config.plan:
            if not in_process:
                raise UserError("`plan` prints in this process: leave out `launcher`")
            return None
        self._announce(config)
        self._lay_out_page(config, choices, in_process)
        estimate = self._estimate(config)
        print_folded(f"{printable(config.study)}: {estimate}\n")
        return estimate if isinstance(estimate, Estimate) else None

    def _announce(self, config: DictConfig) -> None:
        """Print what is about to happen, before anything that takes long."""
        from ..tracking.addresses import explain_store_choice

        runs = f"{self.total} run{'s' * (self.total != 1)}"
        line = f"{printable(config.study)}: {runs}; opening {without_password(printable(config.tracking.uri))}"
        if launchers.runs_on_this_machine(config.hydra):
            line += ", then estimating the time from recorded runs and from a few training steps of other networks"
            line += backend.describe_loading()
        print_folded("\n".join([line, *explain_store_choice(config.tracking.uri)]))

    def _lay_out_page(self, config: DictConfig, choices: dict[str, list[str]], in_process: bool) -> None:
        from ..reporting.grid import describe_grid
        from ..tracking import study_runs
        from ..tracking.errors import StoreUnavailableError

        check_study_name(config.study)
        if config.study != DEFAULT_EXPERIMENT:
            file = study_file.load_study(config.study, _config_folders(config))
            file = file and study_file.add_ablation(file, config.hydra.overrides.task)
            swept = [key.lstrip("+") for key, words in choices.items() if len(words) > 1]
            # The grid of a study that stops when it is decided is not known before.
            grid = None if file and file.get("until") else describe_grid(choices)
            self.page = study_runs.set_up_study(config.tracking.uri, config.study, swept, file, grid)
        elif not in_process:
            with contextlib.suppress(StoreUnavailableError):  # its runs are buffered in the spool
                study_runs.create_study(config.tracking.uri, config.study)  # before many workers would

    def _estimate(self, config: DictConfig) -> Estimate | str:
        """Estimate the sweep, or say why that is impossible: a sweep runs without an estimate too."""
        from ..tracking.errors import StoreUnavailableError

        try:
            return estimate_sweep(config, launchers.runs_on_this_machine(config.hydra))
        except UserError as error:
            if isinstance(error, StoreUnavailableError):
                return f"{self.total} runs; no estimate of the time: {error}"
            raise
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            return f"{self.total} runs; no estimate of the time ({reason})"

    def _record_failure(self, config: DictConfig, error: Exception) -> None:
        from ..tracking import study_runs

        if config.study == DEFAULT_EXPERIMENT:
            return
        words = list(config.hydra.overrides.task)
        with contextlib.suppress(Exception):  # the store is offline: the sweep prints the failure anyway
            distinguishing = study_file.distinguishing_overrides(words, config.study, _config_folders(config))
            study_runs.log_failure(config.tracking.uri, config.study, words, error, distinguishing)


def _config_folders(config: DictConfig) -> list[str]:
    return [source.path for source in config.hydra.runtime.config_sources]
