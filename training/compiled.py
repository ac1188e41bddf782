"""A model with what the backend compiles for it: a run that differs from the one before in its seed takes that over.

To trace a network takes longer than a short run's epochs: on two cores half a second for LeNet, seconds for a hundred
layers. What a seed decides stands in variables, and they are set to those of a model that was made for the run.
"""

import gc
from functools import cache

from keras import ops

from ..models.objective import make
from .backend import classes
from .scores import Scores
from .step import SmoothedCrossentropy, Step, with_heads


class Compiled:
    """A model, its class scores and its training step; each is traced at its first call.

    Args:
        model: from pictures to class scores.
        objective: `convzoo.models.objective.Objective` of it; None is the cross-entropy of the scores.
    """

    def __init__(self, model, objective=None):
        self.model, self.objective, self.scores = model, objective or make(model), Scores(model)
        self._step = self._kept = None

    def step(self, optimizer, label_smoothing=0.0):
        """The `Step` of a training that begins.

        Args:
            optimizer: Keras's, new.
            label_smoothing: as in a recipe.

        After `begin` it is the one that was made before, whose settings are the cell's.
        """
        smoothed = {"loss": SmoothedCrossentropy(label_smoothing)} if label_smoothing else {}
        if self._kept is None:
            self._step = Step(self.model, self.objective._replace(**smoothed), optimizer)
        self._kept = None
        return self._step

    def begin(self, other):
        """Sets all to what it is before the training of another, of the same cell, whose variables are taken.

        Args:
            other: a `Compiled`.
        """
        self._kept = self._step
        if self._kept is not None:
            self._kept.synchronize()
            for variable in self._kept.optimizer.variables:  # no steps, no momentum
                variable.assign(ops.zeros(variable.shape, variable.dtype))
        for variable, value in zip(self.variables(), other.variables(), strict=True):
            variable.assign(value)

    def variables(self):
        """The model's and its heads'."""
        return with_heads(self.model, self.objective).variables


_last = {}  # the last one, by its key
_keep_modules = cache(gc.freeze)  # once, before the first model: MLflow, which came in after the backend, is kept too


def key(cell, name, network, own_layers):
    """What two runs have in common of which one may take over what was compiled for the other; None for no other.

    Args:
        cell: stands for all that decides a result beside the seed.
        name: the network's.
        network: rows and heads. Keras's `Normalization` has what it was adapted to in the trace, as constants; behind a
            layer with weights a seed decides them.
        own_layers: the classes of a user's own that rows may name: nobody knows where they keep what a seed decides.
    """
    return None if own_layers or "Normalization" in classes(network) else (cell, name)


def of(key, fresh):
    """A `Compiled` that begins: the last one, if it is of this key, else a new one.

    Args:
        key: as `key` gives it.
        fresh: makes a model and its objective.
    """
    _keep_modules()
    if key not in _last:
        if _last:
            _last.clear()
            gc.collect()  # a model and its graph refer to each other
        compiled = Compiled(*fresh())
        if key is not None:
            _last[key] = compiled
        return compiled
    _last[key].begin(Compiled(*fresh()))
    gc.collect()
    return _last[key]
