import gc
import hashlib
import logging
import math
import os
import sys
import time
from unittest import mock

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as `convzoo.training.backend` has it; TensorFlow reads it here

import keras
import numpy as np
import pytest
from sampling import ALL, DAY

from convzoo.cli import command
from convzoo.settings import user_classes

if keras.backend.backend() == "torch":
    # In torch 2.13 the gradient of a strided 1x1 kernel over fewer than 8 channels writes past its memory:
    # https://github.com/uxlfoundation/oneDNN/issues/6035. Small layers of the tests have such kernels.
    import torch

    torch.backends.mkldnn.set_flags(False)

os.environ.pop("MLFLOW_TRACKING_URI", None)  # of whoever runs the tests: it would decide where their runs go

_end = pytest.StashKey[float]()


def pytest_addoption(parser):
    parser.addoption(
        "--minutes", type=float, help="skip tests that have not begun by then; each day other files are first"
    )


def pytest_report_header():
    """Name the samples, so that `CONVZOO_DAY` can repeat them."""
    return "every case" if ALL else f"samples of CONVZOO_DAY={DAY}; CONVZOO_TEST=all runs every case"


def pytest_configure(config):
    if minutes := config.getoption("--minutes"):
        config.stash[_end] = time.monotonic() + 60 * minutes


def pytest_collection_modifyitems(config, items):
    """Order the files by the date if there is no time for all. Tests of a file share fixtures, and stay together."""
    if _end in config.stash:
        items.sort(key=lambda item: hashlib.sha256(f"{DAY} {item.path.name}".encode()).digest())


@pytest.hookimpl(tryfirst=True)  # before the fixtures
def pytest_runtest_setup(item):
    if time.monotonic() > item.config.stash.get(_end, math.inf):
        pytest.skip("no time left of --minutes")


def pytest_collection_finish():
    """Leave the half a million objects of the libraries out of each later collection of garbage.

    A command collects as it starts, and tests of freed memory do: 0.2 s each time, of more objects than they make.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def preserve_global_state():
    """What a command sets for its process does not reach the next test."""
    policy, level = keras.config.dtype_policy(), logging.getLogger("convzoo").level
    with mock.patch.dict(user_classes._CLASSES):
        yield
    keras.config.set_dtype_policy(policy)
    logging.getLogger("convzoo").setLevel(level)


@pytest.fixture
def command_line(monkeypatch, capfd):
    """Calls train.py or evaluate.py in this process: (module, words) to its exit code, output and error stream."""

    def run(program, words):
        name = program.__name__.rpartition(".")[2]
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *words])
        try:
            command.run(program.main, name)
            code = 0
        except SystemExit as ended:
            code = ended.code
        return code, *capfd.readouterr()

    return run


@pytest.fixture(scope="session")
def network():
    """Makes a network of the zoo with random weights, uint8 pictures to scores, and its plan; once for each name."""
    from convzoo.models import builder, planning, registry

    made = {}

    def of(name):
        if name not in made:
            config = registry.compose_network(name)
            keras.utils.set_random_seed(0)
            front = [keras.layers.Rescaling(1 / 128, offset=-1.0, dtype="float32")]
            shape, classes = tuple(config.data.image_shape), config.data.classes
            model = builder.assemble(registry.rows(config), shape, classes, name, front, dtype="uint8")
            made[name] = model, planning.plan_model(model)
        return made[name]

    return of


@pytest.fixture(scope="session")
def noise():
    """Random pictures of a shape, smooth enough for a network to see something in them."""

    def of(n, shape):
        coarse = np.random.default_rng(0).integers(0, 256, (n, shape[0] // 4, shape[1] // 4, shape[2]), dtype=np.uint8)
        return coarse.repeat(4, axis=1).repeat(4, axis=2)

    return of
