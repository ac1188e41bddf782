"""The estimate of a sweep, printed before its first run: how many runs, how much time, how much disk."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache, partial
from math import log
from typing import TYPE_CHECKING, Any

from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from .. import UserError
from ..evaluation.tta import VIEW_COUNTS
from ..settings.composition import ComposedRun
from ..settings.study_file import list_jobs
from ..tracking import DEFAULT_EXPERIMENT
from .batch_size import AUTO, check_batch_fits, choose_batch_size
from .recipe_checks import allow_own_classes
from .session import current_session

if TYPE_CHECKING:
    from ..data import Dataset
    from ..models.planning import Plan
    from ..models.weights import NamedWeights

_NEAR = log(2)  # a network of half the multiplications of another, to twice of them, takes as long for each
_START_SECONDS = 1.0  # of a run, besides its steps and its predictions
_PREDICTION_SPEED = 3.0  # images a second in prediction, relative to training
_RECORD_BYTES = 50_000  # of a run in the store, with its config
_FIGURE_BYTES = 70_000


@dataclass
class Estimate:
    """The time and the disk space that a sweep needs.

    Attributes:
        runs: number of runs.
        cells: number of settings that differ in more than their seed.
        done: number of runs that the study has already.
        seconds: of the other runs, one after another; None if it cannot be estimated.
        basis: what the estimate is based on, in words.
        disk_bytes: of the files that the runs leave.
        checkpoint_bytes: of the largest run's checkpoints, which are removed when it is done.
        skipped: runs that are not counted, because their settings are refused.
        cell_seconds: mapping from the swept words of a cell, without `seed`, to the seconds of one of its runs.
    """

    runs: int
    cells: int
    done: int = 0
    seconds: float | None = 0.0
    basis: str = ""
    disk_bytes: int = 0
    checkpoint_bytes: int = 0
    skipped: int = 0
    cell_seconds: dict[frozenset[str], float] = field(default_factory=dict)

    def expect_seconds(self, words: list[str]) -> float | None:
        """Return the seconds of the run of some words, of which some may be the same in all runs; None if unknown."""
        swept: frozenset[str] = frozenset().union(*self.cell_seconds)
        return self.cell_seconds.get(swept & {*words})

    def __str__(self) -> str:
        text = f"{self.runs} run{'s' * (self.runs != 1)}"
        text += f" of {self.cells} cells" if 1 < self.cells < self.runs else ""
        text += f", {self.done} done before" if self.done else ""
        if self.seconds is None or not self.disk_bytes:
            return text
        time = timedelta(seconds=max(1, round(self.seconds)))
        checkpoints = f"{_size(self.checkpoint_bytes)} for checkpoints until a run is done"
        text += f"; about {time} one after another, {self.basis}; {_size(self.disk_bytes)} on disk, {checkpoints}"
        return text + (f"; without {self.skipped} that will not run as they are" if self.skipped else "")


def estimate_sweep(config: DictConfig, is_on_this_machine: bool) -> Estimate:
    """Estimate a sweep.

    Recorded runs say how fast this machine trains a network. A network of another size is trained for a few steps, on
    noise. Wrong settings of a run are left for that run to report.

    Args:
        config: the sweep's config, Hydra's own included.
        is_on_this_machine: whether the runs run here, so that their time can be estimated.

    Raises:
        UserError: no run would find its data, or the store cannot be opened.
    """
    cells = _cells(config.hydra.overrides.task)
    estimate = Estimate(runs=sum(len(seeds) for _, seeds in cells), cells=len(cells))
    if not is_on_this_machine:
        estimate.seconds = None
        return estimate
    seconds = 0.0
    machine = _Machine(config)
    same = set.intersection(*(set(words) for words, _ in cells))
    for words, seeds in cells:
        done_before = estimate.done
        cell_seconds = machine.add(estimate, words, seeds)
        seconds += cell_seconds
        if count := len(seeds) - (estimate.done - done_before):
            estimate.cell_seconds[frozenset(words) - same] = cell_seconds / count
    if machine.missing and not machine.data:
        raise machine.missing[0]
    estimate.seconds = seconds
    estimate.basis = machine.basis
    return estimate


class _Machine:
    """The training speed of this machine, from recorded runs and from trials.

    Attributes:
        data: mapping from the settings of a data set, as JSON, to the set.
        missing: why other data sets cannot be read.
    """

    def __init__(self, config: DictConfig) -> None:
        from ..tracking import environment, study_runs
        from ..training import backend

        backend.start(config.precision)
        import keras

        allow: Any = OmegaConf.to_container(config.allow)
        allow_own_classes(allow, config.hydra.overrides.task)

        self.backend = keras.backend.backend()
        origin = environment.origin_tags({**environment.environment_tags(allow), "backend": self.backend})
        uri, name = config.tracking.uri, config.study
        self.speeds = cache(partial(study_runs.recorded_speeds, uri, backend=self.backend))  # by precision
        done = (
            [] if name == DEFAULT_EXPERIMENT else study_runs.find_results(uri, name, "attributes.status = 'FINISHED'")
        )
        self.done = set() if config.rerun else {run.identity for run in done if run.origin == origin}
        self.seconds = {run.cell: run.seconds for run in reversed(done)}  # of the newest
        self.uses_records = False
        self.trials = 0
        self.read_weights = cache(_read_weights)
        self.data: dict[str, Dataset] = {}
        self.missing: list[UserError] = []

    @property
    def basis(self) -> str:
        """The basis of the estimate, in words."""
        trials = f"by a try of {self.trials} network{'s' * (self.trials != 1)}"
        return " and ".join(["by recorded runs"] * self.uses_records + [trials] * bool(self.trials))

    def add(self, estimate: Estimate, words: list[str], seeds: list[str | None]) -> float:
        """Add the runs of a cell to an estimate, except their seconds, which are returned."""
        from ..models import registry
        from ..tracking.identity import RunIdentity
        from ..training import backend
        from .runner import check_settings

        try:
            config = _compose(words)
            settings = check_settings(ComposedRun(config, tuple(words))).model_dump()
            digest = self._apply_weights(settings, config)
            precision = backend.set_precision(config.precision, registry.rows(config))
            network, plan = registry.network(config)
            data = self._read(settings["data"])
            numbers = [settings["seed"] if seed is None else int(seed) for seed in seeds]
        except (UserError, OmegaConfBaseException, ValueError):
            estimate.skipped += len(seeds)
            return 0.0
        seconds = 0.0

        def identify(**changes: Any) -> dict[str, str]:
            changed = {**settings, **changes}
            return RunIdentity(changed, network, {}, plan, data.digest, precision, self.backend, (), digest).tags

        def is_used(batch_size: int) -> bool:
            return identify(batch_size=batch_size)["cell"] in self.seconds

        try:
            if settings["batch_size"] == AUTO:
                settings["batch_size"], _ = choose_batch_size(plan, settings, len(data.train), is_used)
            check_batch_fits(plan, settings, len(data.train))
        except UserError:
            estimate.skipped += len(seeds)
            return 0.0
        for seed in numbers:
            tags = identify(seed=seed)
            if tags["identity"] in self.done:
                estimate.done += 1
                continue
            seconds += self.seconds.get(tags["cell"]) or self._seconds(settings, network, plan, data, precision)
            self.uses_records |= tags["cell"] in self.seconds
            weights = sum(row.weight_bytes for row in plan.rows)
            estimate.disk_bytes += _RECORD_BYTES + (weights + _FIGURE_BYTES) * (
                settings["tracking"]["artifacts"] == "full"
            )
            checkpoint_bytes = 2 * (weights + 4 * plan.params)  # two checkpoints, each with the momentum
            estimate.checkpoint_bytes = max(estimate.checkpoint_bytes, checkpoint_bytes)
        return seconds

    def _apply_weights(self, settings: dict[str, Any], config: DictConfig) -> str | None:
        """Change settings and rows as the weights need them that a run starts from; return the identity of these.

        Raises:
            UserError: they cannot be read, or are of another network.
        """
        from ..models.weights import adapt_config_to_weights

        if settings["weights"] is None:
            return None
        weights = self.read_weights(settings["weights"], config.model.name, settings["tracking"]["uri"])
        adapt_config_to_weights(weights, config, settings)
        return weights.identity

    def _read(self, config: dict[str, Any]) -> Dataset:
        from .. import data

        key = json.dumps(config, sort_keys=True, default=str)
        if key not in self.data:
            try:
                data.check_available(config)
                self.data[key] = data.load(config)
            except UserError as error:
                self.missing.append(error)
                raise
        return self.data[key]

    def _seconds(
        self, settings: dict[str, Any], network: Mapping[str, Any], plan: Plan, data: Dataset, precision: str
    ) -> float:
        """Return the seconds of one run, from its start to its end."""
        trained = settings["epochs"] * len(data.train)
        views = 2 * (settings["test_shift"] > 0) + VIEW_COUNTS[settings["test_views"]]
        validation = len(data.validation) if data.validation is not None else 0
        extra = sum(map(len, data.extra_tests.values()))
        predicted = settings["epochs"] * validation + len(data.test) * views + extra
        return _START_SECONDS + (trained + predicted / _PREDICTION_SPEED) / self._speed(
            settings, network, plan, data, precision
        )

    def _speed(
        self, settings: dict[str, Any], network: Mapping[str, Any], plan: Plan, data: Dataset, precision: str
    ) -> float:
        """Return the training images a second."""
        distances = [
            (abs(log(max(macs, 1) / max(plan.macs, 1))), macs, speed) for macs, speed in self.speeds(precision)
        ]
        distance, macs, speed = min(distances, key=lambda each: each[0], default=(_NEAR, 0, 0))
        if distance < _NEAR:
            self.uses_records |= not self.trials
            return speed * macs / plan.macs
        from ..models import builder, objective
        from ..training import preprocess, trainer

        classes = len(data.class_names)
        model = builder.assemble(network["rows"], data.train.x.shape[1:], classes, plan.name)
        preprocess.adapt_rows(model, network["rows"], data.train.x[:1000])
        goal = objective.make_objective(model, network["loss"], network["heads"])
        speed = trainer.measure_speed(model, settings["recipe"], settings["batch_size"], goal)
        self.trials += 1
        self.speeds(precision).insert(0, (plan.macs, speed))
        return speed


def _read_weights(source: str, network: str, store: str) -> NamedWeights:
    """Read weights that runs start from, and keep only what is said about them."""
    from ..models.weights import read_source

    return replace(read_source(source, network, store), layers={})


def _cells(words: Iterable[str]) -> list[tuple[list[str], list[str | None]]]:
    """Return (words, seeds) of every cell of a sweep."""
    cells: dict[tuple[str, ...], list[str | None]] = {}
    for job in list_jobs(words, current_session().is_selected):
        seed = next((word.partition("=")[2] for word in job if word.startswith("seed=")), None)
        cells.setdefault(tuple(word for word in job if not word.startswith("seed=")), []).append(seed)
    return [(list(words), seeds) for words, seeds in cells.items()]


def _compose(words: list[str]) -> DictConfig:
    """Compose the config of a run, without Hydra's own part."""
    try:
        config = GlobalHydra.instance().config_loader().load_configuration("train", words, RunMode.RUN)
    except Exception as error:  # the run itself reports it
        raise UserError(str(error)) from error
    with open_dict(config):
        del config["hydra"]
    return config


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
