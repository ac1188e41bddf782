"""Networks, pictures and layers that are not in the zoo: files of one's own, and a folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convzoo import evaluate, train

ROOT = Path(__file__).parents[2]
NETWORK = """
name: mine
width: 4
paper: {image_shape: [16, 16, 3], classes: 2}
layers:
  conv: {_target_: keras.layers.Conv2D, filters: "${model.width}", kernel_size: 3, activation: relu}
  pool: {_target_: convzoo.layers.MaxPooling2D, pool_size: 2, role: pool}
  mean: {_target_: keras.layers.GlobalAveragePooling2D}
  score: {_target_: keras.layers.Dense, units: "${data.classes}"}
"""


def finished(*words, cwd, **options):
    words = [sys.executable, *map(str, words)]
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=240, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.integration
def test_a_network_and_pictures_of_one_s_own(command_line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs" / "model").mkdir(parents=True)
    (tmp_path / "configs" / "model" / "mine.yaml").write_text(NETWORK)
    rng = np.random.default_rng(0)
    for name, level in (("dark", 40), ("light (bright & sunny)", 200)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(40):
            pixels = (level + rng.integers(-30, 30, (20, 20, 3))).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{i}.png")
    words = [
        "--config-dir=configs",
        "model=mine",
        "data=files",
        "data.directory=pictures",
        "data.image_shape=[16,16,3]",
    ]
    code, out, err = command_line(train, [*words, "pooling=l2", "batch_size=8", "epochs=6", "study=own"])
    assert code == 0, err
    assert "l2 · mine · data=files" in out
    assert "test accuracy 100.00%" in out
    assert "(16 images)" in out
    code, out, err = command_line(evaluate, ["run=latest", "data.directory=pictures"])
    assert code == 0, err
    assert "light" in out
    assert "warning" not in out


def test_a_network_without_a_recipe_of_its_own_says_so(command_line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text(NETWORK)
    code, _, err = command_line(train, ["--config-dir=.", "model=mine", "recipe=paper", "plan=true"])
    assert (code, err) == (2, "error: `recipe=paper`: this network has no recipe of its own; use `recipe=fast`\n")


@pytest.mark.integration
def test_the_plan_as_json_and_as_a_picture(command_line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["model=lenet", "data=digits"]
    code, out, err = command_line(train, [*words, "plan=json"])
    assert code == 0, err
    plan = json.loads(out)
    assert (plan["rows"][0]["name"], plan["rows"][0]["output_shape"]) == ("conv1", [28, 28, 6])
    assert sum(row["params"] for row in plan["rows"]) == 61_706
    assert command_line(train, [*words, "plan=lenet.svg"])[1] == "drawn in lenet.svg\n"
    assert "<svg" in (tmp_path / "lenet.svg").read_text()


LAYER = """
import keras

@keras.saving.register_keras_serializable(package="mine")
class Doubled(keras.layers.Layer):
    def call(self, inputs):
        return 2 * inputs
"""


@pytest.mark.integration
def test_a_layer_of_one_s_own_is_named_once_it_is_allowed(command_line, tmp_path, monkeypatch):
    """In processes that have not imported it."""
    (tmp_path / "mine.py").write_text(LAYER)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    options = dict(cwd=tmp_path, env={**os.environ, "PYTHONPATH": path})
    allow = "allow=[mine.Doubled]"
    words = ["model=lenet", "data=digits", "data.fraction=0.1", "epochs=1", "model.layers.pool1._target_=mine.Doubled"]
    words += [f"~model.layers.pool1.{key}" for key in ("pool_size", "strides", "padding", "role")]
    finished(ROOT / "train.py", *words, allow, **options)
    assert "test accuracy" in finished(ROOT / "evaluate.py", "run=latest", allow, **options)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    code, _, err = command_line(train, words)
    assert code == 2
    assert "`model.layers.pool1._target_=mine.Doubled` is not among the layers" in err


@pytest.mark.integration
def test_a_clone_reached_by_a_link_is_as_good(tmp_path):
    (tmp_path / "convzoo").symlink_to(ROOT)
    words = [tmp_path / "convzoo" / "train.py", "model=lenet", "plan=true"]
    assert "62,006" in finished(*words, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)})
