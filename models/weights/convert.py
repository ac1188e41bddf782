"""Map the weights of another library onto a network of the zoo, and check that it computes the same."""

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from omegaconf import DictConfig, OmegaConf

from ... import UserError
from ...settings.text import printable
from .. import allowlist, registry
from ..builder import assemble, run_symbolically
from .folding import Values, fold
from .mapping import Match, match
from .named_weights import NamedWeights, iter_layers, own_weights
from .probe import Probe
from .published import Form
from .units import CONV, DENSE, Unit, find_slots

PROBE_TOLERANCE = 1e-4  # of the largest score
_MOST_WEIGHTS = 2**28  # of a network that is built whatever the size of the file: a GiB
_MOST_ADDED = 4  # times those of a larger file: ours may have a bias, or a whole normalization for its mean


@dataclass(frozen=True)
class ForeignWeights:
    """The weights of another library.

    Attributes:
        label: names the source in messages.
        network: name of the network of the zoo that is to have them.
        units: in the order in which their layers run.
        form: of that library's network.
        probe: None if the source has none.
        has_head: whether they have a classifier.
        digest: SHA-256 of the file, or None.
    """

    label: str
    network: str
    units: Sequence[Unit]
    form: Form
    probe: Probe | None = None
    has_head: bool = True
    digest: str | None = None

    @property
    def classes(self) -> int | None:
        """Number of classes, by the last kernel; None without a classifier."""
        kernels = [unit for unit in self.units if unit.kind in (CONV, DENSE)]
        return kernels[-1].shape[-1] if self.has_head and kernels else None


def apply_changes(config: DictConfig, changes: Mapping[str, Any]) -> None:
    """Change a composed config by the settings that a source's weights need.

    Args:
        config: of a network or of a run; changed in place.
        changes: as `NamedWeights.changes`: mapping from key to value. A mapping with `_target_` replaces a row, another
            is merged into what is there.
    """
    for key, value in changes.items():
        is_row = isinstance(value, Mapping) and "_target_" in value
        OmegaConf.update(config, key, value, merge=not is_row, force_add=True)


def adapt_config_to_weights(weights: NamedWeights, config: DictConfig, settings: dict[str, Any]) -> None:
    """Change the rows of a run, and its preprocessing, as the weights need them that it starts from.

    Args:
        weights: as `read_source` returned them.
        config: of the run, as composed; changed in place.
        settings: of the run, checked; changed in place.
    """
    apply_changes(config, weights.changes)
    if weights.preprocessing:
        settings["recipe"]["preprocessing"] = {name: dict(row) for name, row in weights.preprocessing.items()}


def convert(foreign: ForeignWeights) -> NamedWeights:
    """Map foreign weights onto the layers of a network of the zoo, built in their form.

    Raises:
        UserError: as `map_weights`; or their form cannot be had.
    """
    if foreign.form.fault:
        raise UserError(f"{foreign.label} cannot be used as {foreign.network}: {foreign.form.fault}")
    if not foreign.units:
        raise UserError(f"{foreign.label} has no layers with weights")
    if empty := [unit.name for unit in foreign.units if not all(value.size for value in unit.weights.values())]:
        raise UserError(f"{foreign.label}: {printable(empty[0])} has a weight without values")
    with preserve_global_state():
        values, agreement = map_weights(_build_twin(foreign), foreign)
    return NamedWeights(
        label=foreign.label,
        layers=values,
        digest=foreign.digest,
        preprocessing=foreign.form.preprocessing,
        changes=foreign.form.changes,
        classes=foreign.classes,
        has_head=foreign.has_head,
        lines=_describe(foreign, agreement),
    )


def map_weights(model: keras.Model, foreign: ForeignWeights) -> tuple[Values, float | None]:
    """Map foreign weights onto the layers of a model.

    Both orders of a residual block are tried, the shortcut before its body and after it. With a probe the one is taken
    whose scores agree; without, the one that passes no unit over.

    Args:
        model: a chain of layers for images of known size. With a probe its weights are overwritten.
        foreign: the weights.

    Returns:
        The weights by path and number, and how far their scores are from the probe's, as a part of the largest; None
        without a probe.

    Raises:
        UserError: the weights do not fit, fit in two ways, or give other scores than the probe's.
    """
    return _choose(model, _find_candidates(model, foreign), foreign)


@contextmanager
def preserve_global_state() -> Iterator[None]:
    """Compute in float32, and leave Python's random state and Keras's policy as they are. Also a decorator."""
    policy, state = keras.config.dtype_policy(), random.getstate()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
        random.setstate(state)


def _build_twin(foreign: ForeignWeights) -> keras.Model:
    """Build the network in the form of its source: as many classes, and images of the probe's size.

    Raises:
        UserError: it has far more weights than the source.
    """
    size = None if foreign.probe is None else foreign.probe.images.shape[1:]
    config = registry.compose_network(foreign.network, size, foreign.classes)
    if foreign.units[0].kind == CONV:  # the paper's images may have other channels
        config.data.image_shape = [*config.data.image_shape[:2], foreign.units[0].shape[2]]
    apply_changes(config, foreign.form.changes)
    rows = registry.rows(config) if foreign.has_head else registry.rows_without_classifier(config)
    shape = tuple(config.data.image_shape)
    declared = run_symbolically(lambda: assemble(rows, shape, foreign.classes, foreign.network).count_params())
    stored = sum(value.size for unit in foreign.units for value in unit.weights.values())
    if declared > max(_MOST_WEIGHTS, _MOST_ADDED * stored):
        raise UserError(
            f"{foreign.label} is of another network than {foreign.network}, which has {declared:,} weights with as "
            f"many classes, and the file {stored:,}"
        )
    scaling = [allowlist.instantiate(name, row) for name, row in foreign.form.preprocessing.items()]
    return assemble(rows, shape, foreign.classes, foreign.network, scaling)


def _find_candidates(model: keras.Model, foreign: ForeignWeights) -> list[tuple[Match, Values]]:
    """Return the ways in which the units fit, the one that passes the fewest over first.

    Raises:
        UserError: they do not fit.
    """
    candidates: list[tuple[Match, Values]] = []
    errors = []
    for shortcut_first in (False, True):
        try:
            pairing = match(find_slots(model, shortcut_first), foreign.units, foreign.label)
            values = fold(pairing.pairs, foreign.label, foreign.form.is_bgr)
        except UserError as error:
            errors.append(error)
            continue
        if not any(_is_equal(values, others) for _, others in candidates):
            candidates.append((pairing, values))
    if not candidates:
        raise errors[0]
    return sorted(candidates, key=lambda candidate: candidate[0].passed_over)


def _choose(
    model: keras.Model, candidates: Sequence[tuple[Match, Values]], foreign: ForeignWeights
) -> tuple[Values, float | None]:
    """Return the weights to take, and how far their scores are from the probe's, as a part of the largest."""
    if foreign.probe is not None:
        errors = []
        for _, values in candidates:
            errors.append(_compare(model, values, foreign.probe, foreign.label))
            if errors[-1] <= PROBE_TOLERANCE:
                return values, errors[-1]
        raise UserError(
            f"{foreign.label} fits {foreign.network} by its shapes, but the scores of its probe differ by "
            f"{min(errors):.1g} of the largest, more than {PROBE_TOLERANCE:g}: weights stand in other places, or its "
            "network has another form"
        )
    in_order = [values for pairing, values in candidates if pairing.passed_over == 0]
    if len(in_order) != 1:
        count = f"in {len(in_order)} ways" if in_order else "only in another order than its layers have"
        raise UserError(
            f"{foreign.label} fits {foreign.network} {count}, which give different weights; put a probe beside it to "
            "decide, as docs/weights.md describes"
        )
    return in_order[0], None


def _compare(model: keras.Model, values: Values, probe: Probe, label: str) -> float:
    for path, layer in iter_layers(model):
        if path in values:
            layer.load_own_variables({number: values[path][number] for number in own_weights(layer)})
    scores = keras.ops.convert_to_numpy(model(probe.images, training=False))
    if scores.shape != probe.scores.shape:
        raise UserError(f"{label}: its probe has scores of shape {probe.scores.shape}, the network {scores.shape}")
    largest = float(np.abs(probe.scores).max()) or 1.0
    error = float(np.abs(scores - probe.scores).max()) / largest
    return error if np.isfinite(error) else float("inf")


def _is_equal(values: Values, others: Values) -> bool:
    return all(
        np.array_equal(value, others[path][number]) for path, layer in values.items() for number, value in layer.items()
    )


def _describe(foreign: ForeignWeights, agreement: float | None) -> tuple[str, ...]:
    form = foreign.form
    if agreement is None:
        check = "no probe: layers matched by order and shape alone"
    else:
        check = f"the scores of its probe agree to {agreement:.1g} of the largest"
    lines = [f"{foreign.label}: {check}"]
    if form.changes:
        lines.append(f"rows changed to the form of its network: {', '.join(form.changes)}")
    if form.preprocessing:
        turned = "; the first kernel was turned from BGR to RGB" if form.is_bgr else ""
        lines.append(f"images have values from 0 to 255, in RGB; {', '.join(form.preprocessing)} scales them{turned}")
    return (*lines, *([form.note] if form.note else []))
