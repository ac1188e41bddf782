"""One training, from its settings to its record in MLflow: `run_training`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from .. import UserError
from ..settings import ablation, study_file
from ..settings.composition import ComposedRun, compose_run
from ..settings.composition_errors import explain_composition_error
from ..settings.overrides import (
    format_override,
    list_store_overrides,
    move_password_to_environment,
    move_passwords_to_environment,
)
from ..settings.schema import parse_settings
from ..settings.text import without_interpolations
from ..settings.training import TrainSettings
from . import launchers
from .recipe_checks import allow_own_classes, check_recipe, resolve_augmentation
from .run_result import RunResult, Status
from .training_run import TrainingRun

if TYPE_CHECKING:
    from ..models.planning import Plan

# Imports of TensorFlow, MLflow and matplotlib stand in functions: a mistake in a setting is refused without them.


def run_training(settings: TrainSettings | None = None, **overrides: Any) -> RunResult:
    """Train a network, test it once, and record the run in MLflow, as train.py does.

    A run that the study has already is not repeated, and an interrupted one is resumed.

    Args:
        settings: as `compose_settings` returns them; default: those of train.py.
        **overrides: settings that differ, as on the command line. The dots of a key are written `__`, or the key is
            passed in a mapping: `recipe__shift=2` or `**{"recipe.shift": 2}`.

    Returns:
        The result; its status is finished, reused or planned.

    Raises:
        UserError: a setting is wrong, or the data cannot be had.

    Example:
        >>> from convzoo import run_training
        >>> result = run_training(model="lenet", data="digits", epochs=1)    # doctest: +SKIP
        >>> result.metrics["test_accuracy"], result.load_model()             # doctest: +SKIP
    """
    words = _format_words(overrides)
    if settings is not None:
        words = _add_words(settings, words)
    return run_composed(_compose(words))


def compose_settings(**overrides: Any) -> TrainSettings:
    """Compose and check the settings of a training.

    Args:
        **overrides: as for `run_training`.

    Raises:
        UserError: a setting is wrong.
    """
    return check_settings(_compose(_format_words(overrides)))


def _format_words(overrides: Mapping[str, Any]) -> list[str]:
    words = []
    for key, value in overrides.items():
        if key == "tracking" and isinstance(value, Mapping):  # key by key, so that a password in an address is found
            words += [format_override(f"tracking.{inner}", each) for inner, each in value.items()]
        else:
            words.append(format_override(key, value))
    return words


def _compose(words: Sequence[str]) -> ComposedRun:
    from ..tracking.addresses import absolute_uri

    composed = compose_run(move_passwords_to_environment([*words, *list_store_overrides(list(words))]))
    config = composed.config
    if isinstance(config.study, str) and study_file.load_study(config.study) is not None:
        raise UserError(
            f"`study={config.study}` is a sweep of several runs: `python train.py study={config.study}` runs it"
        )
    uri = OmegaConf.select(config, "tracking.uri")
    if isinstance(uri, str):  # the folder may change before the next call
        config.tracking.uri = absolute_uri(move_password_to_environment(uri))
    return composed


def _add_words(settings: TrainSettings, words: Sequence[str]) -> list[str]:
    """Return the words of composed settings with further ones, which win over those of the same key.

    Raises:
        UserError: the settings are not as `compose_settings` returned them.
    """
    if _dump(check_settings(_compose(settings.overrides))) != _dump(settings):
        raise UserError("`settings` must be what `compose_settings` returned; pass what differs as overrides")
    keys = {_key(word) for word in words}
    return [*(word for word in settings.overrides if _key(word) not in keys), *words]


def _dump(settings: TrainSettings) -> dict[str, Any]:
    """Return settings as plain data, without the address of the store, which depends on the current folder."""
    plain = settings.model_dump()
    del plain["tracking"]["uri"]
    return plain


def _key(word: str) -> str:
    return word.lstrip("+~").partition("=")[0]


def check_settings(composed: ComposedRun) -> TrainSettings:
    """Check the composed settings of a run, without a backend; what a data config leaves out is read off the set.

    Raises:
        UserError: a setting is wrong.
    """
    from .. import data
    from ..models import axes

    config = composed.config
    if OmegaConf.is_dict(config.get("data")):
        config.data.update(without_interpolations(data.infer_settings(config.data)))
    try:
        plain = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(explain_composition_error(error, composed.overrides)) from error
    settings = parse_settings(TrainSettings, plain)
    data.check_config(settings.data.model_dump())
    axes.check_config(settings.model_dump())
    resolve_augmentation(settings)
    settings.recipe = ablation.leave_out(settings.recipe, settings.ablate)
    return settings.with_overrides(composed.overrides)


def run_composed(composed: ComposedRun, is_watched: bool = True) -> RunResult:
    """Train by settings that Hydra composed; see `run_training`.

    Args:
        composed: the settings.
        is_watched: whether someone waits for the output. The job of a launcher prints no line before it starts.
    """
    from .. import data
    from ..tracking import addresses
    from ..training import backend

    checked = check_settings(composed)
    config, settings = composed.config, checked.model_dump()
    if is_watched:
        announce(settings, backend.describe_loading(), composed.is_data_chosen)
    is_recorded = not (checked.plan or checked.show_batch or checked.lr_range)
    if is_recorded:
        addresses.check_reachable(checked.tracking.uri)
    if not checked.plan:
        data.check_available(settings["data"])
    backend.start(checked.precision, launchers.cores_per_run(checked.launcher))

    from ..evaluation import chosen_metrics
    from ..models import registry
    from ..models.spec import warn_of_axis_keys
    from ..tracking import environment
    from ..tracking.outbox import worker

    allow_own_classes(settings["allow"], list(composed.overrides))
    resolve_augmentation(checked)  # those of the user's own classes, which are imported now
    settings = checked.model_dump()
    environment.code_version(settings["allow"])  # the digest is of the files as they are read here
    paper_size = registry.use_paper_image_size(config) if checked.plan and not composed.is_data_chosen else None
    warn_of_axis_keys(OmegaConf.to_container(config.model))
    weights = None
    if checked.weights is not None:
        from ..models.weights import adapt_config_to_weights, read_source

        weights = read_source(checked.weights, config.model.name, checked.tracking.uri)
        adapt_config_to_weights(weights, config, settings)
    network = registry.resolve(config)
    precision = backend.set_precision(checked.precision, network.rows)
    plan = network.plan()
    check_recipe(settings, network.definition)
    extra_tests = data.name_extra_tests(settings["data"])
    chosen_metrics.check_metrics(settings["metrics"], settings["data"]["classes"], extra_tests)
    if checked.plan:
        return _show_plan(checked, plan, paper_size)
    if is_recorded:
        worker.flush_pending(checked.tracking.uri)
    dataset = data.load(settings["data"])
    run = TrainingRun(composed, settings, network.definition, network.axes, plan, dataset, precision, weights)
    return run.preview() if checked.show_batch or checked.lr_range else run.run()


def _show_plan(settings: TrainSettings, plan: Plan, paper_size: str | None) -> RunResult:
    from ..reporting import plots

    plots.show_plan(plan, settings.plan)
    if paper_size:
        print(paper_size, file=sys.stderr if settings.plan == "json" else sys.stdout)
    return RunResult(Status.PLANNED, plan.name)


def announce(settings: Mapping[str, Any], loading: str, is_data_chosen: bool) -> None:
    """Print what is about to happen, before anything that takes long; nothing if the backend is loaded already.

    Args:
        settings: the checked settings.
        loading: as `backend.describe_loading` returns it.
        is_data_chosen: whether the user chose the data set. A plan is else of the paper's images.
    """
    from ..settings.terminal import print_folded
    from ..settings.text import printable
    from ..tracking.addresses import explain_store_choice

    if not loading:
        return
    is_output_read = isinstance(settings["plan"], str)  # by a program, or by whoever waits for the name of a file
    stream = sys.stderr if is_output_read else sys.stdout
    name = settings["model"].get("name") if isinstance(settings["model"], dict) else None
    is_on_data = is_data_chosen or not settings["plan"]
    lines = [printable(name) + (f" on {printable(settings['data']['name'])}" if is_on_data else "") + loading]
    if not settings["plan"]:
        lines += explain_store_choice(settings["tracking"]["uri"])
    print_folded("\n".join(lines), stream)
