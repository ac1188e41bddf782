"""Parts of the residual blocks that papers name, as rows: the one table of them.

`convzoo.layers.BasicBlock` makes its layers of these rows. In a network's table they take the place of the block's row,
so that axes and overrides reach inside. Keras is not imported here: a network is read before it is loaded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

SHORTCUT_TYPES = ("identity", "pad", "projection")
PREACTIVATIONS = (None, "inside", "outside")
# By block, its convolutions in order: side of the kernel, and filters as a multiple of the block's.
CONVOLUTIONS = {"BasicBlock": ((3, 1), (3, 1)), "Bottleneck": ((1, 1), (3, 1), (1, 4))}
TARGETS = tuple(f"convzoo.layers.{block}" for block in CONVOLUTIONS)
# By class, the arguments of all layers of that class inside a block, unless the block or `shared` gives others.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "Conv2D": {"padding": "half", "use_bias": False, "kernel_initializer": "he_normal"},
    "BatchNormalization": {"momentum": 0.9, "epsilon": 0.00001},
}
# By class, the arguments that a block takes for all layers of that class.
FORWARDED = {"Conv2D": ("kernel_initializer", "kernel_regularizer"), "BatchNormalization": ("momentum", "epsilon")}


@dataclass(frozen=True)
class BlockOptions:
    """The arguments that distinguish one block from another of its class.

    Args:
        filters: positive int, of the block's narrowest convolutions.
        strides: positive int, of the first convolution and of the shortcut.
        shortcut_type: `"identity"`, `"pad"` (option A of He et al. 2015) or `"projection"` (option B).
        preactivation: None for a normalization and a ReLU after each convolution; `"inside"` for both before each;
            `"outside"` for the same where those before the first convolution stand before the block.
        dropout: rate of the dropout before the last convolution; None for no such row.

    Raises:
        ValueError: a value is not one of these; the message names it.
    """

    filters: int
    strides: int = 1
    shortcut_type: str = "identity"
    preactivation: str | None = None
    dropout: float | None = None

    def __post_init__(self) -> None:
        for name in ("filters", "strides"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")
        for name, options in (("shortcut_type", SHORTCUT_TYPES), ("preactivation", PREACTIVATIONS)):
            if (value := getattr(self, name)) not in options:
                quoted = ", ".join("None" if option is None else f'"{option}"' for option in options)
                raise ValueError(f"`{name}` must be one of {quoted}. Received: {name}={value!r}")
        rate = self.dropout
        if rate is not None and (isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < 1):
            raise ValueError(f"`dropout` must be None or a rate in [0, 1). Received: dropout={rate!r}")


OPTIONS = tuple(field.name for field in fields(BlockOptions))
ARGUMENTS = (*OPTIONS, *(name for names in FORWARDED.values() for name in names))


def block_tables(block: str, options: BlockOptions) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the rows of a block.

    Args:
        block: "BasicBlock" or "Bottleneck".
        options: what distinguishes the block.

    Returns:
        The table `body` and, unless the shortcut is the identity, the table `shortcut`, without the arguments of
        `DEFAULTS`.

    >>> list(block_tables("BasicBlock", BlockOptions(64))["body"])
    ['conv1', 'bn1', 'relu1', 'conv2', 'bn2']
    """
    body: dict[str, dict[str, Any]] = {}
    convolutions = CONVOLUTIONS[block]
    last = len(convolutions)
    for number, (kernel_size, multiple) in enumerate(convolutions, 1):
        strides = options.strides if number == 1 else 1
        convolution = {f"conv{number}": _convolution(options.filters * multiple, kernel_size, strides)}
        activation = {
            f"bn{number}": {"_target_": "convzoo.layers.BatchNormalization"},
            f"relu{number}": {"_target_": "keras.layers.ReLU"},
        }
        dropout = {"_target_": "convzoo.layers.Dropout", "rate": options.dropout, "role": "dropout"}
        if options.preactivation is None:
            if number == last:
                del activation[f"relu{number}"]  # it follows the addition
            body |= convolution | activation
            if number == last - 1 and options.dropout is not None:
                body[f"drop{number}"] = dropout
            continue
        if number > 1 or options.preactivation == "inside":
            body |= activation
        if number == last and options.dropout is not None:
            body["drop"] = dropout
        body |= convolution
    shortcut = _shortcut(options, options.filters * convolutions[-1][1])
    return {"body": body, "shortcut": shortcut} if shortcut else {"body": body}


def _shortcut(options: BlockOptions, filters: int) -> dict[str, dict[str, Any]]:
    if options.shortcut_type == "projection":
        rows = {"conv": _convolution(filters, 1, options.strides)}
        return rows if options.preactivation else {**rows, "bn": {"_target_": "convzoo.layers.BatchNormalization"}}
    if options.shortcut_type == "pad":
        subsample = {"_target_": "convzoo.layers.MaxPooling2D", "pool_size": 1}
        return {
            "subsample": {**subsample, "strides": options.strides, "role": "strided"},
            "pad": {"_target_": "convzoo.layers.ChannelPadding", "filters": filters},
        }
    return {}


def _convolution(filters: int, kernel_size: int, strides: int) -> dict[str, Any]:
    row = {"_target_": "convzoo.layers.Conv2D", "filters": filters, "kernel_size": kernel_size}
    return row if strides == 1 else {**row, "strides": strides, "role": "strided"}
