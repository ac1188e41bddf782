"""The grid of a study: combinations of settings without a run, and runs with settings that its file lacks."""

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from ..settings.rules import PLACEHOLDERS, decides_result
from ..settings.schema import Schema

MAX_RUNS = 100_000  # of a grid
_MAX_LISTED_CELLS = 20
_MAX_LISTED_VALUES = 10  # of a setting


class NamedRun(Protocol):
    """A run of which only the name, the typed words and the params count.

    It may have `overrides`, a mapping from key to typed value. A run without them, or with None, was recorded before
    they were, and has the words in its name.
    """

    @property
    def name(self) -> str:
        """The run's name."""

    @property
    def params(self) -> Any:
        """Mapping from name to text."""


class Grid(Schema):
    """The settings of one sweep as its command states them.

    Attributes:
        settings: mapping from key to its values, as text. Every combination is a run.
    """

    settings: dict[str, list[str]]


def describe_grid(choices: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Turn the overrides of a sweep into a `Grid` as plain data.

    Args:
        choices: mapping from key to its `key=value` overrides, as `settings.study_file` makes it.
    """
    settings = {
        key.lstrip("+"): [word.partition("=")[2] for word in words]
        for key, words in choices.items()
        if not key.startswith("~") and decides_result(key)
    }
    return {"settings": settings}


def find_missing_runs(
    runs: Iterable[NamedRun],
    sweep: Mapping[str, object] | None,
    grids: Sequence[Grid] = (),
    together: Mapping[str, Sequence[object]] | None = None,
) -> tuple[list[dict[str, str]], int]:
    """Find the combinations of settings that no run has, whatever its status.

    Args:
        runs: each with a `name` and `params`.
        sweep: mapping from setting to values of the study's file, or None.
        grids: the grids of the sweeps.
        together: mapping from settings that vary together to their values, which `sweep` has too, or None.

    Returns:
        The combinations without a run, mappings from setting to value, and the number of all combinations.
    """
    values: dict[str, dict[str | float, None]] = {}
    for grid in grids:
        for key, texts in grid.settings.items():
            values.setdefault(key, {}).update(dict.fromkeys(map(canonicalize, texts)))
    value_lists = _get_value_lists(sweep)
    varied = {*value_lists, *(key for key, texts in values.items() if len(texts) > 1)}
    requests = [{key: [to_text(value) for value in values] for key, values in value_lists.items()}]
    requests += [{key: texts for key, texts in grid.settings.items() if key in varied} for grid in grids]
    runs = list(runs)
    missing: dict[frozenset[tuple[str, str | float]], dict[str, str]] = {}
    combinations = set()
    zipped = [(key.lstrip("+~"), list(map(canonicalize, map(to_text, each)))) for key, each in (together or {}).items()]
    rows = set(zip(*(texts for _, texts in zipped), strict=True))
    for settings in requests:
        if not settings or not 0 < math.prod(map(len, settings.values())) <= MAX_RUNS:
            continue
        combinations_of_runs = _RunCombinations(runs, settings)
        for combination in itertools.product(*settings.values()):
            canonical = tuple(map(canonicalize, combination))
            by_key = {key.lstrip("+~"): value for key, value in zip(settings, canonical, strict=True)}
            if (
                rows
                and {key for key, _ in zipped} <= by_key.keys()
                and tuple(by_key[key] for key, _ in zipped) not in rows
            ):
                continue
            identity = frozenset(zip(settings, canonical, strict=True))
            combinations.add(identity)
            if canonical not in combinations_of_runs:
                missing[identity] = dict(zip(settings, combination, strict=True))
    return list(missing.values()), len(combinations)


def format_missing_runs(missing: list[dict[str, str]], total: int) -> list[str]:
    """Format the result of `find_missing_runs`, a line for each cell, at most twenty."""
    if not missing:
        return []
    cells: dict[str, list[str | None]] = {}
    for combination in missing:
        words = " ".join(f"{key}={text}" for key, text in combination.items() if key != "seed")
        cells.setdefault(words, []).append(combination.get("seed"))
    lines = [f"NEVER BEGUN: {len(missing)} of {total} runs of the grid"]
    for words, seeds in list(cells.items())[:_MAX_LISTED_CELLS]:
        joined = _join_values([seed for seed in seeds if seed is not None])
        lines.append(" ".join(part for part in ("-", words, f"seed={joined}" if joined else "") if part))
    if len(cells) > _MAX_LISTED_CELLS:
        lines.append(f"- and {len(cells) - _MAX_LISTED_CELLS} more cells")
    return lines


def find_departures(
    runs: Iterable[NamedRun], sweep: Mapping[str, object] | None, fixed: Mapping[str, object] | None
) -> list[str]:
    """Name the settings in which runs differ from a study's file.

    Args:
        runs: those that are compared, each with a `name` and `params`.
        sweep: mapping from setting to values of the file.
        fixed: mapping from setting to the one value of the file.

    Returns:
        Texts such as `seed=0,1 (0,1,2)`: the values of the runs, and those of the file in brackets.
    """
    runs = list(runs)
    recorded_runs = [(dict(run.params), _typed_words(run)) for run in runs]
    if not recorded_runs:
        return []
    file_values = {key.lstrip("+~"): [to_text(v) for v in values] for key, values in _get_value_lists(sweep).items()}
    added_keys = {key.lstrip("+~") for key in {**(sweep or {}), **(fixed or {})} if key[:1] in "+~"}
    words_of_hydra = {key.lstrip("+~") for key in sweep or {}} - file_values.keys()
    fixed_texts = {key.lstrip("+~"): to_text(value) for key, value in (fixed or {}).items()}
    departures = []
    for key, texts in [*file_values.items(), *((key, [text]) for key, text in fixed_texts.items())]:
        allowed = {canonicalize(text) for text in texts}
        # Settings below the top are recorded if the command states them, unless a `+` adds them to the config.
        default = "not set" if "." in key and key not in added_keys else None
        recorded = _recorded_values(key, recorded_runs, allowed, default)
        # All values of a sweep must be recorded; a single value of `set` is recorded or not.
        if recorded and (
            recorded.keys() - allowed or (key in file_values and allowed - recorded.keys() - set(PLACEHOLDERS))
        ):
            departures.append(f"{key}={_join_values(list(recorded.values()))} ({_join_values(texts)})")
    unknown: dict[str, dict[str | float, str]] = {}
    for run in runs:
        # The params of a run whose words are known have arguments of its recipe too, which nobody typed.
        is_known = getattr(run, "overrides", None) is not None
        nested = {} if is_known else {key: text for key, text in run.params.items() if "." in key}
        for key, text in {**nested, **_typed_words(run)}.items():
            if key not in {*file_values, *fixed_texts, *words_of_hydra} and decides_result(key):
                unknown.setdefault(key, {}).setdefault(canonicalize(text), text)
    departures += [f"{key}={_join_values(list(texts.values()))} (not in the file)" for key, texts in unknown.items()]
    return departures


def find_settings_outside_grid(
    runs: Iterable[NamedRun], sweep: Mapping[str, object] | None, fixed: Mapping[str, object] | None
) -> list[str]:
    """Name the settings by which runs are not of a study's file: no run of its command can have them.

    A text of `set` may be recorded under another name, so that only typed texts count; of numbers the recorded ones
    count too.

    Args:
        runs: each with a `name` and `params`.
        sweep: mapping from setting to values of the file.
        fixed: mapping from setting to the one value of the file.

    Returns:
        Texts such as `epochs=1 (5)`: the value of a run, and those of the file in brackets.
    """
    recorded_runs = [(dict(run.params), _typed_words(run)) for run in runs]
    swept_texts = {key: [to_text(value) for value in values] for key, values in _get_value_lists(sweep).items()}
    numbers = {key: [to_text(value)] for key, value in (fixed or {}).items() if type(value) in (int, float)}
    foreign = []
    for key, texts in {**swept_texts, **numbers}.items():
        default = "not set" if "." in key and key[:1] not in "+~" and decides_result(key) else None
        allowed = {canonicalize(text) for text in texts}
        for canonical, text in _recorded_values(key.lstrip("+~"), recorded_runs, allowed, default).items():
            if canonical not in allowed:
                foreign.append(f"{key.lstrip('+~')}={text} ({_join_values(texts)})")
    checked = {"seed", *(key.lstrip("+~") for key in (*swept_texts, *numbers))}
    fixed_values = {key.lstrip("+~"): value for key, value in (fixed or {}).items()}
    for key, text in dict.fromkeys(word for _, words in recorded_runs for word in words.items()):
        if key in checked or not decides_result(key) or isinstance(fixed_values.get(key), dict):
            continue
        if key not in fixed_values:
            foreign.append(f"{key}={text} (not in the file)")
        elif canonicalize(text) != canonicalize(to_text(fixed_values[key])):
            foreign.append(f"{key}={text} ({to_text(fixed_values[key])})")
    return foreign


def read_settings(run: NamedRun, varied: Mapping[str, Sequence[object]]) -> tuple[str | float | None, ...]:
    """Return a run's values of settings in their canonical form; None of a setting that it did not record.

    Args:
        run: with a `name` and `params`.
        varied: mapping from setting to the values that the study allows.
    """
    texts = [
        _get_value(key, run.params, _typed_words(run), {canonicalize(to_text(value)) for value in values})
        for key, values in varied.items()
    ]
    return tuple(None if text is None else canonicalize(text) for text in texts)


def to_text(value: object) -> str:
    """Write a value of a study's file like on the command line."""
    if isinstance(value, list):
        return f"[{','.join(map(to_text, value))}]"
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)


def _recorded_values(
    key: str, runs: Iterable[tuple[dict[str, str], Mapping[str, str]]], allowed: set[str | float], default: str | None
) -> dict[str | float, str]:
    """Return a mapping from each canonical value of a setting in runs to its text; `default` for a run without one."""
    recorded: dict[str | float, str] = {}
    for params, words in runs:
        text = _get_value(key, params, words, allowed)
        if allowed & set(PLACEHOLDERS) and key not in words and (text is None or canonicalize(text) not in allowed):
            continue  # the file says `paper`, and the run recorded what that is
        text = default if text is None else text
        if text is not None:
            recorded.setdefault(canonicalize(text), text)
    return recorded


def _get_value_lists(sweep: Mapping[str, object] | None) -> dict[str, list[object]]:
    """Return those settings of a file's sweep whose values are a list, not an expression of Hydra's like `range(5)`."""
    return {key: values for key, values in (sweep or {}).items() if isinstance(values, list)}


def _join_values(texts: Sequence[str]) -> str:
    """Join values by commas; of many values only the first three and the last."""
    return ",".join(texts if len(texts) <= _MAX_LISTED_VALUES else [*texts[:3], "…", texts[-1]])


class _RunCombinations:
    """The combinations of settings that runs have. A run that did not record a setting matches any value of it."""

    def __init__(self, runs: Iterable[NamedRun], settings: Mapping[str, Sequence[str]]) -> None:
        allowed = [{canonicalize(text) for text in texts} for texts in settings.values()]
        # From the positions of the settings that a run recorded to their values.
        self._by_positions: dict[tuple[int, ...], set[tuple[str | float, ...]]] = {}
        for run in runs:
            words = _typed_words(run)
            texts = [_get_value(key, run.params, words, values) for key, values in zip(settings, allowed, strict=True)]
            positions = tuple(position for position, text in enumerate(texts) if text is not None)
            canonical = tuple(canonicalize(text) for text in texts if text is not None)
            self._by_positions.setdefault(positions, set()).add(canonical)

    def __contains__(self, combination: tuple[str | float, ...]) -> bool:
        return any(
            tuple(combination[position] for position in positions) in values
            for positions, values in self._by_positions.items()
        )


def _get_value(key: str, params: Mapping[str, str], words: Mapping[str, str], allowed: set[str | float]) -> str | None:
    """Return the value of a run's setting as text, or None if the run has none.

    Of two different values, that in the run's name and that in its params, it is the one that the study allows.
    """
    key = key.lstrip("+~")
    named, recorded = words.get(key), params.get(key)
    if named is not None and (canonicalize(named) in allowed or recorded is None):
        return named
    return recorded


def _typed_words(run: NamedRun) -> Mapping[str, str]:
    """Return a mapping from key to the typed value of the words that distinguish a run."""
    overrides: Mapping[str, str] | None = getattr(run, "overrides", None)
    return _parse_run_name(run.name) if overrides is None else overrides


def _parse_run_name(name: object) -> dict[str, str]:
    return {key: text for key, text in re.findall(r"(?:^| )\+*([A-Za-z_][\w./@]*)=(\S+)", str(name)) if key != "seed"}


def canonicalize(text: object) -> str | float:
    """Return one form for equal values: `1` and `1.0` are equal, and a network's name loses its folder.

    Quotes around a text, which it needs on a command line, do not count.
    """
    text = str(text)
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]
    try:
        number = float(text)
        return "nan" if math.isnan(number) else number
    except ValueError:
        lower = text.lower()
    if lower in ("true", "false"):
        return lower
    return "null" if lower in ("null", "none") else text.rpartition("/")[2]
