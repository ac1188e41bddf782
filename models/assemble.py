"""Rows to a `keras.Model`."""

import keras
from hydra.utils import instantiate
from omegaconf import OmegaConf

from .. import UserError
from ..layers.padding import output_size, pad_amounts, per_axis
from . import targets
from .geometry import window

_NOT_ARGUMENTS = ("axis",)


def expand(rows, shared):
    """Every row with what `shared` gives its class, by short name; the row's own arguments win."""
    if not isinstance(rows, dict) or not rows:
        raise UserError(f"`model.layers` must be a mapping from names to rows. Received: {rows!r}")
    for name, row in rows.items():
        if not isinstance(row, dict) or not isinstance(row.get("_target_"), str):
            raise UserError(f"`model.layers.{name}` must be a mapping with `_target_`. Received: {row!r}")
    if not isinstance(shared, dict) or not all(isinstance(given, dict) for given in shared.values()):
        raise UserError(f"`model.shared` must be a mapping from class to arguments. Received: {shared!r}")
    classes = {row["_target_"].rpartition(".")[2] for row in rows.values()}
    if unused := set(shared) - classes:
        raise UserError(f"`model.shared.{sorted(unused)[0]}` reaches no row: no layer of that class is there")
    return {name: {**shared.get(row["_target_"].rpartition(".")[2], {}), **row} for name, row in rows.items()}


def assemble(rows, image_shape, name="network", front=(), dtype="float32"):
    """Chains the layers that `rows` describe.

    Args:
        rows: mapping from layer name to row: `_target_` and the layer's arguments.
        image_shape: (height, width, channels) of one image.
        name: name of the model.
        front: built layers put in front of the rows (preprocessing).
        dtype: dtype of the images.

    Returns:
        A `keras.Model` from images to class scores; its last row computes in float32, whatever the
        dtype policy.

    Raises:
        UserError: a row cannot be built; the message names it and the sizes.
    """
    targets.check(dict(rows), "model.layers")
    inputs = x = keras.Input(image_shape, name="image", dtype=dtype)
    for layer in front:
        x = layer(x)
    previous, last = "the image", list(rows)[-1]
    for row_name, row in rows.items():
        arguments = {key: value for key, value in row.items() if key not in _NOT_ARGUMENTS}
        if row_name == last:
            arguments.setdefault("dtype", "float32")
        try:
            layer = instantiate(OmegaConf.create(arguments), name=row_name, _convert_="all")
            _check_window(layer, x.shape, previous)
            x = layer(x)
        except UserError:
            raise
        except Exception as error:
            cause = error.__cause__ or error
            raise UserError(f"row `{row_name}` of {name} cannot be built: {_first_line(cause)}") from error
        previous = f"`{row_name}`"
    return keras.Model(inputs, x, name=name)


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


def _first_line(error):
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
