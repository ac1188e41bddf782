"""Fine-tuning: the layers that each epoch trains, and their rates."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import keras

from .. import UserError
from ..models.weights.named_weights import iter_layers
from ..settings.text import did_you_mean, find_near_words, printable


@dataclass(frozen=True)
class FineTuning:
    """The layers that a fine-tuning trains. A layer that is not trained keeps every weight.

    So batch normalization that is not trained uses the statistics that it has, and leaves them as they are.

    Attributes:
        head: paths of the layers of the head.
        body: paths of the other layers that are trained once the head was.
        head_epochs: number of epochs at the start that train the head alone.
        body_rate: learning-rate multiplier of all layers but the head.
    """

    head: frozenset[str]
    body: frozenset[str]
    head_epochs: int = 0
    body_rate: float = 1.0

    @classmethod
    def plan(cls, model: keras.Model, settings: Mapping[str, Any], new_layers: Sequence[str] = ()) -> "FineTuning":
        """Choose the layers of a model by the settings of a run.

        Args:
            model: the network.
            settings: with `freeze`, patterns of rows or of paths inside them, and `recipe`.
            new_layers: paths of the layers with fresh weights, the head; default: the last layer with weights.

        Raises:
            UserError: a pattern fits no layer with weights, or they leave none to train.
        """
        # A row may say that its layer is not trained.
        trainable = [path for path, layer in iter_layers(model) if layer.trainable and layer.trainable_variables]
        frozen = find_frozen(model, settings["freeze"])
        head = new_layers or trainable[-1:]
        options = settings["recipe"].get("finetuning") or {}
        tuning = cls(
            frozenset(path for path in trainable if path in head and path not in frozen),
            frozenset(path for path in trainable if path not in head and path not in frozen),
            **options,
        )
        if not tuning.head and (not tuning.body or tuning.head_epochs):
            raise UserError(f"`freeze` leaves no layer to train. Received: freeze={settings['freeze']}")
        return tuning

    def first_epoch_of_phase(self, epoch: int) -> int:
        """Return the first of the epochs that train the same layers as an epoch, from 0."""
        return 0 if epoch < self.head_epochs else self.head_epochs

    def set_trainable(self, model: keras.Model, epoch: int) -> None:
        """Let the layers that an epoch trains be trainable, and no others."""
        trained = self.head if epoch < self.head_epochs else self.head | self.body
        for path, layer in iter_layers(model):
            layer.trainable = path in trained

    def rate_factor(self, variable_path: str) -> float:
        """Return the learning-rate multiplier of a variable."""
        is_head = any(variable_path.startswith(f"{path}/") for path in self.head)
        return 1.0 if is_head else self.body_rate

    def describe(self, model: keras.Model) -> str:
        """Return a line that says how much is trained."""
        counts = {path: sum(map(_size, layer.trainable_variables)) for path, layer in iter_layers(model)}
        head = sum(counts[path] for path in self.head)
        body = sum(counts[path] for path in self.body)
        phases = [f"{head:,} parameters of the head in epochs 1 to {self.head_epochs}"] if self.head_epochs else []
        return f"trains {', then '.join([*phases, f'{head + body:,} parameters'])}"


def find_frozen(model: keras.Model, patterns: Sequence[str]) -> frozenset[str]:
    """Return the paths of the layers with weights that patterns freeze.

    Args:
        model: the network.
        patterns: of shells, for whole paths: `conv1` is the row of that name with all that is inside it, `conv*` every
            row whose name begins so, and `*/bn*` the layers in all blocks whose names do.

    Raises:
        UserError: a pattern fits no layer with weights.
    """
    paths = [path for path, _ in iter_layers(model)]
    frozen: set[str] = set()
    for pattern in patterns:
        fitting = {path for path in paths if any(fnmatchcase(outer, pattern) for outer in _outer_paths(path))}
        if not fitting:
            rows = list(dict.fromkeys(path.partition("/")[0] for path in paths))
            hint = did_you_mean(find_near_words(pattern, rows, 0.6)) or f"its rows: {', '.join(rows)}"
            raise UserError(
                f"`freeze`: the pattern {printable(repr(pattern))} fits no layer with weights of {model.name}; {hint}"
            )
        frozen |= fitting
    return frozenset(frozen)


def _outer_paths(path: str) -> Iterator[str]:
    """Yield a path, and those of the layers around its layer.

    Example:
        >>> list(_outer_paths("conv2_x/block_1/conv1"))
        ['conv2_x', 'conv2_x/block_1', 'conv2_x/block_1/conv1']
    """
    names = path.split("/")
    yield from ("/".join(names[:count]) for count in range(1, len(names) + 1))


def _size(variable: keras.Variable) -> int:
    size = 1
    for side in variable.shape:
        size *= side
    return size
