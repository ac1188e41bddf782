"""Weights of keras.applications: the library's own network reads the file, and is the probe."""

import shutil
import tempfile
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from ... import UserError
from ...settings.text import printable
from ..allowlist import first_line
from ..loading import FILES
from .convert import ForeignWeights, preserve_global_state
from .keras_file import open_h5
from .probe import Probe
from .published import KERAS_APPLICATIONS
from .units import units_of_keras

_FEATURES = 1000  # the classifiers of all these networks read more
_HEADS = ("predictions", "conv_preds")  # the names that keras.applications gives to the layer of the classes


@preserve_global_state()
def read_application(path: Path, network: str, digest: str) -> ForeignWeights:
    """Read a file of keras.applications: `.h5`, `.weights.h5` or `.keras`.

    Args:
        path: of the file.
        network: a key of `KERAS_APPLICATIONS`.
        digest: SHA-256 of the file.

    Raises:
        UserError: the file is damaged, or is not of this network.
    """
    with open_h5(path) as content:
        classes = _read_classes(content)
    if classes is not None and classes * _FEATURES > path.stat().st_size:  # a weight takes a byte at least
        raise UserError(f"{printable(path.name)} is too small for a classifier of {classes:,} classes")
    with tempfile.TemporaryDirectory() as folder:
        weights = path
        if zipfile.is_zipfile(path):
            weights = Path(folder) / FILES[-1]
            with zipfile.ZipFile(path) as archive, archive.open(FILES[-1]) as source, open(weights, "wb") as target:
                shutil.copyfileobj(source, target)
        try:
            model = _make(network, classes, None)
            model.load_weights(weights)
        except UserError:
            raise
        except Exception as error:
            name = KERAS_APPLICATIONS[network].class_name
            raise UserError(
                f"{printable(path.name)} is no file of keras.applications' {name}, nor of convzoo's {network}: "
                f"{printable(first_line(error))}"
            ) from error
    return _describe(model, network, printable(path.name), classes, digest)


@preserve_global_state()
def fetch_application(network: str) -> ForeignWeights:
    """Let keras.applications fetch its own weights for ImageNet.

    Raises:
        UserError: it cannot be reached.
    """
    return _describe(_make(network, 1000, "imagenet"), network, "keras.applications' imagenet weights", 1000, None)


def _make(network: str, classes: int | None, weights: str | None) -> keras.Model:
    if keras.config.image_data_format() != "channels_last":
        raise UserError("weights of keras.applications need `image_data_format` channels_last in Keras's config")
    options: dict[str, Any] = {"include_top": False}
    if classes is not None:
        options = {"classes": classes, "classifier_activation": None}
    application = getattr(keras.applications, KERAS_APPLICATIONS[network].class_name)
    return application(weights=weights, **options)


def _read_classes(content: h5py.File) -> int | None:
    """Return the number of classes of a file, or None for one without classifier."""
    sizes: list[int] = []

    def add_size(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if not isinstance(item, h5py.Dataset) or item.ndim != 1 or not _has_kernel(item):
            return
        if item.parent.attrs.get("name") in _HEADS or any(part in _HEADS for part in name.split("/")):
            sizes.append(item.shape[0])

    content.visititems(add_size)
    return sizes[0] if sizes else None


def _has_kernel(bias: h5py.Dataset) -> bool:
    """Return whether a kernel of as many outputs lies beside a bias."""
    others = [item for item in bias.parent.values() if isinstance(item, h5py.Dataset)]
    return any(other.ndim > 1 and other.shape[-1] == bias.shape[0] for other in others)


def _describe(model: keras.Model, network: str, label: str, classes: int | None, digest: str | None) -> ForeignWeights:
    application = KERAS_APPLICATIONS[network]
    shape = model.input_shape[1:] if classes is not None else (128, 128, 3)
    images = np.random.default_rng(0).integers(0, 256, (1, *shape)).astype("float32")
    preprocess = import_module(f"keras.applications.{application.module}").preprocess_input
    scores = keras.ops.convert_to_numpy(model(preprocess(images.copy()), training=False))
    return ForeignWeights(
        label=label,
        network=network,
        units=units_of_keras(model),
        form=application.form,
        probe=Probe(images, scores),
        has_head=classes is not None,
        digest=digest,
    )
