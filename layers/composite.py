from collections.abc import Mapping

import keras


class Composite(keras.layers.Layer):
    """A layer made of layers. What it does with them stands once, in `flow`, and everything else follows from it.

    A subclass defines `flow(x, apply)`, which takes `x` through its layers by `apply(layer, x)` alone; a layer that
    merges is given a list. With arrays that is the call; with shapes it is the shape of the output; others walk
    the same way with what they wish to know, as `convzoo.models.plan` does with receptive fields.
    """

    def flow(self, x, apply):
        raise NotImplementedError

    def build(self, input_shape):
        inside = []
        self.flow(tuple(input_shape), lambda layer, shape: _build(layer, shape, inside))
        weights = [id(weight) for layer in inside for weight in layer.weights]
        if len(set(weights)) < len(weights):  # Keras would save them once and read them twice
            raise ValueError(f"A layer may stand in one place alone. Received: one of {self.name} stands in two")

    def call(self, inputs):
        return self.flow(inputs, lambda layer, x: layer(x))

    def compute_output_shape(self, input_shape):
        return self.flow(tuple(input_shape), output_shape)

    @classmethod
    def from_config(cls, config):
        return cls(**{key: keras.saving.deserialize_keras_object(value) for key, value in config.items()})


@keras.saving.register_keras_serializable(package="convzoo")
class Chain(Composite):
    """Layers one after another; none is the identity.

    Args:
        layers: a list of layers, or a mapping whose values are layers.
    """

    def __init__(self, layers, **kwargs):
        super().__init__(**kwargs)
        self.layers = check_layers("layers", layers)

    def flow(self, x, apply):
        for layer in self.layers:
            x = apply(layer, x)
        return x

    def get_config(self):
        return {**super().get_config(), "layers": [keras.saving.serialize_keras_object(each) for each in self.layers]}


def chain(name, layers, alone=False):
    """A layer as it is; a list of layers, or a mapping whose values are layers, as a `Chain` called `name`.

    Args:
        name: of the argument, and of the chain.
        layers: what came.
        alone: whether a list of one layer is that layer.

    Raises:
        ValueError: when `layers` is none of them.
    """
    if alone and len(found := check_layers(name, layers)) == 1:
        return found[0]
    return layers if isinstance(layers, keras.layers.Layer) else Chain(check_layers(name, layers), name=name)


def check_layers(name, layers):
    """The layers of a layer, a list of them or a mapping to them, as a list, or a ValueError that shows what came."""
    found = [layers] if isinstance(layers, keras.layers.Layer) else layers
    found = list(found.values()) if isinstance(found, Mapping) else found
    if not isinstance(found, list | tuple) or not all(isinstance(layer, keras.layers.Layer) for layer in found):
        raise ValueError(
            f"`{name}` must be a layer, a list of layers or a mapping whose values are layers. "
            f"Received: {name}={layers!r}"
        )
    return list(found)


def output_shape(layer, shape):
    """Shape of a layer's output for an input of `shape`, or for a list of them, whether or not the layer says it."""
    try:
        return tuple(layer.compute_output_shape(shape))
    except NotImplementedError:
        inputs = [keras.KerasTensor(each) for each in shape] if isinstance(shape, list) else keras.KerasTensor(shape)
        return tuple(layer.compute_output_spec(inputs).shape)


def serialized(layer):
    """A layer's config by itself, from which every reading makes another layer.

    While a model is read, Keras gives all copies of a config that carries one `shared_object_id` as one object.
    """

    def plain(config):
        if isinstance(config, Mapping):
            return {key: plain(value) for key, value in config.items() if key != "shared_object_id"}
        return [plain(value) for value in config] if isinstance(config, list | tuple) else config

    return plain(keras.saving.serialize_keras_object(layer))


def copy_of(config, number):
    """A layer of a `serialized` one, with weights of its own, called `name_number`."""
    inner = {**config["config"], "name": f"{config['config']['name']}_{number}"}
    return keras.saving.deserialize_keras_object({**config, "config": inner})


def _build(layer, shape, inside):
    inside.append(layer)
    try:
        if not layer.built:
            layer.build(shape)
        return output_shape(layer, shape)
    except ValueError as error:
        raise ValueError(f"`{layer.name}`: {error}") from error
