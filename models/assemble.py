"""Rows to a `keras.Model`."""

from concurrent.futures import ThreadPoolExecutor

import keras

from .. import UserError
from ..layers.padding import output_size, pad_amounts, per_axis
from . import targets
from .axes import map_rows
from .geometry import window


def expand(rows, shared):
    """Every row, rows inside rows too, with what `shared` gives its class, by short name; its own arguments win.

    Raises:
        UserError: what came are no rows, a target is not allowed, or a part of `shared` reaches no row.
    """
    if not rows:
        raise UserError(f"`model.layers` must be a mapping from names to rows. Received: {rows!r}")
    targets.check(rows, "model.layers")
    if not isinstance(shared, dict) or not all(isinstance(given, dict) for given in shared.values()):
        raise UserError(f"`model.shared` must be a mapping from class to arguments. Received: {shared!r}")
    reached = set()

    def expanded(row):
        short = row["_target_"].rpartition(".")[2]
        reached.add(short)
        row = {**shared.get(short, {}), **row}
        return {key: map_rows(value, expanded_all) for key, value in row.items()}

    def expanded_all(rows):
        return {name: expanded(row) for name, row in rows.items()}

    result = expanded_all(rows)
    if unused := set(shared) - reached:
        raise UserError(f"`model.shared.{sorted(unused)[0]}` reaches no row: no layer of that class is there")
    return result


def assemble(rows, image_shape, classes, name="network", front=(), dtype="float32"):
    """Chains the layers that `rows` describe.

    Args:
        rows: mapping from layer name to row: `_target_` and the layer's arguments.
        image_shape: (height, width, channels) of one image.
        classes: number of class scores that the last row must give.
        name: name of the model.
        front: built layers put in front of the rows (preprocessing).
        dtype: dtype of the images.

    Returns:
        A `keras.Model` from images to class scores; its last row computes in float32, whatever the dtype policy.

    Raises:
        UserError: a row cannot be built, or the last does not give class scores; the message names it and the sizes.
    """
    targets.check(rows, "model.layers")
    inputs = x = keras.Input(image_shape, name="image", dtype=dtype)
    for layer in front:
        x = layer(x)
    if not keras.backend.is_float_dtype(x.dtype):  # of bytes Keras's layers make no numbers by themselves
        x = keras.layers.Rescaling(1.0, name="floats")(x)
    previous, last = "the image", list(rows)[-1]
    for row_name, row in rows.items():
        layer = targets.make(row_name, row, **({"dtype": "float32"} if row_name == last else {}))
        _check_window(layer, x.shape, previous)
        try:
            x = layer(x)
        except Exception as error:
            raise UserError(f"row `{row_name}` of {name} cannot be built: {targets.first_line(error)}") from error
        previous = f"`{row_name}`"
    if tuple(x.shape[1:]) != (classes,):
        raise UserError(f"{name} must end in {classes} class scores; {previous} gives {tuple(x.shape[1:])} an image")
    return keras.Model(inputs, x, name=name)


def resized(model, image_shape, call=None):
    """A model over the same layers for images of another size.

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
        raise UserError(f"{model.name} takes no images of {height}×{width}: {targets.first_line(error)}") from error


def symbolically(make):
    """What `make()` gives, in which every weight has a shape and no value, and takes no memory."""
    policy = keras.config.dtype_policy()  # of this thread alone

    def made():
        keras.config.set_dtype_policy(policy)
        # Leaving the scope gives every variable its value, so the thread, to which it belongs, ends within it.
        keras.StatelessScope().__enter__()
        return make()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(made).result()


def _check_window(layer, shape, previous):
    sliding = window(layer)
    if sliding is None or len(shape) != 4:
        return
    sizes = shape[1:3] if layer.data_format == "channels_last" else shape[2:4]
    for padding, size, k, s, d in zip(per_axis(sliding.padding), sizes, *sliding[:3], strict=True):
        if output_size(padding, size, k, s, d) < 1:
            before, after = pad_amounts(padding, size, k, s, d)
            raise UserError(
                f"row `{layer.name}`: its {sliding.size[0]}×{sliding.size[1]} window does not fit the "
                f"{sizes[0]}×{sizes[1]} map that {previous} gives: "
                f"⌊({size} + {before} + {after} − {d}·({k} − 1) − 1)/{s}⌋ + 1 is less than 1"
            )
