"""Check that the default recipe trains every network: `python -m convzoo.benchmarks.default_recipe`.

A run "trains" if, after 300 steps, the mean training loss of the last 20 is below 0.8 · ln(classes). A cell, which is a
network with a pooling kind, trains if two of three seeds do. With `--stop-early` a run ends as soon as the mean loss of
20 steps is below the threshold; its number of steps shows it. Results are written to a JSON file, a row for each run.
A run that the file has is not repeated.
"""

import datetime
import json
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import OmegaConf

from .. import UserError
from ..models import registry
from ..settings.schema import Schema, parse
from ..tracking import environment
from ..tracking.identity import RunIdentity
from . import command

if TYPE_CHECKING:
    import argparse

    from ..data.batches import Batches
    from ..training.steps.base import TrainStep

STEPS = 300
WINDOW = 20  # steps whose mean loss is compared with the threshold
THRESHOLD = 0.8  # of ln(classes)
SEEDS = (0, 1, 2)
RESULTS = Path(__file__).parents[1] / "results" / "default_recipe.json"


class FirstSteps(Schema):
    """The first steps of one training, a row of the JSON file.

    Attributes:
        network, pooling, data: names of configs.
        seed: the run's.
        steps: number of steps.
        loss: mean training loss of the last 20 of them; None if a loss was not finite.
        threshold: 0.8 · ln(classes).
        trains: whether `loss` is below `threshold`.
        error: the error that ended the training early, or None.
        cell: digest of all that decides the result except the seed.
        seconds: time of the steps.
        images_per_second: rate of the steps.
        code, machine, date: code that ran, where and when.
    """

    network: str
    pooling: str
    data: str
    seed: int
    steps: int
    loss: float | None
    threshold: float
    trains: bool
    error: str | None
    cell: str
    seconds: float
    images_per_second: float
    code: str
    machine: str
    date: str


def list_fitting_networks(image_shape: tuple[int, int, int]) -> list[str]:
    """Return the names of the networks whose paper's images are not larger than these, in alphabetical order."""
    return [name for name in registry.names() if registry.paper(name)["image_shape"][0] <= image_shape[0]]


def list_kinds(network: str, image_shape: tuple[int, int, int], classes: int) -> list[str]:
    """Return the pooling kinds that the network can be built with for such images, "paper" first."""
    kinds = []
    for kind in ("paper", *registry.pooling_kinds()):
        try:
            registry.plan(network, image_shape, classes, pooling=kind)
        except UserError:
            continue
        kinds.append(kind)
    return kinds


def train_first_steps(
    cell: tuple[str, str, str], seed: int, steps: int = STEPS, stop_early: bool = False
) -> FirstSteps:
    """Train a network by the default recipe for some steps.

    Args:
        cell: names of the configs of network, pooling and data.
        seed: the run's.
        steps: largest number of steps; default 300.
        stop_early: whether to end once the loss is below the threshold; default False.

    Raises:
        UserError: the data are missing, or the network does not fit them.
    """
    return _Training(cell, seed).run(steps, stop_early)


class _Training:
    def __init__(self, cell: tuple[str, str, str], seed: int):
        from .. import data as data_sets
        from .training_setup import TrainingSetup

        network, pooling, data = cell
        self.names: dict[str, Any] = dict(network=network, pooling=pooling, data=data, seed=seed)
        words = [f"model={network}", f"pooling={pooling}", f"data={data}", f"seed={seed}", "precision=float32"]
        self.setup = TrainingSetup(words)
        self.settings = self.setup.settings
        self.data = data_sets.load(self.settings["data"])

    def digest(self) -> str:
        """Return a digest of all that decides the result except the seed."""
        setup = self.setup
        axes = registry.describe(setup.config)
        args = (self.settings, setup.network, axes, setup.plan, self.data.digest, "float32", "any")
        return RunIdentity(*args).tags["cell"]

    def run(self, steps: int, stop_early: bool) -> FirstSteps:
        import keras

        from ..training.optimizers import make_optimizer
        from ..training.schedules import make_schedule

        settings = self.settings
        recipe = settings["recipe"]
        classes = len(self.data.class_names)
        keras.utils.clear_session()
        model = self.setup.build_model(self.data.train, classes)
        batches = self.setup.make_batches(self.data.train)
        schedule = make_schedule(recipe["schedule"], settings["learning_rate"], settings["epochs"], batches.steps)
        step = model.make_step(
            make_optimizer(recipe, schedule, settings["epochs"] * batches.steps), recipe["label_smoothing"]
        )
        threshold = THRESHOLD * math.log(classes)
        losses: list[float] = []
        error = None
        start = time.perf_counter()
        try:
            for loss in self._train(step, batches):
                losses.append(loss)
                is_below = stop_early and len(losses) >= WINDOW and np.mean(losses[-WINDOW:]) < threshold
                if is_below or len(losses) >= steps:
                    break
        except UserError as failure:
            error = str(failure)[:200]
        seconds = time.perf_counter() - start
        mean_loss = None if error else float(np.mean(losses[-WINDOW:]))
        return FirstSteps(
            **self.names,
            steps=len(losses),
            loss=mean_loss and round(mean_loss, 4),
            threshold=round(threshold, 4),
            trains=mean_loss is not None and mean_loss < threshold,
            error=error,
            cell=self.digest(),
            seconds=round(seconds, 1),
            images_per_second=round(len(losses) * settings["batch_size"] / seconds, 1),
            code=environment.code_version(),
            machine=environment.describe_machine(),
            date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        )

    def _train(self, step: "TrainStep", batches: "Batches") -> Iterator[float]:
        """Yield the loss of each step."""
        for epoch in range(self.settings["epochs"]):
            for stacked in batches.epoch(epoch, 0, step.stack, lambda: 1):
                yield from (loss for loss, _ in step.train_on_batches(stacked))


def sample_cells(cells: list[tuple[str, str]], count: int, date: str) -> list[tuple[str, str]]:
    """Draw `count` different cells, the same ones all day.

    Args:
        cells: pairs of network and pooling kind.
        count: number of cells; all if there are fewer.
        date: such as "2026-11-30".
    """
    return random.Random(date).sample(cells, min(count, len(cells)))


def summarize(rows: list[FirstSteps]) -> dict[tuple[str, str, str], bool | None]:
    """Decide for each cell whether it trains.

    Args:
        rows: runs; the last one of a seed counts.

    Returns:
        A mapping from (network, pooling, data) to True if two seeds train, False if two do not, else None.
    """
    outcomes: dict[tuple[str, str, str], dict[int, bool]] = {}
    for row in rows:
        outcomes.setdefault(_cell_of(row), {})[row.seed] = row.trains
    verdicts = {}
    for cell, by_seed in outcomes.items():
        trained = list(by_seed.values())
        verdicts[cell] = True if trained.count(True) >= 2 else False if trained.count(False) >= 2 else None
    return verdicts


def _cell_of(row: FirstSteps) -> tuple[str, str, str]:
    return row.network, row.pooling, row.data


def measure(
    cells: Sequence[tuple[str, str, str]],
    seeds: Sequence[int],
    rows: list[FirstSteps],
    save: Callable[[list[FirstSteps]], None],
    train: Callable[["_Training"], FirstSteps],
) -> bool:
    """Measure cells in order; return whether each one trains, as far as it is decided.

    Args:
        cells: names of the configs of network, pooling and data.
        seeds: at most three; the third is left out if two decide.
        rows: earlier runs; new ones are appended, those of an older recipe are removed.
        save: called with `rows` after each run.
        train: makes a run.
    """
    from ..training import backend

    backend.start("float32")
    all_train = True
    for cell in cells:
        for seed in seeds:
            training = _Training(cell, seed)
            digest = training.digest()
            rows[:] = [row for row in rows if _cell_of(row) != cell or row.cell == digest]  # none of an older recipe
            measured = [row for row in rows if _cell_of(row) == cell]
            if summarize(measured).get(cell) is not None:
                break
            if any(row.seed == seed for row in measured):
                continue
            rows.append(train(training))
            print(_describe(rows[-1]), flush=True)
            save(rows)
        all_train = all_train and summarize(rows).get(cell) is not False
    return all_train


def _describe(row: FirstSteps) -> str:
    verdict = "trains" if row.trains else "does not train"
    loss = "not finite" if row.loss is None else f"{row.loss:.3f}"
    return (
        f"{row.network} pooling={row.pooling} data={row.data} seed={row.seed}: {verdict}, loss {loss} after "
        f"{row.steps} steps ({row.seconds:.0f} s)"
    )


def main() -> None:
    """Run the benchmark of the command line."""
    parser = _make_parser()
    arguments = parser.parse_args()
    output = arguments.output or RESULTS
    try:
        cells, rows = _list_cells(arguments), _read(output)
    except UserError as error:
        parser.error(str(error))
    if arguments.sample:
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        cells = sample_cells(cells, arguments.sample, today)
        print(f"sample of {today}: {', '.join(f'{network} pooling={kind}' for network, kind in cells)}", flush=True)

    def save(rows: list[FirstSteps]) -> None:
        _save(output, rows)

    def train(training: _Training) -> FirstSteps:
        return training.run(arguments.steps, arguments.stop_early)

    full_cells = [(network, kind, arguments.data) for network, kind in cells]
    if not measure(full_cells, arguments.seeds, rows, save, train):
        raise SystemExit("not every network trains by the default recipe")


def _make_parser() -> "argparse.ArgumentParser":
    parser = command.make_parser(".default_recipe", __doc__)
    parser.add_argument("networks", nargs="*", help="networks (default: all whose images are small enough)")
    parser.add_argument("--data", default="digits", help="data config (default: digits)")
    parser.add_argument("--pooling", nargs="*", help="pooling kinds (default: paper and all that fit)")
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS, help="seeds (default: 0 1, and 2 if it decides)")
    parser.add_argument("--steps", type=command.positive_int, default=STEPS, help=f"steps per run (default: {STEPS})")
    parser.add_argument("--stop-early", action="store_true", help="end a run once its loss is below the threshold")
    parser.add_argument("--max-macs", type=float, default=math.inf, help="leave out networks with more MACs")
    parser.add_argument("--sample", type=command.positive_int, help="number of cells to draw by date (default: all)")
    return parser


def _list_cells(arguments: "argparse.Namespace") -> list[tuple[str, str]]:
    """Return pairs of network and pooling kind, those of cheap networks first."""
    shape, classes = _shape_and_classes(arguments.data)
    cells = []
    for network in arguments.networks or list_fitting_networks(shape):
        macs = registry.plan(network, shape, classes).macs
        if macs <= arguments.max_macs:
            kinds = arguments.pooling or list_kinds(network, shape, classes)
            cells += [(macs, network, kind) for kind in kinds]
    return [(network, kind) for _, network, kind in sorted(cells)]


def _read(path: Path) -> list[FirstSteps]:
    try:
        rows = json.loads(path.read_text()) if path.exists() else []
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is no JSON file: {error}") from error
    return [parse(FirstSteps, row, str(path)) for row in rows]


def _save(path: Path, rows: Sequence[FirstSteps]) -> None:
    path.parent.mkdir(exist_ok=True)
    text = json.dumps([row.model_dump() for row in rows], indent=0)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(f"{text}\n")
    temporary.replace(path)


def _shape_and_classes(data: str) -> tuple[tuple[int, int, int], int]:
    path = registry.CONFIGS_FOLDER / "data" / f"{data}.yaml"
    if not path.is_file():
        raise UserError(f"--data must be a config of configs/data. Received: {data}")
    config = OmegaConf.load(path)
    return tuple(config.image_shape), config.classes


if __name__ == "__main__":
    main()
