"""Hydra's errors in one line that names the key and says what to type."""

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig

from . import overrides
from .hydra_internals import CONFIGS_FOLDER, load_configuration
from .recipe_groups import ROW_GROUPS
from .renamed_keys import explain_renamed
from .rules import explain_unknown_key, find_meant_keys
from .text import did_you_mean, find_near_words


def explain_composition_error(error: Exception, words: Sequence[str], name: str = "train") -> str:
    """Explain in one line why settings cannot be composed.

    Args:
        error: of Hydra or OmegaConf.
        words: the overrides that were given.
        name: of the command.
    """
    if isinstance(error, MissingConfigException) and error.options and error.missing_cfg_file:
        group, _, choice = error.missing_cfg_file.rpartition("/")
        near = did_you_mean(find_near_words(choice, error.options)) or _list(error.options)
        return f"`{group}={choice}`: there is no such {group}; {near}"
    if isinstance(error, OverrideParseException):
        return _explain_override(error.override)
    text = str(error).strip() or type(error).__name__
    if "Config group override must be a string" in text or isinstance(error, TypeError):  # of a list of no words
        groups = [word for word in words if _is_group(word) and word.partition("=")[2][:1] in ("[", "{", "n")]
        if groups:
            return f"`{' '.join(groups)}`: a config is chosen by its name, a word. {text}"
    if match := re.search(r"Could not (?:override|delete from config\.) '([^']+)'", text):
        return _explain_key(match[1], words, name)
    if match := re.search(r"An item is already at '([^']+)'", text):
        return f"`{match[1]}` exists already: set it without the +"
    if match := re.search(r"Ambiguous value for argument '(([^'=]+)=?([^']*))'", text):
        key, quoted = match[2].lstrip("+"), ""
        if overrides.is_text(key):
            quoted = f"; one value with a comma is quoted: {overrides.show_quoted(key, match[3])}"
        return f"`{match[1]}` has several values: a sweep over them needs -m{quoted}"
    if "Interpolation key 'recipe.optimizer.learning_rate'" in text:
        return "`recipe.optimizer.learning_rate` is missing: the row of an optimizer states its learning rate"
    if "interpolation" in text.lower() and "model.recipe." in text:  # there is none, or it is null
        return "`recipe=paper`: this network has no recipe of its own; use `recipe=fast`"
    return _with_key(" ".join(text.split()), words)


def _explain_override(word: str) -> str:
    """Explain a word that Hydra's grammar has no reading for."""
    key, equals, value = word.partition("=")
    if equals and re.fullmatch(r"[+~]{0,2}[A-Za-z_][\w./@:]*", key):
        return f"`{word}` cannot be read as a value; as text it is written {overrides.show_quoted(key, value)}"
    return f"`{word}` is not of the form key=value"


def _explain_key(key: str, words: Sequence[str], name: str) -> str:
    """Explain an unknown key, and how to add it where keys may be added."""
    if renamed := explain_renamed(key):
        return f"`{key}`: unknown key; {renamed}"
    known, top = known_keys(name, words), key.partition(".")[0]
    other = "evaluate" if name == "train" else "train"
    if not find_meant_keys(key, known) and top not in known and top in known_keys(other, ()):
        return f"`{key}`: unknown key; it is one of {other}.py"
    word = next((word for word in words if word.lstrip("+~").partition("=")[0] == key), key)
    explanation = explain_unknown_key(key, known, word.partition("=")[2])
    if (
        key.startswith(("model.", "recipe.preprocessing.", "recipe.augmentation."))
        and "=" in word
        and not word.startswith(("+", "~"))
    ):
        meant = f"{explanation} " if explanation.startswith("did") else ""
        command = ["python", f"{name}.py", *(f"+{each}" if each == word else each for each in words)]
        explanation = f"{meant}to add it: {shlex.join(command)}"
    return f"`{key}`: unknown key; {explanation}"


def _with_key(text: str, words: Sequence[str]) -> str:
    """Add the words that were typed to an error that names none of their keys."""
    settings = [word for word in words if "=" in word]
    if not settings or any(word.lstrip("+~").partition("=")[0] in text for word in settings):
        return text
    return f"`{' '.join(settings)}`: {text}"


def _is_group(word: str) -> bool:
    return (CONFIGS_FOLDER / word.lstrip("+~").partition("=")[0]).is_dir()


def _list(choices: Iterable[str]) -> str:
    return f"valid names: {', '.join(sorted(choices))}"


def known_keys(name: str, words: Sequence[str]) -> list[str]:
    """List every key of a command's config, with the groups that words choose as far as they compose."""
    groups = [path.name for path in CONFIGS_FOLDER.iterdir() if path.is_dir()]
    chosen = [word for word in words if word.partition("=")[0] in groups and "," not in word]
    for settings in (chosen, []):
        try:
            config = load_configuration(name, settings)
        except HydraException:
            continue
        keys = [key for key in _flat_keys(config) if not key.startswith("hydra")]
        return [*keys, *(group for group in ROW_GROUPS if name == "train")]
    return []


def _flat_keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in node:
        yield f"{prefix}{key!s}"
        value = node._get_node(key)
        if isinstance(value, DictConfig) and not value._is_none() and not value._is_interpolation():
            yield from _flat_keys(value, f"{prefix}{key!s}.")
