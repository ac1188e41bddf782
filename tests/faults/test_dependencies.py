"""What the code imports is declared, what is declared is used, and the two files of versions say the same."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import convzoo

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Used without an import: by whom.
UNSEEN = {
    "importlib-resources": "tensorflow-datasets, which does not declare it",
    "hydra-joblib-launcher": "configs/launcher/parallel.yaml",
    "hydra-submitit-launcher": "configs/launcher/slurm.yaml",
    "hydra-ray-launcher": "configs/launcher/ray.yaml",
    "submitit": "hydra-submitit-launcher, in the version that works",
    "ray": "tests/launchers/ray",
    "onnx": "Keras, to export",
    "tf2onnx": "Keras, to export",
    "build": ".ci/run",
    "import-linter": ".ci/run",
    "mypy": ".ci/run",
    "pip-audit": ".ci/run",
    "pytest-xdist": ".ci/run",
    "ruff": ".ci/run",
}
DISTRIBUTIONS = packages_distributions()


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(requirements):
    return {canonical(re.match(r"[\w.-]+", requirement)[0]) for requirement in requirements}


CORE = declared(PROJECT["dependencies"])
TRAIN = declared(PROJECT["optional-dependencies"]["train"])
EXTRAS = {extra: declared(needs) for extra, needs in PROJECT["optional-dependencies"].items()}


@cache
def imported_by(path):
    """The distributions that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "importorskip":
            names.update(each.value for each in node.args if isinstance(each, ast.Constant))  # others are parameters
    found = set()
    for top in {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"convzoo"}:
        if any((folder / f"{top}.py").exists() for folder in (path.parent, ROOT / "tests" / "support")):
            continue
        having = {canonical(name) for name in DISTRIBUTIONS.get(top, [top])}
        found |= having & (CORE | TRAIN) or having  # several may hold parts of it
    return found


def imported(paths):
    """Mapping from each distribution that files import to one of the files."""
    return {name: path.relative_to(ROOT) for path in paths for name in imported_by(path)}


def python_files(*folders):
    return [path for folder in folders for path in (ROOT / folder).rglob("*.py")]


ROOMS = "cli configs data evaluation experiments layers models reporting settings tracking training".split()
PACKAGE = [*ROOT.glob("*.py"), *python_files(*ROOMS)]
BENCHMARKS, TESTS = python_files("benchmarks"), python_files("tests")


def undeclared(paths, declared):
    """What files import and nothing declares, with one of the files."""
    return {name: str(path) for name, path in imported(paths).items() if name not in declared}


def unused(paths, declared):
    """What is declared, and neither imported by files nor used unseen."""
    return declared - set(imported(paths)) - set(UNSEEN)


def test_what_the_package_imports_is_declared():
    exports = EXTRAS["litert"] | EXTRAS["onnx"] | EXTRAS["openvino"]
    assert undeclared(PACKAGE, CORE | TRAIN | exports | {"torch", "jax"}) == {}  # backends, where Keras runs on them
    assert {"keras", "mlflow", "pillow", "scikit-learn", "pyyaml"} <= set(imported(PACKAGE))  # it finds what is there


def test_layers_import_nothing_beside_the_core_and_backends():
    assert {"keras", "numpy"} == CORE
    assert undeclared(python_files("layers"), CORE | {"tensorflow", "torch", "jax"}) == {}


def test_version_is_the_one_that_the_changelog_begins_with():
    heading = re.search(r"^## (\S+?),? ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heading[1] == convzoo.__version__


def test_what_tests_and_benchmarks_import_is_declared():
    assert undeclared(BENCHMARKS + TESTS, CORE.union(*EXTRAS.values())) == {}


def test_what_is_declared_is_used():
    assert unused(python_files("layers"), CORE) == set()
    assert unused(PACKAGE, CORE | TRAIN) == set()
    assert {extra: unused(PACKAGE + BENCHMARKS + TESTS, needs) for extra, needs in EXTRAS.items()} == {
        extra: set() for extra in EXTRAS
    }
    assert set(UNSEEN) <= CORE.union(*EXTRAS.values())


def test_one_that_is_imported_or_declared_too_much_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "x.py").write_text("import keras\ndef f():\n    from nowhere.part import thing\n")
    assert undeclared([tmp_path / "x.py"], {"keras"}) == {"nowhere": "x.py"}
    assert unused([tmp_path / "x.py"], {"keras", "nowhere", "requests", "ruff"}) == {"requests"}


def pins(file):
    return {
        canonical(name): version
        for name, version in re.findall(r"^([\w.-]+)==([^\s;\\]+)", (ROOT / file).read_text(), re.MULTILINE)
    }


def test_the_lock_holds_the_versions_of_the_constraints():
    locked, constrained = pins("requirements.lock"), pins("constraints.txt")
    assert {name: version for name, version in locked.items() if constrained.get(name) != version} == {}
    assert CORE | TRAIN | EXTRAS["test"] <= set(locked)


def test_every_line_of_the_lock_has_its_hashes():
    text = (ROOT / "requirements.lock").read_text()
    blocks = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
    assert len(blocks) == len(pins("requirements.lock")) > 50
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", block) for block in blocks)
    assert "://" not in text
    assert "--index" not in text


@pytest.mark.parametrize(
    ("line", "found"),
    [("import h5py", {"h5py"}), ("from PIL import Image", {"pillow"}), ("import os, json", set())],
)
def test_the_look_at_imports(tmp_path, monkeypatch, line, found):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "x.py").write_text(f"def f():\n    {line}\n")
    assert set(imported([tmp_path / "x.py"])) == found


@pytest.mark.parametrize(
    ("said", "sentence", "code"),
    [
        (None, "vulnerabilities could not be looked up: no answer", 0),
        ([{"name": "a", "skip_reason": "?"}], "vulnerabilities could not be looked up: nothing is known of any of", 0),
        ([{"name": "a", "version": "1", "vulns": []}], "no known vulnerability in 1 packages", 0),
        ([{"name": "a", "version": "1", "vulns": [{"id": "CVE-1"}]}], "1 known vulnerabilities: a 1: CVE-1", 1),
    ],
)
def test_what_is_said_of_vulnerabilities(tmp_path, said, sentence, code):
    if said is not None:
        (tmp_path / "audit.json").write_text(json.dumps({"dependencies": said}))
    words = [sys.executable, ROOT / "tests" / "audit.py", tmp_path / "audit.json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (code, "")
    assert done.stdout.startswith(sentence)
