"""What is written down of a training: params to compare runs by, tags to recognise them by."""

import hashlib
import json

TOP = ("epochs", "batch_size", "learning_rate", "seed", "select", "test_shift", "test_flip")
# What does not decide a result: names, places, and defaults that `TOP` holds as they were taken.
_IDLE = {
    "recipe": ("name", "preprocess", "epochs", "batch_size", "learning_rate"),
    "data": ("directory", "epochs", "augment", "class_names"),
}
_SILENT = ("tracking.", "launcher.", "hydra.", "data.directory")


def record(settings, network, axes, plan, pictures, precision, backend, typed=()):
    """The params and tags of a run.

    Args:
        settings: the resolved config.
        network: its `rows`, axes applied, and what else the model's file says of its training.
        axes: their values, as plain numbers and words.
        plan: it has the network's `name`, `params` and `macs`.
        pictures: digest of the data.
        precision: the dtype policy in force.
        backend: Keras's backend.
        typed: what was typed, as `key=value` words: what lies below the top level becomes a param as it was typed.

    Returns:
        (params, tags), two dicts. Tag `identity` is a hash of all that decides the result; `cell` is the same
        without the seed.
    """
    recipe, data = settings["recipe"], settings["data"]
    top = {key: settings[key] for key in TOP}
    decides = {
        **network,
        "preprocess": recipe["preprocess"],
        **{part: {k: v for k, v in settings[part].items() if k not in idle} for part, idle in _IDLE.items()},
        **top,
        "pictures": pictures,
        "precision": precision,
        "backend": backend,
    }
    params = {
        **{key: value for key, value in recipe.items() if isinstance(value, int | float | str) and key != "name"},
        "model": plan.name,
        "data": data["name"],
        "recipe": recipe["name"],
        **axes,
        **top,
        "precision": precision,
        "parameters": plan.params,
        "macs": plan.macs,
        **{key: value for key, _, value in (word.partition("=") for word in typed) if _below(key)},
    }
    tags = {
        "identity": _digest(decides),
        "cell": _digest({key: value for key, value in decides.items() if key != "seed"}),
        "backend": backend,
        "artifacts": settings["tracking"].get("artifacts", "full"),
    }
    return params, tags


def _below(key):
    return "." in key and key[0].isalpha() and not key.startswith(_SILENT)


def _digest(value):
    canonical = json.dumps(_ordered(value), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _ordered(value):
    """The order of rows counts, inside rows too, and that of heads and branches; that of other keys does not."""
    if not isinstance(value, dict):
        return value
    if value and all(isinstance(row, dict) and ("_target_" in row or "after" in row) for row in value.values()):
        return [[name, _ordered(row)] for name, row in value.items()]
    return {key: _listed(inner) if key == "branches" else _ordered(inner) for key, inner in value.items()}


def _listed(branches):
    if not isinstance(branches, dict):
        return branches
    return [[name, _ordered(rows)] for name, rows in branches.items()]
