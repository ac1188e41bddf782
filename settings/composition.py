"""Composition of the settings with Hydra: the files in `configs/` over the defaults of the schemas."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from .. import UserError
from .composition_errors import explain_composition_error
from .evaluation import EvaluateSettings
from .hydra_internals import CONFIGS_FOLDER, load_configuration
from .schema import Settings, default_settings
from .training import TrainSettings

SCHEMAS: dict[str, type[Settings]] = {"train": TrainSettings, "evaluate": EvaluateSettings}  # by the name of a command


def register_defaults() -> None:
    """Give Hydra the defaults of the schemas, under the names that `configs/train.yaml` and others include.

    `train_settings` and `evaluate_settings` are the settings of a command that have a default.
    """
    store = ConfigStore.instance()
    for name, schema in SCHEMAS.items():
        defaults = default_settings(schema)
        defaults.pop("recipe", None)  # the loader fills each recipe
        store.store(f"{name}_settings", defaults, provider="convzoo")


register_defaults()


@dataclass(frozen=True)
class ComposedRun:
    """The settings of a run as Hydra composed them, before they are checked.

    Attributes:
        config: the settings, with their interpolations.
        overrides: the words that they were composed from, `key=value`.
        config_folders: the folders that configs were read from.
        is_data_chosen: whether the user chose a data set or one of its settings.
    """

    config: DictConfig
    overrides: tuple[str, ...]
    config_folders: tuple[str, ...] = (str(CONFIGS_FOLDER),)
    is_data_chosen: bool = True

    @classmethod
    def from_hydra(cls, config: DictConfig, hydra: Any) -> ComposedRun:
        """Make one of a config and of Hydra's own part of it."""
        words = tuple(hydra.overrides.task)
        is_typed = any(re.match(r"[+~]*data\b", word) for word in words)
        folders = tuple(source.path for source in hydra.runtime.config_sources)
        return cls(config, words, folders, is_typed or hydra.runtime.choices.get("data") != "cifar10")


def compose_run(words: Sequence[str], config_dir: str | Path | None = None) -> ComposedRun:
    """Compose the settings of one run of train.py.

    Args:
        words: overrides as on the command line, `key=value`.
        config_dir: a folder of the user's own configs, as `--config-dir` takes it; None: only those of `configs/`.

    Raises:
        UserError: Hydra cannot compose them.
    """
    return ComposedRun.from_hydra(*_compose("train", words, config_dir))


def compose_network(model: str, pooling: str, config_dir: str | Path | None = None) -> DictConfig:
    """Compose `configs/network.yaml`: a network, a pooling kind, and the axes.

    Args:
        model: name of its file in `model/`.
        pooling: name of its file in `pooling/`.
        config_dir: a folder of the user's own configs, as `--config-dir` takes it; None: only those of `configs/`.

    Raises:
        UserError: Hydra cannot compose it.
    """
    return _compose("network", [f"model={model}", f"pooling={pooling}"], config_dir)[0]


def _compose(name: str, words: Sequence[str], config_dir: str | Path | None = None) -> tuple[DictConfig, DictConfig]:
    """Return a config without Hydra's own part, and that part."""
    try:
        config = load_configuration(name, words, config_dir)
    except UserError:
        raise
    except (HydraException, OmegaConfBaseException, TypeError, ValueError) as error:
        raise UserError(explain_composition_error(error, words)) from error
    hydra = config.hydra
    OmegaConf.set_struct(config, False)
    del config["hydra"]
    OmegaConf.set_struct(config, True)
    return config, hydra
