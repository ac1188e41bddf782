"""The networks of the speed table, as one writes them in torch, and augmentation."""

from typing import Any

import torch
from torch import nn


def _conv(in_channels: int, filters: int, size: int, stride: int = 1, padding: int | None = None) -> list[nn.Module]:
    return [nn.Conv2d(in_channels, filters, size, stride, size // 2 if padding is None else padding), nn.ReLU()]


def allconv() -> nn.Module:
    return nn.Sequential(
        nn.Dropout(0.2),
        *_conv(3, 96, 3),
        *_conv(96, 96, 3),
        *_conv(96, 96, 3, 2),
        nn.Dropout(0.5),
        *_conv(96, 192, 3),
        *_conv(192, 192, 3),
        *_conv(192, 192, 3, 2),
        nn.Dropout(0.5),
        *_conv(192, 192, 3, padding=0),
        *_conv(192, 192, 1),
        *_conv(192, 10, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


def nin() -> nn.Module:
    return nn.Sequential(
        *_conv(3, 192, 5),
        *_conv(192, 160, 1),
        *_conv(160, 96, 1),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.Dropout(0.5),
        *_conv(96, 192, 5),
        *_conv(192, 192, 1),
        *_conv(192, 192, 1),
        nn.AvgPool2d(3, 2, ceil_mode=True),
        nn.Dropout(0.5),
        *_conv(192, 192, 3),
        *_conv(192, 192, 1),
        *_conv(192, 10, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


def lenet() -> nn.Module:
    return nn.Sequential(
        *_conv(3, 6, 5, padding=0),
        nn.MaxPool2d(2),
        *_conv(6, 16, 5, padding=0),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


def augment(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Flip every other image and translate each by up to two pixels, with reflection; shape (b, 3, 32, 32)."""
    count = len(images)
    options: dict[str, Any] = {"generator": generator, "device": images.device}
    flips = torch.rand(count, **options) < 0.5
    images = torch.where(flips[:, None, None, None], images.flip(-1), images)
    padded = nn.functional.pad(images, (2, 2, 2, 2), "reflect")
    top, left = torch.randint(0, 5, (2, count), **options)
    each, side = (torch.arange(size, device=images.device) for size in (count, 32))
    rows, columns = top[:, None] + side, left[:, None] + side
    return padded.movedim(1, -1)[each[:, None, None], rows[:, :, None], columns[:, None, :]].movedim(-1, 1)
