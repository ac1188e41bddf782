import logging
import sys

import keras
import pytest

from convzoo.configs import command
from convzoo.studies import watch


@pytest.fixture(autouse=True)
def untouched_state():
    """What a command sets for its process does not reach the next test."""
    policy, level = keras.config.dtype_policy(), logging.getLogger("convzoo").level
    yield
    keras.config.set_dtype_policy(policy)
    logging.getLogger("convzoo").setLevel(level)


@pytest.fixture
def command_line(monkeypatch, capfd):
    """Calls train.py or evaluate.py in this process: (module, words) to its exit code, output and error stream."""

    def run(program, words):
        name = program.__name__.rpartition(".")[2]
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *words])
        monkeypatch.setattr(command, "_started", [])
        monkeypatch.setattr(command, "_failures", [])
        monkeypatch.setattr(watch, "sweep", None)
        try:
            command.run(program.main, name)
            code = 0
        except SystemExit as ended:
            code = ended.code
        return code, *capfd.readouterr()

    return run
