"""`python -m convzoo.layers LAYER key=value … animate=FILE`: an animation of what a layer computes."""

import inspect
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from .. import UserError
from ..settings.animation import ALL_EXAMPLES, AnimationSettings
from ..settings.schema import parse_settings
from ..settings.target_rows import list_parameters
from ..settings.text import did_you_mean, find_near_words
from ..training import backend
from .layer_examples import EXAMPLES, Example
from .words import parse_setting

USAGE = """usage: python -m convzoo.layers                                          prints the page of all layers
       python -m convzoo.layers LAYER [ARGUMENT=VALUE …] animate=FILE    draws what a layer computes
       python -m convzoo.layers example=NAME [ARGUMENT=VALUE …] animate=FILE
       python -m convzoo.layers example=list                             lists the examples

for example: python -m convzoo.layers Conv2D kernel_size=3 padding=full strides=2 animate=conv.gif

A layer takes its own arguments, and small integers as weights unless an initializer is given. Settings:
"""
_KERAS_LAYERS = ("Conv2DTranspose", "DepthwiseConv2D", "GlobalAveragePooling2D", "GlobalMaxPooling2D")
_REQUIRED = {"filters": 1, "kernel_size": 3, "pool_ratio": 1.5}  # arguments without a default of their own
_SIDE = 5  # cells of the image, if the window is not larger


def run(words: Sequence[str]) -> None:
    """Write the animation that the words of the command line describe, list the examples or print the help.

    Raises:
        UserError: a word, a setting, the layer or the image is wrong.
    """
    if {"-h", "--help"} & {*words}:
        print(USAGE + _describe_settings())
    elif "example=list" in words:
        print(describe_examples())
    else:
        settings, arguments = _read_words(words)
        names = list(EXAMPLES) if settings.example == ALL_EXAMPLES else [settings.example]
        for name in names:
            _animate(settings, arguments, _find_example(name) if name else None, settings.file_for(name or ""))


def describe_examples() -> str:
    """Return a line for each example: its name and what it shows."""
    width = max(map(len, EXAMPLES))
    return "\n".join(f"{name:{width}}  {each.layer}: {each.summary}" for name, each in EXAMPLES.items())


def _describe_settings() -> str:
    fields = AnimationSettings.model_fields.items()
    return "\n".join(f"  {name:<12} {field.description}" for name, field in fields if name != "layer")


def _read_words(words: Sequence[str]) -> tuple[AnimationSettings, dict[str, Any]]:
    """Split the words into settings of the animation and arguments of the layer."""
    settings: dict[str, Any] = {}
    arguments: dict[str, Any] = {}
    for word in words:
        key, _, text = word.partition("=")
        value = text if key in ("animate", "example") else parse_setting(word)[1]  # YAML would read {example}.svg
        if "=" not in word:
            if "layer" in settings:
                raise UserError(f"an animation has one layer; settings are key=value. Received: {word}")
            settings["layer"] = word
        elif key in AnimationSettings.model_fields and key != "layer":
            settings[key] = value
        else:
            arguments[key] = value
    return parse_settings(AnimationSettings, settings), arguments


def _find_example(name: str) -> Example:
    if name not in EXAMPLES:
        hint = did_you_mean(find_near_words(name, EXAMPLES)) or "`example=list` lists them"
        raise UserError(f"`example={name}`: there is no such example; {hint}")
    return EXAMPLES[name]


def _animate(settings: AnimationSettings, words: Mapping[str, Any], example: Example | None, path: str) -> None:
    name = example.layer if example else str(settings.layer)
    arguments = {**(example.arguments if example else {}), **words}
    if loading := backend.describe_loading():
        print(f"{name}{loading}", file=sys.stderr, flush=True)
    backend.start("float32")

    import numpy as np

    from ..reporting.animation import animate_layer

    layer_class = _find_class(name)
    arguments = complete_arguments(layer_class, arguments)
    layer = _construct(layer_class, arguments)
    generator = np.random.default_rng(settings.image_seed)
    if settings.image is not None:
        image = _read_image(settings.image)
    else:
        shape = settings.image_shape or (example.image_shape if example else choose_shape(layer, arguments))
        low, high = example.image_values if example else (0, 3)
        image = generator.integers(low, high + 1, _with_channels(layer, shape)).astype("float32")
    values = example.weight_values if example else (-1, 2)
    set_integer_weights(layer, image, arguments, generator, values, example.biases if example else None)
    print(f"drawn in {animate_layer(layer, image, path, settings.seconds)}")


def _find_class(name: str) -> Any:
    """Return the class of a layer: one of convzoo's, or one of Keras's that convzoo has no layer for.

    Raises:
        UserError: there is none, or its outputs cannot be traced.
    """
    import keras

    from .. import layers
    from ..evaluation.traces import has_trace

    classes = {name: getattr(layers, name) for name in layers.__all__}
    classes |= {name: getattr(keras.layers, name) for name in _KERAS_LAYERS}
    if name not in classes:
        near = did_you_mean(find_near_words(name, [each for each in classes if has_trace(classes[each])]))
        raise UserError(f"`{name}`: there is no such layer; {near or 'docs/layers.md lists them'}")
    if not has_trace(classes[name]):
        possible = ", ".join(sorted(each for each in classes if has_trace(classes[each])))
        raise UserError(f"`{name}` has no sliding window to animate; there are: {possible}")
    return classes[name]


def complete_arguments(layer_class: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Check the names of a layer's arguments, and add those that an animation needs and nobody stated.

    Args:
        layer_class: class of the layer.
        arguments: as stated.

    Raises:
        UserError: the layer has no such argument, or lacks one.
    """
    parameters = list_parameters(layer_class)
    for key in arguments:
        if key not in parameters:
            known = [*parameters, *AnimationSettings.model_fields]
            hint = did_you_mean(find_near_words(key, known)) or f"there are: {', '.join(parameters)}"
            raise UserError(f"`{key}`: {layer_class.__name__} has no such argument; {hint}")
    own = inspect.signature(layer_class.__init__).parameters.values()  # the base classes' are stated by the class
    needed = [each.name for each in own if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD]
    complete: dict[str, Any] = {key: value for key, value in _REQUIRED.items() if key in needed}
    if "seed" in parameters:
        complete["seed"] = 0  # the same command draws the same
    complete |= arguments
    for key in needed[1:]:  # without `self`
        if key not in complete:
            raise UserError(f"`{layer_class.__name__}` needs `{key}=`")
    return complete


def _construct(layer_class: Any, arguments: Mapping[str, Any]) -> Any:
    from ..models.allowlist import first_line

    try:
        return layer_class(**arguments)
    except Exception as error:
        raise UserError(f"{layer_class.__name__} cannot be built: {first_line(error)}") from error


def choose_shape(layer: Any, arguments: Mapping[str, Any]) -> tuple[int, int, int]:
    """Choose a shape of image that a layer can read: as small as it may be, and a few cells larger than its window.

    Args:
        layer: the layer, not built.
        arguments: those that it was made with.
    """
    window = getattr(layer, "kernel_size", getattr(layer, "pool_size", 1))
    dilation = getattr(layer, "dilation_rate", 1)
    pairs = [value if isinstance(value, tuple) else (value, value) for value in (window, dilation)]
    extent = max(d * (k - 1) + 1 for k, d in zip(*pairs, strict=True))
    if type(layer).__name__ == "ChannelPooling2D":
        return 3, 3, 2 * layer.pool_size
    if type(layer).__name__ == "Maxout":
        return 3, 3, 2 * layer.pieces
    if type(layer).__name__ == "Conv2DTranspose":
        return 3, 3, 1
    if connections := arguments.get("connections"):
        return _SIDE, _SIDE, 1 + max(map(max, connections))
    is_pool = hasattr(layer, "pool_size") or hasattr(layer, "pool_ratio")
    side = max(_SIDE + is_pool, extent + 2)
    return side, side, getattr(layer, "groups", 1)


def _with_channels(layer: Any, shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape with one channel if it states none; that of a line of steps for a layer of one dimension."""
    if type(layer).__name__ == "LocallyConnected1D":
        return (shape[0], shape[-1]) if len(shape) == 3 else tuple(shape)
    return tuple(shape) if len(shape) == 3 else (*shape, 1)


def _read_image(numbers: Any) -> Any:
    import numpy as np

    try:
        image = np.array(numbers, dtype="float32")
    except (TypeError, ValueError):
        image = np.zeros(0, "float32")
    if image.ndim not in (2, 3) or not image.size or not np.isfinite(image).all():
        raise UserError(
            f"`image` must be rows of numbers, all of one length, such as [[1,2],[3,4]]. Received: {numbers}"
        )
    return image if image.ndim == 3 else image[:, :, None]


def set_integer_weights(
    layer: Any,
    image: Any,
    arguments: Mapping[str, Any],
    generator: Any,
    values: tuple[int, int],
    biases: Sequence[int] | None = None,
) -> None:
    """Build a layer, and give its kernels and biases small integers, so that its numbers are easily read.

    Weights with an initializer in `arguments` stay as they are, and so do those that are no kernel or bias, and
    those that the layer computes from data, which is given images like `image`.

    Args:
        layer: the layer, not built.
        image: shape (height, width, channels).
        arguments: those that the layer was made with.
        generator: NumPy's random generator.
        values: smallest and largest integer.
        biases: of the filters; None takes random integers.

    Raises:
        UserError: the layer refuses the image.
    """
    from ..models.allowlist import first_line

    try:
        if hasattr(layer, "adapt"):
            return layer.adapt(generator.normal(size=(64, *image.shape)).astype("float32"))
        layer.build((None, *image.shape))
    except Exception as error:
        raise UserError(
            f"{type(layer).__name__} refuses an image of shape {image.shape}: {first_line(error)}"
        ) from error
    for kind in ("kernel", "bias"):
        weight = getattr(layer, kind, None)
        if weight is None or hasattr(layer, "pool_ratio") or f"{kind}_initializer" in arguments:
            continue
        given = biases if kind == "bias" else None
        weight.assign(generator.integers(values[0], values[1] + 1, weight.shape) if given is None else given)
