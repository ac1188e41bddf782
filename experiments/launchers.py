"""Launchers: the settings that say where the runs of a sweep run."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

from .. import UserError
from ..training.backend import count_cores

EXTRAS = {"joblib": "parallel", "submitit_slurm": "slurm", "ray": "ray"}  # Hydra's launcher to ours


def runs_in_process(hydra: Any) -> bool:
    """Return whether the runs are trained one after another in the process of the command.

    Args:
        hydra: Hydra's own config.
    """
    return hydra.launcher._target_.endswith("BasicLauncher")


def uses_queue(hydra: Any) -> bool:
    """Return whether the runs are jobs in a queue, which continue without the command that submitted them.

    Args:
        hydra: Hydra's own config.
    """
    return "submitit" in hydra.launcher._target_


def runs_on_this_machine(hydra: Any) -> bool:
    """Return whether all runs are trained on the machine of the command.

    Args:
        hydra: Hydra's own config.
    """
    return runs_in_process(hydra) or "joblib" in hydra.launcher._target_


def cores_per_run(launcher: Mapping[str, Any]) -> int | None:
    """Return how many cores a run may use; None leaves that to the libraries, which take all.

    Args:
        launcher: the config's `launcher`.
    """
    if launcher.get("cores") or "workers" not in launcher:
        return launcher.get("cores")
    return max(1, count_cores() // launcher["workers"])


def check(launcher: Mapping[str, Any]) -> None:
    """Refuse settings of a launcher that are out of range.

    Args:
        launcher: the config's `launcher`.

    Raises:
        UserError: naming the key.
    """
    least = {"workers": 2 if "minutes" not in launcher else 1, "cores": 1, "memory": 1, "minutes": 1, "gpus": 0}
    for key in least.keys() & launcher.keys():
        value = launcher[key]
        if value is None and key in ("cores", "gpus"):
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < least[key]:
            raise UserError(
                f"`launcher.{key}` must be a whole number from {least[key]}. Received: launcher.{key}={value!r}"
            )


def will_be_requeued() -> bool:
    """Return whether Slurm is stopping this job to run it again: requeued, or preempted."""
    if not (number := os.environ.get("SLURM_JOB_ID")) or not shutil.which("scontrol"):
        return False
    output = subprocess.run(["scontrol", "show", "job", number], capture_output=True, text=True, timeout=20).stdout
    restarts = re.search(r"Restarts=(\d+)", output)
    return restarts is not None and int(restarts[1]) > int(os.environ.get("SLURM_RESTART_COUNT", 0))


def explain_missing_package(launcher: str) -> str | None:
    """Return the error message for a launcher whose package is missing, or None for a launcher that is not ours.

    Args:
        launcher: Hydra's name of it.
    """
    if extra := EXTRAS.get(launcher):
        return f"`launcher={extra}` needs a package that is not installed: pip install 'convzoo[{extra}]'"
    return None
