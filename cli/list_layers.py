"""`python -m convzoo.layers` prints the page of all layers, `docs/layers.md`, from their docstrings.

With words behind it, it is the command of `animate_layer`.
"""

import inspect
import re
import sys

from .. import UserError, layers
from ..settings.terminal import safe_output

GROUPS = {
    "Convolution": "Conv2D StridedConv2D LocallyConnected2D LocallyConnected1D PartiallyConnected2D MLPConv2D "
    "WhitenedConv2D FullyConnected PartialIdentity",
    "Pooling": "MaxPooling2D AveragePooling2D LpPooling2D L2Pooling2D WeightedAveragePooling2D TrainableSubsampling2D "
    "StochasticPooling2D MixedPooling2D FractionalMaxPooling2D BlurPooling2D MaxBlurPooling2D "
    "AdaptivePolyphasePooling2D ChannelPooling2D Maxout",
    "Layers made of layers": "Branches Residual Repeat DenselyConnected",
    "Modules that papers name": "ConvNormActivation BasicBlock Bottleneck Inception Fire InvertedResidual ShuffleUnit "
    "FractalBlock",
    "Normalization and activation": "BatchNormalization LocalResponseNormalization Normalization "
    "GlobalContrastNormalization ZCAWhitening GELU ScaledTanh Squash RBFOutput",
    "Channels, depth and chance": "ChannelPadding ChannelShuffle SqueezeExcite Dropout StochasticDepth",
    "Capsules": "PrimaryCapsules RoutingCapsules CapsuleLengths CapsuleDecoder CapsuleMarginLoss",
}

HEAD = """# The layers

All of `convzoo.layers`, from the docstrings, which say the rest: arguments, shapes, errors, references. They need Keras
and one backend, TensorFlow, JAX or torch. This page is printed by `python -m convzoo.layers`.
"""


def page() -> str:
    """Return the page, in Markdown."""
    parts = [HEAD]
    for group, names in GROUPS.items():
        parts += [f"## {group}\n", "| layer | what it does | from |", "|---|---|---|"]
        parts += [_line(name) for name in names.split()]
        parts.append("")
    return "\n".join(parts)


def _line(name: str) -> str:
    text = inspect.getdoc(getattr(layers, name)) or ""
    summary = " ".join(text.partition("\n\n")[0].split())
    match = re.search(r"^References?:\n((?: +.+\n?)+)", text, re.MULTILINE)
    reference = " ".join(match[1].split()).rstrip(".") if match else ""
    reference = re.sub(r"\(arXiv (\d{4}\.\d{4,5})\)", r"([arXiv \1](https://arxiv.org/abs/\1))", reference)
    return f"| `{name}` | {_cell(summary)} | {_cell(reference)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")


def run_command() -> None:
    """Print the page, or write an animation; a mistake is printed in one line, and the exit code is 2."""
    with safe_output():
        if not sys.argv[1:]:
            print(page(), end="")
            return
        try:
            from . import animate_layer  # needs more packages than the layers

            animate_layer.run(sys.argv[1:])
        except UserError as error:
            from .command import exit_with  # which takes seconds to import

            exit_with(str(error))
