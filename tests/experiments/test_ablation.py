"""A study that leaves out parts of its recipe, as a command."""

import re

import pytest

from convzoo import train


@pytest.mark.integration
def test_command_has_a_cell_for_each_part(tmp_path, monkeypatch, command_line):
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "mine.yaml").write_text(
        "set: {model: lenet, data: digits}\nablate: [recipe.augmentation.translate, schedule]\n"
    )
    monkeypatch.chdir(tmp_path)
    code, out, _ = command_line(train, [f"--config-dir={tmp_path}", "study=mine", "plan=true"])
    assert code == 0
    jobs = re.findall(r"^── .*?ablate=(\S+)", out, re.MULTILINE)
    assert jobs == ["nothing", "augmentation.translate", "schedule"]


def test_command_refuses_a_part_in_one_line_before_any_run(tmp_path, monkeypatch, command_line):
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "mine.yaml").write_text("set: {model: lenet, data: digits}\nablate: [augmentation.flip]\n")
    monkeypatch.chdir(tmp_path)
    code, out, errors = command_line(train, [f"--config-dir={tmp_path}", "study=mine"])
    assert (code, out) == (2, "")
    assert errors.startswith("error: `study=mine`: `ablate` must be nothing or a part that recipe=fast states")
    assert not (tmp_path / "mlflow.db").exists()
