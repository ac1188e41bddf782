"""A Hydra command whose mistakes are one line and exit code 2."""

import contextlib
import errno
import functools
import logging
import os
import re
import sys
import traceback
from difflib import get_close_matches
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.errors import (
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from .. import UserError
from ..studies import files, jobs, launchers, watch
from . import foreign


def run(main, name):
    """Calls a `hydra.main` function; a mistake of the user's becomes one line on the error stream.

    Exits with 2 for a mistake, 130 for Ctrl-C, 143 for SIGTERM.

    Args:
        main: the decorated function.
        name: name of its config.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # raise what is wrong rather than print it and exit with 1
    foreign.guard()
    try:
        _check_words(sys.argv[1:])
        if name == "train":
            words = files.expanded(sys.argv[1:])
            sys.argv[1:] = sorted(words, key=lambda word: word not in ("-m", "--multirun"))  # argparse wants it so
        main()
        if _failures:
            raise _failures[0]
    except UserError as error:
        _fail(str(error))
    except watch.SweepError as ended:
        _fail(str(ended))
    except (HydraException, OmegaConfBaseException) as error:
        _fail(_one_line(error, name))
    except KeyboardInterrupt as stop:
        kept = f": {_KEPT}" if name == "train" else ""
        print(f"stopped{f': {watch.sweep.leave()}' if _apart() else kept}", file=sys.stderr)
        sys.exit(getattr(stop, "exit_code", 130))
    except Exception as error:
        if _started:
            raise
        if _apart() and (advice := watch.sweep.leave()):
            first = str(error).strip().partition("\n")[0]
            _fail(f"a job was lost; {advice}: {first}")
        _fail(_one_line(error, name))


def _check_words(words):
    """Refuses what Hydra would have no words for, or should not be asked."""
    for word in words:
        key = word.partition("=")[0]
        if len(key) > 2 and "--experimental-rerun".startswith(key):  # argparse takes its beginning too
            raise UserError("`--experimental-rerun` would run what a pickle says: give the run's words again")
        if not key.strip("+~ "):
            raise UserError(f"a setting is of the form key=value; one came without a key: `{word}`")


def _apart():
    """Whether a sweep was begun here whose jobs run in other processes."""
    return watch.sweep is not None and not _started


_started, _failures = [], []
_KEPT = "a run that was not done is kept as KILLED, and the same command goes on with it"
_LONGEST = 2000  # characters of an error
_FULL = "|".join(map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)))


def job(function):
    """Wraps what `hydra.main` calls, so that an error is told once and in our words.

    In a sweep the others go on, and the sweep's exit code tells. A job that failed returns a mapping with the error as
    `failed`. In a process of its own, what a job prints goes into its folder, and one that a signal ended returns the
    signal as `stopped`.
    """

    @functools.wraps(function)
    def wrapped(config):
        hydra = HydraConfig.get()
        sweep, here = hydra.mode.name == "MULTIRUN", launchers.here(hydra)
        _started.append(hydra.job.name)
        with contextlib.nullcontext() if here else jobs.printing_to(jobs.folder_of(hydra)):
            logging.basicConfig(format="%(message)s")
            logging.getLogger("convzoo").setLevel(logging.INFO)
            try:
                return function(config)
            except Exception as error:
                if isinstance(error, OSError) and (found := re.search(_FULL, str(error))):
                    error = _full(error, found[0])
                if sweep and getattr(error, "elsewhere", False):
                    return {"elsewhere": str(error)}
                if sweep and not isinstance(error, UserError):
                    traceback.print_exc()
                _failures[:] = _failures or [error]  # past Hydra, which would announce it in lines of its own
                return {"failed": error}
            except KeyboardInterrupt as stop:
                if here or launchers.comes_again():
                    raise
                return {"stopped": str(stop) or "Ctrl-C"}

    return wrapped


def _full(error, reason):
    """What a person can mend, in a line."""
    told = UserError(f"{error.filename or 'a file'} cannot be written to: {reason}")
    told.__cause__ = error
    if hasattr(error, "run_id"):  # a run has it as its failure
        told.run_id = error.run_id
    return told


def _fail(line):
    if len(line) > _LONGEST:  # a value that came may be a whole network
        line = f"{line[: _LONGEST - 300]} … {line[-300:]}"
    # What came may hold line breaks, or what a terminal obeys.
    print(f"error: {''.join(c if c.isprintable() else repr(c)[1:-1] for c in line)}", file=sys.stderr)
    sys.exit(2)


def _one_line(error, name):
    if isinstance(error, MissingConfigException) and error.options and error.missing_cfg_file:
        group, _, choice = error.missing_cfg_file.rpartition("/")
        if group == "hydra/launcher" and (lacks := launchers.missing(choice)):
            return lacks
        return f"`{group}={choice}`: there is no such {group}; {_nearest(choice, error.options)}"
    if isinstance(error, OverrideParseException):
        return f"`{error.override}` is not of the form key=value"
    text = str(error)
    if "Config group override must be a string" in text or isinstance(error, TypeError):  # of a list of no words
        groups = [
            word for word in sys.argv[1:] if (Path(__file__).parent / word.lstrip("+~").partition("=")[0]).is_dir()
        ]
        if groups:
            return f"`{' '.join(groups)}`: a config is chosen by its name, a word. {text}"
    if match := re.search(r"Could not (?:override|delete from config\.) '([^']+)'", text):
        return f"`{match[1]}`: there is no such key; {_nearest(match[1], _keys(name))}"
    if match := re.search(r"An item is already at '([^']+)'", text):
        return f"`{match[1]}` is there already: set it without the +"
    if match := re.search(r"Ambiguous value for argument '([^']+)'", text):
        return f"`{match[1]}` names several values: a sweep over them needs -m"
    if "Interpolation key 'model.recipe." in text:
        return "`recipe=paper`: this network has no recipe of its own; `recipe=fast` trains it"
    return " ".join(text.split())


def _nearest(word, words):
    if near := get_close_matches(word, words, 3, 0.5):
        return f"near it: {', '.join(near)}"
    return f"there are: {', '.join(sorted(word for word in words if '.' not in word))}"


def _keys(name):
    """Every key of the config, with the groups chosen on the command line as far as they compose."""
    groups = [path.name for path in Path(__file__).parent.iterdir() if path.is_dir()]
    chosen = [word for word in sys.argv[1:] if word.partition("=")[0] in groups and "," not in word]
    for overrides in (chosen, []):
        try:
            with initialize_config_dir(str(Path(__file__).parent), version_base="1.3"):
                return list(_flat(compose(name, overrides)))
        except HydraException:
            continue
    return []


def _flat(node, prefix=""):
    for key in node:
        yield f"{prefix}{key}"
        value = node._get_node(key)
        if isinstance(value, DictConfig) and not value._is_none() and not value._is_interpolation():
            yield from _flat(value, f"{prefix}{key}.")
