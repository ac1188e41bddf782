"""From the weights of matched units to those of our layers: layouts, and terms that stand elsewhere there."""

from collections.abc import Sequence

import numpy as np

from ... import UserError
from .units import CONV, DENSE, DEPTHWISE, NORM, Unit, WeightSlot

Values = dict[str, dict[str, np.ndarray]]  # by path of the layer and number of the weight


def fold(pairs: Sequence[tuple[WeightSlot, Unit]], label: str, is_bgr: bool = False) -> Values:
    """Return the weights that make our layers compute what the units do, in inference.

    A bias before a normalization goes into its mean; another epsilon goes into gamma, by
    sqrt((variance + ours) / (variance + theirs)); a gamma that ours lacks goes into the kernel before it.

    Args:
        pairs: as `mapping.match` gives them.
        label: names the source in messages.
        is_bgr: whether the source's images have their channels in the order blue, green, red: the first kernel is
            turned round.

    Raises:
        UserError: a term has no place in our network.
    """
    folded: dict[int, dict[str, np.ndarray]] = {}  # by slot, its weights by name
    biases: dict[int, np.ndarray] = {}  # that wait for the normalization behind the slot
    is_first = is_bgr
    for slot, unit in pairs:
        if slot.kind == NORM:
            folded[id(slot)] = _fold_norm(slot, unit, folded, biases, label)
            continue
        weights = dict(unit.weights)
        if slot.kind in (CONV, DEPTHWISE, DENSE):
            weights["kernel"] = _turn_kernel(slot, unit)
        if is_first and weights["kernel"].ndim == 4:
            weights["kernel"] = weights["kernel"][:, :, ::-1]
            is_first = False
        if "bias" in slot.shapes:
            weights.setdefault("bias", np.zeros(slot.shapes["bias"], "float32"))
        elif "bias" in weights:
            biases[id(slot)] = weights.pop("bias")
        folded[id(slot)] = weights
    lost = [slot for slot, _ in pairs if id(slot) in biases and biases[id(slot)].any()]
    if lost:
        raise UserError(f"{label} has a bias for {lost[0].path}, which has none here, nor a normalization behind it")
    values: Values = {}
    for slot, _ in pairs:
        weights = folded[id(slot)]
        if weights.keys() != slot.numbers.keys():
            names = f"{', '.join(weights)}, and not {', '.join(slot.numbers)}"
            raise UserError(f"{label} has for {slot.path} the weights {names}")
        layer = values.setdefault(slot.path, {})
        layer |= {slot.numbers[name]: np.ascontiguousarray(weights[name], "float32") for name in weights}
    return values


def _turn_kernel(slot: WeightSlot, unit: Unit) -> np.ndarray:
    """Return the kernel of a unit in the layout of its slot."""
    kernel = unit.weights["kernel"]
    if unit.kind != DENSE or not unit.is_channels_first:
        return kernel.reshape(slot.shape)
    height, width, channels = slot.shape[:3] if slot.kind == CONV else slot.map_shape or (1, 1, kernel.shape[0])
    by_channel = kernel.reshape(channels, height, width, kernel.shape[-1])
    return by_channel.transpose(1, 2, 0, 3).reshape(slot.shape)


def _fold_norm(
    slot: WeightSlot,
    unit: Unit,
    folded: dict[int, dict[str, np.ndarray]],
    biases: dict[int, np.ndarray],
    label: str,
) -> dict[str, np.ndarray]:
    variance, mean = unit.weights["moving_variance"], unit.weights["moving_mean"]
    if slot.source is not None and id(slot.source) in biases:
        mean = mean - biases.pop(id(slot.source))
    gamma = unit.weights.get("gamma", np.ones_like(mean))
    if slot.epsilon != unit.epsilon:
        gamma = gamma * np.sqrt((variance + slot.epsilon) / (variance + unit.epsilon))
    weights = {"moving_mean": mean, "moving_variance": variance}
    if "gamma" in slot.shapes:
        weights["gamma"] = gamma
    elif not np.all(gamma == 1):
        before = folded.get(id(slot.source)) if slot.source is not None and slot.source.kind == CONV else None
        if before is None:
            raise UserError(f"{label} has a gamma for {slot.path}, which has none here, nor a kernel before it")
        for name in before:
            before[name] = before[name] * gamma
        weights["moving_mean"] = mean * gamma
    beta = unit.weights.get("beta", np.zeros_like(mean))
    if "beta" in slot.shapes:
        weights["beta"] = beta
    elif beta.any():
        raise UserError(f"{label} has a beta for {slot.path}, which has none here")
    return weights
