"""SGD with L2 regularization in the gradient."""

from typing import Any

import keras
from keras import ops

from .recipe_mixin import RecipeMixin


@keras.saving.register_keras_serializable(package="convzoo")
class L2SGD(RecipeMixin, keras.optimizers.SGD):
    """SGD with the papers' L2 regularization: λw is added to the gradient and passes through the momentum.

    Keras's own `weight_decay` is decoupled: it shrinks the weights beside the momentum, so that the same number has
    about a tenth of the effect at momentum 0.9. Only the variables of `decay_variables` are regularized: by default no
    bias, no scale or offset of a normalization.

    Args:
        *args: arguments of `keras.optimizers.SGD`.
        l2: λ of the penalty λ/2·‖w‖²; default 0.
        **kwargs: arguments of `keras.optimizers.SGD` and `RecipeMixin`.

    Example:
        >>> optimizer = L2SGD(0.02, momentum=0.9, nesterov=True, l2=5e-4)
    """

    def __init__(self, *args: Any, l2: float = 0.0, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.l2 = l2

    def apply(self, grads: Any, trainable_variables: list[keras.Variable] | None = None) -> None:
        variables = self._trainable_variables if trainable_variables is None else list(trainable_variables)
        super().apply([self._add_penalty(g, v) for g, v in zip(grads, variables, strict=True)], variables)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "l2": self.l2}

    def _add_penalty(self, gradient: Any, variable: keras.Variable) -> Any:
        if not self.l2 or gradient is None or not self.is_decayed(variable):
            return gradient
        penalty = self.l2 * ops.convert_to_tensor(variable)
        return gradient + ops.cast(penalty, gradient.dtype)
