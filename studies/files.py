"""Studies that lie in files: `study=NAME` becomes the sweep that `configs/studies/NAME.yaml` describes.

    question: what a study asks, in a sentence
    sweep: {model: [lenet, nin], seed: [0, 1, 2]}    # every combination is a run
    set: {data.fraction: 0.2, epochs: 5}             # the same in all of them
    claims:                                          # each is judged by `evaluate.py study=NAME`
      - says: a sentence
        better: {pooling: max}                       # params of runs
        than: {pooling: strided}
        by: 0.01                                     # the smallest difference that counts
        of: test_shift_consistency                   # in what; test_accuracy if it does not say
    like: OTHER                                      # take over all that this file does not say

What is typed wins over the file. A name without a file is free: `-m study=mine model=lenet,nin`.
"""

import math
import re
from difflib import get_close_matches
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import RangeSweep

from .. import UserError
from ..analysis import METRIC, SHARES
from ..configs import foreign

MOST = 100_000  # runs of a sweep
CONFIGS = Path(__file__).parents[1] / "configs"
KEYS = ("question", "sweep", "set", "claims", "like", "published")
_KINDS = {"question": str, "sweep": dict, "set": dict, "claims": list, "like": str, "published": list}
_SHOWN_ONLY = ("--help", "-h", "--cfg", "-c", "--info", "-i", "--hydra-help", "--version", "--shell-completion")


def names():
    """Names of the studies at hand."""
    return sorted(path.stem for path in CONFIGS.glob("studies/*.yaml"))


def read(name, folders=(), _for=()):
    """What a study's file says, as a dict with `KEYS`; None if there is no file.

    Args:
        name: of the study.
        folders: further config folders, looked into first.

    Raises:
        UserError: the file is none, or asks for what is to be typed.
    """
    name = str(name)
    path = next((p for f in (*folders, CONFIGS) if _is_file(p := Path(f) / "studies" / f"{name}.yaml")), None)
    if path is None or Path(name).name != name:
        return None
    where = f"`study={name}`: {path}"
    if name in _for:
        raise UserError(f"{where} is like itself, by way of {', '.join(_for)}")
    try:
        said = foreign.read(path)
        foreign.check(said, path)
    except UserError as error:
        raise UserError(f"`study={name}`: {error}") from error
    if not isinstance(said, dict) or (unknown := [key for key in said if key not in KEYS]):
        what = f"`{unknown[0]}`" if isinstance(said, dict) else repr(said)
        raise UserError(f"{where} may have the keys {', '.join(KEYS)}. Received: {what}")
    for key, kind in _KINDS.items():
        if said.get(key) is not None and not isinstance(said[key], kind):
            raise UserError(f"{where}: `{key}` must be a {kind.__name__}. Received: {said[key]!r}")
    sweep, fixed = said.get("sweep") or {}, said.get("set") or {}
    for key in (*sweep, *fixed):
        _check_word(key, where)
    if both := sweep.keys() & fixed.keys():
        raise UserError(f"{where} has `{both.pop()}` in `sweep` and in `set`")
    other = read(said["like"], folders, (*_for, name)) if said.get("like") else {}
    if other is None:
        raise UserError(f"{where} is like {said['like']!r}, and there is no such study")
    found = {"question": "", "claims": [], "published": [], **other, **{k: v for k, v in said.items() if v is not None}}
    # What this file sweeps the other may have set, and the other way round.
    found["sweep"] = {**{k: v for k, v in other.get("sweep", {}).items() if k not in fixed}, **sweep}
    found["set"] = {**{k: v for k, v in other.get("set", {}).items() if k not in sweep}, **fixed}
    for claim in found["claims"]:
        _check_claim(claim, {*found["sweep"], *found["set"]}, where)
    for line in found["published"]:
        if not isinstance(line, dict) or not isinstance(line.get("where"), dict) or not _is_number(line.get("error")):
            raise UserError(f"{where}: `published` must be a list of where and error. Received: {line!r}")
    return found


def _is_file(path):
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _check_word(key, where):
    """Refuses what would be an option of the command, or counts only when it is typed."""
    if not isinstance(key, str) or not re.fullmatch(r"[+~]{0,2}[A-Za-z_][\w./@]*", key):
        raise UserError(f"{where} must sweep and set keys of the config. Received: {key!r}")
    first = re.split(r"[./@]", key.lstrip("+~"))[0]
    if first in (*foreign.TYPED, "study"):
        raise UserError(f"{where}: `{first}` counts on the command line alone, not in a file. Received: {key!r}")


def _check_claim(claim, known, where):
    keys = ("says", "better", "than", "by")
    if not isinstance(claim, dict) or set(claim) - {"of"} != set(keys) or not isinstance(claim["says"], str):
        raise UserError(f"{where} has a claim that has not just the keys {', '.join(keys)} and of. Received: {claim}")
    for side in ("better", "than"):
        if not isinstance(claim[side], dict) or (unknown := set(claim[side]) - known):
            what = unknown.pop() if isinstance(claim[side], dict) else claim[side]
            raise UserError(f"{where} claims something of `{what}`, which it neither sweeps nor sets")
    if not _is_number(claim["by"]):
        raise UserError(f"{where}: `by` must be a difference of shares, as 0.01. Received: {claim['by']!r}")
    if claim.get("of", METRIC) not in SHARES:
        raise UserError(f"{where}: `of` must be one of {', '.join(SHARES)}. Received: {claim['of']!r}")


def _is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def expanded(words):
    """The words of a command line, with those that the file of its `study=` stands for.

    Raises:
        UserError: that file is none.
    """
    named = [word.partition("=")[2] for word in words if word.startswith("study=")]
    said = read(named[-1], _config_folders(words)) if named else None
    if said is None:
        sweeps = {"-m", "--multirun"} & set(words)
        if named and not sweeps and (near := get_close_matches(named[-1], names(), 3, 0.8)):
            raise UserError(
                f"`study={named[-1]}`: there is no such study; near it: {', '.join(near)}. A name of your own is for a "
                "sweep: with -m"
            )
        return [*words, *_light(words)] if named and sweeps else words
    typed = {word.lstrip("+~").partition("=")[0] for word in words}
    given = [f"{key}={_written(value)}" for key, value in {**said["sweep"], **said["set"]}.items() if key not in typed]
    multirun = [] if {"-m", "--multirun", *_SHOWN_ONLY} & set(words) else ["-m"]
    return [*multirun, *words, *given, *_light([*words, *given])]


def _light(words):
    """The word that keeps the models of a study's runs out of the store, unless it is said what is kept."""
    told = any(word.startswith("tracking.artifacts=") for word in words)
    return [] if told else ["tracking.artifacts=light"]


def choices(words):
    """What a sweep's words say of each key: a mapping from key to its `key=value` words, one for each value.

    Of two words for one key the last counts.

    Raises:
        UserError: they ask for too many runs.
    """
    found = {}
    for each in OverridesParser.create().parse_overrides(list(words)):
        key = each.get_key_element()
        found.pop(key, None)
        swept = each.is_sweep_override()
        if swept and not _length(each.value()) <= MOST:
            raise UserError(f"a sweep must be of at most {MOST:,} runs. Received: {each.input_line}")
        found[key] = [f"{key}={value}" for value in each.sweep_string_iterator()] if swept else [each.input_line]
    if (count := math.prod(map(len, found.values()))) > MOST:
        raise UserError(f"a sweep must be of at most {MOST:,} runs. Received: {count:,}")
    return found


def _length(swept):
    """How many values a range has, about; others stand there one by one."""
    if not isinstance(swept, RangeSweep):
        return 0
    return (swept.stop - swept.start) / swept.step if swept.step else math.inf


def telling(hydra, name):
    """The words of one run that tell it from others of its study: without what the study's file sets for all.

    Args:
        hydra: Hydra's own config of the run.
        name: of the study.
    """
    words, folders = hydra.overrides.task, [source.path for source in hydra.runtime.config_sources]
    fixed = (read(name, folders) or {"set": {}})["set"]
    return [word for word in words if word not in {f"{key}={_written(value)}" for key, value in fixed.items()}]


def _written(value):
    if isinstance(value, list):
        return ",".join(map(_written, value))
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)


def _config_folders(words):
    pairs = zip(words, [*words[1:], ""], strict=True)
    found = [
        word.partition("=")[2] or following
        for word, following in pairs
        if word.partition("=")[0] in ("--config-dir", "-cd")
    ]
    return [Path(folder) for folder in found]
