"""What a recipe says of the optimizer, as Keras objects."""

import keras

from .recipe import SCHEDULES


def make_optimizer(recipe, schedule):
    """The recipe's optimizer: SGD with its `momentum`, `nesterov` and `weight_decay`, at the rates of `schedule`."""
    return L2SGD(schedule, momentum=recipe["momentum"], nesterov=recipe["nesterov"], l2=recipe["weight_decay"])


def make_schedule(recipe, learning_rate, epochs, steps):
    """The recipe's learning rate, a `LearningRateSchedule` over steps from 0.

    Args:
        recipe: mapping with `schedule`, `warmup`, `boundaries`.
        learning_rate: the highest rate.
        epochs: epochs of the run.
        steps: steps of an epoch.

    - constant: `learning_rate` throughout;
    - cosine: a linear rise over the first `warmup` of the run (a fraction), then half a cosine down to zero;
    - steps: divided by ten at each epoch of `boundaries`;
    - inverse: `learning_rate · (1 + 0.0001 · step)^−0.75`, Caffe's `inv` with LeNet's constants.
    """
    schedules, learning_rate = keras.optimizers.schedules, float(learning_rate)
    name, total = recipe["schedule"], epochs * steps
    if name == "constant":
        return schedules.PiecewiseConstantDecay([total], [learning_rate, learning_rate])
    if name == "cosine":
        rise = min(int(total * recipe["warmup"]), total - 1)
        return schedules.CosineDecay(
            0.0 if rise else learning_rate,
            total - rise,
            warmup_target=learning_rate if rise else None,
            warmup_steps=rise,
        )
    if name == "steps":
        boundaries = [epoch * steps - 1 for epoch in recipe["boundaries"]]  # the last step at the rate before
        return schedules.PiecewiseConstantDecay(boundaries, [learning_rate / 10**n for n in range(len(boundaries) + 1)])
    if name == "inverse":
        return _Inverse(learning_rate)
    raise ValueError(f"`schedule` must be one of {', '.join(SCHEDULES)}. Received: {name!r}")


class _Inverse(keras.optimizers.schedules.LearningRateSchedule):
    def __init__(self, learning_rate):
        self.learning_rate = learning_rate

    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        return self.learning_rate * (1.0 + 1e-4 * step) ** -0.75

    def get_config(self):
        return {"learning_rate": self.learning_rate}


class L2SGD(keras.optimizers.SGD):
    """SGD with L2 regularisation as the papers mean it: λw is added to the gradient and goes through the momentum.

    Keras's own `weight_decay` is decoupled: it shrinks the weights beside the momentum, so that the same number does
    about a tenth of it at momentum 0.9. Kernels alone are reached: no bias, no scale or offset of a normalization.

    Args:
        l2: λ of the penalty λ/2·‖w‖².
    """

    def __init__(self, *args, l2=0.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.l2 = l2

    def apply(self, grads, trainable_variables=None):
        variables = self._trainable_variables if trainable_variables is None else trainable_variables
        if self.l2:
            grads = [
                g + keras.ops.cast(self.l2 * keras.ops.convert_to_tensor(v), g.dtype) if "kernel" in v.name else g
                for g, v in zip(grads, variables, strict=True)
            ]
        return super().apply(grads, trainable_variables)

    def _all_reduce_sum_gradients(self, grads_and_vars):
        """One replica has nothing to sum; TensorFlow's sum of one would keep each network in memory for good.

        It is a custom gradient, which TensorFlow registers by name, with the graph and its variables, and never drops.
        """
        return list(grads_and_vars)
