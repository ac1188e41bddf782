"""Augmentations of training images, each a pure function of the seed, the epoch, the step and the batch."""

from .base import Augmentation, BatchContext
from .color import ColorJitter
from .erasing import Cutout, RandomErasing
from .mixing import CutMix, MixingAugmentation, Mixture, MixUp
from .pixel_maps import RandomCrop, RandomFlip, RandomTranslation
from .policies import RandAugment, TrivialAugment
from .resampling import RandomResizedCrop, RandomRotation

__all__ = [
    "AUGMENTATIONS",
    "Augmentation",
    "BatchContext",
    "ColorJitter",
    "CutMix",
    "Cutout",
    "MixUp",
    "MixingAugmentation",
    "Mixture",
    "RandAugment",
    "RandomCrop",
    "RandomErasing",
    "RandomFlip",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomTranslation",
    "TrivialAugment",
]

# The classes that a row of a recipe may name.
AUGMENTATIONS: dict[str, type[Augmentation]] = {
    f"convzoo.data.{augmentation.__name__}": augmentation
    for augmentation in (
        ColorJitter,
        CutMix,
        Cutout,
        MixUp,
        RandAugment,
        RandomCrop,
        RandomErasing,
        RandomFlip,
        RandomResizedCrop,
        RandomRotation,
        RandomTranslation,
        TrivialAugment,
    )
}
