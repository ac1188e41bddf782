"""The chapter's Python prints what the page says it prints."""

import contextlib
import io
import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "chapter.md").read_text()
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
