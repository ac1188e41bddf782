"""Load saved models. A file may come from a stranger: it runs no code, and takes no memory beyond its size."""

import json
import zipfile
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import keras

from .. import UserError, layers
from ..layers.blocks.composite import Composite, output_shape
from . import allowlist
from .builder import resize_inputs, run_symbolically

FILES = ("config.json", "metadata.json", "model.weights.h5")
BYTES = 2**25  # of each file but the weights
MAP_BYTES = 2**30  # of all maps of one image, in float32
SIDE = 256  # of the images by which a model for any size is measured
_PARTS = {"keras.layers.InputLayer", "keras.DTypePolicy", "keras.src.models.functional.Functional"}
_NAMESPACES = ("keras.initializers", "keras.regularizers", "keras.constraints")
_KERAS_TYPES = ("__keras_tensor__", "__tuple__")


def load(path: str | Path) -> keras.Model:
    """Load the model of a `.keras` file, not compiled. What would run code from the file is refused before it is read.

    Raises:
        UserError: the file is damaged, inflates beyond its size, declares maps beyond `MAP_BYTES`, or needs what is
            neither a layer that a config may name nor allowed.
    """
    try:
        config = _read_config(path)
        _check_classes(config)
        declared, map_bytes = run_symbolically(
            lambda: _measure(_read(keras.models.model_from_json, json.dumps(config)))
        )
        with open(path, "rb") as file:
            size = file.seek(0, 2)
        if declared > size:  # a weight takes a byte at least
            raise UserError(f"the model cannot be loaded: it declares {declared:,} weights in {size:,} bytes")
        if map_bytes > MAP_BYTES:
            raise UserError(
                f"the model cannot be loaded: its maps of one image must take at most {MAP_BYTES:,} bytes. "
                f"Received: {map_bytes:,}"
            )
        return _read(keras.saving.load_model, path, compile=False, safe_mode=True)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"the model cannot be loaded: {allowlist.first_line(error)}") from error


def _read(reader: Callable[..., keras.Model], source: str | Path, **options: Any) -> keras.Model:
    return reader(source, custom_objects=allowlist.user_layers(), **options)


def _measure(model: keras.Model) -> tuple[int, int]:
    """Return the number of weights, and bytes of all maps of one image in float32."""
    shape = model.inputs[0].shape[1:]
    if len(shape) == 3 and None in shape[:2]:
        model = resize_inputs(model, (SIDE, SIDE, shape[2]))
    return model.count_params(), 4 * sum(_map_sizes(model))


def _map_sizes(model: keras.Model) -> list[int]:
    """Return the values of each map of one image, those inside composite layers too."""
    sizes: list[int] = []

    def measure(layer: keras.Layer, shape: Any) -> tuple[Any, ...]:
        shape = layer.connect(shape, measure) if isinstance(layer, Composite) else output_shape(layer, shape)
        sizes.append(prod(shape[1:]))
        return shape

    for layer in model.layers:
        if isinstance(layer, keras.Model):
            sizes += _map_sizes(layer)
            continue
        # A layer of a model for any size was called on maps of unknown size too.
        nodes = [node for node in layer._inbound_nodes if all(None not in t.shape[1:] for t in node.output_tensors)]
        if not nodes:
            raise UserError(f"the model cannot be loaded: the size of the map that `{layer.name}` gives is unknown")
        for node in nodes:
            if isinstance(layer, Composite):
                measure(layer, tuple(node.input_tensors[0].shape))
            else:
                sizes += [prod(each.shape[1:]) for each in node.output_tensors]
    return sizes


def check_members(archive: zipfile.ZipFile) -> None:
    """Refuse a `.keras` file with members that it may not have, or that inflate beyond their size.

    Raises:
        UserError: naming the member.
    """
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


def _read_config(path: str | Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        check_members(archive)
        return {key: value for key, value in json.loads(archive.read(FILES[0])).items() if key != "compile_config"}


def _check_classes(value: Any) -> None:
    if isinstance(value, dict):
        if "class_name" in value and not _is_allowed(value):
            name = f"{value.get('module')}.{value['class_name']}"
            raise UserError(f"the model cannot be loaded: {name} is not among the layers that a model may have here")
        for inner in value.values():
            _check_classes(inner)
    elif isinstance(value, list):
        for inner in value:
            _check_classes(inner)


def _is_allowed(value: dict[str, Any]) -> bool:
    module, name, registered = (str(value.get(key)) for key in ("module", "class_name", "registered_name"))
    user_layers = allowlist.user_layers()
    if registered not in ("None", name):  # Keras looks it up first
        registered_class = keras.saving.get_registered_object(registered, user_layers)
        class_module = getattr(registered_class, "__module__", "")
        return registered_class in user_layers.values() or class_module.startswith(f"{layers.__name__}.")
    known = {*allowlist.allowed_layers(), *_PARTS}
    is_known_name = name in (*_KERAS_TYPES, *user_layers)
    return f"{module}.{name}" in known or module in _NAMESPACES or is_known_name
