import keras

from .composite import Composite


@keras.saving.register_keras_serializable(package="convzoo")
class InnerOutputs(keras.layers.Wrapper):
    """A layer as it is, which also returns the outputs of layers inside it: `convzoo.models.features` is made of it.

    Args:
        layer: any layer; one that is a `Composite` where `paths` are given.
        paths: names of layers from the outside in, joined by `/`, as `Composite.get_layer` takes them.

    Output shape:
        That of `layer`; with paths a list: the layer's own output, and one for each path.

    Raises:
        ValueError: when the layer is called, if a path leads to no layer that the call reaches.
    """

    def __init__(self, layer, paths=(), **kwargs):
        super().__init__(layer, **{"name": layer.name, "dtype": layer.dtype_policy, **kwargs})
        self.paths = list(paths)

    def call(self, *args, **kwargs):
        if not self.paths:
            return self.layer(*args, **kwargs)
        outputs = {}
        y = self._collect(self.layer, args[0], "", outputs)
        if missing := [path for path in self.paths if path not in outputs]:
            raise ValueError(f"`{self.name}` has no layer {missing[0]!r}")
        return [y, *(outputs[path] for path in self.paths)]

    def _collect(self, layer, x, path, outputs):
        """Output of a layer for `x`; the outputs of the layers inside are entered into `outputs`, by path."""
        prefix = f"{path}/" if path else ""
        if isinstance(layer, Composite) and any(each.startswith(prefix) for each in self.paths):
            y = layer.connect(x, lambda inner, x: self._collect(inner, x, f"{prefix}{inner.name}", outputs))
        else:
            y = layer(x)
        outputs[path] = y
        return y

    def get_config(self):
        return {**super().get_config(), "paths": self.paths}
