"""Keras layers for anyone's code: every one runs on TensorFlow, JAX and torch, and saves with its model."""

import sys

if sys.argv[:1] == ["-m"] and sys.orig_argv[-len(sys.argv)] == "convzoo.layers":  # `python -m convzoo.layers …`
    from ..training import backend

    print(f"convzoo.layers{backend.describe_loading()}", file=sys.stderr, flush=True)
    backend.start("float32")  # without the noise of its start

try:
    import keras as _keras  # noqa: F401
except ModuleNotFoundError as error:
    _missing = (error.name or "").partition(".")[0]
    if _missing not in ("tensorflow", "jax", "torch"):
        raise
    raise ModuleNotFoundError(
        f"Keras needs a backend, and {_missing} is not installed: install tensorflow, jax or torch "
        "and set the environment variable KERAS_BACKEND to that name",
        name=error.name,
    ) from None

from .activations.gelu import GELU
from .activations.rbf_output import RBFOutput
from .activations.scaled_tanh import ScaledTanh
from .blocks.basic_block import BasicBlock
from .blocks.bottleneck import Bottleneck
from .blocks.branches import Branches
from .blocks.channel_padding import ChannelPadding
from .blocks.channel_shuffle import ChannelShuffle
from .blocks.conv_norm_activation import ConvNormActivation
from .blocks.densely_connected import DenselyConnected
from .blocks.fire import Fire
from .blocks.fractal_block import FractalBlock
from .blocks.inception import Inception
from .blocks.inner_outputs import InnerOutputs as _InnerOutputs  # noqa: F401  # registered, for models in files
from .blocks.inverted_residual import InvertedResidual
from .blocks.repeat import Repeat
from .blocks.residual import Residual
from .blocks.shuffle_unit import ShuffleUnit
from .blocks.squeeze_excite import SqueezeExcite
from .capsules.capsule_decoder import CapsuleDecoder
from .capsules.capsule_lengths import CapsuleLengths
from .capsules.capsule_margin_loss import CapsuleMarginLoss
from .capsules.primary_capsules import PrimaryCapsules
from .capsules.routing_capsules import RoutingCapsules
from .capsules.squash import Squash
from .constructors import name_constructor
from .convolution.conv2d import Conv2D
from .convolution.fully_connected import FullyConnected
from .convolution.locally_connected1d import LocallyConnected1D
from .convolution.locally_connected2d import LocallyConnected2D
from .convolution.mlp_conv2d import MLPConv2D
from .convolution.partial_identity import PartialIdentity
from .convolution.partially_connected2d import PartiallyConnected2D
from .convolution.strided_conv2d import StridedConv2D
from .convolution.whitened_conv2d import WhitenedConv2D
from .network import Network as _Network  # noqa: F401  # registered, for models in files
from .normalization.batch_normalization import BatchNormalization
from .normalization.local_response_normalization import LocalResponseNormalization
from .pooling.adaptive_polyphase_pooling2d import AdaptivePolyphasePooling2D
from .pooling.average_pooling2d import AveragePooling2D
from .pooling.blur_pooling2d import BlurPooling2D
from .pooling.channel_pooling2d import ChannelPooling2D
from .pooling.fractional_max_pooling2d import FractionalMaxPooling2D
from .pooling.l2_pooling2d import L2Pooling2D
from .pooling.lp_pooling2d import LpPooling2D
from .pooling.max_blur_pooling2d import MaxBlurPooling2D
from .pooling.max_pooling2d import MaxPooling2D
from .pooling.maxout import Maxout
from .pooling.mixed_pooling2d import MixedPooling2D
from .pooling.stochastic_pooling2d import StochasticPooling2D
from .pooling.trainable_subsampling2d import TrainableSubsampling2D
from .pooling.weighted_average_pooling2d import WeightedAveragePooling2D
from .preprocessing.global_contrast_normalization import GlobalContrastNormalization
from .preprocessing.normalization import Normalization
from .preprocessing.zca_whitening import ZCAWhitening
from .regularization.dropout import Dropout
from .regularization.stochastic_depth import StochasticDepth

__all__ = [
    "GELU",
    "AdaptivePolyphasePooling2D",
    "AveragePooling2D",
    "BasicBlock",
    "BatchNormalization",
    "BlurPooling2D",
    "Bottleneck",
    "Branches",
    "CapsuleDecoder",
    "CapsuleLengths",
    "CapsuleMarginLoss",
    "ChannelPadding",
    "ChannelPooling2D",
    "ChannelShuffle",
    "Conv2D",
    "ConvNormActivation",
    "DenselyConnected",
    "Dropout",
    "Fire",
    "FractalBlock",
    "FractionalMaxPooling2D",
    "FullyConnected",
    "GlobalContrastNormalization",
    "Inception",
    "InvertedResidual",
    "L2Pooling2D",
    "LocalResponseNormalization",
    "LocallyConnected1D",
    "LocallyConnected2D",
    "LpPooling2D",
    "MLPConv2D",
    "MaxBlurPooling2D",
    "MaxPooling2D",
    "Maxout",
    "MixedPooling2D",
    "Normalization",
    "PartialIdentity",
    "PartiallyConnected2D",
    "PrimaryCapsules",
    "RBFOutput",
    "Repeat",
    "Residual",
    "RoutingCapsules",
    "ScaledTanh",
    "ShuffleUnit",
    "Squash",
    "SqueezeExcite",
    "StochasticDepth",
    "StochasticPooling2D",
    "StridedConv2D",
    "TrainableSubsampling2D",
    "WeightedAveragePooling2D",
    "WhitenedConv2D",
    "ZCAWhitening",
]

for _name in __all__:
    name_constructor(globals()[_name])
