"""The environment of a run: code, versions, machine."""

import hashlib
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..settings.text import printable
from . import code_digest

_PACKAGES = (
    "convzoo",
    "keras",
    "tensorflow",
    "jax",
    "jaxlib",
    "torch",
    "numpy",
    "hydra-core",
    "mlflow",
    "tensorflow-datasets",
)


# By backend, the packages beside Keras and NumPy whose version decides a result.
_BACKEND_PACKAGES = {"tensorflow": ("tensorflow",), "jax": ("jax", "jaxlib"), "torch": ("torch",)}
_GIT_TIMEOUT_S = 10
_WRITTEN_FROM_RUNS = (":!results", ":!docs")


def environment_tags(allow: Sequence[str] = ()) -> dict[str, str]:
    """Return the code, the versions and the machine as tags of a run.

    Args:
        allow: names of the user's own layer classes that the run may use.
    """
    commit = git_commit()
    return {
        "code": code_version(allow),
        "machine": describe_machine(),
        **({"mlflow.source.git.commit": commit} if commit else {}),
        **{f"version.{package}": number for package, number in package_versions().items()},
    }


def origin_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return those of a run's tags that another run must share to give the same result by the same settings.

    They are the digest of the code, and the versions of Keras, of the backend and of NumPy.

    Args:
        tags: of a run, as `environment_tags` gives them, with `backend` if the run trains.
    """
    packages = "keras", "numpy", *_BACKEND_PACKAGES.get(tags.get("backend", ""), ())
    return {key: tags.get(key, "") for key in ("code", *(f"version.{package}" for package in packages))}


def describe_difference(one: Mapping[str, str], other: Mapping[str, str]) -> str:
    """Describe how one origin differs from another: `other code (0123456, not 89abcde)`.

    Args:
        one: what is described.
        other: what it should have been.
    """
    if one.get("code") != other.get("code"):
        return f"other code ({printable(one.get('code', ''))[:7]}, not {other.get('code', '')[:7]})"
    versions = [
        f"{key.removeprefix('version.')} {printable(one.get(key) or 'unknown')[:40]}, not {value}"
        for key, value in other.items()
        if one.get(key) != value
    ]
    return f"other versions ({'; '.join(versions)})"


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages that decide a result."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # or installed under another name, as `tensorflow-cpu`
            if number := getattr(sys.modules.get(package), "__version__", None):
                versions[package] = number
    return versions


@cache
def git_commit() -> str | None:
    """Return the commit of the checkout that holds this package, with "-dirty" if files differ; None if there is none.

    Files that are written from runs, in `results/` and `docs/`, may differ. The commit is for people to read: no run is
    identified by it.
    """
    package_folder = Path(__file__).parents[1]
    try:
        top = _git(package_folder, "rev-parse", "--show-toplevel")
        if Path(top).resolve() != package_folder.resolve():
            return None
        return _git(package_folder, "rev-parse", "HEAD") + (
            "-dirty" if _git(package_folder, "status", "--porcelain", "--", ".", *_WRITTEN_FROM_RUNS) else ""
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def code_version(allow: Sequence[str] = ()) -> str:
    """16 hexadecimal digits that change with the source files that decide a result, as they were at the first call.

    Args:
        allow: names of the user's own layer classes, as `package.module.Class`.
    """
    package = code_digest.package_digest()
    if not allow:
        return package
    own = code_digest.layers_digest(tuple(sorted(set(allow))))
    return hashlib.sha256(f"{package} {own}".encode()).hexdigest()[:16]


def describe_machine() -> str:
    """Return the system, the processor and the number of cores in one line."""
    return f"{platform.system()} {platform.machine()}, {_processor()}, {os.cpu_count()} cores"


def _processor() -> str:
    try:
        name = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        name = None
    return name[1] if name else platform.processor() or "unknown processor"


def _git(folder: Path, *arguments: str) -> str:
    # A hook, for one, has variables set that lead to another repository.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return subprocess.run(
        ["git", "-C", str(folder), *arguments],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
        timeout=_GIT_TIMEOUT_S,
    ).stdout.strip()
