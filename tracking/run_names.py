"""The names of runs: they start with what differs, since MLflow cuts them at their end."""

import json
from collections.abc import Sequence

from ..settings.ablation import ABLATE, NOTHING, part_name
from ..settings.rules import PLACEHOLDERS, decides_result

OVERRIDES_TAG = "convzoo.overrides"  # of a run: the words that distinguish it in its study, as JSON
SETTING_TAG = "convzoo.setting"  # of a run: its name without the seed, by which MLflow groups the runs of a cell
_SHORT_AXES = {ABLATE: "no ", "pooling": "", "stride": "s", "dropout": "d"}


def run_name(model: str, seed: int | str, overrides: Sequence[str]) -> str:
    """Return a name by which a list of runs can be read: it starts with the axes of the study.

    Args:
        model: name of the network.
        seed: seed of the run.
        overrides: `key=value` words as typed.

    Example:
        >>> run_name("allconv", 1, ["model=allconv", "stride=2", "pooling=l2", "epochs=9"])
        'l2 · s2 · allconv · epochs=9 · seed 1'
    """
    return f"{setting_name(model, overrides)} · seed {seed}"


def setting_name(model: str, overrides: Sequence[str]) -> str:
    """Return the name of a run without its seed, which all runs of a cell share.

    A part of the recipe that is left out, pooling, stride and dropout stand first, then the settings below the top,
    such as those of a layer, then the network, then all other settings.

    Args:
        model: name of the network.
        overrides: `key=value` words as typed.

    Example:
        >>> setting_name("lenet", ["stride=2", "dropout=0.5", "pooling=max"])
        'max · s2 · d0.5 · lenet'
    """
    words = [word.partition("=") for word in _distinguishing_words(overrides)]
    axes = {key: value for key, _, value in words if key in _SHORT_AXES}
    nested = [f"{key}={value}" for key, _, value in words if "." in key and not key.startswith("data.")]
    others = [f"{key}={value}" for key, _, value in words if key not in axes and f"{key}={value}" not in nested]
    first = [short_setting(key, axes[key]) for key in _SHORT_AXES if key in axes]
    return " · ".join([*first, *nested, model, *others])


def name_tags(model: str, overrides: Sequence[str]) -> dict[str, str]:
    """Return the tags of a run that hold its setting's name and the words that it comes from.

    Args:
        model: name of the network.
        overrides: `key=value` words as typed.
    """
    return {
        SETTING_TAG: setting_name(model, overrides),
        OVERRIDES_TAG: json.dumps(_distinguishing_words(overrides)),
    }


def _distinguishing_words(overrides: Sequence[str]) -> list[str]:
    words = [word.lstrip("+") for word in overrides]
    keys = [word.partition("=")[0] for word in words]
    return [word for word, key in zip(words, keys, strict=True) if decides_result(key) and key not in ("model", "seed")]


def short_setting(axis: str, value: str, name: str | None = None) -> str:
    """Return a value of an axis as names show it: `max`, `s2`, `d0.5`; with its key where it says little without.

    Args:
        axis: `ablate`, `pooling`, `stride`, `dropout` or another one.
        value: as text.
        name: of the axis, shown as its key; None is `axis`.

    Example:
        >>> short_setting("stride", "2"), short_setting("stride", "paper"), short_setting("epochs", "9")
        ('s2', 'stride=paper', 'epochs=9')
        >>> short_setting("ablate", "augmentation.flip"), short_setting("ablate", "nothing")
        ('no augmentation.flip', 'full recipe')
    """
    if axis == ABLATE and value:
        return "full recipe" if value == NOTHING else f"{_SHORT_AXES[axis]}{part_name(value)}"
    short = _SHORT_AXES.get(axis)
    if short is None or not value or value in PLACEHOLDERS or (short and not value[:1].isdigit()):
        return f"{name or axis}={value}"
    return f"{short}{value}"
