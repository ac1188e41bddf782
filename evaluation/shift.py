"""Robustness of a classifier against small shifts of the image.

`border` says which pixels come in on one side:

- "circular": those that leave on the other side, so that no pixel is lost. This is the default, as in the reference's
  tests on CIFAR: only the network, its padding and its strides can change the prediction.
- "reflect": the image mirrored at its border pixel.
- "zeros": black.

With the last two, part of the object may leave the image.

Reference: Zhang, Making convolutional networks shift-invariant again, 2019 (arXiv 1904.11486).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
import scipy

from .metrics import Predict

# By our name that of `np.pad`.
BORDER_MODES: dict[str, Literal["wrap", "reflect", "constant"]]
BORDER_MODES = {"circular": "wrap", "reflect": "reflect", "zeros": "constant"}


@dataclass(frozen=True)
class ShiftRobustness:
    """Metrics of a classifier over all shifts of the image.

    Attributes:
        accuracy: shape (2 max_shift + 1, 2 max_shift + 1); row i is i - max_shift pixels down, column j is
            j - max_shift pixels to the right.
        consistency: share of the pairs of offsets under which an image gets one class, mean over images.
        stability: standard deviation of the true class's probability over the offsets, mean over images; 0 is stable.
        images: number of images that were shifted.
        border: the pixels that came in: "circular", "reflect" or "zeros".
    """

    accuracy: np.ndarray
    consistency: float
    stability: float
    images: int
    border: str

    @property
    def max_shift(self) -> int:
        """The largest shift, in pixels."""
        return len(self.accuracy) // 2


def measure_shift_robustness(
    predict: Predict, images: np.ndarray, labels: np.ndarray, max_shift: int = 4, border: str = "circular"
) -> ShiftRobustness:
    """Measure accuracy, consistency and stability at all (2 max_shift + 1)² offsets.

    Args:
        predict: maps images to class scores (n, classes), larger is better. `stability` assumes logits.
        images: uint8, shape (n, height, width, channels).
        labels: integers, shape (n,).
        max_shift: the largest shift, in pixels, up or down and left or right.
        border: "circular", "reflect" or "zeros".

    Returns:
        A `ShiftRobustness`.

    Raises:
        ValueError: `max_shift` or `border` is out of its range.
    """
    padded, labels = _pad(images, max_shift, border), np.asarray(labels)
    rows = np.arange(len(labels))
    classes_by_offset, probabilities_by_offset = [], []
    for down, right in product(range(-max_shift, max_shift + 1), repeat=2):
        scores = np.asarray(predict(_window(padded, max_shift, down, right)))
        classes_by_offset.append(scores.argmax(axis=1))
        probabilities_by_offset.append(scipy.special.softmax(scores, axis=1)[rows, labels])
    classes, probabilities = np.array(classes_by_offset), np.array(probabilities_by_offset)
    counts = np.stack([(classes == each).sum(axis=0) for each in np.unique(classes)])
    side = 2 * max_shift + 1
    return ShiftRobustness(
        accuracy=(classes == labels).mean(axis=1).reshape(side, side),
        consistency=float(((counts / side**2) ** 2).sum(axis=0).mean()),
        stability=float(probabilities.std(axis=0).mean()),
        images=len(labels),
        border=border,
    )


def accuracy_by_offset(
    predict: Predict, images: np.ndarray, labels: np.ndarray, max_shift: int = 4, border: str = "circular"
) -> np.ndarray:
    """Measure the accuracy at every offset, array (2 max_shift + 1, 2 max_shift + 1); the centre is without a shift.

    Args and errors as those of `measure_shift_robustness`.
    """
    return measure_shift_robustness(predict, images, labels, max_shift, border).accuracy


def stability(
    predict: Predict, images: np.ndarray, labels: np.ndarray, max_shift: int = 4, border: str = "circular"
) -> float:
    """Measure the standard deviation of the true class's probability over all offsets, mean over images.

    This is the reference's variation in the probability of correct classification. 0 is stable, 0.5 is the maximum.

    Args and errors as those of `measure_shift_robustness`.
    """
    return measure_shift_robustness(predict, images, labels, max_shift, border).stability


def consistency(
    predict: Predict,
    images: np.ndarray,
    max_shift: int = 4,
    pairs: int = 1,
    seed: int = 0,
    border: str = "circular",
) -> float:
    """Estimate the share of images that get one class under two random shifts; 1 is invariant.

    E 1{argmax P(Shift(h1, w1) X) = argmax P(Shift(h2, w2) X)}. The shifts are drawn for each image, independently and
    uniformly within ±`max_shift`: one in (2 max_shift + 1)² pairs has two equal shifts. It costs 2 `pairs` passes.
    `measure_shift_robustness` computes the exact value, over all pairs, in (2 max_shift + 1)² passes.

    Args:
        predict, images, max_shift, border: as for `measure_shift_robustness`.
        pairs: number of pairs of shifts for each image.
        seed: of the shifts.

    Returns:
        float, from 0 to 1.

    Raises:
        ValueError: `max_shift` or `border` is out of its range.

    Reference: the "classification consistency" of Zhang 2019, section 4.
    """
    padded = _pad(images, max_shift, border)
    return float(
        np.mean([np.equal(*pair).mean() for pair in _predict_random_shifts(predict, padded, max_shift, pairs, seed)])
    )


def random_shift_metrics(
    predict: Predict, images: np.ndarray, labels: np.ndarray, max_shift: int
) -> tuple[float, float]:
    """Measure accuracy and consistency under a pair of random circular shifts of each image, the same for all networks.

    Args: as those of `measure_shift_robustness`.

    Returns:
        The mean accuracy over both shifts, and the share of images that get one class.
    """
    padded = _pad(images, max_shift, "circular")
    (classes,) = _predict_random_shifts(predict, padded, max_shift, pairs=1, seed=0)
    return float(np.equal(classes, labels).mean()), float(np.equal(*classes).mean())


def sample_indices(total: int, images: int, seed: int = 0) -> np.ndarray:
    """Draw the sorted indices of `images` of `total` images at random, or of all if there are fewer."""
    if images >= total:
        return np.arange(total)
    return np.sort(np.random.default_rng(seed).choice(total, images, replace=False))


def shift_images(images: np.ndarray, down: int, right: int, border: str = "circular") -> np.ndarray:
    """Shift images.

    Args:
        images: shape (n, height, width, channels).
        down, right: pixels; negative is up and left.
        border: as for `measure_shift_robustness`.
    """
    max_shift = max(abs(down), abs(right))
    return _window(_pad(images, max_shift, border), max_shift, down, right)


def _pad(images: np.ndarray, max_shift: int, border: str) -> np.ndarray:
    """Add `max_shift` pixels on all sides of images."""
    if border not in BORDER_MODES:
        raise ValueError(f"`border` must be one of {', '.join(map(repr, BORDER_MODES))}. Received: border={border!r}")
    smallest = min(images.shape[1:3])
    if not 0 <= max_shift < smallest:
        raise ValueError(
            f"`max_shift` must be in [0, {smallest}), less than the image. Received: max_shift={max_shift}"
        )
    return np.pad(images, [(0, 0), (max_shift, max_shift), (max_shift, max_shift), (0, 0)], BORDER_MODES[border])


def _window(padded: np.ndarray, max_shift: int, down: int, right: int) -> np.ndarray:
    height, width = (size - 2 * max_shift for size in padded.shape[1:3])
    return padded[:, max_shift - down : max_shift - down + height, max_shift - right : max_shift - right + width]


def _predict_random_shifts(
    predict: Predict, padded: np.ndarray, max_shift: int, pairs: int, seed: int
) -> Iterator[list[np.ndarray]]:
    """Yield for each pair the classes of all images under two random shifts, each image under shifts of its own."""
    rng = np.random.default_rng(seed)
    for pair in rng.integers(-max_shift, max_shift, size=(pairs, 2, len(padded), 2), endpoint=True):
        yield [_predict_shifted(predict, padded, max_shift, offsets) for offsets in pair]


def _predict_shifted(predict: Predict, padded: np.ndarray, max_shift: int, offsets: np.ndarray) -> np.ndarray:
    moved = [_window(each[None], max_shift, *offset)[0] for each, offset in zip(padded, offsets, strict=True)]
    return np.asarray(predict(np.stack(moved))).argmax(axis=1)
