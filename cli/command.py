"""A Hydra command whose mistakes are one line and exit code 2."""

import contextlib
import errno
import functools
import io
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from .. import UserError
from ..experiments import jobs, launchers
from ..experiments.rounds import Round, iterate_rounds
from ..experiments.run_result import RunResult, Status
from ..experiments.session import Session, current_session, new_session
from ..experiments.sweep import SweepError
from ..settings import composition, hydra_internals, overrides, study_file
from ..settings.composition_errors import explain_composition_error, known_keys
from ..settings.terminal import (
    OutputClosedError,
    closed_output_interrupts,
    print_folded,
    safe_output,
    terminal_width,
)
from ..settings.text import fold, printable, without_password
from .help_text import describe_settings

_HELP = {"--help", "-h"}
_SETTINGS = "@SETTINGS"  # in the help of a config, where the list of settings goes
_INTERRUPTED = "the interrupted run is recorded as KILLED; run the same command again to resume it"
_MAX_MESSAGE = 2000  # characters
_MESSAGE_END = 300  # of them, those at the end of a message that is cut
_DISK_ERRORS = "|".join(map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)))


def run(main: Callable[[], Any], name: str) -> None:
    """Call a `hydra.main` function; a mistake of the user's becomes one line on the error stream.

    Exits with 2 after a mistake, 130 after Ctrl-C, 143 after SIGTERM, 141 if nobody reads the output any more.

    Args:
        main: the decorated function.
        name: of its config, `train` or `evaluate`.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises its errors instead of printing them and exiting with 1
    hydra_internals.install_loader()
    with safe_output(), new_session() as session:
        _run(main, name, session)


def _run(main: Callable[[], Any], name: str, session: Session) -> None:
    words = sys.argv[1:]
    try:
        words = _prepare_words(words, name)
        with _command_line(words):
            if _HELP & {*words}:
                return _print_help(main, name)
        for each in iterate_rounds(words) if name == "train" else [Round(words)]:
            session.is_selected = each.is_selected
            with _command_line(each.words), hydra_internals.select_jobs(each.is_selected):
                main()
            if session.failure:
                raise session.failure
    except (UserError, SweepError) as error:
        exit_with(str(error))
    except (HydraException, OmegaConfBaseException) as error:
        exit_with(_explain(error, words, name))
    except (BrokenPipeError, OutputClosedError):
        raise  # for `safe_output`
    except KeyboardInterrupt as interrupt:
        advice = _INTERRUPTED if name == "train" else ""
        if session.progress and session.is_remote_sweep:
            advice = session.progress.abandon()
        print(f"stopped{f': {advice}' if advice else ''}", file=sys.stderr)
        sys.exit(getattr(interrupt, "exit_code", 130))
    except Exception as error:
        if session.has_started_job:
            raise
        if session.progress and session.is_remote_sweep and (advice := session.progress.abandon()):
            first = str(error).strip().partition("\n")[0]
            exit_with(f"a job was lost; {advice}: {first}")
        exit_with(_explain(error, words, name))


def _prepare_words(words: list[str], name: str) -> list[str]:
    """Check the words of a command line; returns those that Hydra reads, with the ones that a study's file adds."""
    words = overrides.check_words(words, lambda: known_keys(name, words))
    if name == "train":
        words = study_file.expand_overrides(words, _choose_parts)
    return overrides.move_passwords_to_environment(
        overrides.quote_text([*words, *overrides.list_store_overrides(words)])
    )


def _choose_parts(study: Mapping[str, Any], words: Sequence[str]) -> list[str]:
    from ..experiments.ablation import choose_parts

    return choose_parts(study, overrides.quote_text(list(words)))


@contextlib.contextmanager
def _command_line(words: Sequence[str]) -> Iterator[None]:
    """Let Hydra read these words: its `main` takes them from `sys.argv` alone."""
    typed = sys.argv
    sys.argv = [typed[0], *words]
    try:
        yield
    finally:
        sys.argv = typed


def _print_help(main: Callable[[], Any], name: str) -> None:
    with contextlib.redirect_stdout(io.StringIO()) as output, contextlib.suppress(SystemExit):
        main()
    width = terminal_width() or 80
    settings = describe_settings(composition.SCHEMAS[name], width=width)
    print(fold(output.getvalue().rstrip(), width).replace(_SETTINGS, settings))


def job(function: Callable[[DictConfig], Any]) -> Callable[[DictConfig], Any]:
    """Wrap what `hydra.main` calls, so that an error is printed once, in one line.

    A job of a sweep that fails does not end the sweep: it returns a `RunResult` with the status failed, stopped or
    elsewhere. The output of a job in a process of its own goes into the job's folder.
    """

    @functools.wraps(function)
    def wrapped(config: DictConfig) -> Any:
        hydra = HydraConfig.get()
        session, in_process = current_session(), launchers.runs_in_process(hydra)
        session.has_started_job = True
        with contextlib.nullcontext() if in_process else jobs.redirect_output(jobs.job_folder(hydra)):
            logging.basicConfig(format="%(message)s")
            logging.getLogger("convzoo").setLevel(logging.INFO)
            try:
                with closed_output_interrupts():
                    _keep_store_in_place(config)
                    return function(config)
            except OutputClosedError:
                raise
            except Exception as error:
                return _handle_failure(error, session, hydra.mode is RunMode.MULTIRUN)
            except KeyboardInterrupt as interrupt:
                if in_process or launchers.will_be_requeued():
                    raise
                return RunResult(Status.STOPPED, message=str(interrupt) or "Ctrl-C")

    return wrapped


def _handle_failure(error: Exception, session: Session, is_sweep: bool) -> RunResult:
    if isinstance(error, OSError) and (match := re.search(_DISK_ERRORS, str(error))):
        error = _explain_disk_error(error, match[0])
    if is_sweep and getattr(error, "elsewhere", False):
        return RunResult(Status.ELSEWHERE, message=str(error))
    if is_sweep and not isinstance(error, UserError):
        traceback.print_exc()
    session.failure = session.failure or error  # past Hydra, which would print it in its own words
    return RunResult(Status.FAILED, message=str(error), error=error)


def _keep_store_in_place(config: DictConfig) -> None:
    """Set the whole path of a store where Hydra has changed the folder, so that the printed address is right."""
    if Path.cwd() == Path(HydraConfig.get().runtime.cwd):
        return
    from ..tracking.addresses import absolute_uri

    config.tracking.uri = absolute_uri(str(config.tracking.uri))


def _explain_disk_error(error: OSError, reason: str) -> UserError:
    explained = UserError(f"{error.filename or 'a file'} cannot be written to: {reason}")
    explained.__cause__ = error
    if hasattr(error, "run_id"):  # a run has recorded it as its failure
        explained.run_id = error.run_id  # type: ignore[attr-defined]
    return explained


def _explain(error: Exception, words: Sequence[str], name: str) -> str:
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, choice = error.missing_cfg_file.rpartition("/")
        if group == "hydra/launcher" and (explanation := launchers.explain_missing_package(choice)):
            return explanation
    return explain_composition_error(error, words, name)


def exit_with(message: str) -> NoReturn:
    """Print an error in one line, and exit with code 2."""
    line = without_password(printable(message))  # a received value may hold line breaks, or what a terminal obeys
    if len(line) > _MAX_MESSAGE:  # a received value may be a whole network
        line = f"{line[: _MAX_MESSAGE - _MESSAGE_END]} … {line[-_MESSAGE_END:]}"
    print_folded(f"error: {line}", sys.stderr)
    sys.exit(2)
