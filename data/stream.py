"""Training batches as decisions: which images, which flips, which shifts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Decision:
    """What a batch will be, before a pixel is touched.

    Args:
        indices: which images, shape `(b,)`.
        flips: which of them are mirrored left to right, bool of shape `(b,)`.
        shifts: by how many pixels each is moved down and right, after the flip; shape `(b, 2)`.
    """

    indices: np.ndarray
    flips: np.ndarray
    shifts: np.ndarray


class Batches:
    """Shuffled, augmented batches, a pure function of `(seed, epoch, step)`.

    An epoch has `steps = n // batch_size` batches of distinct images; those left over differ from epoch
    to epoch. With fewer images than `batch_size` it is one batch of all of them. What `flip` and
    `shift` are does not change the order of the images, nor does one of them change the other's draws.

    Args:
        split: images `x`, uint8 of shape `(n, height, width, channels)`, and labels `y`.
        batch_size: images a batch.
        seed: of the order and of the augmentation.
        flip: True mirrors every other image, on average; "alternate" every other image of the first epoch, and from
            then on each in turn, so that two epochs show all images both ways (Jordan 2024, arXiv 2404.00498).
        shift: move each image by up to so many pixels, up or down and left or right, each equally likely.
        fill: what comes in from outside: `"reflect"` (the picture mirrored at its border pixel) or
            `"zeros"`.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(self, split, batch_size, seed, flip=False, shift=0, fill="reflect"):
        smallest = min(split.x.shape[1:3])
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be at least 1. Received: batch_size={batch_size}")
        if not 0 <= shift < smallest:
            raise ValueError(f"`shift` must be in [0, {smallest}), less than the image. Received: shift={shift}")
        if flip not in (True, False, "alternate"):
            raise ValueError(f'`flip` must be true, false or "alternate". Received: flip={flip!r}')
        if fill not in ("reflect", "zeros"):
            raise ValueError(f'`fill` must be "reflect" or "zeros". Received: fill={fill!r}')
        self.split, self.seed, self.flip, self.shift, self.fill = split, seed, flip, shift, fill
        self.batch_size = min(batch_size, len(split.y))
        self.steps = len(split.y) // self.batch_size
        # One item a pixel, whatever its channels: gathers three times faster than indexing with three arrays.
        self._pixels = np.ascontiguousarray(split.x).reshape(-1).view(f"V{split.x.shape[-1]}")
        self._drawn = None, None

    def decide(self, epoch, step) -> Decision:
        """The batch number `step` of `epoch`, both from 0."""
        if not 0 <= step < self.steps:
            raise ValueError(f"`step` must be in [0, {self.steps}). Received: step={step}")
        drawn_epoch, drawn = self._drawn
        if drawn_epoch != epoch:
            drawn = self._draw(epoch)
            self._drawn = epoch, drawn
        rows = slice(step * self.batch_size, (step + 1) * self.batch_size)
        return Decision(*(values[rows] for values in drawn))

    def _draw(self, epoch):
        rng, n = np.random.default_rng([self.seed, epoch]), len(self.split.y)
        order, coins = rng.permutation(n), rng.integers(2, size=n, dtype=bool)
        shifts = rng.integers(-self.shift, self.shift, size=(n, 2), endpoint=True)
        return order, self._flips(epoch, order, coins), shifts

    def _flips(self, epoch, order, coins):
        if self.flip != "alternate":
            return coins & self.flip
        first = np.random.default_rng([self.seed, 0, 1]).integers(2, size=len(order), dtype=bool)
        return (first ^ (epoch % 2 == 1))[order]

    def apply(self, decision):
        """Returns the pictures of a decision, uint8 `(b, height, width, channels)`, and their labels."""
        x, y = self.split.x, self.split.y[decision.indices]
        if not (decision.flips.any() or decision.shifts.any()):
            return x[decision.indices], y
        height, width = x.shape[1:3]
        rows = np.arange(height) - decision.shifts[:, :1]
        columns = np.arange(width) - decision.shifts[:, 1:]
        outside = None
        if self.fill == "zeros":
            outside = _outside(rows, height)[:, :, None] | _outside(columns, width)[:, None, :]
        rows, columns = _mirrored(rows, height), _mirrored(columns, width)
        columns = np.where(decision.flips[:, None], width - 1 - columns, columns)
        pixels = (decision.indices[:, None, None] * height + rows[:, :, None]) * width + columns[:, None, :]
        pictures = self._pixels.take(pixels)
        if outside is not None:
            np.putmask(pictures, outside, np.zeros((), pictures.dtype))
        return pictures.view(np.uint8).reshape(-1, *x.shape[1:]), y

    def epoch(self, epoch, done=0, ready=list, count=lambda: 1):
        """Iterates over an epoch's batches but the first `done`, some at a time, the next made beside the last.

        Args:
            epoch, done: from 0.
            ready: what makes of a list of batches, pairs of pictures and labels, that which is learned from.
            count: says, whenever some are to be made, how many at most.
        """
        ordered = done

        def make(steps):
            return ready([self.apply(self.decide(epoch, step)) for step in steps])

        def order():
            nonlocal ordered
            steps = range(ordered, min(ordered + count(), self.steps))
            ordered = steps.stop
            return worker.submit(make, steps) if steps else None

        with ThreadPoolExecutor(1) as worker:
            coming = order()
            while coming:
                found, coming = coming.result(), order()
                yield found


def _outside(positions, size):
    return (positions < 0) | (positions >= size)


def _mirrored(positions, size):
    positions = np.abs(positions)
    return np.where(positions >= size, 2 * (size - 1) - positions, positions)
