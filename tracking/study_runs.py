"""The runs of a study: one MLflow experiment, in which each identity has one finished run."""

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pydantic

from ..settings.schema import Schema
from . import DEFAULT_EXPERIMENT, charts, environment
from .addresses import how_to_open
from .errors import StoreUnavailableError
from .outbox import journal
from .results import Result, is_reusable, result_of_journal, search
from .run import Run, RunSpec, describe_failure
from .run_names import name_tags, run_name
from .store import get_or_create_experiment, open_store, unavailable_as_user_error
from .tables import no_study

SPEC_TAG = "convzoo.study"  # tag of the experiment: the study file, as it was at the study's first run
GRID_TAG_PREFIX = "convzoo.grid."  # of the tags that hold the settings of the study's sweeps
_KIND_TAG = "mlflow.experimentKind"  # of the experiment: whether MLflow shows it as model training
_LONGEST_TAG = 5000  # characters that MLflow accepts


def find_results(uri: str, study: str, where: str = "") -> list[Result]:
    """Return the runs of a study, newest first.

    Args:
        uri: address of the store.
        study: name of the experiment.
        where: a filter of MLflow's.

    Raises:
        UserError: there is no such study.
    """
    client, experiment = _study(uri, study)
    if experiment is None:
        raise no_study(uri, study, [each.name for each in client.search_experiments()])
    with unavailable_as_user_error(uri):
        return search(client, experiment.experiment_id, where)


def has_study(uri: str, study: str) -> bool:
    """Return whether a store has the experiment of a study."""
    return _study(uri, study)[1] is not None


def has_finished_cell(uri: str, study: str, cell: str) -> bool:
    """Return whether a study, other than the default experiment, has a finished run of a cell.

    Args:
        uri: address of the store.
        study: name of the experiment.
        cell: hash of all that decides the result but the seed, see `RunIdentity`.
    """
    if study == DEFAULT_EXPERIMENT:
        return False
    try:
        if not has_study(uri, study):
            return False
        return bool(find_results(uri, study, f"tags.cell = '{cell}' and attributes.status = 'FINISHED'"))
    except StoreUnavailableError:
        return False


@dataclass(frozen=True)
class ReusePolicy:
    """The finished runs that may stand for a new one.

    Attributes:
        artifacts: "full" requires a run that has its model.
        force: whether runs are repeated. Runs of the default experiment always are.
        has_final_checkpoint: whether there are checkpoints of the last epoch. If runs are repeated, the newest run is
            then the one of these checkpoints: if it is finished, its process was killed while it was closing the run.
        origin: as `environment.origin_tags` returns it; None is that of this process without layers of the user's own.
    """

    artifacts: str = "light"
    force: bool = False
    has_final_checkpoint: bool = False
    origin: Mapping[str, str] | None = None


class ReuseDecision(NamedTuple):
    """The run that stands for a new one.

    Attributes:
        result: the run, or None if the new one must be trained.
        reason: a sentence that says why an existing run cannot be used, or None.
    """

    result: Result | None
    reason: str | None = None


def find_reusable(uri: str, study: str, identity: str, policy: ReusePolicy) -> ReuseDecision:
    """Find the newest finished run of an identity that has this code and these versions.

    Args:
        uri: address of the store.
        study: name of the experiment.
        identity: hash of all that decides the result, see `RunIdentity`.
        policy: the runs that may be used.
    """
    origin = policy.origin or environment.origin_tags(environment.environment_tags())
    is_repeated = policy.force or study == DEFAULT_EXPERIMENT
    if is_repeated and not policy.has_final_checkpoint:
        return ReuseDecision(None)
    try:
        if _study(uri, study)[1] is None:
            return ReuseDecision(None)
        results = find_results(uri, study, f"tags.identity = '{identity}'")
    except StoreUnavailableError:
        results = _results_in_outbox(uri, study, identity)
        return ReuseDecision(_first_reusable(results[: 1 if is_repeated else None], policy.artifacts, origin))
    if is_repeated:
        newest = [result for result in results if result.origin == origin][:1]
        return ReuseDecision(_first_reusable(newest, policy.artifacts, origin))
    finished = [result for result in results if result.status == "FINISHED"]
    result = _first_reusable(finished, policy.artifacts, origin)
    return ReuseDecision(result, None if result else _describe_unusable(finished, origin))


def _results_in_outbox(uri: str, study: str, identity: str) -> list[Result]:
    """Return the runs of an identity that wait for the store, newest first."""
    pending = [each for each in reversed(journal.pending_journals(uri)) if each.begin["study"] == study]
    return [result for result in map(result_of_journal, pending) if result.identity == identity]


def _first_reusable(results: Sequence[Result], artifacts: str, origin: Mapping[str, str]) -> Result | None:
    return next((result for result in results if is_reusable(result, artifacts, origin)), None)


def _describe_unusable(finished: Sequence[Result], origin: Mapping[str, str]) -> str | None:
    """Describe why none of the finished runs can be used; None if there are none."""
    if not finished:
        return None
    of_origin = [result for result in finished if result.origin == origin]
    if of_origin:
        return f"run {of_origin[0].id} kept no model and is made again"
    difference = environment.describe_difference(finished[0].origin, origin)
    return f"run {finished[0].id} is of {difference} and is made again"


def checkpoint_key(identity: str, origin: Mapping[str, str]) -> str:
    """Return the name of the checkpoints of an identity and an origin.

    Args:
        identity: hash of all that decides the result, see `RunIdentity`.
        origin: as `environment.origin_tags` returns it.
    """
    return f"{identity}-{hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()[:8]}"


def recorded_spec(uri: str, study: str) -> Any:
    """Return the study file as it was at the study's first run; None if the study has none.

    It is a mapping, unless another program wrote the tag; `reporting.study_report` checks it.
    """
    _, experiment = _study(uri, study)
    text = experiment.tags.get(SPEC_TAG) if experiment else None
    return _from_json(text) if text else None


def recorded_grids(uri: str, study: str) -> list[Any]:
    """Return the settings of a study's sweeps, as recorded; `reporting.study_report` checks them."""
    _, experiment = _study(uri, study)
    texts: dict[str, str] = {}
    for key, part in sorted(experiment.tags.items() if experiment else ()):
        if key.startswith(GRID_TAG_PREFIX):
            sweep = key.partition("-")[0]
            texts[sweep] = texts.get(sweep, "") + part
    return [_from_json(text) for text in texts.values()]


def _from_json(text: str) -> Any:
    """Return the value of JSON; other text is returned as it is."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def create_study(uri: str, study: str) -> None:
    """Create the experiment of a study, and the store, if they do not exist."""
    get_or_create_experiment(open_store(uri), uri, study)


def set_up_study(
    uri: str, study: str, swept: Sequence[str], file: Mapping[str, Any] | None = None, grid: dict | None = None
) -> str:
    """Create a study's page in MLflow, and record the study file unless an earlier command did.

    The settings of each sweep are recorded too: a report then knows which runs were never started.

    Args:
        uri: address of the store.
        study: name of the experiment, which is created if it does not exist.
        swept: names of the params that the study varies.
        file: content of the study file: its claims are recorded before the results.
        grid: settings of the sweep, as `reporting.grid.describe_grid` returns them.

    Returns:
        How to open the page.
    """
    client = open_store(uri)
    experiment = get_or_create_experiment(client, uri, study)
    tags = client.get_experiment(experiment).tags
    if file and SPEC_TAG not in tags:
        client.set_experiment_tag(experiment, SPEC_TAG, json.dumps(file))
    if _KIND_TAG not in tags:
        client.set_experiment_tag(experiment, _KIND_TAG, "custom_model_development")
    for key, part in _grid_tags(grid).items() if grid else ():
        client.set_experiment_tag(experiment, key, part)
    charts.create_views(client, experiment, swept)
    return how_to_open(uri, experiment)


def _grid_tags(grid: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags that hold the settings of a sweep: one, or `…-000`, `…-001` and so on if they are long.

    Each sweep has its own, so that sweeps that start at the same time do not overwrite one another.
    """
    text = json.dumps(grid, sort_keys=True)
    key = GRID_TAG_PREFIX + hashlib.sha256(text.encode()).hexdigest()[:16]
    parts = [text[start : start + _LONGEST_TAG] for start in range(0, len(text), _LONGEST_TAG)]
    return {key: text} if len(parts) == 1 else {f"{key}-{index:03}": part for index, part in enumerate(parts)}


def log_comparison(uri: str, name: str, files: Mapping[str, Any]) -> Run:
    """Log the files of a comparison of studies, from name to text or figure, as a run of the experiment "reports"."""
    with Run.start(RunSpec(uri, "reports", name, {}, {"study": name})) as run:
        for path, content in files.items():
            (run.log_text if isinstance(content, str) else run.log_figure)(content, path)
    return run


def log_failure(
    uri: str, study: str, overrides: Sequence[str], error: Exception, distinguishing: Sequence[str] | None = None
) -> None:
    """Record a job that failed before its run started, as a FAILED run with the reason.

    Args:
        uri: address of the store.
        study: name of the experiment.
        overrides: `key=value` words as typed.
        error: the exception.
        distinguishing: those of the overrides that name the run; None is all of them.
    """
    if hasattr(error, "run_id"):
        return
    words = [word.lstrip("+") for word in overrides if "=" in word and not word.startswith("launcher")]
    params = {key: value for key, _, value in (word.partition("=") for word in words)}
    model = params.pop("model", "?").rpartition("/")[2]  # its own name is without its folder
    named = overrides if distinguishing is None else distinguishing
    name = run_name(model, params.get("seed", 0), named)
    try:
        known = find_results(uri, study, "attributes.status = 'FAILED'") if _study(uri, study)[1] else []
    except StoreUnavailableError:
        known = []
    if any((each.name, each.failure) == (name, describe_failure(error)) for each in known):
        return
    with contextlib.suppress(type(error)), Run.start(RunSpec(uri, study, name, params, name_tags(model, named))):
        raise error


def recorded_speeds(uri: str, precision: str, backend: str) -> list[tuple[int, float]]:
    """Return (MACs an image, images a second) of this machine's finished runs, the newest first.

    Args:
        uri: address of the store.
        precision: name of their dtype policy.
        backend: name of Keras's backend.
    """
    client = open_store(uri)
    runs = client.search_runs(
        [experiment.experiment_id for experiment in client.search_experiments()],
        f"attributes.status = 'FINISHED' and params.precision = '{precision}' and tags.backend = '{backend}'",
        max_results=1000,
        order_by=["attributes.start_time DESC"],
    )
    machine = environment.describe_machine()
    speeds: list[tuple[int, float]] = []
    for run in runs:
        value = {"macs": run.data.params.get("macs"), "images_per_second": run.data.metrics.get("images_per_second")}
        with contextlib.suppress(pydantic.ValidationError):  # a run that was not timed, or was logged by hand
            speed = _Speed.model_validate(value)
            speeds += [(int(speed.macs), speed.images_per_second)] * (run.data.tags.get("machine") == machine)
    return speeds


class _Speed(Schema):
    """The speed that a run has recorded."""

    macs: str = pydantic.Field(pattern=r"^[0-9]{1,18}$")
    images_per_second: float = pydantic.Field(gt=0)


def _study(uri: str, study: str) -> tuple[Any, Any]:
    """Return MLflow's client of the store and the experiment of a study; None if it does not exist."""
    client = open_store(uri)
    with unavailable_as_user_error(uri):
        return client, client.get_experiment_by_name(study)
