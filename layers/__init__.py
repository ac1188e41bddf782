"""Keras layers for anyone's code: every one runs on TensorFlow, JAX and torch, and saves with its model."""

from .adaptive_polyphase_pooling2d import AdaptivePolyphasePooling2D
from .average_pooling2d import AveragePooling2D
from .batch_normalization import BatchNormalization
from .blur_pooling2d import BlurPooling2D
from .branches import Branches
from .capsule_decoder import CapsuleDecoder
from .capsule_lengths import CapsuleLengths
from .capsule_margin_loss import CapsuleMarginLoss
from .channel_padding import ChannelPadding
from .channel_pooling2d import ChannelPooling2D
from .channel_shuffle import ChannelShuffle
from .conv2d import Conv2D
from .conv_norm_activation import ConvNormActivation
from .densely_connected import DenselyConnected
from .dropout import Dropout
from .fire import Fire
from .fractal_block import FractalBlock
from .fractional_max_pooling2d import FractionalMaxPooling2D
from .fully_connected import FullyConnected
from .gelu import GELU
from .global_contrast_normalization import GlobalContrastNormalization
from .inception import Inception
from .inverted_residual import InvertedResidual
from .l2_pooling2d import L2Pooling2D
from .local_response_normalization import LocalResponseNormalization
from .locally_connected1d import LocallyConnected1D
from .locally_connected2d import LocallyConnected2D
from .lp_pooling2d import LpPooling2D
from .max_blur_pooling2d import MaxBlurPooling2D
from .max_pooling2d import MaxPooling2D
from .maxout import Maxout
from .mixed_pooling2d import MixedPooling2D
from .mlp_conv2d import MLPConv2D
from .normalization import Normalization
from .partial_identity import PartialIdentity
from .partially_connected2d import PartiallyConnected2D
from .primary_capsules import PrimaryCapsules
from .rbf_output import RBFOutput
from .repeat import Repeat
from .residual import Residual
from .routing_capsules import RoutingCapsules
from .scaled_tanh import ScaledTanh
from .shuffle_unit import ShuffleUnit
from .squash import Squash
from .squeeze_excite import SqueezeExcite
from .stochastic_depth import StochasticDepth
from .stochastic_pooling2d import StochasticPooling2D
from .strided_conv2d import StridedConv2D
from .trainable_subsampling2d import TrainableSubsampling2D
from .weighted_average_pooling2d import WeightedAveragePooling2D
from .whitened_conv2d import WhitenedConv2D
from .zca_whitening import ZCAWhitening

__all__ = [
    "GELU",
    "AdaptivePolyphasePooling2D",
    "AveragePooling2D",
    "BatchNormalization",
    "BlurPooling2D",
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
