"""Shuffled and augmented training batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

import numpy as np

from . import Split
from .augmentation.base import Augmentation, Batch, BatchContext
from .augmentation.mixing import MixingAugmentation, soften
from .augmentation.pixel_maps import PixelAugmentation, PixelMap

Request = TypeVar("Request")
Item = TypeVar("Item")


class Batches:
    """Shuffled, augmented batches, a pure function of `(seed, epoch, step)`.

    An epoch has `steps = n // batch_size` batches of distinct images; the images that are left out differ from epoch to
    epoch. With fewer images than `batch_size` it is one batch of all of them. Augmentations do not change the order of
    the images, and none changes the random numbers of another.

    Args:
        split: images `x`, uint8 of shape `(n, height, width, channels)`, and labels `y`.
        batch_size: images a batch.
        seed: of the order and of the augmentations.
        augmentations: applied in this order; default none.
        classes: number of classes, for augmentations that mix labels; default None is the largest label and one.

    Raises:
        ValueError: an argument out of its range, or images that do not fit an augmentation.

    Example:
        >>> from convzoo.data import RandomFlip, RandomTranslation
        >>> split = Split(np.zeros((300, 32, 32, 3), np.uint8), np.arange(300) % 10)
        >>> batches = Batches(split, 128, seed=0, augmentations=[RandomFlip(), RandomTranslation(pixels=2)])
        >>> images, labels = batches.batch(epoch=0, step=0)
        >>> images.shape, images.dtype
        ((128, 32, 32, 3), dtype('uint8'))
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        seed: int,
        augmentations: Iterable[Augmentation] = (),
        classes: int | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be at least 1. Received: batch_size={batch_size}")
        self.split, self.seed = split, seed
        self.augmentations = tuple(augmentations)
        for augmentation in self.augmentations:
            augmentation.check_image_shape(split.x.shape[1:])
        self.batch_size = min(batch_size, len(split.y))
        self.steps = len(split.y) // self.batch_size
        self.classes = int(split.y.max()) + 1 if classes is None else classes
        self._source = np.ascontiguousarray(split.x)
        # Those that begin are one gather of pixels from the split.
        self._pixel_augmentations: list[PixelAugmentation] = []
        for augmentation in self.augmentations:
            if not isinstance(augmentation, PixelAugmentation):
                break
            self._pixel_augmentations.append(augmentation)
        self._shuffled_epoch: int | None = None
        self._order: np.ndarray

    @property
    def mixes_labels(self) -> bool:
        """True if the labels are distributions, float32 of shape `(b, classes)`; else they are integers."""
        return any(isinstance(augmentation, MixingAugmentation) for augmentation in self.augmentations)

    def indices(self, epoch: int, step: int) -> np.ndarray:
        """Return the numbers of the images of batch number `step` of `epoch`, both from 0; shape `(b,)`."""
        if not 0 <= step < self.steps:
            raise ValueError(f"`step` must be in [0, {self.steps}). Received: step={step}")
        if self._shuffled_epoch != epoch:
            self._order = np.random.default_rng([self.seed, epoch]).permutation(len(self.split.y))
            self._shuffled_epoch = epoch
        return self._order[step * self.batch_size : (step + 1) * self.batch_size]

    def batch(self, epoch: int, step: int) -> Batch:
        """Return the images of a batch, uint8 `(b, height, width, channels)`, and their labels."""
        context = self._context(epoch, step)
        images, labels = self._gather(context), self.split.y[context.indices]
        for augmentation in self.augmentations[len(self._pixel_augmentations) :]:
            images, labels = augmentation(images, labels, context)
        return images, labels

    def labels(self, epoch: int, step: int) -> np.ndarray:
        """Return the labels of a batch without making its images."""
        context = self._context(epoch, step)
        labels = self.split.y[context.indices]
        for augmentation in self.augmentations:
            if isinstance(augmentation, MixingAugmentation):
                mixture = augmentation.sample(context, *self.split.x.shape[1:3])
                labels = mixture.mix_labels(soften(labels, self.classes))
        return labels

    def _context(self, epoch: int, step: int) -> BatchContext:
        return BatchContext(self.seed, epoch, step, self.indices(epoch, step), self.classes)

    def _gather(self, context: BatchContext) -> np.ndarray:
        if not self._pixel_augmentations:
            return self.split.x[context.indices]
        pixel_map = PixelMap()
        for augmentation in self._pixel_augmentations:
            pixel_map = augmentation.extend(pixel_map, context, self.split.x.shape[1:3])
        return pixel_map.gather(self._source, context.indices)

    def epoch(
        self,
        epoch: int,
        first_step: int = 0,
        collate_fn: Callable[[list[Batch]], Any] = list,
        steps_per_call: Callable[[], int] = lambda: 1,
    ) -> Iterator[Any]:
        """Iterates over the batches of an epoch in groups, and prepares the next group in a thread.

        Args:
            epoch: its number, from 0.
            first_step: the step to begin with, from 0.
            collate_fn: makes an item from a group, a list of batches.
            steps_per_call: returns the number of batches of the next group; the last group may have fewer.
        """

        def render_group(steps: range) -> Any:
            return collate_fn([self.batch(epoch, step) for step in steps])

        return iter(Prefetcher(self._step_groups(first_step, steps_per_call), render_group))

    def _step_groups(self, first_step: int, steps_per_call: Callable[[], int]) -> Iterator[range]:
        while first_step < self.steps:
            group = range(first_step, min(first_step + steps_per_call(), self.steps))
            yield group
            first_step = group.stop


class Prefetcher(Generic[Request, Item]):
    """Makes the next item in a thread while the current one is in use.

    Args:
        requests: one for each item; the next request is taken in the caller's thread, when an item is handed out.
        make_item: makes the item of a request.
    """

    def __init__(self, requests: Iterator[Request], make_item: Callable[[Request], Item]) -> None:
        self.requests = requests
        self.make_item = make_item

    def __iter__(self) -> Iterator[Item]:
        with ThreadPoolExecutor(1) as worker:
            pending = self._submit_next(worker)
            while pending:
                item = pending.result()
                pending = self._submit_next(worker)
                yield item

    def _submit_next(self, worker: ThreadPoolExecutor) -> Future[Item] | None:
        request = next(self.requests, None)
        return None if request is None else worker.submit(self.make_item, request)
