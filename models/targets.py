"""What a `_target_` may name: whole classes from a list, never a prefix.

A prefix such as `keras.layers.` would admit `Lambda` and `TFSMLayer`, which run code from a config.
"""

from collections.abc import Mapping
from difflib import get_close_matches

from .. import UserError, layers

KERAS_LAYERS = [
    "Activation",
    "AdaptiveAveragePooling2D",
    "AdaptiveMaxPooling2D",
    "Add",
    "AlphaDropout",
    "Average",
    "AveragePooling2D",
    "BatchNormalization",
    "Concatenate",
    "Conv2D",
    "Conv2DTranspose",
    "Cropping2D",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "ELU",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling2D",
    "GroupNormalization",
    "Identity",
    "LayerNormalization",
    "LeakyReLU",
    "MaxPooling2D",
    "Maximum",
    "Multiply",
    "Normalization",
    "PReLU",
    "Permute",
    "RMSNormalization",
    "ReLU",
    "Rescaling",
    "Reshape",
    "SeparableConv2D",
    "Softmax",
    "SpatialDropout2D",
    "UnitNormalization",
    "UpSampling2D",
    "ZeroPadding2D",
]

ALLOWED = frozenset(f"keras.layers.{name}" for name in KERAS_LAYERS) | frozenset(
    f"convzoo.layers.{name}" for name in layers.__all__
)
_HYDRA_KEYS = ("_args_", "_convert_", "_partial_", "_recursive_")
_KERAS_KEYS = ("class_name", "module", "registered_name")


def check(value, where):
    """Refuses what a row, or anything inside it, must not name. Nothing is imported on the way.

    Raises:
        UserError: naming the place, the target and the nearest allowed ones.
    """
    if isinstance(value, Mapping):
        for key in value:
            if key in _HYDRA_KEYS or key in _KERAS_KEYS:
                raise UserError(f"`{where}.{key}` is not a key that a row may have")
        if "_target_" in value and value["_target_"] not in ALLOWED:
            target = value["_target_"]
            name = str(target).rpartition(".")[2]
            near = sorted(t for t in ALLOWED if t.endswith(f".{name}")) or get_close_matches(str(target), ALLOWED, 3)
            hint = f"; near it: {', '.join(near)}" if near else ""
            raise UserError(f"`{where}._target_={target}` is not among the layers that a config may name{hint}")
        for key, inner in value.items():
            check(inner, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            check(inner, f"{where}[{index}]")
