"""Training steps, one class per backend."""

import keras

from ...models.objective import Objective
from .base import TrainStep


def make_train_step(model: keras.Model, objective: Objective, optimizer: keras.optimizers.Optimizer) -> TrainStep:
    """Return the training step of the active backend.

    Args:
        model: from images to class scores; it is trained in place, but see `TrainStep.synchronize`.
        objective: the objective of the model.
        optimizer: a new Keras optimizer.

    Example:
        >>> model = build("lenet", image_shape=(32, 32, 3))
        >>> step = make_train_step(model, objective.make_objective(model), keras.optimizers.SGD(0.1))
        >>> images, labels = np.zeros((4, 32, 32, 3), "float32"), np.zeros(4, "int32")
        >>> loss, accuracy = step.train_on_batch(images, labels)
    """
    # Each module imports its backend.
    match keras.backend.backend():
        case "tensorflow":
            from .tensorflow import TensorFlowStep

            return TensorFlowStep(model, objective, optimizer)
        case "jax":
            from .jax import JaxStep

            return JaxStep(model, objective, optimizer)
        case "torch":
            from .torch import TorchStep

            return TorchStep(model, objective, optimizer)
    raise ValueError(f"backend must be tensorflow, jax or torch. Received: {keras.backend.backend()}")
