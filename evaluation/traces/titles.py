"""A layer and its arguments as a line of text, and the arithmetic of its output's size."""

from collections.abc import Sequence
from typing import Any

import keras


def describe_layer(layer: keras.Layer) -> str:
    """Describe a layer by its class and the arguments that say where its windows lie.

    Example:
        >>> describe_layer(keras.layers.Conv2D(1, 3, strides=2, padding="same"))
        'Conv2D: kernel 3×3, stride 2, padding same'
    """
    kernel, pool, ratio = (getattr(layer, name, None) for name in ("kernel_size", "pool_size", "pool_ratio"))
    facts = []
    if kernel is not None:
        facts.append(f"kernel {_product(kernel)}")
    elif pool is not None:
        facts.append(f"window {_product(pool)}" if isinstance(pool, tuple) else f"window of {pool} channels")
    elif ratio is not None:
        facts.append(f"ratio {_alike(ratio)}")
    if blur := getattr(layer, "blur_size", None):
        facts.append(f"blur {_product(blur)}")
    if (strides := getattr(layer, "strides", None)) is not None:
        facts.append(f"stride {_alike(strides)}")
    if _alike(dilation := getattr(layer, "dilation_rate", 1)) != "1":
        facts.append(f"dilation {_alike(dilation)}")
    if (padding := getattr(layer, "padding", None)) is not None:
        facts.append(f"padding {_describe_padding(padding)}")
    if (mode := getattr(layer, "padding_mode", "zeros")) != "zeros":
        facts.append(mode)
    if (added := getattr(layer, "output_padding", None)) is not None:
        facts.append(f"output padding {_alike(added)}")
    if (groups := getattr(layer, "groups", 1)) != 1:
        facts.append(f"{groups} groups")
    if hasattr(layer, "mode"):
        facts.append(layer.mode)
    if hasattr(layer, "pieces"):
        facts.append(f"{layer.pieces} pieces")
    return f"{type(layer).__name__}{': ' if facts else ''}{', '.join(facts)}"


def describe_size(
    sizes: Sequence[int],
    amounts: Sequence[Sequence[int]],
    window: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
    outputs: Sequence[int],
) -> str:
    """Write the size of an output as its formula; that of each axis where they differ.

    Args:
        sizes: cells of the image along each axis.
        amounts: (before, after) cells of padding of each axis.
        window, strides, dilation: of each axis.
        outputs: cells of the output along each axis.

    Example:
        >>> describe_size((5, 5), ((1, 1), (1, 1)), (3, 3), (2, 2), (1, 1), (3, 3))
        '⌊(5 + 1 + 1 − 3) / 2⌋ + 1 = 3'
    """
    texts = []
    for size, (before, after), k, s, d, out in zip(sizes, amounts, window, strides, dilation, outputs, strict=False):
        extent = f"{k}" if d == 1 else f"({d}·({k} − 1) + 1)"
        padded = f"{size} + {before} + {after}" if before or after else f"{size}"
        texts.append(f"⌊({padded} − {extent}) / {s}⌋ + 1 = {out}" if s > 1 else f"{padded} − {extent} + 1 = {out}")
    return texts[0] if len(set(texts)) == 1 else f"rows {texts[0]}, columns {texts[1]}"


def _product(value: Any) -> str:
    return "×".join(map(str, value)) if isinstance(value, tuple | list) else f"{value}×{value}"


def _alike(value: Any) -> str:
    """Write a pair of equal numbers as one of them."""
    values = [f"{each:g}" for each in value] if isinstance(value, tuple | list) else [f"{value:g}"]
    return values[0] if len({*values}) == 1 else f"({', '.join(values)})"


def _describe_padding(padding: Any) -> str:
    if isinstance(padding, str):
        return padding
    numbers = {number for axis in padding for number in axis}
    if len(numbers) == 1:
        return str(numbers.pop())
    if all(before == after for before, after in padding):
        return f"({padding[0][0]}, {padding[1][0]})"
    return f"({', '.join(f'({before}, {after})' for before, after in padding)})"
