"""Build a `keras.Model` from rows."""

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, TypeVar

import keras

from .. import UserError
from ..layers.network import Network
from ..layers.padding import output_size, pad_amounts, per_axis
from . import allowlist
from .geometry import window
from .spec import Table, class_of, map_rows

Built = TypeVar("Built")

FLOATS = "floats"  # name of the layer that turns bytes into numbers

_symbolic_lock = Lock()


def apply_shared(rows: Any, shared: Any) -> dict[str, Any]:
    """Return all rows, inner ones too, with the arguments that `shared` gives their class; their own arguments win.

    Raises:
        UserError: the rows are malformed, a target is not allowed, or a part of `shared` reaches no row.
    """
    if not rows:
        raise UserError(f"`model.layers` must be a mapping from names to rows. Received: {rows!r}")
    allowlist.check_rows(rows, "model.layers")
    if not isinstance(shared, dict) or not all(isinstance(arguments, dict) for arguments in shared.values()):
        raise UserError(f"`model.shared` must be a mapping from class to arguments. Received: {shared!r}")
    reached: set[str] = set()

    def add_shared(row: dict[str, Any]) -> dict[str, Any]:
        class_name = class_of(row)
        reached.add(class_name)
        return {**shared.get(class_name, {}), **row}

    result = map_rows(rows, add_shared)
    if unused := set(shared) - reached:
        raise UserError(f"`model.shared.{sorted(unused)[0]}` reaches no row: no layer of that class is there")
    return result


def assemble(
    rows: Table,
    image_shape: Sequence[int | None],
    classes: int | None,
    name: str = "network",
    preprocessing: Sequence[keras.Layer] = (),
    dtype: str = "float32",
) -> keras.Model:
    """Chain the layers that `rows` describe.

    Args:
        rows: mapping from layer name to row: `_target_` and the layer's arguments.
        image_shape: (height, width, channels) of one image.
        classes: number of class scores that the last row must give; None for rows that end in something else.
        name: name of the model.
        preprocessing: built layers before the rows.
        dtype: dtype of the images.

    Returns:
        A `keras.Model` from images to what the last row gives; class scores are computed in float32, whatever the
        dtype policy.

    Raises:
        UserError: a row cannot be built, or the last does not give class scores; the message names it and the sizes.
    """
    allowlist.check_rows(rows, "model.layers")
    inputs = x = keras.Input(image_shape, name="image", dtype=dtype)
    for layer in preprocessing:
        x = layer(x)
    if not keras.backend.is_float_dtype(x.dtype):  # Keras's layers do not convert bytes
        x = keras.layers.Rescaling(1.0, name=FLOATS)(x)
    previous, last = "the image", list(rows)[-1]
    for row_name, row in rows.items():
        defaults: dict[str, Any] = {"dtype": "float32"} if row_name == last and classes else {}
        layer = allowlist.instantiate(row_name, row, **defaults)
        _check_window(layer, x.shape, previous)
        try:
            x = layer(x)
        except Exception as error:
            raise UserError(f"row `{row_name}` of {name} cannot be built: {allowlist.first_line(error)}") from error
        previous = f"`{row_name}`"
    if classes is not None and tuple(x.shape[1:]) != (classes,):
        raise UserError(f"{name} must end in {classes} class scores; {previous} gives {tuple(x.shape[1:])} an image")
    return make_model(inputs, x, name)


def make_model(inputs: Any, outputs: Any, name: str) -> keras.Model:
    """Build a functional `keras.Model`; with layers of convzoo a `Network`, which says so where it cannot be loaded."""
    model = keras.Model(inputs, outputs, name=name)
    is_keras = all(type(layer).__module__.startswith("keras.") for layer in model.layers)
    return model if is_keras else Network(inputs, outputs, name=name)


def resize_inputs(
    model: keras.Model, image_shape: Sequence[int], call: Callable[..., Any] | None = None
) -> keras.Model:
    """Build a model over the same layers for images of another size.

    Args:
        model: of one or more inputs, the first of them the images.
        image_shape: (height, width, channels).
        call: takes a layer and what it is called on, and calls it; for those who want to see what it gives.

    Raises:
        UserError: a layer takes no such maps.
    """
    images, *others = model.inputs
    inputs = [keras.Input(image_shape, name=images.name, dtype=images.dtype), *others]
    inputs = keras.tree.pack_sequence_as(model.input, inputs)
    try:
        return keras.models.clone_model(model, inputs, clone_function=lambda layer: layer, call_function=call)
    except Exception as error:
        height, width, _ = image_shape
        raise UserError(f"{model.name} takes no images of {height}×{width}: {allowlist.first_line(error)}") from error


def run_symbolically(make: Callable[[], Built]) -> Built:
    """Return what `make()` returns, in which every weight has a shape and no value, and takes no memory.

    No random state changes: initializers that have no seed draw one from Python's `random`, which gets its state back.
    `make` must not call `run_symbolically`.
    """
    policy = keras.config.dtype_policy()  # of this thread alone

    def make_in_scope() -> Built:
        keras.config.set_dtype_policy(policy)
        # Leaving the scope gives every variable its value, so the thread, to which it belongs, ends within it.
        keras.StatelessScope().__enter__()
        return make()

    with _symbolic_lock, ThreadPoolExecutor(1) as pool:
        state = random.getstate()
        try:
            return pool.submit(make_in_scope).result()
        finally:
            random.setstate(state)


def _check_window(layer: keras.Layer, shape: Sequence[int | None], previous: str) -> None:
    sliding = window(layer)
    if sliding is None or len(shape) != 4:
        return
    sizes = shape[1:3] if layer.data_format == "channels_last" else shape[2:4]
    for padding, size, k, s, d in zip(per_axis(sliding.padding), sizes, *sliding[:3], strict=True):
        if size is not None and output_size(padding, size, k, s, d) < 1:
            before, after = pad_amounts(padding, size, k, s, d)
            raise UserError(
                f"row `{layer.name}`: its {sliding.size[0]}×{sliding.size[1]} window does not fit the "
                f"{sizes[0]}×{sizes[1]} map that {previous} gives: "
                f"⌊({size} + {before} + {after} − {d}·({k} − 1) − 1)/{s}⌋ + 1 is less than 1"
            )
