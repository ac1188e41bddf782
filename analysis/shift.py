"""What a small shift of the picture does to a classifier.

What comes in on one side is a choice, `border`, for a camera shows what lay beside the picture and a file does not:
"circular", what left on the other side, so that no pixel is lost; "reflect", the picture mirrored at its border pixel;
"zeros", black. The default is circular, as in the reference's tests on CIFAR: then nothing but the network, its padding
and its strides can change the answer, while with the other two the object may leave.

Reference: Zhang, Making convolutional networks shift-invariant again, 2019 (arXiv 1904.11486).
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.special import softmax

BORDERS = {"circular": "wrap", "reflect": "reflect", "zeros": "constant"}  # as `np.pad` calls them


@dataclass(frozen=True)
class UnderShift:
    """A classifier at every offset.

    Attributes:
        accuracy: shape (2 most + 1, 2 most + 1); row i is i - most pixels down, column j is j - most to the right.
        consistency: how often two shifts of one image get one class, over all pairs of offsets.
        stability: standard deviation of the true class's probability over the offsets, mean over images; 0 is stable.
        images: how many were shifted.
        border: what came in.
    """

    accuracy: np.ndarray
    consistency: float
    stability: float
    images: int
    border: str

    @property
    def most(self):
        """The largest shift, in pixels."""
        return len(self.accuracy) // 2


def under_shift(scores, images, labels, most=4, border="circular"):
    """Accuracy, consistency and stability from one pass over all (2 most + 1)² offsets, with a copy of `images` each.

    Args:
        scores: callable, images to class scores (n, classes), larger is better, logits where `stability` counts.
        images: uint8, shape (n, height, width, channels).
        labels: integers, shape (n,).
        most: the largest shift, in pixels, up or down and left or right.
        border: "circular", "reflect" or "zeros".

    Returns:
        An `UnderShift`.

    Raises:
        ValueError: `most` or `border` is none of these.
    """
    padded, labels = _padded(images, most, border), np.asarray(labels)
    rows = np.arange(len(labels))
    said, probabilities = [], []
    for offset in product(range(-most, most + 1), repeat=2):
        found = np.asarray(scores(_window(padded, most, *offset)))
        said.append(found.argmax(axis=1))
        probabilities.append(softmax(found, axis=1)[rows, labels])
    said, probabilities = np.array(said), np.array(probabilities)
    counts = np.stack([(said == each).sum(axis=0) for each in np.unique(said)])
    side = 2 * most + 1
    return UnderShift(
        accuracy=(said == labels).mean(axis=1).reshape(side, side),
        consistency=float(((counts / side**2) ** 2).sum(axis=0).mean()),
        stability=float(probabilities.std(axis=0).mean()),
        images=len(labels),
        border=border,
    )


def accuracy_by_offset(scores, images, labels, most=4, border="circular"):
    """Accuracy at every offset within ±`most` pixels, array (2 most + 1, 2 most + 1); the centre is without a shift.

    Args and errors as those of `under_shift`.
    """
    return under_shift(scores, images, labels, most, border).accuracy


def stability(scores, images, labels, most=4, border="circular"):
    """How far the probability of the true class moves with the picture: √Var over all offsets, mean over images.

    The reference's variation in the probability of correct classification; 0 is stable, 0.5 the most there can be.

    Args and errors as those of `under_shift`.
    """
    return under_shift(scores, images, labels, most, border).stability


def consistency(scores, images, most=4, pairs=1, seed=0, border="circular"):
    """How often a network gives the same class to one image under two random shifts; 1 is invariant.

    E 1{argmax P(Shift(h1, w1) X) = argmax P(Shift(h2, w2) X)}, the shifts drawn for each image, independently and
    uniformly within ±`most`: once in (2 most + 1)² they are one. It costs 2 `pairs` passes; `under_shift` has the
    value that this estimates, over all pairs, in (2 most + 1)².

    Args:
        scores, images, most, border: as for `under_shift`.
        pairs: of shifts, for each image.
        seed: of the shifts.

    Returns:
        float, from 0 to 1.

    Raises:
        ValueError: `most` or `border` is none that `under_shift` takes.

    Reference: the "classification consistency" of Zhang 2019, section 4.
    """
    return float(np.mean([np.equal(*pair).mean() for pair in _said_twice(scores, images, most, pairs, seed, border)]))


def twice(scores, images, labels, most):
    """Accuracy and consistency under one pair of random circular shifts of each image, the same for every network.

    Args: as those of `under_shift`.

    Returns:
        The mean accuracy over both shifts, and the share of images that get one class.
    """
    (said,) = _said_twice(scores, images, most, pairs=1, seed=0, border="circular")
    return float(np.equal(said, labels).mean()), float(np.equal(*said).mean())


def chosen(total, images, seed=0):
    """Sorted indices of so many of `total` pictures, drawn at random, all of them where there are no more."""
    if images >= total:
        return np.arange(total)
    return np.sort(np.random.default_rng(seed).choice(total, images, replace=False))


def shifted(images, down, right, border="circular"):
    """Images moved by so many pixels, negative is up and left.

    Args:
        images: shape (n, height, width, channels).
        down, right: int.
        border: as for `under_shift`.
    """
    most = max(abs(down), abs(right))
    return _window(_padded(images, most, border), most, down, right)


def _padded(images, most, border):
    """The images with `most` pixels around them, into which every shift looks."""
    if border not in BORDERS:
        raise ValueError(f"`border` must be one of {', '.join(map(repr, BORDERS))}. Received: border={border!r}")
    smallest = min(images.shape[1:3])
    if not 0 <= most < smallest:
        raise ValueError(f"`most` must be in [0, {smallest}), less than the image. Received: most={most}")
    return np.pad(images, [(0, 0), (most, most), (most, most), (0, 0)], BORDERS[border])


def _window(padded, most, down, right):
    height, width = (size - 2 * most for size in padded.shape[1:3])
    return padded[:, most - down : most - down + height, most - right : most - right + width]


def _said_twice(scores, images, most, pairs, seed, border):
    """Yields for each pair the classes of all images under two random shifts, each image under shifts of its own."""
    padded, drawn = _padded(images, most, border), np.random.default_rng(seed)
    for pair in drawn.integers(-most, most, size=(pairs, 2, len(images), 2), endpoint=True):
        yield [_said(scores, padded, most, offsets) for offsets in pair]


def _said(scores, padded, most, offsets):
    moved = [_window(each[None], most, *offset)[0] for each, offset in zip(padded, offsets, strict=True)]
    return np.asarray(scores(np.stack(moved))).argmax(axis=1)
