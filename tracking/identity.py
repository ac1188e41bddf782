"""The identity of a run: params by which runs are compared, and tags by which a run is recognised."""

import contextlib
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..settings.ablation import ABLATE, NOTHING
from ..settings.rules import decides_result
from .recipe_params import describe_recipe, former_recipe

TOP = ("epochs", "batch_size", "learning_rate", "seed", "select", "test_shift", "test_flip")
# Settings that do not decide a result: names, places, and defaults whose values are among those of `TOP`.
_IGNORED = {
    "recipe": ("name", "epochs", "batch_size"),
    "data": (
        *("directory", "epochs", "augment", "class_names", "extra_tests", "train", "test", "mirror"),
        "image_size",  # `image_shape` has it
    ),
}


class PlanSize(Protocol):
    """The attributes of a `models.planning.Plan` that a run records."""

    @property
    def name(self) -> str: ...
    @property
    def params(self) -> int: ...
    @property
    def macs(self) -> int: ...


@dataclass(frozen=True)
class RunIdentity:
    """All that decides the result of a run, and the params and tags that follow from it.

    Attributes:
        settings: the resolved config.
        network: its `rows`, with the axes applied, and what else the model's file says of its training.
        axes: values of the axes, as plain numbers and text.
        plan: of the network.
        data_digest: digest of the images and labels, those of further test sets among them.
        precision: name of the dtype policy.
        backend: name of Keras's backend.
        weights_digest: digest of the weights that the network starts from, or None.
        overrides: `key=value` words as typed. Those of nested keys become params, numbers in one form: `1.0` as 1.
    """

    settings: Mapping[str, Any]
    network: Mapping[str, Any]
    axes: Mapping[str, Any]
    plan: PlanSize
    data_digest: str
    precision: str
    backend: str
    overrides: Sequence[str] = ()
    weights_digest: str | None = None

    @property
    def params(self) -> dict[str, Any]:
        """The params of the run, from name to number or text."""
        recipe = self.settings["recipe"]
        params = {
            **{key: value for key, value in recipe.items() if isinstance(value, int | float | str) and key != "name"},
            **describe_recipe(recipe),
            "model": self.plan.name,
            "data": self.settings["data"]["name"],
            "recipe": recipe["name"],
            **self.axes,
            **self._top_settings(),
            "precision": self.precision,
            "parameters": self.plan.params,
            "macs": self.plan.macs,
            **self._nested_overrides(),
            **self._ablated_part(),
        }
        return {key: canonical(value) for key, value in params.items()}

    @property
    def tags(self) -> dict[str, str]:
        """The tags of the run.

        `identity` is a hash of all settings and images that decide the result; `cell` is the same without the seed.
        """
        deciding = self._deciding_settings()
        return {
            "identity": _digest(deciding),
            "cell": _digest({key: value for key, value in deciding.items() if key != "seed"}),
            "backend": self.backend,
            "artifacts": self.settings["tracking"].get("artifacts", "full"),
        }

    @property
    def former_identity(self) -> str | None:
        """The tag `identity` of the same run before recipes had rows; None if such a recipe could not state it."""
        recipe = former_recipe(self.settings["recipe"])
        if recipe is None:
            return None
        deciding = {**self._deciding_settings(), "recipe": recipe}
        return _digest({**deciding, "preprocess": self.settings["recipe"]["preprocessing"]})

    def _top_settings(self) -> dict[str, Any]:
        top = {key: self.settings[key] for key in TOP}
        if self.settings.get("on_stall") == "stop":  # a warning decides no result
            top["on_stall"] = "stop"
        if self.settings.get("test_views") == "translate":  # `test_flip` has the other two, as in older runs
            top["test_views"] = "translate"
        if self.weights_digest:
            top["weights"] = self.weights_digest
            top["freeze"] = ", ".join(self.settings["freeze"]) or "none"
            top["new_head"] = self.settings["new_head"]
        return top

    def _deciding_settings(self) -> dict[str, Any]:
        sections = {
            section: {key: value for key, value in self.settings[section].items() if key not in ignored}
            for section, ignored in _IGNORED.items()
        }
        if sections["recipe"].get("finetuning") is None:  # runs from before there was the key have the same identity
            sections["recipe"].pop("finetuning", None)
        if sections["data"].get("resize") in (None, "squash"):  # what runs from before there was the key did
            sections["data"].pop("resize", None)
        return {
            **self.network,
            **sections,
            **self._top_settings(),
            **({"metrics": self.settings["metrics"]} if self.settings.get("metrics") else {}),
            "pictures": self.data_digest,
            "precision": self.precision,
            "backend": self.backend,
        }

    def _ablated_part(self) -> dict[str, str]:
        """Return the part that the recipe lacks. It decides no result by its name: the recipe without it does."""
        part = self.settings.get(ABLATE, NOTHING)
        is_typed = any(word.lstrip("+").startswith(f"{ABLATE}=") for word in self.overrides)
        return {ABLATE: part} if is_typed or part != NOTHING else {}

    def _nested_overrides(self) -> dict[str, int | float | str]:
        words = [word.partition("=") for word in self.overrides]
        return {key: _parse_number(value) for key, _, value in words if _is_nested(key)}


def _is_nested(key: str) -> bool:
    return "." in key and key[0].isalpha() and decides_result(key)


def canonical(value: object) -> object:
    """Return a number in the one form in which it counts, however it was typed: 1.0 is 1, and -0.0 is 0.

    Args:
        value: a number; anything else is returned as it is.

    Example:
        >>> canonical(1.0), canonical(0.5), canonical("relu")
        (1, 0.5, 'relu')
    """
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _parse_number(text: str) -> int | float | str:
    """Return the number that a text stands for, or the text."""
    with contextlib.suppress(ValueError):
        return int(text)
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def _digest(value: object) -> str:
    text = json.dumps(_ordered(value), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _ordered(value: Any) -> Any:
    """Return a value in a form that keeps the order of rows, heads and branches, but of no other keys."""
    if isinstance(value, list | tuple):
        return [_ordered(inner) for inner in value]
    if not isinstance(value, dict):
        return canonical(value)
    if value and all(isinstance(row, dict) and ("_target_" in row or "after" in row) for row in value.values()):
        return [[name, _ordered(row)] for name, row in value.items()]
    # The role of a row is hashed under its former key: the identity of a run outlives a change of words.
    return {
        "axis" if key == "role" else key: _ordered_branches(inner) if key == "branches" else _ordered(inner)
        for key, inner in value.items()
    }


def _ordered_branches(branches: Any) -> Any:
    if not isinstance(branches, dict):
        return _ordered(branches)
    return [[name, _ordered(rows)] for name, rows in branches.items()]
