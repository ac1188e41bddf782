"""The training objective of a network: the loss of its class scores, and heads, outputs that exist in training only.

A model's file may name both; without them the loss is the cross-entropy of scores that are logits.

    loss: {_target_: convzoo.layers.CapsuleMarginLoss}
    heads:
      aux1:
        after: inception_4a          # the row whose output the head reads
        weight: 0.3                  # of its loss; 1 if absent
        layers: {pool: …, score: …}  # rows; here they end in class scores
      reconstruction:
        after: digit_caps
        target: image                # what it is compared with: labels, if absent, or the image, within [0, 1]
        labels: true                 # its first row takes the labels as a second input
        loss: {_target_: keras.losses.MeanSquaredError}
        layers: {decoder: …}
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras

from .. import UserError
from . import allowlist
from .spec import Row, Table

_KEYS = ("after", "weight", "layers", "target", "labels", "loss")
_TARGETS = ("labels", "image")


class Objective(NamedTuple):
    """The losses, targets and heads that a trainer needs besides the model.

    Attributes:
        loss: of the class scores.
        labels: a `keras.Input` of the labels, where a head takes them; else None.
        outputs: mapping from the heads' names to their outputs.
        losses: one a head.
        weights: of the heads' losses.
        targets: "labels" or "image", one a head.
    """

    loss: keras.losses.Loss
    labels: keras.KerasTensor | None = None
    outputs: dict[str, keras.KerasTensor] = {}  # noqa: RUF012
    losses: tuple[keras.losses.Loss, ...] = ()
    weights: tuple[float, ...] = ()
    targets: tuple[str, ...] = ()


def check_objective(loss: Any, heads: Any, rows: Table) -> None:
    """Refuse a loss or heads that are malformed, or do not fit the network's rows.

    Raises:
        UserError: naming the place.
    """
    if loss is not None:
        allowlist.check_rows({"loss": loss}, "model", allowlist.LOSSES)
    if not isinstance(heads, dict):
        raise UserError(f"`model.heads` must be a mapping from names to heads. Received: {heads!r}")
    for name, head in heads.items():
        where = f"model.heads.{name}"
        if not isinstance(head, dict) or (unknown := set(head) - set(_KEYS)) or {"after", "layers"} - set(head):
            raise UserError(
                f"`{where}` must be a mapping with `after` and `layers`, and perhaps {', '.join(_KEYS[1:])}. "
                f"Received: {sorted(unknown) if isinstance(head, dict) and unknown else head!r}"
            )
        allowlist.check_rows(head["layers"], f"{where}.layers")
        if head["after"] not in rows:
            raise UserError(f"`{where}.after` must name a row of the network. Received: {head['after']!r}")
        if head.get("target", "labels") not in _TARGETS:
            raise UserError(f"`{where}.target` must be one of {', '.join(_TARGETS)}. Received: {head['target']!r}")
        if not isinstance(head.get("weight", 1), int | float) or isinstance(head.get("weight"), bool):
            raise UserError(f"`{where}.weight` must be a number. Received: {head['weight']!r}")
        if not isinstance(head.get("labels", False), bool):
            raise UserError(f"`{where}.labels` must be true or false. Received: {head['labels']!r}")
        if head.get("loss") is not None:
            allowlist.check_rows({"loss": head["loss"]}, where, allowlist.LOSSES)


def make_objective(
    model: keras.Model, loss: Row | None = None, heads: Mapping[str, Mapping[str, Any]] | None = None
) -> Objective:
    """Build the `Objective` of a model, with its checked heads.

    Args:
        model: as `assemble` made it.
        loss: a row of a Keras loss, or None.
        heads: mapping from names to heads, or None.

    Raises:
        UserError: a head cannot be built, or does not end in what it is compared with; the message names it.
    """
    labels, outputs = None, {}
    for name, head in (heads or {}).items():
        x, first = model.get_layer(head["after"]).output, True
        for row_name, row in head["layers"].items():
            last = row_name == list(head["layers"])[-1]
            defaults: dict[str, Any] = {"dtype": "float32"} if last else {}
            layer = allowlist.instantiate(row_name, row, **defaults)
            if first and head.get("labels"):
                labels = labels if labels is not None else keras.Input((), name="labels", dtype="int32")
            try:
                x = layer(x, labels) if first and head.get("labels") else layer(x)
            except Exception as error:
                raise UserError(f"row `{row_name}` of head `{name}`: {allowlist.first_line(error)}") from error
            first = False
        wanted = model.output.shape if head.get("target", "labels") == "labels" else model.input.shape
        if tuple(x.shape) != tuple(wanted):
            raise UserError(f"head `{name}` must end in {tuple(wanted[1:])} an image. Received: {tuple(x.shape[1:])}")
        outputs[name] = x
    every = (heads or {}).values()
    return Objective(
        _loss(loss),
        labels,
        outputs,
        tuple(_loss(head.get("loss")) for head in every),
        tuple(float(head.get("weight", 1)) for head in every),
        tuple(head.get("target", "labels") for head in every),
    )


def _loss(row: Row | None) -> keras.losses.Loss:
    if row is None:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return allowlist.instantiate("loss", row, allowed=allowlist.LOSSES)
