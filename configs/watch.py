"""What a person sees of a sweep."""

import time
from datetime import timedelta

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobStatus
from hydra.experimental.callback import Callback

from .study_file import EVERYDAY


class Watch(Callback):
    """Counts the runs of a sweep: how many, done, failed, the best so far on validation, the time left.

    A job returns a mapping with its `name`, its `val_accuracy` or None, whether it was `found` done, and how to `see`
    what was recorded; None if it failed.
    """

    total = None  # in a process that runs one job of many

    def on_multirun_start(self, config, **kwargs):
        self.total, self.made, self.found, self.failed = _jobs(config.hydra.overrides.task), 0, 0, 0
        self.seconds, self.best, self.see = 0.0, None, None
        print(f"{config.study}: {self.total} run{'s' * (self.total != 1)}\n", flush=True)

    def on_job_start(self, config, **kwargs):
        self.begun = time.monotonic()

    def on_job_end(self, config, job_return, **kwargs):
        if self.total is None or config.plan:
            return
        outcome = job_return.return_value if job_return.status == JobStatus.COMPLETED else None
        if outcome is None:
            self.failed += 1
        else:
            self.found += outcome["found"]
            self.made += not outcome["found"]
            self.seconds += 0 if outcome["found"] else time.monotonic() - self.begun
            self.see = outcome["see"]
            if outcome["val_accuracy"] is not None:
                self.best = max(self.best or outcome, outcome, key=lambda each: each["val_accuracy"])
        words = [self._counts()]
        if self.best:
            words.append(f"best on validation: {self.best['val_accuracy']:.2%}, {self.best['name']}")
        left = self.total - self.made - self.found - self.failed
        if self.made and left:
            words.append(f"about {timedelta(seconds=round(left * self.seconds / self.made))} left")
        print(f"── {'; '.join(words)}\n", flush=True)

    def on_multirun_end(self, config, **kwargs):
        if config.plan:
            return
        if config.study != EVERYDAY:
            print(f"what they say: python evaluate.py study={config.study}")
        if self.see:
            print(f"to see the runs: {self.see}")

    def _counts(self):
        words = [f"{self.made + self.found} of {self.total} done"]
        if self.found:
            words.append(f"{self.found} before")
        if self.failed:
            words.append(f"{self.failed} failed")
        return ", ".join(words)


def _jobs(words):
    """How many jobs the words of a sweep are."""
    total = 1
    for override in OverridesParser.create().parse_overrides(list(words)):
        if override.is_sweep_override():
            total *= len(list(override.sweep_string_iterator()))
    return total
