from collections.abc import Mapping

import keras


class Composite(keras.layers.Layer):
    """A layer made of layers. What it does with them stands once, in `connect`, and everything else follows from it.

    A subclass defines `connect(x, apply)`, which takes `x` through its layers by `apply(layer, x)` alone; a layer that
    merges is given a list. With arrays that is the call; with shapes it is the shape of the output; others walk
    the same way with what they wish to know, as `convzoo.models.plan` does with receptive fields.

    The layers inside are reached by name, with `/` between levels, as in the paths of their weights and in
    `model.summary(expand_nested=True)`:

        model.get_layer("conv3_1").get_layer("body/conv1").trainable = False
    """

    @property
    def layers(self):
        """The layers directly inside, in the order in which they were made."""
        return list(self._flatten_layers(include_self=False, recursive=False))

    def __dir__(self):
        # Keras saves by the attributes that `dir` lists; by two attributes, weights would have another path in files.
        return [name for name in super().__dir__() if name != "layers"]

    def get_layer(self, path):
        """The layer inside that a path of names leads to.

        Args:
            path: names of layers from the outside in, joined by `/`, as `"body/conv1"`.

        Raises:
            ValueError: there is none; the message shows the names at that place.
        """
        name, _, rest = path.partition("/")
        inside = {layer.name: layer for layer in self.layers}
        if name not in inside or (rest and not hasattr(inside[name], "get_layer")):
            raise ValueError(f"`{self.name}` has no layer {path!r}; its layers are {', '.join(inside) or 'none'}")
        return inside[name].get_layer(rest) if rest else inside[name]

    def connect(self, x, apply):
        raise NotImplementedError

    def build(self, input_shape):
        inside = []
        self.connect(tuple(input_shape), lambda layer, shape: _build(layer, shape, inside))
        weights = [id(weight) for layer in inside for weight in layer.weights]
        if len(set(weights)) < len(weights):  # Keras would save them once and read them twice
            raise ValueError(f"A layer may stand in one place alone. Received: one of {self.name} stands in two")

    def call(self, inputs):
        return self.connect(inputs, lambda layer, x: layer(x))

    def compute_output_shape(self, input_shape):
        return self.connect(tuple(input_shape), output_shape)

    def compute_output_spec(self, inputs, **kwargs):
        return self.connect(inputs, lambda layer, x: layer.compute_output_spec(x))

    @classmethod
    def from_config(cls, config):
        return cls(**{key: keras.saving.deserialize_keras_object(value) for key, value in config.items()})


@keras.saving.register_keras_serializable(package="convzoo")
class Chain(Composite):
    """Layers one after another; none is the identity.

    Args:
        layers: a list of layers, or a mapping whose values are layers.
    """

    layers = ()

    def __dir__(self):
        return object.__dir__(self)

    def __init__(self, layers, **kwargs):
        super().__init__(**kwargs)
        self.layers = check_layers("layers", layers)

    def connect(self, x, apply):
        for layer in self.layers:
            x = apply(layer, x)
        return x

    def get_config(self):
        return {**super().get_config(), "layers": [keras.saving.serialize_keras_object(each) for each in self.layers]}


def chain(name, layers, unwrap_single=False):
    """A layer as it is; a list of layers, or a mapping whose values are layers, as a `Chain` called `name`.

    Args:
        name: of the argument, and of the chain.
        layers: what came.
        unwrap_single: whether a list of one layer is that layer.

    Raises:
        ValueError: when `layers` is none of them.
    """
    if unwrap_single and len(checked := check_layers(name, layers)) == 1:
        return checked[0]
    return layers if isinstance(layers, keras.layers.Layer) else Chain(check_layers(name, layers), name=name)


def check_layers(name, layers):
    """The layers of a layer, a list of them or a mapping to them, as a list, or a ValueError that shows what came."""
    checked = [layers] if isinstance(layers, keras.layers.Layer) else layers
    checked = list(checked.values()) if isinstance(checked, Mapping) else checked
    if not isinstance(checked, list | tuple) or not all(isinstance(layer, keras.layers.Layer) for layer in checked):
        raise ValueError(
            f"`{name}` must be a layer, a list of layers or a mapping whose values are layers. "
            f"Received: {name}={layers!r}"
        )
    return list(checked)


def output_shape(layer, shape):
    """Shape of a layer's output for an input of `shape`, or for a list of them, whether or not the layer says it."""
    try:
        return tuple(layer.compute_output_shape(shape))
    except NotImplementedError:
        inputs = [keras.KerasTensor(each) for each in shape] if isinstance(shape, list) else keras.KerasTensor(shape)
        return tuple(layer.compute_output_spec(inputs).shape)


def serialize_unshared(layer):
    """A layer's config by itself, from which every reading makes another layer.

    While a model is read, Keras gives all copies of a config that carries one `shared_object_id` as one object.
    """

    def plain(config):
        if isinstance(config, Mapping):
            return {key: plain(value) for key, value in config.items() if key != "shared_object_id"}
        return [plain(value) for value in config] if isinstance(config, list | tuple) else config

    return plain(keras.saving.serialize_keras_object(layer))


def clone_numbered(config, number):
    """A layer of a `serialize_unshared` config, with weights of its own, called `name_number`."""
    inner = {**config["config"], "name": f"{config['config']['name']}_{number}"}
    return keras.saving.deserialize_keras_object({**config, "config": inner})


def _build(layer, shape, inside):
    inside.append(layer)
    try:
        if not (layer.built and layer.weights):  # of a built one, for its shape in a summary
            layer.build(shape)
        return output_shape(layer, shape)
    except ValueError as error:
        raise ValueError(f"`{layer.name}`: {error}") from error
