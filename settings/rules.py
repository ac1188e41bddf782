"""Rules that several schemas share, and the advice on a key that does not exist."""

import re
from collections.abc import Collection

from .. import UserError
from .renamed_keys import explain_renamed
from .text import did_you_mean, find_near_words, has_only_text, remove_separators

NAME_RULE = "a name, without / and \\"

# Words of other programs, without "-" and "_", and the key of ours.
_SYNONYMS = {
    "learning_rate": "lr alpha stepsize initiallr baselr",
    "batch_size": "bs b batch minibatch batchsize minibatchsize",
    "epochs": "e ep epoch n numepochs nepochs maxepochs trainepochs numtrainepochs",
    "model": "m net network arch architecture modelname backbone",
    "data": "d ds dataset datasets",
    "seed": "s randomseed randomstate rng manualseed",
    "study": "exp experiment experimentname project group",
    "stride": "strides",
    "pooling": "pool pools poolingtype poolingkind",
    "dropout": "drop dropoutrate droprate dropoutprob",
    "precision": "dtype amp fp16 bf16 mixedprecision",
    "optimizer": "optim opt optimiser",
    "schedule": "scheduler lrschedule lrscheduler learningrateschedule",
    "augmentation": "augment aug augmentations dataaugmentation",
    "recipe.optimizer.weight_decay": "wd decay l2 l2reg",
    "recipe.schedule.warmup": "warmupepochs warmupsteps",
    "recipe.early_stopping.patience": "patience",
    "recipe.early_stopping": "earlystopping earlystop",
    "data.directory": "dir datadir datapath dataroot root path folder",
    "data.fraction": "subset limittrainbatches",
    "data.validation": "val valsplit validationsplit valfraction",
    "data.image_shape": "inputshape shape",
    "data.image_size": "imagesize imgsize inputsize imgsz size resolution",
    "data.resize": "resizemethod interpolation resizing",
    "data.classes": "numclasses nclasses nbclasses",
    "checkpoints.directory": "checkpoint checkpointdir ckpt ckptdir savedir",
    "tracking.uri": "store mlflow mlflowuri trackinguri mlflowtrackinguri",
    "image": "img picture file input",
    "run": "id runid",
}
# What convzoo does not have, and what it has instead.
_ABSENT = {
    "adam adamw rmsprop sgd": (
        "optimizer=NAME chooses one of configs/optimizer; learning_rate and recipe.optimizer.… set it"
    ),
    "gpu gpus device devices cuda accelerator": (
        "a GPU is used if the backend finds one; the environment's CUDA_VISIBLE_DEVICES chooses"
    ),
    "backend framework": "the environment's KERAS_BACKEND chooses the backend",
    "pretrained weights imagenet": "there are no trained weights to load: train.py trains from fresh ones",
}


def find_meant_keys(key: str, known: Collection[str]) -> list[str]:
    """Find the keys that a word of another program, or the last part of a key, stands for.

    Args:
        key: what was typed.
        known: the keys that there are.

    Example:
        >>> find_meant_keys("lr", ["learning_rate", "recipe.learning_rate"])
        ['learning_rate']
        >>> find_meant_keys("momentum", ["recipe.optimizer.momentum"])
        ['recipe.optimizer.momentum']
    """
    parent, _, last = key.rpartition(".")
    siblings = [each for each in known if each.rpartition(".")[0] == parent]
    if siblings and parent:
        return [f"{parent}.{each}" for each in find_meant_keys(last, [each.rpartition(".")[2] for each in siblings])]
    word = remove_separators(last)
    if same := [each for each in siblings if remove_separators(each) == word]:
        return same[:1]
    if meant := [each for each, words in _SYNONYMS.items() if word in words.split() and each in known]:
        return meant
    nested = [each for each in known if "." in each and remove_separators(each.rpartition(".")[2]) == word]
    shallow = min((each.count(".") for each in nested), default=0)
    return sorted(each for each in nested if each.count(".") == shallow)[:3]


def explain_unknown_key(key: str, known: Collection[str], value: str | None = None) -> str:
    """Explain an unknown key: name the keys that it may stand for, or all keys.

    Args:
        key: what was typed.
        known: the keys that there are, nested ones with their dots.
        value: what it was to be set to, as it was typed, if anything.

    Example:
        >>> explain_unknown_key("lr", ["learning_rate", "epochs"], "0.1")
        'did you mean learning_rate=0.1?'
        >>> explain_unknown_key("foo", ["learning_rate", "epochs"])
        'valid keys: epochs, learning_rate'
    """
    if renamed := explain_renamed(key):
        return renamed
    for words, explanation in _ABSENT.items():
        if remove_separators(key.rpartition(".")[2]) in words.split():
            return explanation
    parent, _, last = key.rpartition(".")
    siblings = {each.rpartition(".")[2]: each for each in known if each.rpartition(".")[0] == parent}
    meant = find_meant_keys(key, known)
    meant = meant or [siblings[near] for near in find_near_words(last, siblings, 0.6)]
    meant = meant or ([] if parent and siblings else find_near_words(key, known, 0.8))
    if meant:
        return did_you_mean([f"{meant[0]}={value}"] if value and len(meant) == 1 else meant)
    shown = siblings.values() if parent and siblings else [each for each in known if "." not in each]
    return f"valid keys: {', '.join(sorted(shown))}"


def is_name(value: object) -> bool:
    """Return whether a value may name a study: printable text that cannot leave the folder of the reports."""
    if not isinstance(value, str) or value.strip() in ("", ".", "..") or len(value) > 200:
        return False
    return has_only_text(value) and not {"/", "\\"} & set(value)


def check_study_name(value: object) -> None:
    """Refuse what cannot name a study.

    Raises:
        UserError: naming the key.
    """
    if not is_name(value):
        raise UserError(f"`study` must be {NAME_RULE}. Received: study={value!r}")


PLACEHOLDERS = ("paper", "auto", "null")  # values that are replaced by another one before a run is recorded
# Settings that decide no result: what is done with a run, and where its files are.
_UNDECIDING = (
    *("study", "plan", "show_batch", "lr_range", "rerun", "resume"),
    *("allow", "checkpoints", "launcher", "hydra", "tracking"),
)
_PLACES = ("data.directory", "data.extra_tests", "data.mirror")


def decides_result(key: str) -> bool:
    """Return whether a setting decides the result of a run.

    Example:
        >>> decides_result("epochs"), decides_result("tracking.uri")
        (True, False)
    """
    key = key.lstrip("+~")
    return key not in _PLACES and re.split(r"[./@]", key)[0] not in _UNDECIDING
