"""The sources of weights: files, recorded runs and publishers."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from ... import UserError
from ...settings.text import printable
from .. import allowlist
from ..builder import FLOATS
from ..registry import compose_network
from . import torch_file
from .convert import convert
from .digest import read_digest
from .fetch import IMAGENET, fetch_imagenet
from .form import read_form, read_layers
from .keras_applications import read_application
from .keras_file import read_keras_file, read_layer_names
from .named_weights import LayerWeights, NamedWeights
from .probe import read_probe
from .published import KERAS_APPLICATIONS
from .runs import PREFIX, open_run

_CAFFE = (".caffemodel", ".prototxt")
_NOT_IN_A_ROW = {"name", "trainable", "dtype"}


def read_source(source: str | Path, network: str, store: str | None = None) -> NamedWeights:
    """Read weights for a network of the zoo.

    Args:
        source: the path of a file; `run:ID` for the model of a recorded run (`run:latest` is the newest); or
            "imagenet" for the published weights, which are fetched. Files are `.keras` and `.weights.h5` of the
            network itself or of keras.applications, its `.h5`, and state dicts of torch, `.safetensors` and `.pth`.
        network: name of the network, as in `names()`.
        store: address of the store of `run:ID`; None is that of `MLFLOW_TRACKING_URI`, else `mlflow.db` in this folder.

    Returns:
        The weights by the names of the network's layers. `apply_changes` must apply its `changes` to the network's
        config before the model is built, and its `preprocessing` rows must stand before the network, if images are to
        be scaled as they were for these weights.

    Raises:
        UserError: there is no such file or run, or it cannot be read as weights of this network.
    """
    if source == IMAGENET:
        return convert(fetch_imagenet(network))
    if isinstance(source, str) and source.startswith(PREFIX):
        with open_run(source.removeprefix(PREFIX), store) as path:
            return replace(_read_file(Path(path), network), label=printable(source))
    if not isinstance(source, str | os.PathLike):
        raise UserError(f"`weights` must be a file, run:ID or imagenet. Received: {source!r}")
    return _read_file(Path(source), network)


def _read_file(path: Path, network: str) -> NamedWeights:
    if not path.is_file():
        raise UserError(f"`weights={printable(path)}`: there is no such file")
    if path.suffix in _CAFFE:
        raise UserError(f"`weights={printable(path)}`: Caffe models are not supported; bring a file of Keras or torch")
    if path.suffix in torch_file.SUFFIXES:
        return convert(torch_file.read_torch_file(path, network, read_digest(path), read_probe(path)))
    if network in KERAS_APPLICATIONS and not _is_own(path, network):
        return convert(read_application(path, network, read_digest(path)))
    file = read_keras_file(path)
    return NamedWeights(
        label=printable(path.name),
        layers=file.layers,
        digest=read_digest(path),
        preprocessing=_preprocessing_rows(file.config),
        classes=_read_classes(file.config, file.layers),
        image_shape=_read_image_shape(file.config),
        form=read_form(file.config),
    )


def _is_own(path: Path, network: str) -> bool:
    """Return whether at least half of the layers of a Keras file have names of the network's rows."""
    names = {name.partition("/")[0] for name in read_layer_names(path)}
    rows = set(compose_network(network).model.layers)
    return 2 * len(names & rows) >= len(names) > 0


def _preprocessing_rows(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the rows of the leading layers of a model's config that scale its images."""
    rows: dict[str, dict[str, Any]] = {}
    for layer in read_layers(config):
        class_name, arguments = layer.get("class_name"), layer["config"]
        if class_name == "InputLayer" or arguments.get("name") == FLOATS:
            continue
        is_own = str(layer.get("registered_name")).startswith("convzoo>")
        target = f"{'convzoo' if is_own else 'keras'}.layers.{class_name}"
        if target not in allowlist.PREPROCESSING:
            break
        plain = {key: value for key, value in arguments.items() if key not in _NOT_IN_A_ROW}
        rows[str(arguments.get("name"))] = {"_target_": target, **plain}
    allowlist.check_rows(rows, "preprocessing", allowlist.PREPROCESSING)
    return rows


def _read_classes(config: dict[str, Any], layers: LayerWeights) -> int | None:
    """Return the number of outputs of the last layer with weights; None if its config does not say."""
    rows = {path.partition("/")[0] for path in layers}
    arguments = [layer["config"] for layer in read_layers(config) if str(layer["config"].get("name")) in rows]
    count = arguments[-1].get("units", arguments[-1].get("filters")) if arguments else None
    return count if _is_size(count) else None


def _read_image_shape(config: dict[str, Any]) -> tuple[int | None, ...] | None:
    """Return the shape of a model's images; None if its config does not say."""
    inputs = [layer["config"] for layer in read_layers(config) if layer.get("class_name") == "InputLayer"]
    shape = inputs[0].get("batch_shape") if inputs else None
    if not isinstance(shape, list) or len(shape) != 4 or not _is_size(shape[3]):
        return None
    return tuple(shape[1:]) if all(size is None or _is_size(size) for size in shape[1:3]) else None


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
