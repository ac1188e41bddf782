"""The only file that touches Hydra's private classes, so that a new version of Hydra has one place to break.

`tests/settings/test_hydra_internals.py` fails on a version of Hydra that is not listed in `KNOWN_VERSIONS`.
"""

import copy
import functools
from argparse import Action, ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

import hydra._internal.hydra as hydra_itself
from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from hydra.core.plugins import Plugins
from hydra.errors import ConfigCompositionException, HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from .. import UserError
from .implied_keys import add_implied_keys
from .recipe_groups import adapt_row_overrides, fill_recipe, merge_config
from .untrusted_yaml import CLI_ONLY_KEYS, check, explain_command_line_only, read

KNOWN_VERSIONS = ("1.3",)  # of Hydra, for which this file was tested
_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
CONFIGS_FOLDER = Path(__file__).resolve().parents[1] / "configs"


@functools.cache
def _parsed_own_files() -> dict[Any, Any]:
    """Return what the process has parsed of the package's configs: reading YAML takes half of the time to compose."""
    return {}


class _Repository(ConfigRepository):
    """Reads the package's config files once for a process, and others once for all runs of a sweep, with care."""

    def __init__(self, config_search_path: Any) -> None:
        super().__init__(config_search_path)
        self._cache: dict[Any, Any] = {}

    def load_config(self, config_path: str) -> Any:
        source = self._find_object_source(config_path, ObjectType.CONFIG)
        if source is None:
            return super().load_config(config_path)
        path = Path(source.path) / source._normalize_file_name(config_path)
        stat = path.stat() if source.scheme() == "file" else None
        key = source.scheme(), source.provider, str(path), stat and (stat.st_size, stat.st_mtime_ns)
        is_own = _is_own(source.path, source.scheme())
        cache = _parsed_own_files() if is_own and source.scheme() != "structured" else self._cache
        if key not in cache:
            if not is_own:
                check(read(path), path)
            cache[key] = _fill_recipe(super().load_config(config_path), config_path)
        return copy.deepcopy(cache[key])


def _fill_recipe(loaded: Any, config_path: str) -> Any:
    """Fill a recipe, so that it replaces another one as a whole, unless it includes another one."""
    if config_path.startswith("recipe/") and not loaded.defaults_list:
        loaded.config = fill_recipe(loaded.config)
    return loaded


class CheckedLoader(ConfigLoaderImpl):
    """Hydra's loader, which reads config files of others with care."""

    def __init__(self, config_search_path: Any) -> None:
        super().__init__(config_search_path)
        self.repository = _Repository(config_search_path)
        self._overrides: list[Any] = []

    def _parse_overrides_and_create_caching_repo(self, config_name: Any, overrides: Any) -> Any:
        self._overrides, repo = super()._parse_overrides_and_create_caching_repo(config_name, overrides)
        return self._overrides, repo

    def _compose_config_from_defaults_list(self, defaults: Any, repo: Any) -> Any:
        config = OmegaConf.create()
        for default in defaults:
            part = super()._compose_config_from_defaults_list([default], repo)
            try:
                merge_config(config, part, default.config_path)
            except OmegaConfBaseException as error:
                raise ConfigCompositionException(f"{default.config_path}.yaml: {error}") from error
        add_implied_keys(self._overrides, config)
        adapt_row_overrides(self._overrides, config)
        return config

    def _load_single_config(self, default: Any, repo: Any) -> Any:
        loaded = super()._load_single_config(default, repo)
        scheme, _, path = (loaded.path or "").partition("://")
        if not loaded.is_schema_source and not _is_own(path, scheme):
            for key in CLI_ONLY_KEYS:  # where its package puts it
                if key in loaded.config:
                    raise UserError(explain_command_line_only(key, f"{path}/{default.config_path}.yaml"))
        return loaded


def _is_own(path: str, scheme: str) -> bool:
    if scheme == "file":
        return Path(path).resolve() == CONFIGS_FOLDER
    return scheme == "structured" or path.partition(".")[0].partition("/")[0] in ("convzoo", "hydra", "hydra_plugins")


def install_loader() -> None:
    """Have Hydra use `CheckedLoader`, in this process and in those that it sends its loader to."""
    hydra_itself.ConfigLoaderImpl = CheckedLoader  # type: ignore[misc]


@contextmanager
def select_jobs(is_selected: Callable[[Sequence[str]], bool]) -> Iterator[None]:
    """Have Hydra's sweeper run some of the combinations of a sweep only.

    Args:
        is_selected: says of the `key=value` words of a combination whether it is a job.
    """
    # Hydra loads its plugins anew, so that the class which it uses is not the one that an import gives.
    sweeper: Any = Plugins.instance().class_name_to_class[_SWEEPER]
    original = sweeper.split_arguments

    def split(overrides: list[Any], max_batch_size: int | None) -> list[list[list[str]]]:
        batches = original(overrides, max_batch_size)
        return [selected for batch in batches if (selected := [words for words in batch if is_selected(words)])]

    sweeper.split_arguments = staticmethod(split)
    try:
        yield
    finally:
        sweeper.split_arguments = staticmethod(original)


_COMPOSING = RLock()


def load_configuration(name: str, words: Sequence[str], config_dir: str | Path | None = None) -> DictConfig:
    """Compose a config of `configs/`, with Hydra's own part; a Hydra program of the caller goes on undisturbed.

    Args:
        name: of the config, such as `train`.
        words: overrides, `key=value`.
        config_dir: a folder of the user's own configs, as `--config-dir` takes it; None: only those of `configs/`.
    """
    with _version_base("1.3"):
        search_path = create_config_search_path(str(CONFIGS_FOLDER))
        if config_dir is not None:
            folder = f"file://{Path(config_dir).absolute()}"
            search_path.prepend("command-line", folder, SearchPathQuery(provider="schema"))
        return CheckedLoader(search_path).load_configuration(name, list(words), RunMode.RUN)


@contextmanager
def _version_base(base: str) -> Iterator[None]:
    """Set the version that Hydra is compatible with, which it holds once for a process, and put the former one back."""
    with _COMPOSING:
        holder = version.VersionBase.instance()
        former = holder.version_base
        version.setbase(base)
        try:
            yield
        finally:
            holder.version_base = former


def option_actions() -> dict[str, Action]:
    """The options of a Hydra command, by their names such as `--multirun`."""
    return dict(get_args_parser()._option_string_actions)


def option_parser() -> ArgumentParser:
    """The parser of a Hydra command line."""
    return get_args_parser()


@dataclass(frozen=True)
class ParsedWord:
    """A word of a command line as Hydra reads it.

    Attributes:
        value: of the setting.
        is_quoted: whether the value is text in quotes.
        is_simple_sweep: whether it is several values with commas between them.
    """

    value: Any
    is_quoted: bool
    is_simple_sweep: bool


def parse_word(word: str) -> ParsedWord | None:
    """Parse `key=value`; None if Hydra has no reading for it."""
    try:
        parsed = OverridesParser.create().parse_override(word)
    except (HydraException, RecursionError):
        return None
    value = parsed.value()
    return ParsedWord(value, isinstance(parsed._value, QuotedString), bool(getattr(value, "simple_form", False)))
