"""Muon for the kernels of convolutions."""

import math
from typing import Any

import keras
from keras import ops

from .recipe_mixin import RecipeMixin

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of Jordan's quintic iteration
_EPSILON = 1e-7
_KERNEL_RANK = 4
_ARGUMENTS = """
momentum nesterov newton_schulz_steps normalize rms_rate others others_rate sgd_momentum beta_1 beta_2 epsilon
""".split()


@keras.saving.register_keras_serializable(package="convzoo")
class Muon(RecipeMixin, keras.optimizers.Optimizer):
    """Momentum, orthogonalized, for the kernels of convolutions; SGD or AdamW for every other variable.

    A kernel is flattened to a matrix of one column per filter. Keras's Muon takes the kernels of dense layers instead.
    A kernel whose matrix has a single row or column, such as that of a depthwise convolution, counts among the others.
    Jordan computes the iteration in bfloat16, this class in the precision of the variables.

    Args:
        learning_rate: rate of the kernels; default 0.02.
        momentum: momentum of the kernels; default 0.95.
        nesterov: whether the momentum is Nesterov's, also for `others="sgd"`; default True.
        newton_schulz_steps: number of iterations that orthogonalize an update; default 5.
        normalize: whether a kernel is scaled to the norm √filters before each update, as in airbench94_muon; default
            False.
        rms_rate: None (default) multiplies an update by √max(1, filters / inputs of a filter), as Jordan does; a number
            multiplies it by `rms_rate`·√max(filters, inputs of a filter), as Liu et al. 2025 (arXiv 2502.16982) do.
        others: "sgd" (default) or "adamw", the rule for all other variables. AdamW's decay is `weight_decay`.
        others_rate: learning-rate multiplier for all other variables; default 1.
        sgd_momentum: momentum of "sgd"; default 0.9.
        beta_1, beta_2, epsilon: of "adamw"; default 0.9, 0.999, 1e-7.
        **kwargs: arguments of `keras.optimizers.Optimizer` and `RecipeMixin`. `weight_decay` is decoupled.

    Reference:
        Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024
        (kellerjordan.github.io/posts/muon), and airbench94_muon.

    Example:
        >>> optimizer = Muon(0.02, others="adamw", others_rate=0.05, weight_decay=0.05)
    """

    def __init__(
        self,
        learning_rate: Any = 0.02,
        momentum: float = 0.95,
        nesterov: bool = True,
        newton_schulz_steps: int = 5,
        normalize: bool = False,
        rms_rate: float | None = None,
        others: str = "sgd",
        others_rate: float = 1.0,
        sgd_momentum: float = 0.9,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **kwargs: Any,
    ):
        super().__init__(learning_rate=learning_rate, **kwargs)
        if others not in ("sgd", "adamw"):
            raise ValueError(f"`others` must be sgd or adamw. Received: {others!r}")
        if not isinstance(newton_schulz_steps, int) or newton_schulz_steps < 1:
            raise ValueError(f"`newton_schulz_steps` must be a whole number above 0. Received: {newton_schulz_steps!r}")
        self.momentum = momentum
        self.nesterov = nesterov
        self.newton_schulz_steps = newton_schulz_steps
        self.normalize = normalize
        self.rms_rate = rms_rate
        self.others = others
        self.others_rate = others_rate
        self.sgd_momentum = sgd_momentum
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self._momentums = self.add_optimizer_variables(variables, "momentum")
        with_velocity = [each for each in variables if self.others == "adamw" and not is_convolution_kernel(each)]
        self._velocities = {
            self._get_variable_index(each): self.add_variable_from_reference(each, "velocity") for each in with_velocity
        }

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        kernel = is_convolution_kernel(self._trainable_variables[index])
        rate = ops.cast(self.scale_rate(learning_rate, variable), variable.dtype)
        gradient = ops.cast(gradient, variable.dtype)
        value = ops.convert_to_tensor(variable)
        if kernel:
            update = self._orthogonalize(self._add_momentum(gradient, index, self.momentum))
            if self.normalize:
                value = value * (math.sqrt(value.shape[-1]) / ops.norm(ops.reshape(value, (-1,))))
        elif self.others == "sgd":
            update = self.others_rate * self._add_momentum(gradient, index, self.sgd_momentum)
        else:
            update = self.others_rate * self._compute_adam_update(gradient, index)
        self.assign(variable, value - rate * update)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **{name: getattr(self, name) for name in _ARGUMENTS}}

    def _add_momentum(self, gradient: Any, index: int, momentum: float) -> Any:
        """Update the momentum of a variable; return the direction of its step."""
        mean = momentum * ops.convert_to_tensor(self._momentums[index]) + gradient
        self.assign(self._momentums[index], mean)
        return gradient + momentum * mean if self.nesterov else mean

    def _orthogonalize(self, direction: Any) -> Any:
        filters = direction.shape[-1]
        inputs = math.prod(direction.shape[:-1])
        if self.rms_rate is None:
            scale = math.sqrt(max(1.0, filters / inputs))
        else:
            scale = self.rms_rate * math.sqrt(max(filters, inputs))
        matrix = orthogonalize(ops.reshape(direction, (inputs, filters)), self.newton_schulz_steps)
        return scale * ops.reshape(matrix, direction.shape)

    def _compute_adam_update(self, gradient: Any, index: int) -> Any:
        step = ops.cast(self.iterations + 1, gradient.dtype)
        mean = self.beta_1 * ops.convert_to_tensor(self._momentums[index]) + (1 - self.beta_1) * gradient
        square = self.beta_2 * ops.convert_to_tensor(self._velocities[index]) + (1 - self.beta_2) * gradient**2
        self.assign(self._momentums[index], mean)
        self.assign(self._velocities[index], square)
        correction = ops.sqrt(1 - self.beta_2**step) / (1 - self.beta_1**step)
        return correction * mean / (ops.sqrt(square) + self.epsilon)


def is_convolution_kernel(variable: keras.Variable) -> bool:
    """Return whether a variable is the kernel of a convolution with some filters that have some inputs each."""
    shape = tuple(variable.shape)
    is_kernel = len(shape) >= _KERNEL_RANK and "kernel" in variable.name
    return is_kernel and min(shape[-1], math.prod(shape[:-1])) > 1


def orthogonalize(matrix: Any, steps: int = 5) -> Any:
    """Return a matrix with nearly the same singular vectors whose singular values are near 1: between 0.7 and 1.2.

    Args:
        matrix: a tensor of shape (rows, columns).
        steps: number of Newton-Schulz iterations; default 5.
    """
    a, b, c = _COEFFICIENTS
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = ops.transpose(matrix) if is_tall else matrix
    x = x / (ops.norm(x) + _EPSILON)
    for _ in range(steps):
        square = ops.matmul(x, ops.transpose(x))
        x = a * x + ops.matmul(b * square + c * ops.matmul(square, square), x)
    return ops.transpose(x) if is_tall else x
