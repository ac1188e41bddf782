"""Compiled models, and a cache: consecutive runs that differ only in their seed share the compiled functions.

Tracing a network takes longer than the epochs of a short run: half a second for LeNet on two cores, seconds for a
hundred layers. All that a seed decides is in variables, which are set to those of a model that was built for the run.
"""

import gc
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import keras

from ..models.objective import Objective, make_objective
from .backend import list_layer_classes
from .losses import SmoothedCrossentropy
from .predictor import Predictor
from .steps import make_train_step
from .steps.base import TrainStep, attach_heads


class CompiledModel:
    """A model with its compiled functions, each of which is traced at its first call.

    Args:
        model: from images to class scores.
        objective: the objective of the model; default None is the cross-entropy of the scores.

    Attributes:
        predict: the model's `Predictor`.

    Example:
        >>> model = build("lenet", image_shape=(32, 32, 3))
        >>> CompiledModel(model).predict(np.zeros((5, 32, 32, 3), "float32")).shape
        (5, 10)
    """

    def __init__(self, model: keras.Model, objective: Objective | None = None):
        self.model = model
        self.objective = objective or make_objective(model)
        self.predict = Predictor(model)
        self._step: TrainStep | None = None
        self._can_reuse_step = False

    def make_step(self, optimizer: keras.optimizers.Optimizer, label_smoothing: float | None = 0.0) -> TrainStep:
        """Return the training step of a new training.

        Args:
            optimizer: a new Keras optimizer. After `reset` the step of the last training is reused, and its optimizer,
                which has the same settings, takes the state of this one.
            label_smoothing: as in a recipe; default 0.
        """
        if self._step is None or not self._can_reuse_step:
            loss = {"loss": SmoothedCrossentropy(label_smoothing)} if label_smoothing else {}
            self._step = make_train_step(self.model, self.objective._replace(**loss), optimizer)
        else:
            self._step.reset_optimizer_state(optimizer)
        self._can_reuse_step = False
        return self._step

    def reset(self, fresh: "CompiledModel") -> None:
        """Set the variables of the model and its heads to the start of a new training.

        Args:
            fresh: a new `CompiledModel` of a run that differs only in its seed; its variables are copied.
        """
        if self._step is not None:
            self._step.synchronize()
        self._can_reuse_step = self._step is not None
        for variable, value in zip(self.variables(), fresh.variables(), strict=True):
            variable.assign(value)

    def variables(self) -> list[keras.Variable]:
        """Return the variables of the model and its heads."""
        return attach_heads(self.model, self.objective).variables


class CompiledModelCache:
    """A cache of one entry: the compiled model of the last run. A process that trains runs in turn keeps one.

    Example:
        >>> cache = CompiledModelCache()
        >>> first = cache.get_or_build("lenet", lambda: (build("lenet"), None))
        >>> first is cache.get_or_build("lenet", lambda: (build("lenet"), None))
        True
    """

    def __init__(self) -> None:
        self._key: Hashable = None
        self._compiled: CompiledModel | None = None

    def get_or_build(
        self, key: Hashable, build_model: Callable[[], tuple[keras.Model, Objective | None]]
    ) -> CompiledModel:
        """Return a `CompiledModel` at the start of a training: the last one, if it has this key, else a new one.

        Args:
            key: as returned by `cache_key`; None is never cached.
            build_model: returns a new model and its objective.
        """
        if key is None or key != self._key or self._compiled is None:
            self.clear()
            compiled = CompiledModel(*build_model())
            if key is not None:
                self._key = key
                self._compiled = compiled
            return compiled
        self._compiled.reset(CompiledModel(*build_model()))
        gc.collect()
        return self._compiled

    def clear(self) -> None:
        """Free the entry."""
        if self._compiled is not None:
            self._key = self._compiled = None
            gc.collect()  # a model and its graph refer to each other


def cache_key(cell: str, name: str, network: Mapping[str, Any], custom_layers: Sequence[str]) -> tuple[str, str] | None:
    """Return a key that two runs share if they can use the same compiled model; None if no other run can.

    Args:
        cell: hash of all that decides a result except the seed.
        name: name of the network.
        network: its rows and heads. Keras's `Normalization` has the values that it was adapted to as constants in the
            trace; after a layer with weights they depend on the seed.
        custom_layers: the user's own classes that rows may name; they may keep values that depend on the seed anywhere.

    Example:
        >>> cache_key("1f3a", "lenet", {"rows": {}}, [])
        ('1f3a', 'lenet')
    """
    return None if custom_layers or "Normalization" in list_layer_classes(network) else (cell, name)
