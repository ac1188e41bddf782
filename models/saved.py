"""Models that were saved."""

import keras

from .. import UserError, layers  # noqa: F401  registers them
from .targets import OWN, first_line


def load(path):
    """The model of a `.keras` file, not compiled. What would run code from the file is refused.

    Raises:
        UserError: the file is damaged, or needs what is neither Keras's, nor convzoo's, nor allowed.
    """
    try:
        return keras.saving.load_model(path, custom_objects=OWN, compile=False, safe_mode=True)
    except Exception as error:
        raise UserError(f"the model cannot be loaded: {first_line(error)}") from error
