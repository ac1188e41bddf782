"""Saved networks in a process that knows nothing of convzoo yet."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from convzoo.layers import L2Pooling2D
from convzoo.models import build, load
from convzoo.models.builder import assemble

LOAD = """
import sys
import keras
try:
    keras.models.load_model(sys.argv[1])
except Exception as error:
    print(str(error).splitlines()[0])
else:
    print("loaded")
import convzoo.layers
print(type(keras.models.load_model(sys.argv[1])).__name__)
"""


def load_elsewhere(path):
    """First what Keras says of the file by itself, then the model's class after `import convzoo.layers`."""
    environment = {**os.environ, "KERAS_BACKEND": keras.backend.backend()}
    command = [sys.executable, "-c", LOAD, str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_loading_without_the_import_names_it_in_the_first_line(tmp_path):
    build("resnet20", image_shape=(8, 8, 1)).save(tmp_path / "model.keras")
    error, name = load_elsewhere(tmp_path / "model.keras")
    assert "make sure they are all imported" in error
    assert "'module': 'convzoo.layers.network'" in error
    assert name == "Network"


def test_network_of_keras_layers_alone_is_a_model_of_keras():
    rows = {"flat": {"_target_": "keras.layers.Flatten"}, "score": {"_target_": "keras.layers.Dense", "units": 10}}
    assert type(assemble(rows, (4, 4, 1), 10)).__module__.startswith("keras.")


def test_network_behaves_as_a_functional_model(tmp_path):
    model = build("resnet20", image_shape=(8, 8, 1), classes=4)
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype("float32")
    model.save(tmp_path / "model.keras")
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    features = keras.Model(model.input, model.get_layer("conv4_x").output)
    assert features(images).shape == (2, 2, 2, 64)
    for other in (load(tmp_path / "model.keras"), keras.models.load_model(tmp_path / "model.keras"), clone):
        assert type(other) is type(model)
        np.testing.assert_allclose(np.array(other(images)), np.array(model(images)), rtol=1e-5, atol=1e-5)


def test_file_of_a_model_by_hand_still_loads(tmp_path):
    keras.Sequential([keras.Input((8, 8, 1)), L2Pooling2D()]).save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").output_shape == (None, 4, 4, 1)
