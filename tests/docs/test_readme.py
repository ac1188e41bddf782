"""The README is short, its Python runs, and its commands are those that CI runs."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
import yaml

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
EXAMPLE = re.search(r"```python\n(.*?)```", README, re.DOTALL)


def test_readme_has_at_most_700_words_outside_code() -> None:
    prose = re.sub(r"^```.*?^```", "", README, flags=re.DOTALL | re.MULTILINE)
    assert 300 < len(prose.split()) <= 700


def test_readme_example_has_12_lines_and_begins_by_line_30() -> None:
    assert README.count("```python") == 1
    assert len(EXAMPLE[1].splitlines()) == 12
    assert README[: EXAMPLE.start()].count("\n") + 1 <= 30


@pytest.mark.integration
def test_readme_example_trains_a_network() -> None:
    names = {}
    exec(compile(EXAMPLE[1], "README.md", "exec"), names)
    assert names["model"].get_layer("pool1").__class__.__name__ == "L2Pooling2D"
    assert names["model"].evaluate(names["images"], names["labels"], verbose=0)[1] > 0.8


def test_readme_shows_one_small_image() -> None:
    images = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README)
    assert len(images) == 1
    assert (ROOT / images[0]).stat().st_size < 150_000


def test_readme_setup_commands_are_those_of_ci() -> None:
    ci = (ROOT / ".ci" / "run").read_text().replace("pip install -q ", "pip install ")
    setup = README.partition("```python")[0]
    commands = re.findall(r"^pip install .*$", setup, re.MULTILINE)
    assert len(commands) == 2
    assert all(command in ci for command in commands)


def test_readme_install_commands_name_existing_extras() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    commands = re.findall(r"pip install -c constraints.txt -e '\.\[([\w,]+)\]'", README)
    assert commands[0] == "train"
    assert all(set(command.split(",")) <= set(extras) for command in commands)


def test_readme_counts_the_networks() -> None:
    count = len(list((ROOT / "configs" / "model").glob("*.yaml")))
    assert f"{count} CNNs" in README


@pytest.mark.integration
def test_python_page_blocks_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the last block trains a network and records it
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), re.DOTALL)
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    names = {"images": images, "labels": np.arange(8) % 10}
    for block in blocks:
        exec(compile(block, "python.md", "exec"), names)
    assert len(blocks) == 6
    assert names["frame"].model.tolist() == ["lenet"]
    assert names["network"].predict(images.astype("float32"), verbose=0).shape == (8, 10)
    assert names["result"].status == "finished"
    assert names["model"].predict(np.zeros((2, 32, 32, 1), np.uint8), verbose=0).shape == (2, 10)
    assert not names["body"].get_layer("conv3_1").get_layer("body/conv1").trainable


def test_workflow_runs_ci_and_the_readme_test_command() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    commands = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    assert commands == [".ci/run", re.search(r"^pip install .*pytest.*$", README, re.MULTILINE)[0]]
