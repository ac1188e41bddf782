"""The examples of the docstrings."""

import doctest
import importlib
import pkgutil

import pytest

from convzoo import evaluation

NAMES = [module.name for module in pkgutil.walk_packages(evaluation.__path__, "convzoo.evaluation.")]


@pytest.mark.parametrize("name", NAMES)
def test_examples_of_evaluation_docstrings_run(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
