"""Training step: loss, gradient and update, for one batch or for some batches in one call of the backend.

Some batches are one compiled loop on TensorFlow, one compiled call each on JAX, where no call waits for the one before,
and one after the other on torch. Keras's `train_on_batch` computes the same; it takes a tenth longer for a small
network, and updates the weights even if the loss is not finite.
"""

import abc
import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from ... import UserError
from ...models.builder import resize_inputs
from ...models.objective import Objective
from .. import diagnosis
from ..losses import with_soft_labels


class TrainStep(abc.ABC):
    """Trains a model on a batch, or on some batches in one call.

    The loss is the one that is minimized, with heads and regularization; the accuracy is that of the scores. Both are
    computed before the update.

    Args:
        model: from images to class scores; it is trained in place, but see `synchronize`.
        objective: the objective of the model.
        optimizer: a new Keras optimizer.

    Attributes:
        model: a model over the same layers that also has the heads' outputs, which are not saved with `model`.
    """

    def __init__(self, model: keras.Model, objective: Objective, optimizer: keras.optimizers.Optimizer):
        self.model = attach_heads(model, objective)
        self.objective = objective
        self.optimizer = optimizer
        self._models_by_shape = {tuple(model.input.shape[1:]): self.model}
        optimizer.build(self.model.trainable_variables)

    def train_on_batch(self, x: Any, y: Any) -> tuple[float, float]:
        """Train on a batch; return its loss and accuracy. Raises as `train_on_batches` does.

        Args:
            x: images, shape (n, height, width, channels).
            y: labels, integers of shape (n,) or distributions of shape (n, classes).
        """
        return self.train_on_batches(self.stack([(x, y)]))[0]

    def stack(self, batches: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
        """Return the argument of `train_on_batches`. Another thread may call this during a step.

        Args:
            batches: pairs of images and labels, all of one size.
        """
        images, labels = zip(*batches, strict=True)
        return self._stack([ops.convert_to_tensor(x) for x in images]), self._stack(
            [ops.convert_to_tensor(y) for y in labels]
        )

    def train_on_batches(self, stacked: tuple[Any, Any]) -> list[tuple[float, float]]:
        """Train on one batch after the other in one call.

        Args:
            stacked: batches, as returned by `stack`.

        Returns:
            Loss and accuracy of each batch.

        Raises:
            UserError: a loss is not finite. Neither its batch nor a later one has changed the weights.
        """
        step_metrics = [(float(loss), float(accuracy)) for loss, accuracy in self._train(*stacked)]
        for number, (loss, _) in enumerate(step_metrics):
            if not math.isfinite(loss):
                self.synchronize()
                x, y = (part[number] for part in stacked)
                fault = diagnosis.find_nonfinite(self.model, self.model_inputs(x, y))
                raise UserError(f"the loss is {loss}: {fault}; {diagnosis.REMEDY}")
        return step_metrics

    def synchronize(self) -> None:  # noqa: B027 (most backends have nothing to do)
        """Write the trained values into the variables of model and optimizer, where a backend keeps them elsewhere."""

    def variables(self) -> list[keras.Variable]:
        """Return all that decides the next step: weights, states of seeds, the optimizer's step, rate and momentum."""
        return [*self.model.variables, *self.optimizer.variables]

    def set_learning_rate(self, learning_rate: float) -> None:
        """Set the rate of the next steps, for an optimizer without a schedule."""
        self.synchronize()
        self.optimizer.learning_rate = learning_rate

    def reset_optimizer_state(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Set the state of the optimizer to that of a new one with the same settings.

        Args:
            optimizer: a new Keras optimizer. It starts at the current weights.
        """
        self.synchronize()
        optimizer.build(self.model.trainable_variables)
        for variable, start in zip(self.optimizer.variables, optimizer.variables, strict=True):
            variable.assign(start)

    def set_averaged_weights(self) -> None:
        """Set the weights to their averages, if the optimizer has averages to evaluate and save."""
        self.synchronize()
        self._assign_weights(self.optimizer.evaluation_weights())

    @contextlib.contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Set the weights to their averages for the time of the context, if the optimizer has averages."""
        self.synchronize()
        averages = self.optimizer.evaluation_weights()
        variables = self.model.trainable_variables
        # Copies, since torch returns the memory of the weights themselves.
        trained = averages and [np.array(ops.convert_to_numpy(variable)) for variable in variables]
        self._assign_weights(averages)
        try:
            yield
        finally:
            self._assign_weights(trained)

    def _assign_weights(self, values: Sequence[Any] | None) -> None:
        if values:
            for variable, value in zip(self.model.trainable_variables, values, strict=True):
                variable.assign(value)

    def model_for(self, shape: Iterable[int]) -> keras.Model:
        """Return the model for images of a shape, over the same layers. A new shape needs a call outside of a trace.

        Args:
            shape: (height, width, channels).
        """
        shape = tuple(shape)
        if shape not in self._models_by_shape:
            self._models_by_shape[shape] = resize_inputs(self.model, shape)
        return self._models_by_shape[shape]

    def model_inputs(self, x: Any, y: Any) -> list[Any]:
        """Return the inputs of `model`: the images, and the labels if a head takes them."""
        return [x] if self.objective.labels is None else [x, y]

    def compute_loss(self, x: Any, y: Any, outputs: Any, penalties: Sequence[Any]) -> tuple[Any, Any]:
        """Return loss and accuracy of a batch. The class of a distribution is its most probable one.

        Args:
            x: images.
            y: labels, integers of shape (n,) or distributions of shape (n, classes).
            outputs: outputs of `model`.
            penalties: regularization losses of `model`.
        """
        scores, *heads = keras.tree.flatten(outputs)
        loss = _label_loss(self.objective.loss, y, scores)
        head_specs = self.objective.targets, self.objective.losses, self.objective.weights
        for head, target, head_loss, weight in zip(heads, *head_specs, strict=True):
            if target == "labels":
                head_value = _label_loss(head_loss, y, head)
            else:
                head_value = head_loss(ops.cast(x, "float32") / 255, head)
            loss = loss + weight * head_value
        classes = ops.argmax(y, -1) if len(y.shape) == 2 else ops.cast(y, "int32")
        is_correct = ops.equal(ops.argmax(scores, -1), classes)
        return sum(penalties, loss), ops.mean(ops.cast(is_correct, "float32"))

    @abc.abstractmethod
    def _train(self, images: Any, labels: Any) -> Iterable[tuple[Any, Any]]:
        """Train on stacked batches, up to the first whose loss is not finite; return loss and accuracy of each."""

    def _stack(self, tensors: list[Any]) -> Any:
        """Stack tensors of one size as `_train` needs them."""
        return tensors


def attach_heads(model: keras.Model, objective: Objective) -> keras.Model:
    """Return a model over the same layers whose outputs are the scores and the heads' outputs."""
    inputs = [model.input] if objective.labels is None else [model.input, objective.labels]
    return keras.Model(inputs, [model.output, *objective.outputs.values()], name=model.name)


def _label_loss(loss: keras.losses.Loss, y: Any, scores: Any) -> Any:
    """Return a loss of labels, which are integers or distributions."""
    return (with_soft_labels(loss) if len(y.shape) == 2 else loss)(y, scores)
