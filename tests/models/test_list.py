"""The list of all networks, and the page that is made of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import convzoo
from convzoo.cli import list_networks as command
from convzoo.cli.list_networks import digest, lines, page, store, stored_lines, table
from convzoo.models import names

PAGE = Path(convzoo.__file__).parent / "docs" / "networks.md"


def test_the_list_has_a_line_for_every_network():
    head, *rest = table(stored_lines())
    assert [line.split()[0] for line in rest] == list(names())
    (nin,) = (line for line in rest if line.startswith("nin "))
    assert nin.split()[1:5] == ["2013", "32×32×3", "966,986", "222,486,528"]
    assert nin.endswith("Network In Network")
    assert nin.index("10.41 cifar10") == head.index("published error")


def test_the_page_is_the_one_that_is_printed():
    assert "\n".join(page(stored_lines())) + "\n" == PAGE.read_text()


def test_the_stored_list_is_of_the_configs_as_they_are(monkeypatch):
    """If it is not: `python -m convzoo.models --store`, and `--markdown` for the page."""
    monkeypatch.setattr(command, "lines", lambda names: pytest.fail(f"{names} are not stored as they are configured"))
    assert len(list(stored_lines())) == len(names())


@pytest.mark.slow
def test_the_stored_list_is_the_one_that_is_counted():
    assert list(stored_lines()) == list(lines())


def test_stored_lines_counts_networks_whose_configs_changed(tmp_path, monkeypatch):
    """A network of one's own, one that was edited, and one that includes the edited one are counted again."""
    (tmp_path / "model").mkdir()
    for name, text in {"base": "name: base\n", "child": "defaults:\n  - base\n  - _self_\n", "other": "x: 1\n"}.items():
        (tmp_path / "model" / f"{name}.yaml").write_text(text)
    monkeypatch.setattr(command, "CONFIGS_FOLDER", tmp_path)
    store([(name, "stored") for name in ("base", "child", "other")], tmp_path / "networks.json")
    monkeypatch.setattr(command, "lines", lambda names: [(name, "counted") for name in names])
    assert {line[1] for line in stored_lines(tmp_path / "networks.json")} == {"stored"}
    (tmp_path / "model" / "base.yaml").write_text("name: base\nwidth: 4\n")
    (tmp_path / "model" / "mine.yaml").write_text("name: mine\n")
    assert dict(stored_lines(tmp_path / "networks.json")) == {
        "base": "counted",
        "child": "counted",
        "mine": "counted",
        "other": "stored",
    }
    assert digest(tmp_path / "model" / "base.yaml") != digest(tmp_path / "model" / "mine.yaml")
    for damaged in ("", "[]", "{"):
        (tmp_path / "networks.json").write_text(damaged)
        assert {line[1] for line in stored_lines(tmp_path / "networks.json")} == {"counted"}


@pytest.mark.parametrize("width", [80, 100, 159])
def test_table_fits_a_narrow_screen(width):
    text = "\n".join(table(stored_lines(), width))
    assert max(map(len, text.split("\n"))) <= width
    assert "966,986" in text
    assert "Network In Network" in text
    assert "10.41 cifar10" in text


def test_the_command_answers_without_a_backend():
    code = (
        "import runpy, sys\n"
        "sys.argv = ['convzoo.models']\n"
        "runpy.run_module('convzoo.models', run_name='__main__')\n"
        "assert not {'keras', 'tensorflow', 'hydra'} & set(sys.modules)\n"
    )
    environment = {**os.environ, "COLUMNS": ""}  # a pipe has no width
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == len(names()) + 1
