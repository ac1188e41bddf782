"""Models that were saved. A file may come from a stranger: it runs nothing, and takes no more than it is large."""

import json
import zipfile

import keras

from .. import UserError, layers
from . import targets
from .assemble import symbolically

FILES = ("config.json", "metadata.json", "model.weights.h5")
BYTES = 2**25  # of each file but the weights
_PARTS = {"keras.layers.InputLayer", "keras.DTypePolicy", "keras.src.models.functional.Functional"}
_NAMESPACES = ("keras.initializers", "keras.regularizers", "keras.constraints")
_KERAS_S_OWN = ("__keras_tensor__", "__tuple__")


def load(path):
    """The model of a `.keras` file, not compiled. What would run code from the file is refused before it is read.

    Raises:
        UserError: the file is damaged, inflates beyond its size, or needs what is neither a layer that a config may
            name nor allowed.
    """
    try:
        config = _config(path)
        _check_classes(config)
        declared = symbolically(lambda: _read(keras.models.model_from_json, json.dumps(config)).count_params())
        with open(path, "rb") as file:
            size = file.seek(0, 2)
        if declared > size:  # a weight takes a byte at least
            raise UserError(f"the model cannot be loaded: it declares {declared:,} weights in {size:,} bytes")
        return _read(keras.saving.load_model, path, compile=False, safe_mode=True)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"the model cannot be loaded: {targets.first_line(error)}") from error


def _read(how, what, **options):
    return how(what, custom_objects=targets.OWN, **options)


def _config(path):
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.filename not in FILES:
                raise UserError(
                    f"the model cannot be loaded: it may hold {', '.join(FILES)}. Received: {member.filename!r}"
                )
            most = BYTES if member.filename != FILES[-1] else max(BYTES, 10 * member.compress_size)
            if member.file_size > most:
                raise UserError(
                    f"the model cannot be loaded: {member.filename} inflates {member.compress_size:,} bytes to "
                    f"{member.file_size:,}"
                )
        return {key: value for key, value in json.loads(archive.read(FILES[0])).items() if key != "compile_config"}


def _check_classes(value):
    if isinstance(value, dict):
        if "class_name" in value and not _is_known(value):
            name = f"{value.get('module')}.{value['class_name']}"
            raise UserError(f"the model cannot be loaded: {name} is not among the layers that a model may have here")
        for inner in value.values():
            _check_classes(inner)
    elif isinstance(value, list):
        for inner in value:
            _check_classes(inner)


def _is_known(value):
    module, name, registered = (str(value.get(key)) for key in ("module", "class_name", "registered_name"))
    if registered not in ("None", name):  # Keras looks it up first
        found = keras.saving.get_registered_object(registered, targets.OWN)
        return found in targets.OWN.values() or getattr(found, "__module__", "").startswith(f"{layers.__name__}.")
    known = {*targets.ALLOWED, *_PARTS}
    return f"{module}.{name}" in known or module in _NAMESPACES or name in (*_KERAS_S_OWN, *targets.OWN)
