"""The examples of `python -m convzoo.layers example=NAME`: a layer, its arguments and a small image."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Example:
    """A layer on an image.

    Attributes:
        summary: one line.
        layer: its name.
        arguments: of its constructor.
        image_shape: (height, width, channels).
        image_values: smallest and largest integer in the image.
        weight_values: smallest and largest integer in the kernels.
        biases: of the filters; None leaves them random.
    """

    summary: str
    layer: str
    arguments: Mapping[str, Any]
    image_shape: tuple[int, int, int]
    image_values: tuple[int, int] = (0, 3)
    weight_values: tuple[int, int] = (0, 2)
    biases: tuple[int, ...] | None = field(default=None)


def _convolve(summary: str, size: int, kernel_size: int = 3, **arguments: Any) -> Example:
    return Example(summary, "Conv2D", {"kernel_size": kernel_size, "use_bias": False, **arguments}, (size, size, 1))


# The first seven are the figures of Dumoulin & Visin, A guide to convolution arithmetic for deep learning, 2016
# (arXiv 1603.07285), chapter 2, with their sizes.
EXAMPLES = {
    "no_padding": _convolve("no padding, stride 1", 4),
    "arbitrary_padding": _convolve("two cells of padding, kernel 4×4", 5, 4, padding=2),
    "half_padding": _convolve("half padding keeps the size", 5, padding="half"),
    "full_padding": _convolve("full padding: every window that touches the image", 5, padding="full"),
    "no_padding_strides": _convolve("stride 2 without padding", 5, strides=2),
    "padding_strides": _convolve("stride 2 with padding", 5, strides=2, padding=1),
    "padding_strides_odd": _convolve(
        "stride 2 with padding; the last row and column of padding are not read", 6, strides=2, padding=1
    ),
    "cs231n": Example(
        "the sizes of CS231n's demo: three input maps, two filters",
        "Conv2D",
        {"filters": 2, "kernel_size": 3, "strides": 2, "padding": 1},
        (5, 5, 3),
        (0, 2),
        (-1, 1),
        (1, 0),
    ),
    "maps": Example(
        "from two maps to three: products of each map, then their sum",
        "Conv2D",
        {"filters": 3, "kernel_size": 3},
        (4, 4, 2),
        weight_values=(-1, 1),
    ),
    "one_by_one": Example(
        "a 1×1 convolution over three maps",
        "Conv2D",
        {"filters": 2, "kernel_size": 1},
        (3, 3, 3),
        weight_values=(-1, 2),
    ),
    "dilation": _convolve("dilation 2: the window has gaps", 7, dilation_rate=2),
    "groups": Example(
        "two groups: each filter reads half of the maps",
        "Conv2D",
        {"filters": 2, "kernel_size": 2, "groups": 2, "use_bias": False},
        (3, 3, 4),
    ),
    "reflect_padding": _convolve("padding that mirrors the image", 4, padding=1, padding_mode="reflect"),
    "locally_connected": Example(
        "a kernel of its own at each position", "LocallyConnected2D", {"kernel_size": 2, "use_bias": False}, (4, 4, 1)
    ),
    "transposed": Example(
        "transposed convolution, stride 1", "Conv2DTranspose", {"kernel_size": 3, "use_bias": False}, (2, 2, 1)
    ),
    "transposed_strides": Example(
        "transposed convolution, stride 2",
        "Conv2DTranspose",
        {"kernel_size": 3, "strides": 2, "use_bias": False},
        (2, 2, 1),
    ),
    "max_pooling": Example("the largest value of each window", "MaxPooling2D", {"pool_size": 2}, (6, 6, 1), (0, 9)),
    "average_pooling": Example("the mean of each window", "AveragePooling2D", {"pool_size": 2}, (6, 6, 1), (0, 9)),
    "l2_pooling": Example("the L2 norm of each window", "L2Pooling2D", {"pool_size": 2}, (6, 6, 1)),
    "depth_pooling": Example(
        "the largest value of two neighbouring channels", "ChannelPooling2D", {"pool_size": 2}, (3, 3, 4), (0, 9)
    ),
}
