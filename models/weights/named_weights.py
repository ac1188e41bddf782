"""Weights by the names of a network's layers, and the layers of a model by name."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

# By a layer's path of names, its weights as `Layer.save_own_variables` numbers them.
LayerWeights = Mapping[str, Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class NamedWeights:
    """The weights of a source, by the names of the network's layers.

    Attributes:
        label: names the source in messages, such as `resnet50.h5`.
        layers: mapping from the path of a layer (`conv3_1/body/conv1`) to its weights by number.
        digest: SHA-256 of the file, in hexadecimal digits; None for a source without one.
        preprocessing: rows of the layers by which the source scales its images, to stand before the network.
        changes: settings of the network that the source needs, as `{"model.layers.pool1.padding": "ceil"}`. A model
            that takes these weights must be built with them.
        classes: number of classes of the classifier; None if there is none, or the source does not say.
        has_head: whether there are weights of the classifier.
        image_shape: (height, width, channels) of the source's images; None if it does not say.
        form: settings of the source's layers, as `form.read_form` gives them; {} if it does not say.
        lines: what was done to the weights, for the user.
    """

    label: str
    layers: LayerWeights
    digest: str | None = None
    preprocessing: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    changes: Mapping[str, Any] = field(default_factory=dict)
    classes: int | None = None
    has_head: bool = True
    image_shape: tuple[int | None, ...] | None = None
    form: Mapping[str, Any] = field(default_factory=dict)
    lines: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """Text that changes with the weights: the digest, or the label of a source without one."""
        return self.digest or self.label


def iter_layers(model: keras.Model) -> Iterator[tuple[str, keras.Layer]]:
    """Yield the layers that have weights of their own, with their paths of names; inner layers too."""
    for layer in model.layers:
        yield from _iter_inner(layer.name, layer)


def _iter_inner(path: str, layer: keras.Layer) -> Iterator[tuple[str, keras.Layer]]:
    if own_weights(layer):
        yield path, layer
    for inner in layer._flatten_layers(include_self=False, recursive=False):
        yield from _iter_inner(f"{path}/{inner.name}", inner)


def own_weights(layer: keras.Layer) -> dict[str, Any]:
    """Return a layer's own weights, those of layers inside left out, by the numbers that Keras gives them in files."""
    store: dict[str, Any] = {}
    layer.save_own_variables(store)
    return store
