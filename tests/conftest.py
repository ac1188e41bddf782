import logging

import keras
import pytest


@pytest.fixture(autouse=True)
def untouched_state():
    """What a command sets for its process does not reach the next test."""
    policy, level = keras.config.dtype_policy(), logging.getLogger("convzoo").level
    yield
    keras.config.set_dtype_policy(policy)
    logging.getLogger("convzoo").setLevel(level)
