"""The examples of the docstrings."""

import doctest
import importlib
import pkgutil

import keras
import numpy as np
import pytest

from convzoo import training
from convzoo.models import build, objective

NAMES = [module.name for module in pkgutil.walk_packages(training.__path__, "convzoo.training.")]
BACKENDS = {"tensorflow", "jax", "torch"}


@pytest.mark.parametrize("name", NAMES)
def test_examples_of_docstrings_run(name):
    part = name.rpartition(".")[2]
    if part in BACKENDS - {keras.backend.backend()}:
        pytest.skip("another backend")
    names = {"keras": keras, "np": np, "build": build, "objective": objective}
    result = doctest.testmod(importlib.import_module(name), extraglobs=names)
    assert result.failed == 0
