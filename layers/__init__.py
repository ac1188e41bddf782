"""Keras layers for anyone's code: every one runs on TensorFlow, JAX and torch, and saves with its model."""

from .average_pooling2d import AveragePooling2D
from .conv2d import Conv2D
from .fully_connected import FullyConnected
from .global_contrast_normalization import GlobalContrastNormalization
from .l2_pooling2d import L2Pooling2D
from .lp_pooling2d import LpPooling2D
from .max_pooling2d import MaxPooling2D
from .strided_conv2d import StridedConv2D
from .weighted_average_pooling2d import WeightedAveragePooling2D
from .zca_whitening import ZCAWhitening

__all__ = [
    "AveragePooling2D",
    "Conv2D",
    "FullyConnected",
    "GlobalContrastNormalization",
    "L2Pooling2D",
    "LpPooling2D",
    "MaxPooling2D",
    "StridedConv2D",
    "WeightedAveragePooling2D",
    "ZCAWhitening",
]
