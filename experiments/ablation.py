"""The parts that a study leaves out of its recipe, one at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .. import UserError
from ..settings.ablation import ABLATE, NOTHING, describe_choice, list_parts
from ..settings.composition import compose_run
from ..settings.recipe import RecipeSettings
from ..settings.study_file import config_folders, list_jobs, make_together_filter

# Settings that decide which parts a recipe has, or whether its data set allows them.
_DECIDING = ("recipe", "optimizer", "schedule", "augmentation", "data")


def choose_parts(study: Mapping[str, Any], words: Sequence[str]) -> list[str]:
    """Choose the parts of its recipe that a study leaves out: those that it names, or all of them.

    Args:
        study: as `load_study` returns it, with `ablate`.
        words: of its sweep, without `ablate`.

    Raises:
        UserError: the recipe has no such part, or its runs have recipes of different parts.
    """
    where = f"`study={next(word.partition('=')[2] for word in words if word.startswith('study='))}`"
    recipes = _find_recipes(study, words)
    named: list[str] = [] if study[ABLATE] == "recipe" else study[ABLATE]
    for setting, recipe in recipes.items():
        parts = list_parts(recipe)
        if missing := [part for part in named if part not in parts] or ["recipe"] * (not parts):
            of_setting = f" with {setting}" * bool(setting)
            raise UserError(
                f"{where}: `{ABLATE}`{of_setting} {describe_choice(recipe)}. Received: {ABLATE}={missing[0]}"
            )
    parts = named or _common_parts(recipes, where)
    for claim in study["claims"]:
        for side in ("better", "than"):
            if (part := claim[side].get(ABLATE, NOTHING)) not in (NOTHING, *parts):
                raise UserError(
                    f"{where}: a claim may be of `{ABLATE}` {', '.join((NOTHING, *parts))}. Received: {ABLATE}={part}"
                )
    return parts


def _common_parts(recipes: Mapping[str, RecipeSettings], where: str) -> list[str]:
    """Return the parts that all recipes have; refuse recipes with different ones."""
    (first, recipe), *others = recipes.items()
    parts = list_parts(recipe)
    for setting, other in others:
        if differing := {*parts} ^ {*list_parts(other)}:
            raise UserError(
                f"{where}: `{ABLATE}: recipe` needs recipes of the same parts, and `{min(differing)}` is a part of "
                f"only one of {first} and {setting}; name the parts in a list, or write a study for each recipe"
            )
    return parts


def _find_recipes(study: Mapping[str, Any], words: Sequence[str]) -> dict[str, RecipeSettings]:
    """Return the recipes of a study's runs as they take effect, by the words in which they may differ."""
    from .runner import check_settings

    overrides = [word for word in words if not word.startswith("-") and ("=" in word or word.startswith("~"))]
    jobs = list_jobs(overrides, make_together_filter(study, overrides))
    varying = {word for job in jobs for word in job} - set(jobs[0]).intersection(*jobs) if jobs else set()
    folders = config_folders(words)
    recipes: dict[str, RecipeSettings] = {}
    for job in jobs:
        setting = " ".join(word for word in job if word in varying and _may_decide(word, overrides))
        if setting not in recipes:
            recipes[setting] = check_settings(compose_run(job, folders[0] if folders else None)).recipe
    return recipes


def _may_decide(word: str, overrides: Iterable[str]) -> bool:
    """Return whether a word may decide which parts a recipe has."""
    key = word.lstrip("+~").partition("=")[0]
    is_of_network = key == "model" and any(each.startswith("recipe=") and "paper" in each for each in overrides)
    return (key.split(".")[0] in _DECIDING and key != "data.fraction") or is_of_network
