"""The batch size of a run: a check that it fits into memory, and the choice that `batch_size=auto` makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..models.planning import Plan

# Imports of the backend stand in functions: a mistake in a setting is refused without it.

AUTO = "auto"


def check_batch_fits(plan: Plan, settings: Mapping[str, Any], images: int) -> None:
    """Refuse a run that surely does not fit into the memory of this machine. A GPU's memory is not checked.

    Args:
        plan: of the network.
        settings: the checked settings, with a number as `batch_size`.
        images: number of training images.

    Raises:
        UserError: naming the estimate, what is free, and the batch size that fits.
    """
    from ..training.memory import TrainingMemory, find_free_memory

    free = find_free_memory()
    if free is not None:
        TrainingMemory.from_plan(plan, settings).check_fits(min(settings["batch_size"], images), free)


def choose_batch_size(
    plan: Plan, settings: Mapping[str, Any], images: int, is_used: Callable[[int], bool] = lambda batch_size: False
) -> tuple[int, str]:
    """Choose the batch size of `batch_size=auto`: the recipe's, or a power of two below it.

    It is the largest that was used before. Without one it is the largest that fits into memory; on a GPU, whose memory
    is not known, it is the recipe's.

    Args:
        plan: of the network.
        settings: the checked settings.
        images: number of training images.
        is_used: says of a batch size whether the same run used it before; default: none did.

    Returns:
        The batch size, and the reason in words.

    Raises:
        UserError: not even one image at a time fits.
    """
    from ..training.memory import TrainingMemory, batch_sizes, find_free_memory

    limit = settings["recipe"]["batch_size"]
    for batch_size in batch_sizes(limit):
        if is_used(batch_size):
            return batch_size, "as in the recorded or interrupted run"
    free = find_free_memory()
    if free is None:
        return limit, "the recipe's; the memory of a GPU is not known"
    memory = TrainingMemory.from_plan(plan, settings)
    largest = min(limit, images)
    fitting = memory.choose_batch_size(largest, free)
    if fitting is None:
        memory.check_fits(1, free)
        fitting = 1
    return (limit, "the recipe's") if fitting == largest else (fitting, "the largest that fits into memory")
