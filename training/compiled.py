"""A model with what the backend compiles for it: a run that differs from the one before in its seed takes that over.

To trace a network takes longer than a short run's epochs: on two cores half a second for LeNet, seconds for a hundred
layers. All that a seed decides stands in variables.
"""

import gc

from ..models.objective import make
from .scores import Scores
from .step import SmoothedCrossentropy, Step, with_heads


class Compiled:
    """A model, its class scores and its training step; each is traced at its first call.

    Args:
        model: from pictures to class scores.
        objective: `convzoo.models.objective.Objective` of it; None is the cross-entropy of the scores.
    """

    def __init__(self, model, objective=None):
        self.model, self.objective, self.scores, self._step = model, objective or make(model), Scores(model), None

    def step(self, optimizer, label_smoothing=0.0):
        """The `Step` of a training that begins.

        Args:
            optimizer: Keras's, new.
            label_smoothing: as in a recipe. Where a step was made before, it and the optimizer's settings are the same.
        """
        smoothed = {"loss": SmoothedCrossentropy(label_smoothing)} if label_smoothing else {}
        if self._step is None:
            self._step = Step(self.model, self.objective._replace(**smoothed), optimizer)
        else:
            optimizer.build(self._step.model.trainable_variables)
            _set(self._step.optimizer.variables, optimizer.variables)
        return self._step

    def variables(self):
        """The model's and its heads'."""
        return with_heads(self.model, self.objective).variables


_last = {}  # the one of the last training that came to its end, by its cell


def forget_others(cell):
    """Gives back the memory of what is kept for another cell; to be called before a model is made."""
    if _last and cell not in _last:
        _last.clear()
        gc.collect()  # a model and its graph refer to each other


def of(cell, model, objective):
    """The `Compiled` that is kept for a cell, its variables set to a model's; else a new one of the model.

    Args:
        cell: what stands for all that decides a result beside the seed.
        model, objective: as in `Compiled`.
    """
    new, known = Compiled(model, objective), _last.pop(cell, None)
    if known is None:
        return new
    _set(known.variables(), new.variables())
    return known


def keep(cell, compiled):
    """Keeps a `Compiled` whose training has come to its end for the next of its cell."""
    _last.clear()
    _last[cell] = compiled


def _set(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
