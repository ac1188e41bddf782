"""A network and pictures that are neither in the zoo: one file of one's own, and a folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
NETWORK = """
name: mine
width: 4
paper: {image_shape: [16, 16, 3], classes: 2}
layers:
  conv: {_target_: keras.layers.Conv2D, filters: "${model.width}", kernel_size: 3, activation: relu}
  pool: {_target_: convzoo.layers.MaxPooling2D, pool_size: 2, axis: pool}
  mean: {_target_: keras.layers.GlobalAveragePooling2D}
  score: {_target_: keras.layers.Dense, units: "${data.classes}"}
"""


def finished(*words, cwd, **options):
    words = [sys.executable, *map(str, words)]
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=240, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_network_and_pictures_of_one_s_own(tmp_path):
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
    out = finished(ROOT / "train.py", *words, "pooling=l2", "batch_size=8", "epochs=6", "study=own", cwd=tmp_path)
    assert "mine data=files" in out
    assert "test accuracy 100.00%" in out
    assert "(16 images)" in out
    out = finished(ROOT / "evaluate.py", "run=latest", cwd=tmp_path)
    assert "light" in out
    assert "warning" not in out


def test_a_network_without_a_recipe_of_its_own_says_so(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text(NETWORK)
    words = [sys.executable, ROOT / "train.py", "--config-dir=.", "model=mine", "recipe=paper", "plan=true"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == "error: `recipe=paper`: this network has no recipe of its own; `recipe=fast` trains it\n"


def test_the_plan_as_json_and_as_a_picture(tmp_path):
    words = [ROOT / "train.py", "model=lenet", "data=digits"]
    plan = json.loads(finished(*words, "plan=json", cwd=tmp_path))
    assert (plan["rows"][0]["name"], plan["rows"][0]["output_shape"]) == ("conv1", [28, 28, 6])
    assert sum(row["params"] for row in plan["rows"]) == 61_706
    assert finished(*words, "plan=lenet.svg", cwd=tmp_path) == "drawn in lenet.svg\n"
    assert "<svg" in (tmp_path / "lenet.svg").read_text()


LAYER = """
import keras

@keras.saving.register_keras_serializable(package="mine")
class Doubled(keras.layers.Layer):
    def call(self, inputs):
        return 2 * inputs
"""


def test_a_layer_of_one_s_own_is_named_once_it_is_allowed(tmp_path):
    (tmp_path / "mine.py").write_text(LAYER)
    options = dict(cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    allow = "allow=[mine.Doubled]"
    words = ["model=lenet", "data=digits", "data.fraction=0.1", "epochs=1", "model.layers.pool1._target_=mine.Doubled"]
    words += [f"~model.layers.pool1.{key}" for key in ("pool_size", "strides", "padding", "axis")]
    finished(ROOT / "train.py", *words, allow, **options)
    assert "test accuracy" in finished(ROOT / "evaluate.py", "run=latest", allow, **options)
    refused = subprocess.run(
        [sys.executable, ROOT / "train.py", *words], capture_output=True, text=True, timeout=60, **options
    )
    assert refused.returncode == 2
    assert "`model.layers.pool1._target_=mine.Doubled` is not among the layers" in refused.stderr


def test_a_clone_reached_by_a_link_is_as_good(tmp_path):
    (tmp_path / "convzoo").symlink_to(ROOT)
    words = [tmp_path / "convzoo" / "train.py", "model=lenet", "plan=true"]
    assert "62,006" in finished(*words, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)})
