"""Which source files decide a result: their digest changes with them and with nothing else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from convzoo.tracking import code_digest, environment

# Imported by files that decide a result without deciding it: errors, messages, checks of settings, intervals.
HARMLESS = ("__init__.py", "evaluation/__init__.py", "evaluation/statistics.py", "settings")


@pytest.fixture(autouse=True)
def fresh_digests():
    """The digests of a process are those of its start."""
    yield
    forget()


def forget():
    for cached in (
        code_digest.package_digest,
        code_digest.layers_digest,
        code_digest._read_module,
        environment.git_commit,
    ):
        cached.cache_clear()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package's Python files, which the digest is taken of."""
    copy = tmp_path / "convzoo"
    for part in (*{path.parent for path in code_digest.deciding_files()}, code_digest.PACKAGE / "tracking"):
        (copy / part.relative_to(code_digest.PACKAGE)).mkdir(parents=True, exist_ok=True)
        for file in part.glob("*.py"):
            shutil.copy(file, copy / file.relative_to(code_digest.PACKAGE))
    monkeypatch.setattr(code_digest, "PACKAGE", copy)
    return copy


def digest():
    forget()
    return environment.code_version()


def edit(path, text="\n# edited\n"):
    path.parent.mkdir(exist_ok=True, parents=True)
    with path.open("a") as file:
        file.write(text)


@pytest.mark.parametrize(
    "file",
    [
        "layers/convolution/conv2d.py",
        "layers/new_layer.py",
        "models/axes.py",
        "data/batches.py",
        "training/steps/base.py",
        "training/new/module.py",
        "evaluation/metrics.py",
        "experiments/runner.py",
        "experiments/training_run.py",
    ],
)
def test_code_changes_with_a_file_that_decides_a_result(package, file):
    before = digest()
    edit(package / file)
    assert digest() != before


@pytest.mark.parametrize(
    "file",
    [
        "reporting/html.py",
        "reporting/study_report.py",
        "reporting/plots/feature_maps.py",
        "tracking/charts.py",
        "tests/test_new.py",
        "benchmarks/loops.py",
        "docs/example.py",
        "models/__main__.py",
        "train.py",
        "evaluate.py",
        "experiments/evaluator.py",
        "notes.md",
        "layers/notes.md",
    ],
)
def test_code_stays_when_a_file_that_reports_changes(package, file):
    before = digest()
    edit(package / file)
    assert digest() == before


def test_code_changes_when_a_file_is_renamed_or_removed(package):
    before = digest()
    (package / "layers" / "convolution" / "conv2d.py").rename(package / "layers" / "convolution" / "conv_2d.py")
    renamed = digest()
    (package / "layers" / "convolution" / "conv_2d.py").unlink()
    assert len({before, renamed, digest()}) == 3


def test_code_stays_whatever_ends_the_lines(package):
    before = digest()
    path = package / "layers" / "convolution" / "conv2d.py"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert digest() == before


def test_code_of_a_process_is_that_of_its_start(package):
    before = environment.code_version()
    edit(package / "layers" / "convolution" / "conv2d.py")
    assert environment.code_version() == before


def test_deciding_files_hold_all_that_they_import():
    files = code_digest.deciding_files()
    for file in files:
        relative = file.relative_to(code_digest.PACKAGE)
        if relative.parts[0] == "experiments":  # it records and reports too
            continue
        for name in code_digest._imported_names(file, ".".join(["convzoo", *relative.parts[:-1]])):
            if not name.startswith("convzoo"):
                continue
            module = code_digest.PACKAGE.joinpath(*name.split(".")[1:])
            for path in (module.with_suffix(".py"), module / "__init__.py"):
                harmless = str(path).startswith(tuple(str(code_digest.PACKAGE / each) for each in HARMLESS))
                assert not path.is_file() or path in files or harmless, f"{relative} imports {path}"


def test_git_of_another_repository_or_none_changes_nothing(tmp_path, monkeypatch):
    code, commit = digest(), environment.git_commit()
    other = tmp_path / "other"
    subprocess.run(["git", "init", "-q", other], check=True)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    assert (digest(), environment.git_commit()) == (code, commit)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (digest(), environment.git_commit()) == (code, None)


LAYER = "import keras\n{imports}\nclass Mine(keras.layers.Layer):\n    pass\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of a user's own modules, on Python's path."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def own_digest(*classes):
    forget()
    return environment.code_version(classes)


def test_code_changes_with_the_module_of_an_allowed_layer(folder):
    (folder / "zoo_of_mine.py").write_text(LAYER.format(imports=""))
    before = own_digest("zoo_of_mine.Mine")
    assert before != digest()
    edit(folder / "zoo_of_mine.py")
    assert own_digest("zoo_of_mine.Mine") != before
    edit(folder / "not_imported.py")
    assert own_digest("zoo_of_mine.Mine") == own_digest("zoo_of_mine.Mine")
    assert "zoo_of_mine" not in sys.modules


@pytest.mark.parametrize(
    ("imports", "file"),
    [
        ("import helper_of_mine", "helper_of_mine.py"),
        ("from helper_of_mine import f", "helper_of_mine.py"),
        ("def late():\n    from helper_of_mine import g", "helper_of_mine.py"),
        ("from package_of_mine.inner import f", "package_of_mine/__init__.py"),
        ("from package_of_mine.inner import f", "package_of_mine/inner.py"),
        ("from package_of_mine import inner", "package_of_mine/inner.py"),
        ("from package_of_mine import inner", "package_of_mine/deep.py"),
        ("import package_of_mine.spread.far", "package_of_mine/spread/far.py"),
        ("import json, os, zlib\nfrom this import f", "this.py"),  # a name that a module of Python has too
    ],
)
def test_code_changes_with_what_an_allowed_layer_imports(folder, imports, file):
    (folder / "zoo_of_mine.py").write_text(LAYER.format(imports=imports))
    (folder / "package_of_mine" / "spread").mkdir(parents=True)
    (folder / "package_of_mine" / "__init__.py").touch()
    (folder / "package_of_mine" / "inner.py").write_text("from . import deep\nimport zoo_of_mine\n")
    for name in (
        "package_of_mine/deep.py",
        "package_of_mine/spread/far.py",
        "helper_of_mine.py",
        "other_of_mine.py",
        "this.py",
    ):
        (folder / name).write_text("f = g = 1\n")
    before = own_digest("zoo_of_mine.Mine")
    edit(folder / "other_of_mine.py")
    assert own_digest("zoo_of_mine.Mine") == before
    edit(folder / file)
    assert own_digest("zoo_of_mine.Mine") != before


def test_code_changes_with_the_version_of_an_installed_layer(folder, monkeypatch):
    installed = folder / "lib" / "site-packages"
    (installed / "installed_zoo").mkdir(parents=True)
    (installed / "installed_zoo" / "__init__.py").write_text(LAYER.format(imports=""))
    monkeypatch.syspath_prepend(installed)
    digests = set()
    for number in ("1.0", "1.1"):
        monkeypatch.setattr(code_digest, "version", {"installed_zoo": number}.__getitem__)
        code_digest._installed_version.cache_clear()
        digests.add(own_digest("installed_zoo.Mine"))
    code_digest._installed_version.cache_clear()
    assert len(digests) == 2


def test_code_does_not_depend_on_the_order_or_place_of_layers(folder, monkeypatch):
    for place in ("one", "two"):
        (folder / place).mkdir()
        for name in ("first_of_mine", "second_of_mine"):
            (folder / place / f"{name}.py").write_text(LAYER.format(imports=""))
    monkeypatch.syspath_prepend(folder / "one")
    before = own_digest("first_of_mine.Mine", "second_of_mine.Mine")
    assert own_digest("second_of_mine.Mine", "first_of_mine.Mine") == before
    monkeypatch.syspath_prepend(folder / "two")
    assert own_digest("first_of_mine.Mine", "second_of_mine.Mine") == before


@pytest.mark.parametrize("key", ["version.keras", "version.numpy", "version.jax", "version.jaxlib", "code"])
def test_origin_changes_with_code_and_versions_that_compute(key):
    tags = {**environment.environment_tags(), "backend": "jax", "version.jax": "1", "version.jaxlib": "2"}
    origin = environment.origin_tags(tags)
    changed = environment.origin_tags({**tags, key: "0.0.1"})
    assert changed != origin
    assert ("other code" if key == "code" else key.removeprefix("version.")) in environment.describe_difference(
        changed, origin
    )


@pytest.mark.parametrize("key", ["machine", "mlflow.source.git.commit", "version.mlflow", "version.torch"])
def test_origin_stays_when_a_tag_that_decides_nothing_changes(key):
    tags = {**environment.environment_tags(), "backend": "jax"}
    assert environment.origin_tags({**tags, key: "0.0.1"}) == environment.origin_tags(tags)


def test_description_of_a_difference_is_printable():
    told = environment.describe_difference(
        {"code": "c", "version.keras": "\x1b[2J"}, {"code": "c", "version.keras": "3"}
    )
    assert told == "other versions (keras \\x1b[2J, not 3)"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root gives files away")
def test_code_of_a_clone_that_another_user_owns_changes_with_it(tmp_path):
    """Git refuses to look at it."""
    ignored = shutil.ignore_patterns(".git*", "tests", "docs", "*.yaml", "__pycache__")
    shutil.copytree(code_digest.PACKAGE, tmp_path / "convzoo", ignore=ignored)
    subprocess.run(["git", "init", "-q", tmp_path / "convzoo"], check=True)
    for path in (tmp_path / "convzoo").rglob("*"):
        os.chown(path, 12345, 12345)
    command = [sys.executable, "-c", "from convzoo.tracking import environment; print(environment.code_version())"]
    codes = set()
    for _ in range(2):
        ended = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True
        )
        codes.add(ended.stdout)
        edit(Path(tmp_path / "convzoo" / "layers" / "convolution" / "conv2d.py"))
    assert len(codes) == 2
