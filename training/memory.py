"""The memory that a training takes, estimated from the plan, and the batch size that fits."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import keras

from .. import UserError
from ..data.memory import free_memory, process_memory
from ..models.planning import Plan
from . import backend
from .optimizers import make_optimizer

# Of the maps that the plan counts, the share that surely stays in memory. XLA, which compiles for JAX, may compute
# normalization and activation again. Elsewhere it is a margin: a run that fits must not be refused.
_LEAST_SHARES = {"jax": 0.25, "tensorflow": 0.75, "torch": 0.75}
# Factors of the upper estimate. TensorFlow also needs room for the gradients of maps, the rows of a convolution and the
# intermediate values of the optimizer. `tests/training/test_memory.py` measures what networks take.
_MAPS_FACTOR = 3
_GRADIENTS_FACTOR = 3
_OVERHEAD_BYTES = 300_000_000  # of a compiled step, whatever the network
_KERNEL_SHAPE = (8, 8, 8, 8)


@dataclass(frozen=True)
class TrainingMemory:
    """The memory that a training takes beside the libraries and the images.

    Attributes:
        name: of the network.
        weight_bytes: of all weights and of what the optimizer keeps of each.
        gradient_bytes: of the gradients of all weights.
        image_bytes: of the maps that one image leaves for the backward pass.
        largest_bytes: of the largest map of one image.
        least_share: of `image_bytes`, the share that surely stays in memory.
    """

    name: str
    weight_bytes: int
    gradient_bytes: int
    image_bytes: int
    largest_bytes: int
    least_share: float = 1.0

    @classmethod
    def from_plan(cls, plan: Plan, settings: Mapping[str, Any]) -> TrainingMemory:
        """Estimate the memory of a training.

        Args:
            plan: of the network.
            settings: the checked settings; `recipe` and `freeze` are used.
        """
        weights = sum(row.weight_bytes for row in plan.rows)
        largest = max(row.activation_bytes for row, _ in plan.walk() if not row.inside)
        # The backward pass ends at the first layer that is trained, so that fewer maps stay.
        is_partial = bool(settings["freeze"] or settings["recipe"]["finetuning"])
        return cls(
            plan.name,
            weights + round(0 if is_partial else 4 * plan.params * _count_slots(settings["recipe"])),
            4 * plan.params,
            plan.backward_bytes,
            largest,
            0.0 if is_partial else _LEAST_SHARES[keras.backend.backend()],
        )

    def least_bytes(self, batch_size: int) -> int:
        """Return a lower bound of the bytes that a batch size takes: gradients take the place of the maps."""
        maps = max(self.largest_bytes, round(self.least_share * self.image_bytes))
        gradients = self.gradient_bytes if self.least_share else 0
        return self.weight_bytes + max(gradients, batch_size * maps)

    def most_bytes(self, batch_size: int) -> int:
        """Return about the most bytes that a batch size takes."""
        maps = _MAPS_FACTOR * (self.image_bytes + self.largest_bytes)
        return self.weight_bytes + _GRADIENTS_FACTOR * self.gradient_bytes + batch_size * maps + _OVERHEAD_BYTES

    def choose_batch_size(self, limit: int, free: int) -> int | None:
        """Return the largest batch size that fits: `limit`, or else a power of two below it.

        It is the largest whose `most_bytes` fit. If none does, it is the largest whose `least_bytes` fit.

        Args:
            limit: the largest batch size.
            free: bytes of memory.

        Returns:
            The batch size; None if not even one image surely fits.

        Example:
            >>> memory = TrainingMemory("net", 4_000_000, 4_000_000, 1_000_000, 1_000_000)
            >>> memory.choose_batch_size(128, 10**10), memory.choose_batch_size(128, 5 * 10**8)
            (128, 16)
        """
        for bound in (self.most_bytes, self.least_bytes):
            for batch_size in batch_sizes(limit):
                if bound(batch_size) <= free:
                    return batch_size
        return None

    def check_fits(self, batch_size: int, free: int) -> None:
        """Refuse a training that surely does not fit into memory.

        Args:
            batch_size: images a training step.
            free: bytes of memory.

        Raises:
            UserError: naming the estimate, what is free, and the batch size that fits.
        """
        least = self.least_bytes(batch_size)
        if least <= free:
            return
        fitting = self.choose_batch_size(batch_size, free)
        remedy = (
            f"Use batch_size={fitting}, which fits, or batch_size=auto"
            if fitting
            else "No batch size fits: use smaller images or a smaller network"
        )
        raise UserError(
            f"training {self.name} on {batch_size:,} images at a time takes at least {_format_bytes(least)} of memory, "
            f"and {_format_bytes(free)} are free here. {remedy}"
        )


def batch_sizes(limit: int) -> Iterator[int]:
    """Yield the batch sizes that `batch_size=auto` chooses from: `limit`, and the powers of two below it.

    Example:
        >>> list(batch_sizes(20))
        [20, 16, 8, 4, 2, 1]
    """
    yield limit
    yield from (2**power for power in reversed(range((limit - 1).bit_length())))


def find_free_memory() -> int | None:
    """Return the bytes that a training may take; None on a GPU, whose memory is not known.

    What this process took since it first asked counts as free: the next run of a sweep can use it again.
    """
    if backend.find_gpu_capability(keras.backend.backend()) is not None:
        return None
    return free_memory() + max(process_memory() - _process_memory_at_first_check(), 0)


@functools.cache
def _process_memory_at_first_check() -> int:
    return process_memory()


def _count_slots(recipe: Mapping[str, Any]) -> float:
    """Return how many values the optimizer of a recipe keeps of each weight of a convolution kernel."""
    kernel = keras.Variable(keras.ops.zeros(_KERNEL_SHAPE), name="kernel")
    optimizer = make_optimizer(recipe, 1e-3, steps=1)
    optimizer.build([kernel])
    return sum(prod(each.shape) for each in optimizer.variables) / prod(_KERNEL_SHAPE)


def _format_bytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"
