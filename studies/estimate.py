"""What a sweep will take, said before its first run: how many runs, how much time, how much disk."""

from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from itertools import product
from math import log

from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from .. import UserError
from ..tracking import EVERYDAY
from .files import choices

_NEAR = log(2)  # a network of half the multiplications of another, to twice of them, takes as long for each
_START = 1.0  # seconds of a run beside its steps and its looks at validation and test
_LOOK = 3.0  # so many times faster images are looked at than learned from
_RECORD = 50_000  # bytes that a run takes in the store, with its config
_PICTURE = 70_000


@dataclass
class Estimate:
    """What a sweep will take.

    Attributes:
        runs: how many it has.
        cells: how many of them differ in more than their seed.
        done: how many the study holds already.
        seconds: to make the others one after another; None if nothing tells.
        basis: what tells, in words.
        kept: bytes that they leave on disk.
        passing: bytes of the largest run's checkpoints, gone when it is done.
        untold: runs that are left out, because of what their configs say.
    """

    runs: int
    cells: int
    done: int = 0
    seconds: float | None = 0.0
    basis: str = ""
    kept: int = 0
    passing: int = 0
    untold: int = 0

    def __str__(self):
        said = f"{self.runs} run{'s' * (self.runs != 1)}"
        said += f" of {self.cells} cells" if 1 < self.cells < self.runs else ""
        said += f", {self.done} done before" if self.done else ""
        if self.seconds is None or not self.kept:
            return said
        time = timedelta(seconds=max(1, round(self.seconds)))
        checkpoints = f"{_size(self.passing)} for checkpoints until a run is done"
        said += f"; about {time} one after another, {self.basis}; {_size(self.kept)} on disk, {checkpoints}"
        return said + (f"; without {self.untold} that will not run as they are" if self.untold else "")


def estimate(config, here):
    """The `Estimate` of a sweep.

    Runs that are recorded tell how fast this machine trains a network. For one of another size a few steps are tried
    on noise. What a run's own config gets wrong is left for that run to say.

    Args:
        config: the sweep's config, Hydra's own included.
        here: whether the runs are made on this machine, which then tells how long they take.

    Raises:
        UserError: no run would find its data, or the store cannot be opened.
    """
    cells = _cells(config.hydra.overrides.task)
    found = Estimate(runs=sum(len(seeds) for _, seeds in cells), cells=len(cells))
    if not here:
        found.seconds = None
        return found
    machine = _Machine(config)
    for words, seeds in cells:
        machine.add(found, words, seeds)
    if machine.missing and not machine.data:
        raise machine.missing[0]
    found.basis = machine.basis
    return found


class _Machine:
    """This machine, and what is recorded of it."""

    def __init__(self, config):
        from ..tracking import environment, study
        from ..training import backend

        backend.start(config.precision)
        import keras

        from ..models import targets

        targets.allow(OmegaConf.to_container(config.allow), config.hydra.overrides.task)

        self.backend = keras.backend.backend()
        uri, name = config.tracking.uri, config.study
        self.speeds = cache(partial(study.speeds, uri, backend=self.backend))  # by precision
        done = [] if name == EVERYDAY else study.results(uri, name, "attributes.status = 'FINISHED'")
        self.done = set() if config.rerun else {run.identity for run in done if run.code == environment.code()}
        self.seconds = {run.cell: run.seconds for run in reversed(done)}  # of the newest
        self.recorded, self.tried = False, 0
        self.data, self.missing = {}, []  # by its config each set that is there; why others are not

    @property
    def basis(self):
        tried = f"by a try of {self.tried} network{'s' * (self.tried != 1)}"
        return " and ".join(["by recorded runs"] * self.recorded + [tried] * bool(self.tried))

    def add(self, found, words, seeds):
        """Adds to an `Estimate` the runs of a cell; what is wrong with its config it will say itself."""
        from ..models import zoo
        from ..tracking.record import record
        from ..training import backend, recipe

        try:
            config = _composed(words)
            settings = recipe.resolve(OmegaConf.to_container(config, resolve=True))
            precision = backend.choose(config.precision, zoo.rows(config))
            network, plan = zoo.network(config)
            data = self._read(settings["data"])
            seeds = [settings["seed"] if seed is None else int(seed) for seed in seeds]
        except (UserError, OmegaConfBaseException, ValueError):
            found.untold += len(seeds)
            return
        for seed in seeds:
            settings["seed"] = seed
            _, tags = record(settings, network, {}, plan, data.digest, precision, self.backend)
            if tags["identity"] in self.done:
                found.done += 1
                continue
            found.seconds += self.seconds.get(tags["cell"]) or self._seconds(settings, network, plan, data, precision)
            self.recorded |= tags["cell"] in self.seconds
            weights = sum(row.weight_bytes for row in plan.rows)
            found.kept += _RECORD + (weights + _PICTURE) * (settings["tracking"]["artifacts"] == "full")
            found.passing = max(found.passing, 2 * (weights + 4 * plan.params))  # two, each with the momentum

    def _read(self, config):
        from .. import data

        key = OmegaConf.to_yaml(config)
        if key not in self.data:
            try:
                data.look(config)
                self.data[key] = data.load(config)
            except UserError as error:
                self.missing.append(error)
                raise
        return self.data[key]

    def _seconds(self, settings, network, plan, data, precision):
        """Of one run, from its start to its end."""
        learned = settings["epochs"] * len(data.train)
        views = 1 + 2 * (settings["test_shift"] > 0) + settings["test_flip"]
        looked = settings["epochs"] * len(data.validation or ()) + len(data.test) * views
        return _START + (learned + looked / _LOOK) / self._speed(settings, network, plan, data, precision)

    def _speed(self, settings, network, plan, data, precision):
        """Images a second."""
        far = [(abs(log(max(macs, 1) / max(plan.macs, 1))), macs, speed) for macs, speed in self.speeds(precision)]
        distance, macs, speed = min(far, key=lambda each: each[0], default=(_NEAR, 0, 0))
        if distance < _NEAR:
            self.recorded |= not self.tried
            return speed * macs / plan.macs
        from ..models import assemble, objective
        from ..training import fit, preprocess

        classes = len(data.class_names)
        model = assemble.assemble(network["rows"], data.train.x.shape[1:], classes, plan.name)
        preprocess.fit_rows(model, network["rows"], data.train.x[:1000])
        goal = objective.make(model, network["loss"], network["heads"])
        speed = fit.speed(model, settings["recipe"], settings["batch_size"], goal)
        self.tried += 1
        self.speeds(precision).insert(0, (plan.macs, speed))
        return speed


def _cells(words):
    """(words, seeds) of every combination of a sweep's words, those that differ in their seed alone together."""
    found = choices(words)
    seeds = [word.partition("=")[2] for word in found.pop("seed", [])] or [None]
    return [(list(each), seeds) for each in product(*found.values())]


def _composed(words):
    """A run's config without Hydra's own."""
    from .. import data

    try:
        config = GlobalHydra.instance().config_loader().load_configuration("train", words, RunMode.RUN)
    except Exception as error:  # the run itself will say what is wrong
        raise UserError(str(error)) from error
    with open_dict(config):
        del config["hydra"]
    config.data.update(data.found(config.data))
    return config


def _size(count):
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
