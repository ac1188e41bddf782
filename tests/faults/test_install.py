"""What works where only a part of the packages is installed."""

import os
import subprocess
import sys

import keras
import pytest

# Without requests, which TensorFlow imports itself.
TRAIN_ONLY = "hydra mlflow omegaconf matplotlib PIL pydantic scipy sklearn tensorflow_datasets".split()
BLOCK = """
import sys

class Block:
    def find_spec(name, *_):
        if name.partition(".")[0] in {}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)

sys.meta_path.insert(0, Block)
"""


def run_without(modules, code, backend=None):
    """Runs code in a process in which modules cannot be imported."""
    blocked = BLOCK.format(modules)
    environment = {**os.environ, "KERAS_BACKEND": backend or keras.backend.backend()}
    command = [sys.executable, "-c", blocked + code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("room", ["layers", "models"])
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_import_without_a_backend_names_the_three(backend, room):
    code = {"layers": "import convzoo.layers", "models": "from convzoo.models import plan"}[room]
    done = run_without([backend], code, backend)
    line = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert f"Keras needs a backend, and {backend} is not installed: install tensorflow, jax or torch" in line


@pytest.mark.slow
def test_layers_need_nothing_of_train_and_build_names_the_extra():
    code = "from convzoo.layers import L2Pooling2D\nL2Pooling2D()\nfrom convzoo.models import build"
    done = run_without([*TRAIN_ONLY, "yaml"], code)
    line = done.stderr.strip().splitlines()[-1]
    assert "convzoo.models.build needs omegaconf, which is not installed: pip install 'convzoo[train]'" in line
