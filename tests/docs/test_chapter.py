"""The chapter's Python prints what the page says it prints."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from convzoo.cli import animate_layer
from convzoo.cli.layer_examples import EXAMPLES

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "chapter.md").read_text()
ANIMATIONS = sorted(path.stem for path in (DOCS / "chapter").glob("*.svg"))
BLOCKS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize(("code", "shown"), BLOCKS, ids=range(len(BLOCKS)))
def test_a_block_prints_what_stands_below_it(code, shown):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "chapter.md", "exec"), {})
    assert out.getvalue() == shown


def test_every_block_is_run():
    assert len(BLOCKS) == PAGE.count("```python") == 5


def test_every_study_it_names_is_there():
    named = set(re.findall(r"study=(\w+)", PAGE))
    at_hand = {path.stem for path in Path(__file__).parents[2].glob("configs/studies/*.yaml")}
    assert named <= at_hand
    assert len(named) >= 10


def test_it_shows_the_seven_figures_and_the_demo():
    seven = list(EXAMPLES)[:7]
    assert {*seven, "cs231n"} <= set(ANIMATIONS) <= set(EXAMPLES)
    assert set(re.findall(r"example=(\w+)", PAGE)) == set(ANIMATIONS)


@pytest.mark.parametrize("name", ANIMATIONS)
def test_an_animation_is_as_its_command_draws_it(name, tmp_path, monkeypatch):
    """If it is not: `python -m convzoo.layers example=NAME animate=docs/chapter/NAME.svg`."""
    monkeypatch.chdir(tmp_path)
    animate_layer.run([f"example={name}", "animate=a.svg"])
    assert (tmp_path / "a.svg").read_text() == (DOCS / "chapter" / f"{name}.svg").read_text()


def test_the_page_of_animations_prints_what_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "animations.md").read_text()
    code = "".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "animations.md", "exec"), {})
    assert out.getvalue() == re.search(r"```text\n(.*?)```", page, re.DOTALL)[1]
    assert (tmp_path / "circular.html").exists()
    assert all(f"`{name}`" in page for name in EXAMPLES)
