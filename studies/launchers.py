"""Where the runs of a sweep are made: what `launcher=` means for them."""

import os
import re
import shutil
import subprocess

from .. import UserError

EXTRAS = {"joblib": "parallel", "submitit_slurm": "slurm", "ray": "ray"}  # Hydra's launcher to ours


def here(hydra):
    """Whether the runs are made one after another in the process in which the command was given.

    Args:
        hydra: Hydra's own config.
    """
    return hydra.launcher._target_.endswith("BasicLauncher")


def queue(hydra):
    """Whether the runs are jobs in a queue, which go on without the command that submitted them.

    Args:
        hydra: Hydra's own config.
    """
    return "submitit" in hydra.launcher._target_


def on_this_machine(hydra):
    """Whether all runs are made on the machine on which the command was given.

    Args:
        hydra: Hydra's own config.
    """
    return here(hydra) or "joblib" in hydra.launcher._target_


def cores(launcher):
    """How many cores a run may use; None leaves that to the libraries, which take all.

    Args:
        launcher: the config's `launcher`.
    """
    if launcher.get("cores") or "workers" not in launcher:
        return launcher.get("cores")
    return max(1, _cores_here() // launcher["workers"])


def check(launcher):
    """Refuses what is no launcher.

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


def comes_again():
    """Whether this process is a job that Slurm is taking off its machine to run it again: requeued, or preempted."""
    if not (number := os.environ.get("SLURM_JOB_ID")) or not shutil.which("scontrol"):
        return False
    shown = subprocess.run(["scontrol", "show", "job", number], capture_output=True, text=True, timeout=20).stdout
    restarts = re.search(r"Restarts=(\d+)", shown)
    return restarts is not None and int(restarts[1]) > int(os.environ.get("SLURM_RESTART_COUNT", 0))


def missing(launcher):
    """The words that say which package a launcher lacks, or None where it is none of ours.

    Args:
        launcher: Hydra's name of it.
    """
    if extra := EXTRAS.get(launcher):
        return f"`launcher={extra}` needs a package that is not installed: pip install 'convzoo[{extra}]'"
    return None


def _cores_here():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
