"""Studies that lie in files: `study=NAME` becomes the sweep that `configs/studies/NAME.yaml` describes.

    question: what a study asks, in a sentence
    sweep: {model: [lenet, nin], seed: [0, 1, 2]}    # every combination is a run
    together: {model: [lenet, nin], epochs: [5, 9]}  # lenet with 5, nin with 9
    set: {data.fraction: 0.2, epochs: 5}             # the same in all of them
    ablate: recipe                                   # and without each part of the recipe, or without those of a list
    until: decided                                   # add seeds until each claim is decided; then `seed` is not swept
    seeds: {from: 3, to: 40}                         # look at the claims after 3 seeds, then after each, up to 40
    budget: 90 minutes                               # of training, for all runs together
    claims:                                          # each is judged by `evaluate.py study=NAME`
      - says: a sentence
        better: {pooling: max}                       # params of runs
        than: {pooling: strided}
        by: 0.01                                     # the smallest difference that counts; negative allows a loss
        of: test_loss                                # in which metric; test_accuracy if it does not say
        goal: smaller                                # of a metric that is no accuracy or consistency; else larger
        exclude: not_learning                        # leaves out pairs with a run that did not learn; else all count
    like: OTHER                                      # take over all that this file does not say

What is typed wins over the file, unless that has `until`, or the key in `together`.
A name without a file is free: `-m study=mine model=lenet,nin`.
"""

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import combinations, product
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import RangeSweep

from .. import UserError
from . import untrusted_yaml
from .ablation import ABLATE, NOTHING, part_name
from .rules import decides_result
from .schema import parse
from .study_schema import Claim, Published, StudyFile

MAX_RUNS = 100_000  # runs of a sweep
CONFIGS_FOLDER = Path(__file__).parents[1] / "configs"
KEYS = ("question", "sweep", "together", "set", "ablate", "until", "seeds", "budget", "claims", "like", "published")
_KINDS = {
    "question": str,
    "sweep": dict,
    "together": dict,
    "set": dict,
    "until": str,
    "seeds": dict,
    "budget": str,
    "claims": list,
    "like": str,
    "published": list,
}
_PARTS = ("sweep", "together", "set")  # the keys of a study whose values are settings
PartsChooser = Callable[[Mapping[str, Any], Sequence[str]], Sequence[str]]
_PRINTING_OPTIONS = ("--help", "-h", "--cfg", "-c", "--info", "-i", "--hydra-help", "--version", "--shell-completion")


def study_names() -> list[str]:
    """Return the names of the studies that come with convzoo."""
    return sorted(path.stem for path in CONFIGS_FOLDER.glob("studies/*.yaml"))


def load_study(name: object, folders: Iterable[str | Path] = (), _for: tuple[str, ...] = ()) -> dict[str, Any] | None:
    """Read a study's file as a dict with `KEYS`; None if there is no file.

    Args:
        name: of the study.
        folders: further config folders, searched first.

    Raises:
        UserError: the file is no study, or sets what only the command line may set.
    """
    name = str(name)
    path = next((p for f in (*folders, CONFIGS_FOLDER) if _is_file(p := Path(f) / "studies" / f"{name}.yaml")), None)
    if path is None or Path(name).name != name:
        return None
    where = f"`study={name}`: {path}"
    if name in _for:
        raise UserError(f"{where} is like itself, by way of {', '.join(_for)}")
    try:
        content = untrusted_yaml.read(path)
        untrusted_yaml.check(content, path)
    except UserError as error:
        raise UserError(f"`study={name}`: {error}") from error
    if not isinstance(content, dict) or (unknown := [key for key in content if key not in KEYS]):
        what = f"`{unknown[0]}`" if isinstance(content, dict) else repr(content)
        raise UserError(f"{where} may have the keys {', '.join(KEYS)}. Received: {what}")
    for key, kind in _KINDS.items():
        if content.get(key) is not None and not isinstance(content[key], kind):
            raise UserError(f"{where}: `{key}` must be a {kind.__name__}. Received: {content[key]!r}")
    parts = {part: content.get(part) or {} for part in _PARTS}
    for key in (key for settings in parts.values() for key in settings):
        _check_key(key, where)
    for one, other in combinations(_PARTS, 2):
        if both := parts[one].keys() & parts[other].keys():
            raise UserError(f"{where} has `{both.pop()}` in `{one}` and in `{other}`")
    base = load_study(content["like"], folders, (*_for, name)) if content.get("like") else {}
    if base is None:
        raise UserError(f"{where} is like {content['like']!r}, and there is no such study")
    stated = {key: value for key, value in content.items() if value is not None}
    study = {"question": "", "claims": [], "published": [], **base, **stated}
    # What this file sweeps the other may have set, and the other way round. Settings that vary together are replaced
    # as a whole.
    for part in _PARTS:
        elsewhere = {key for other in _PARTS if other != part for key in parts[other]}
        inherited = {} if part == "together" and parts[part] else base.get(part, {})
        study[part] = {**{key: value for key, value in inherited.items() if key not in elsewhere}, **parts[part]}
    if stated.get("until"):
        study["sweep"] = {key: value for key, value in study["sweep"].items() if key != "seed" or key in parts["sweep"]}
    _check_together(study["together"], where)
    study = _check_ablate(study, where)
    _check_until(study, where)
    for claim in study["claims"]:
        _check_claim(claim, {key for part in _PARTS for key in study[part]} | ({ABLATE} & {*study}), where)
    for line in study["published"]:
        parse(Published, line, f"{where}: published")
    return study


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _check_key(key: object, where: str) -> None:
    """Refuse an option of the command, and a key that only the command line may set."""
    if not isinstance(key, str) or not re.fullmatch(r"[+~]{0,2}[A-Za-z_][\w./@]*", key):
        raise UserError(f"{where} must sweep and set keys of the config. Received: {key!r}")
    first = re.split(r"[./@]", key.lstrip("+~"))[0]
    if first in (*untrusted_yaml.CLI_ONLY_KEYS, "study"):
        raise UserError(
            f"{where}: `{first}` can only be set on the command line, not in a config file. Received: {key!r}"
        )


def _check_together(together: dict[str, Any], where: str) -> None:
    """Refuse settings that cannot vary together: fewer than two, or lists of different lengths."""
    if not together:
        return
    for key, values in together.items():
        if not isinstance(values, list) or len(values) < 2 or not _are_scalars(values):
            raise UserError(f"{where}: `together.{key}` must be a list of two or more values. Received: {values!r}")
    lengths = {key: len(values) for key, values in together.items()}
    if len(together) < 2 or len({*lengths.values()}) > 1:
        received = ", ".join(f"{key}: {length} values" for key, length in lengths.items())
        raise UserError(
            f"{where}: `together` must have two or more keys with equally many values. Received: {received}"
        )


def _check_ablate(study: dict[str, Any], where: str) -> dict[str, Any]:
    """Return a study with the names of the parts that it leaves out; refuse what is none, or is stated twice."""
    stated = study.get(ABLATE)
    if stated is None:
        return study
    if any(ABLATE in study[part] for part in _PARTS):
        raise UserError(f"{where} has `{ABLATE}` as a key and as a setting; state only one")
    if stated == "recipe":
        return study
    parts = [part_name(part) for part in stated if isinstance(part, str)] if isinstance(stated, list) else []
    if not parts or len({*parts, NOTHING}) <= len(stated):
        raise UserError(
            f"{where}: `{ABLATE}` must be recipe, or a list of its parts, as [augmentation.flip]. Received: {stated!r}"
        )
    return {**study, ABLATE: parts}


def _check_until(study: dict[str, Any], where: str) -> None:
    """Refuse a study whose seeds, claims or budget do not go with `until`."""
    parse_sequential_design(study, where)
    if unknown := set(study.get("seeds") or {}) - {"from", "to"}:
        raise UserError(f"{where}: `seeds` may have the keys from, to. Received: {min(map(str, unknown))}")
    if not study.get("until"):
        if unused := [key for key in ("seeds", "budget") if study.get(key)]:
            raise UserError(f"{where}: `{unused[0]}` needs `until: decided`")
        return
    if not study["claims"]:
        raise UserError(f"{where}: `until: decided` needs `claims`")
    if unlisted := [key for key, values in study["sweep"].items() if not isinstance(values, list)]:
        raise UserError(f"{where}: `until: decided` needs a list of values in `sweep.{unlisted[0]}`")
    if any("seed" in study[part] for part in _PARTS):
        raise UserError(f"{where}: `until: decided` chooses the seeds: state `seeds: {{from: 3, to: 40}}`, not `seed`")


def parse_sequential_design(study: Mapping[str, Any], where: str) -> StudyFile:
    """Parse the `until`, `seeds` and `budget` of a study's file.

    Args:
        study: as `load_study` returns it.
        where: the file, for the error message.

    Raises:
        UserError: one of them is wrong.
    """
    return parse(StudyFile, {key: study[key] for key in ("until", "seeds", "budget") if key in study}, where)


def _check_claim(claim: Any, known: Collection[str], where: str) -> None:
    if isinstance(claim, dict) and (unknown := set(claim) - set(Claim.model_fields)):
        keys = ", ".join(Claim.model_fields)
        raise UserError(f"{where} has a claim with the key `{min(map(str, unknown))}`; a claim may have {keys}")
    parse(Claim, claim, f"{where}: claims")
    for side in ("better", "than"):
        if unknown := set(claim[side]) - {*known}:
            raise UserError(f"{where} claims something of `{unknown.pop()}`, which it neither sweeps nor sets")


def expand_overrides(words: list[str], choose_parts: PartsChooser | None = None) -> list[str]:
    """Add the overrides that the file of `study=` stands for to the words of a command line.

    Args:
        words: of the command line.
        choose_parts: from a study that leaves out parts of its recipe, and the words without them, to the parts.

    Raises:
        UserError: the file is no study.
    """
    named = [word.partition("=")[2] for word in words if word.startswith("study=")]
    study = load_study(named[-1], config_folders(words)) if named else None
    if study is None:
        sweeps = {"-m", "--multirun"} & set(words)
        if named and not sweeps and (near := get_close_matches(named[-1], study_names(), 3, 0.8)):
            raise UserError(
                f"`study={named[-1]}`: there is no such study; did you mean {' or '.join(near)}? For a "
                "study of your own, type -m"
            )
        return [*words, *_light_artifacts(words)] if named and sweeps else words
    typed = {word.lstrip("+~").partition("=")[0] for word in words if re.match(r"~|[^-].*=", word)}
    for key in sorted(typed):
        is_zipped = key in {each.lstrip("+~") for each in study["together"]}
        # A run that was typed otherwise would count as a seed of the study.
        if is_zipped or (study.get("until") and decides_result(key)):
            part = "together" if is_zipped else "until: decided"
            raise UserError(
                f"`study={named[-1]}`: `{key}` cannot be typed, because the file has `{part}`; copy the file to "
                "change it"
            )
    varied = {**study["sweep"], **study["together"]}
    if study.get("until"):
        looks = parse_sequential_design(study, named[-1]).seed_numbers
        varied["seed"] = list(range(looks.first if looks else 0))
    given = [
        f"{key}={','.join(_distinct_texts(value)) if key in study['together'] else _format_value(value)}"
        for key, value in {**varied, **study["set"]}.items()
        if key not in typed
    ]
    if study.get(ABLATE) and ABLATE not in typed and choose_parts and not {*_PRINTING_OPTIONS} & set(words):
        parts = choose_parts(study, [*words, *given])
        given = [f"{ABLATE}={','.join([NOTHING, *parts])}", *given]  # first: the seeds of a cell stay together
    multirun = [] if {"-m", "--multirun", *_PRINTING_OPTIONS} & set(words) else ["-m"]
    return [*multirun, *words, *given, *_light_artifacts([*words, *given])]


def find_study(words: Sequence[str]) -> dict[str, Any] | None:
    """Read the file of the study that words of a command line name; None if they name none, or it has no file.

    What it leaves out of its recipe is in its `sweep`, as the words have it.
    """
    named = [word.partition("=")[2] for word in words if word.startswith("study=")]
    study = load_study(named[-1].strip("\"'"), config_folders(words)) if named else None
    return study and add_ablation(study, words)


def add_ablation(study: dict[str, Any], words: Iterable[str]) -> dict[str, Any]:
    """Return a study whose `sweep` has the parts that it leaves out of its recipe, as the words of its sweep name them.

    Args:
        study: as `load_study` returns it.
        words: of the sweep.
    """
    swept = [word.partition("=")[2].split(",") for word in words if word.startswith(f"{ABLATE}=")]
    return {**study, "sweep": {ABLATE: swept[-1], **study["sweep"]}} if study.get(ABLATE) and swept else study


def make_together_filter(study: Mapping[str, Any], words: Iterable[str]) -> Callable[[Collection[str]], bool]:
    """Return a function that says whether a job of a study's sweep has values that stand together in its file.

    Args:
        study: as `load_study` returns it.
        words: overrides of the sweep, whose values may be quoted for Hydra.

    Returns:
        A function from the `key=value` words of a job to True or False.

    Raises:
        UserError: Hydra reads the values of a setting as more or fewer than the file has.
    """
    together = study.get("together") or {}
    words_by_key = overrides_by_key(words) if together else {}
    columns = []
    for key, values in together.items():
        texts, words_of_key = _distinct_texts(values), words_by_key.get(key, [])
        if len(words_of_key) != len(texts):
            raise UserError(
                f"`together.{key}` has {len(texts)} different values, which Hydra reads as {len(words_of_key)}: "
                f"{', '.join(words_of_key) or 'nothing'}; quote a value that has a comma, as in \"'a,b'\""
            )
        if len(texts) > 1:  # Hydra may write a word that all jobs share in another way
            columns.append([words_of_key[texts.index(_format_value(value))] for value in values])
    rows = [frozenset(row) for row in zip(*columns, strict=True)]
    return lambda job: not rows or any(row <= {*job} for row in rows)


def list_jobs(
    words: Iterable[str], is_selected: Callable[[Collection[str]], bool] = lambda words: True
) -> list[tuple[str, ...]]:
    """List the jobs of a sweep: the words of each combination of values.

    Args:
        words: of the sweep.
        is_selected: whether a combination is a job, by its words.
    """
    return [job for job in product(*overrides_by_key(words).values()) if is_selected(job)]


def _distinct_texts(values: Iterable[object]) -> list[str]:
    """Return the different values of a setting as words of a command line have them."""
    return list(dict.fromkeys(map(_format_value, values)))


def _are_scalars(values: Iterable[object]) -> bool:
    return not any(isinstance(value, list | dict) for value in values)


def _light_artifacts(words: Sequence[str]) -> list[str]:
    """Return the override that records no models in a study, unless the words choose what is recorded."""
    is_chosen = any(word.startswith("tracking.artifacts=") for word in words)
    return [] if is_chosen else ["tracking.artifacts=light"]


def overrides_by_key(words: Iterable[str]) -> dict[str, list[str]]:
    """Return a mapping from each key of a sweep to its `key=value` words, one for each value.

    Of two words for one key the last counts.

    Raises:
        UserError: there are more than `MAX_RUNS` runs.
    """
    words_by_key: dict[str, list[str]] = {}
    for each in OverridesParser.create().parse_overrides(list(words)):
        key = each.get_key_element()
        words_by_key.pop(key, None)
        is_swept = each.is_sweep_override()
        if is_swept and not _length(each.value()) <= MAX_RUNS:
            raise UserError(f"a sweep must be of at most {MAX_RUNS:,} runs. Received: {each.input_line}")
        if is_swept:
            words_by_key[key] = [f"{key}={value}" for value in each.sweep_string_iterator()]
        else:
            words_by_key[key] = [str(each.input_line)]
    if (count := math.prod(map(len, words_by_key.values()))) > MAX_RUNS:
        raise UserError(f"a sweep must be of at most {MAX_RUNS:,} runs. Received: {count:,}")
    return words_by_key


def _length(values: object) -> float:
    """Return about how many values a range has; 0 for values that are listed one by one."""
    if not isinstance(values, RangeSweep):
        return 0
    start, stop = values.start or 0, values.stop or 0
    return (stop - start) / values.step if values.step else math.inf


def distinguishing_overrides(words: Sequence[str], study: str, folders: Iterable[str | Path]) -> list[str]:
    """Select the words that distinguish a run from others of its study: without what the study's file sets for all.

    Args:
        words: overrides of the run, `key=value`.
        study: its name.
        folders: of configs.
    """
    fixed = (load_study(study, folders) or {"set": {}})["set"]
    return [word for word in words if word not in {f"{key}={_format_value(value)}" for key, value in fixed.items()}]


def _format_value(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(_format_value, value))
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)


def config_folders(words: Sequence[str]) -> list[Path]:
    """Return the folders of the user's own configs that words of a command line name."""
    pairs = zip(words, [*words[1:], ""], strict=True)
    folders = [
        word.partition("=")[2] or following
        for word, following in pairs
        if word.partition("=")[0] in ("--config-dir", "-cd")
    ]
    return [Path(folder) for folder in folders]
