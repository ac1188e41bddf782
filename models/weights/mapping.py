"""The one mapping: each slot takes the first unused unit of its kind and shape, in the order in which layers run."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from ... import UserError
from .units import CONV, DENSE, DEPTHWISE, Unit, WeightSlot


@dataclass(frozen=True)
class Match:
    """Slots with their units.

    Attributes:
        pairs: in the order of the slots.
        passed_over: number of unused units before the one of each slot, added up. 0 if both run alike.
    """

    pairs: tuple[tuple[WeightSlot, Unit], ...]
    passed_over: int


def match(slots: Sequence[WeightSlot], units: Sequence[Unit], label: str) -> Match:
    """Pair each slot with a unit.

    Args:
        slots: of our model.
        units: of a source, in order.
        label: names the source in messages.

    Raises:
        UserError: no unit fits a slot, or units are left over.
    """
    unused = list(units)
    pairs = []
    passed_over = 0
    for slot in slots:
        index = next((index for index, unit in enumerate(unused) if is_fit(slot, unit)), None)
        if index is None:
            following = f"; its next is {unused[0].name}, {_shown(unused[0].shape)}" if unused else ""
            raise UserError(
                f"{label} has no weights for {slot.path}, {slot.kind} {_shown(slot.shape)}{following}: "
                "it is of another network, or of another form of it"
            )
        passed_over += index
        pairs.append((slot, unused.pop(index)))
    if unused:
        names = ", ".join(unit.name for unit in unused[:3])
        raise UserError(
            f"{label} has {len(unused)} layers that the network has not ({names}): "
            "it is of another network, or of another form of it"
        )
    return Match(tuple(pairs), passed_over)


def is_fit(slot: WeightSlot, unit: Unit) -> bool:
    """Return whether a unit's main weight has the kind and the shape of the slot's."""
    if slot.kind == unit.kind and slot.shape == unit.shape:
        return True
    if (slot.kind, unit.kind) == (DEPTHWISE, CONV):  # a kernel in groups, whose source does not say more
        return unit.shape == (*slot.shape[:2], 1, prod(slot.shape[2:]))
    if (slot.kind, unit.kind) in ((DENSE, CONV), (CONV, DENSE)):
        return (prod(slot.shape[:-1]), slot.shape[-1]) == (prod(unit.shape[:-1]), unit.shape[-1])
    return False


def _shown(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
