"""The settings of a model's layers that decide what it computes and that its weights do not show."""

from typing import Any

_SETTINGS = ("strides", "padding", "activation", "max_value", "epsilon")


def read_form(config: dict[str, Any]) -> dict[str, Any]:
    """Return the class and the settings of all layers of a model's config, inner layers too.

    Args:
        config: as JSON has it: of a `.keras` file, or of `model.to_json()`.

    Returns:
        Mapping from the path of a layer and a setting's name, `conv2_x/block/conv1.strides`, to its value.
    """
    form: dict[str, Any] = {}
    pending: list[tuple[str, Any]] = [("", read_layers(config))]
    while pending:
        path, value = pending.pop()
        if isinstance(value, list):
            pending += [(path, inner) for inner in value]
        elif isinstance(value, dict):
            arguments = value.get("config")
            if isinstance(arguments, dict) and "trainable" in arguments:  # a layer
                path = f"{path}/{arguments.get('name')}".lstrip("/")
                form[f"{path}.class"] = value.get("class_name")
                form |= {f"{path}.{key}": arguments[key] for key in _SETTINGS if key in arguments}
            pending += [(path, inner) for inner in value.values()]
    return form


def read_layers(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the configs of a model's layers, in order; what else a file may have there is left out."""
    inner = config.get("config")
    layers = inner.get("layers") if isinstance(inner, dict) else None
    layers = layers if isinstance(layers, list) else []
    return [layer for layer in layers if isinstance(layer, dict) and isinstance(layer.get("config"), dict)]
