"""Digests of the source files that decide the result of a run.

The values of `configs/` and the images are part of a run's identity themselves, so the files that hold or read them
need no digest for that. Git is not asked: a checkout may have none, and its answers depend on who asks.
"""

import ast
import hashlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[1]
# Files, and folders with all Python files below them, relative to the package. Of `evaluation` three files compute
# what a run records; the others compare and report.
DECIDING = (
    "experiments/runner.py",
    "experiments/training_run.py",
    "layers",
    "models",
    "data",
    "training",
    "evaluation/metrics.py",
    "evaluation/shift.py",
    "evaluation/tta.py",
)
_PACKAGE_NAME = __name__.partition(".")[0]
_COMMAND = "__main__.py"  # prints a listing, also where its folder decides
_INSTALLED = {"site-packages", "dist-packages"}


class Module(NamedTuple):
    """A source file: the digest of its bytes, and the names of the modules it may import."""

    digest: str
    imports: tuple[str, ...]


def deciding_files() -> list[Path]:
    """Return the files of the package that decide a result, sorted."""
    files: list[Path] = []
    for part in DECIDING:
        path = PACKAGE / part
        files += path.rglob("*.py") if path.is_dir() else [path]
    return sorted(file for file in files if file.name != _COMMAND)


@cache
def package_digest() -> str:
    """Return 16 hexadecimal digits that change when a file of the package that decides a result changes."""
    return _combine((file.relative_to(PACKAGE).as_posix(), _digest(file)) for file in deciding_files())


@cache
def layers_digest(classes: tuple[str, ...]) -> str:
    """Return 16 hexadecimal digits that change with the source code of a user's own layers.

    That is the module of each class and the modules that it imports, directly or not, as far as they are not installed;
    of installed packages it is their version. Nothing is imported. The digest is of the files as they were at the first
    call of the process: that is the code it runs.

    Args:
        classes: as `package.module.Class`.
    """
    parts: dict[str, str] = {}
    pending = [name.rpartition(".")[0] for name in classes]
    while pending:
        name = pending.pop()
        top = name.partition(".")[0]
        if not name or name in parts or top == _PACKAGE_NAME:
            continue
        spec = _find_module(name)
        # None for the name of `from module import name`, where it is no module.
        if spec is None or (top in sys.stdlib_module_names and _is_of_python(spec)):
            continue
        if parent := name.rpartition(".")[0]:
            pending.append(parent)
        if spec.origin is None or not Path(spec.origin).is_file():
            parts[name] = ""
        elif _INSTALLED & set(Path(spec.origin).parts):
            parts[name] = _installed_version(top)
        else:
            module = _read_module(name, Path(spec.origin), spec.submodule_search_locations is not None)
            parts[name] = module.digest
            pending += module.imports
    return _combine(sorted(parts.items()))


@cache
def _read_module(name: str, path: Path, is_package: bool) -> Module:
    imports = tuple(_imported_names(path, name if is_package else name.rpartition(".")[0]))
    return Module(_digest(path), imports)


def _imported_names(path: Path, package: str) -> Iterator[str]:
    """Names of all modules that a file may import, wherever in it; some may be names inside a module."""
    if path.suffix != ".py":
        return
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # then nothing imports it either
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _is_of_python(spec: ModuleSpec) -> bool:
    """Return whether a module comes with Python: a file of the user's own may have the name of such a module."""
    path = Path(spec.origin) if spec.origin else None
    return path is None or not path.is_file() or Path(sysconfig.get_path("stdlib")) in path.parents


def _find_module(name: str) -> ModuleSpec | None:
    """The spec of a module, found without importing its parents."""
    top, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    for part in rest:
        locations = spec and spec.submodule_search_locations
        spec = PathFinder.find_spec(part, locations) if locations else None
    return spec


@cache
def _installed_version(top: str) -> str:
    try:
        return version(top)
    except PackageNotFoundError:
        return " ".join(sorted(f"{name} {version(name)}" for name in packages_distributions().get(top, ())))


def _digest(path: Path) -> str:
    """Digest of a file, whatever ends its lines."""
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def _combine(parts: Iterator[tuple[str, str]] | Sequence[tuple[str, str]]) -> str:
    digest = hashlib.sha256()
    for name, part in parts:
        digest.update(f"{name}\0{part}\n".encode())
    return digest.hexdigest()[:16]
