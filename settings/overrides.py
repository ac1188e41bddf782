"""The words of a command line before Hydra reads them: mistakes named, and plain text quoted for Hydra's grammar."""

import os
import re
import shlex
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote

from hydra.core.override_parser.types import Quote, QuotedString

from .. import UserError
from .hydra_internals import option_actions, option_parser, parse_word
from .rules import explain_unknown_key, find_meant_keys
from .text import without_interpolations
from .untrusted_yaml import MAX_DEPTH

# Keys whose value is text, whatever letters it has; those of the second line name a file or a folder.
_PATHS = ("image", "data.directory", "data.mirror", "checkpoints.directory", "plan", "weights", "features")
_TEXT = (*_PATHS, "data.train", "data.test", "study", "register", "run", "tracking.uri")
_PICTURES = (".png", ".svg", ".pdf")
_MULTIRUN = ("-m", "--multirun")
STORE_VARIABLE = "MLFLOW_TRACKING_URI"


def check_words(words: list[str], find_keys: Callable[[], Collection[str]]) -> list[str]:
    """Refuses words that Hydra would answer with its usage or a traceback, or should not be asked.

    Args:
        words: of the command line, the program left out.
        find_keys: gives the keys that the program has; called only when a word is wrong.

    Returns:
        The words, options first, as argparse wants them.

    Raises:
        UserError: naming the word, and the right one.
    """
    known = option_actions()
    options, settings = [], []
    following = iter(words)
    for word in following:
        name = word.partition("=")[0]
        if len(name) > 2 and "--experimental-rerun".startswith(name):  # argparse takes its beginning too
            raise UserError("`--experimental-rerun` would run what a pickle says: give the run's words again")
        if not name.strip("+~ "):
            raise UserError(f"a setting is of the form key=value; one came without a key: `{word}`")
        if not name.startswith("-"):
            _check_setting(word, find_keys)
            settings.append(word)
            continue
        near = [option for option in known if option.startswith(name)] if name.startswith("--") else []
        if name not in known and not near:
            raise UserError(_explain_option(word, next(following, ""), find_keys()))
        options.append(word)
        if (known.get(name) or known[near[0]]).nargs is None and "=" not in word:  # its value is the next word
            options += [value for value in [next(following, None)] if value is not None]
    parser = option_parser()
    parser.error = _refuse_option  # type: ignore[method-assign]
    parser.parse_args([*options, *settings])
    return [*options, *settings]


def _refuse_option(message: str) -> NoReturn:
    raise UserError(message)


def _explain_option(word: str, following: str, keys: Collection[str]) -> str:
    name, _, value = word.partition("=")
    key = name.strip("-").replace("-", "_")
    if not value and following and "=" not in following and not following.startswith("-"):
        value = following
    meant = find_meant_keys(key, keys)
    if len(meant) == 1:
        return f"`{name}`: settings have no dashes; write {meant[0]}={value or '…'}"
    return f"`{name}`: settings have no dashes, as in epochs=3; {explain_unknown_key(key, keys)}"


def _check_setting(word: str, find_keys: Callable[[], Collection[str]]) -> None:
    """Refuses what the parser cannot walk through, a key that it cannot read, and a value that Hydra stumbles over."""
    key = word.partition("=")[0].lstrip("+~")
    depth = deepest = 0
    for letter in word:
        depth += (letter in "[{(") - (letter in "]})")
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        raise UserError(f"`{key}` must not nest deeper than {MAX_DEPTH} levels")
    if "-" in key:
        raise UserError(f"`{key}`: unknown key; {explain_unknown_key(key, find_keys(), word.partition('=')[2])}")
    if key == "hydra.verbose" and (parsed := parse_word(word)) and "=" in word:
        value = parsed.value
        names = value if isinstance(value, list) else [value]
        if not (isinstance(value, bool) or all(isinstance(name, str) for name in names)):
            raise UserError(
                f"`{key}` must be true, false, or the name of a logger, or a list of such. Received: {word}"
            )


def quote_text(words: list[str]) -> list[str]:
    """Words in which each value of a text key is one that Hydra reads as the text that was typed.

    A value that Hydra reads as text already stays as it is, and so does one that is quoted for Hydra; a path to
    something that is there is taken by its letters in any case. In a sweep, values with commas between them are
    several, and each of them is text. `null` stays null.

    Args:
        words: of the command line, the program left out.

    Example:
        >>> quote_text(["image=IMG (1).jpg", "study=2024", "epochs=3", "-m"])
        ['image="IMG (1).jpg"', 'study="2024"', 'epochs=3', '-m']
    """
    sweeps = bool({*_MULTIRUN} & {*words})
    return [_quote_word(word, sweeps) for word in words]


def _quote_word(word: str, sweeps: bool) -> str:
    name, equals, value = word.partition("=")
    key = name.lstrip("+")
    if not equals or key not in _TEXT or value in ("", "null"):
        return word
    if key == "plan" and not value.endswith(_PICTURES):
        return word
    if key in _PATHS and _exists(value):
        return f"{name}={quote(value)}"
    parsed = parse_word(word)
    if parsed and parsed.is_quoted:
        return word
    if key == "study" and _is_list(value) and parsed and isinstance(parsed.value, list):
        return word  # studies to compare
    if "," in value and (key != "image" or sweeps) and not _is_list(value):
        if not sweeps and not parsed:
            return f"{name}={quote(value)}"
        if parsed and (not sweeps or {"'", '"'} & {*value} or not parsed.is_simple_sweep):
            return word  # of several values without -m the error says how to write one
        return f"{name}={','.join(_quote_value(part.strip()) for part in value.split(','))}"
    return f"{name}={_quote_value(value)}"


def _quote_value(value: str) -> str:
    parsed = parse_word(f"key={value}")
    if parsed and (parsed.is_quoted or isinstance(parsed.value, str)):
        return value
    return quote(value)


def format_override(key: str, value: object) -> str:
    """Write a setting as a word of the command line.

    Args:
        key: with dots, or with `__` in their place, which a Python name allows.
        value: a number, text, true or false, None, or lists and mappings of them.

    Example:
        >>> format_override("recipe__shift", 2), format_override("study", "a,b"), format_override("plan", True)
        ('recipe.shift=2', 'study="a,b"', 'plan=true')
    """
    return f"{key.replace('__', '.')}={_format_value(value)}"


def _format_value(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_format_value(key)}:{_format_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_format_value, value)) + "]"
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str):
        return str(value)
    parsed = parse_word(f"key={value}")
    return value if parsed is not None and parsed.value == value and "$" not in value else quote(value)


def is_text(key: str) -> bool:
    """Return whether the value of a key is plain text: a name, a path or an address."""
    return key in _TEXT


def quote(text: str) -> str:
    """Return text as a value that Hydra and OmegaConf read as exactly this text."""
    return QuotedString(str(without_interpolations(text)), Quote.double).with_quotes()


def show_quoted(key: str, text: str) -> str:
    """Return a setting as a shell reads it, so that its value is exactly this text."""
    return shlex.quote(f"{key}={quote(text)}")


def _is_list(value: str) -> bool:
    return value[0] + value[-1] in ("[]", "{}")


def _exists(value: str) -> bool:
    try:
        return Path(value).exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


def list_store_overrides(words: list[str]) -> list[str]:
    """The word that sets `tracking.uri` to MLflow's `MLFLOW_TRACKING_URI`, unless the store is typed.

    Args:
        words: of the command line, the program left out.

    Returns:
        At most one word. The variable loses its password, as in `move_passwords_to_environment`.
    """
    typed = {word.lstrip("+~").partition("=")[0] for word in words}
    if not (uri := os.environ.get(STORE_VARIABLE)) or typed & {"tracking.uri", "tracking"}:
        return []
    os.environ[STORE_VARIABLE] = move_password_to_environment(uri)
    return [f"tracking.uri={quote(os.environ[STORE_VARIABLE])}"]


def move_passwords_to_environment(words: list[str]) -> list[str]:
    """Return the words without the passwords of stores, which go into the environment, where MLflow reads them.

    Nothing that prints, records or hands on the address can then show it.

    Args:
        words: of the command line, the program left out.
    """
    return [
        move_password_to_environment(word) if word.lstrip("+").startswith("tracking.uri=") else word for word in words
    ]


def move_password_to_environment(text: str) -> str:
    """Return an address without its password, which goes into the environment, where MLflow reads it."""
    if not (match := re.search(r"(?<=://)([^\s/:@]+):([^\s/]+)@", text)):
        return text
    user, password = map(unquote, match.groups())
    os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"] = user, password
    return text.replace(match[0], "", 1)
