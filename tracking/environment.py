"""Where a run was made: code, versions, machine."""

import hashlib
import os
import platform
import re
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = (
    "convzoo",
    "keras",
    "tensorflow",
    "jax",
    "torch",
    "numpy",
    "hydra-core",
    "mlflow",
    "tensorflow-datasets",
)


def tags():
    """All of it as tags of an MLflow run."""
    commit = git_commit()
    return {
        "code": code(),
        "machine": machine(),
        **({"mlflow.source.git.commit": commit} if commit else {}),
        **{f"version.{package}": number for package, number in versions().items()},
    }


def versions():
    """Versions of the packages that decide a result, those that are installed."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def git_commit():
    """Commit of the checkout that holds this package, "-dirty" behind it if files differ; None outside of one."""
    here = Path(__file__).parents[1]
    try:
        top = _git(here, "rev-parse", "--show-toplevel")
        if Path(top).resolve() != here.resolve():
            return None
        return _git(here, "rev-parse", "HEAD") + ("-dirty" if _git(here, "status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


@cache
def code():
    """Which version of this package runs: the commit, with a digest of what differs from it, or the number."""
    commit = git_commit()
    if not commit:
        return version("convzoo")
    if not commit.endswith("-dirty"):
        return commit
    differs = _git(Path(__file__).parents[1], "diff", "HEAD")
    return f"{commit}-{hashlib.sha256(differs.encode()).hexdigest()[:8]}"


def machine():
    """System, processor and cores in one line."""
    return f"{platform.system()} {platform.machine()}, {_processor()}, {os.cpu_count()} cores"


def _processor():
    try:
        name = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        name = None
    return name[1] if name else platform.processor() or "unknown processor"


def _git(folder, *arguments):
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()
