"""What a person sees of a sweep, and what is kept of it beside its runs."""

import contextlib
import time
from datetime import timedelta

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobStatus
from hydra.experimental.callback import Callback

from .. import UserError
from ..tracking import EVERYDAY
from . import files
from .estimate import estimate


class RefusedError(BaseException):
    """What ends a sweep before its first job; Hydra lets no `Exception` out of a callback."""


class Watch(Callback):
    """Counts the runs of a sweep: how many, done, failed, the best so far on validation, the time left.

    A job returns a mapping: `failed`, the error; or `elsewhere`, where another process makes its run; or its `name`,
    its `val_accuracy` or None, and whether it was `found` done. The study's page is laid out before the first, and a
    job that fails before its run begins is recorded.
    """

    total = None  # in a process that runs one job of many

    def on_multirun_start(self, config, **kwargs):
        from ..tracking import study

        with_values = _swept(config.hydra.overrides.task)
        self.total, self.made, self.found, self.failed, self.elsewhere = 1, 0, 0, 0, 0
        for values in with_values.values():
            self.total *= values
        self.seconds, self.best, self.page = 0.0, None, None
        if config.plan:
            return
        try:
            if config.study != EVERYDAY:
                if not isinstance(config.study, str):
                    raise UserError(f"`study` must be a name. Received: study={config.study!r}")
                file = files.read(config.study, [source.path for source in config.hydra.runtime.config_sources])
                self.page = study.begin(config.tracking.uri, config.study, list(with_values), file)
            print(f"{config.study}: {estimate(config, here=True)}\n", flush=True)
        except UserError as error:
            raise RefusedError(error) from error

    def on_job_start(self, config, **kwargs):
        self.begun = time.monotonic()
        if config.plan and self.total is not None:
            print(f"\n── {' '.join(config.hydra.overrides.task)}")

    def on_job_end(self, config, job_return, **kwargs):
        if config.plan:
            return
        done = job_return.status == JobStatus.COMPLETED
        outcome = job_return.return_value if done else {"failed": job_return._return_value}
        if "failed" in outcome:
            self._keep(config, job_return.overrides, outcome["failed"])
        if self.total is not None:
            self._count(outcome)

    def on_multirun_end(self, config, **kwargs):
        if config.study == EVERYDAY or config.plan:
            return
        print(f"the report: python evaluate.py study={config.study}")
        print(f"to see the runs: {self.page}")

    def _keep(self, config, words, error):
        from ..tracking import study

        if config.study != EVERYDAY and HydraConfig.get().mode.name == "MULTIRUN":
            with contextlib.suppress(Exception):  # a store that is gone: the sweep has told the failure itself
                telling = files.telling(HydraConfig.get(), config.study)  # the name that it has once it is done
                study.keep_failure(config.tracking.uri, config.study, list(words), error, telling)

    def _count(self, outcome):
        if "failed" in outcome:
            self.failed += 1
        elif "elsewhere" in outcome:
            self.elsewhere += 1
        else:
            self.found += outcome["found"]
            self.made += not outcome["found"]
            self.seconds += 0 if outcome["found"] else time.monotonic() - self.begun
            if outcome["val_accuracy"] is not None:
                self.best = max(self.best or outcome, outcome, key=lambda each: each["val_accuracy"])
        words = [f"{self.made + self.found} of {self.total} done"]
        words += [f"{self.found} before"] * bool(self.found) + [f"{self.failed} failed"] * bool(self.failed)
        words += [f"{self.elsewhere} left to another process"] * bool(self.elsewhere)
        said = [", ".join(words)]
        if self.best:
            said.append(f"best on validation: {self.best['val_accuracy']:.2%}, {self.best['name']}")
        left = self.total - self.made - self.found - self.failed - self.elsewhere
        if self.made and left:
            said.append(f"about {timedelta(seconds=round(left * self.seconds / self.made))} left")
        print(f"── {'; '.join(said)}\n", flush=True)


def _swept(words):
    """Mapping from each key that a sweep's words vary to how many values it has."""
    overrides = OverridesParser.create().parse_overrides(list(words))
    return {
        each.key_or_group: len(list(each.sweep_string_iterator())) for each in overrides if each.is_sweep_override()
    }
