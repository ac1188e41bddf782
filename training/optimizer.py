"""What a recipe says of the optimizer, as Keras objects."""

import keras
from keras import ops

from .recipe import SCHEDULES


def make_optimizer(recipe, schedule, steps=None):
    """The recipe's optimizer at the rates of `schedule`: SGD with its `momentum`, `nesterov`, `weight_decay` and more.

    Args:
        recipe: mapping with these keys.
        schedule: a rate or a `LearningRateSchedule`.
        steps: of the whole training, which `lookahead` has to know; None leaves that out.
    """
    return L2SGD(
        schedule,
        momentum=recipe["momentum"],
        nesterov=recipe["nesterov"],
        l2=recipe["weight_decay"],
        bias_rate=recipe.get("bias_rate", 1.0),
        lookahead=recipe.get("lookahead", 0.0) if steps else 0.0,
        steps=steps,
    )


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
    - triangle: a linear rise from a fifth of `learning_rate` over the first `warmup` of the run, then a linear fall to
      7 % of it (Jordan 2024, arXiv 2404.00498);
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
    if name == "triangle":
        return _Triangle(learning_rate, int(total * recipe["warmup"]), total)
    if name == "inverse":
        return _Inverse(learning_rate)
    raise ValueError(f"`schedule` must be one of {', '.join(SCHEDULES)}. Received: {name!r}")


class _Inverse(keras.optimizers.schedules.LearningRateSchedule):
    def __init__(self, learning_rate):
        self.learning_rate = learning_rate

    def __call__(self, step):
        step = ops.cast(step, "float32")
        return self.learning_rate * (1.0 + 1e-4 * step) ** -0.75

    def get_config(self):
        return {"learning_rate": self.learning_rate}


class _Triangle(keras.optimizers.schedules.LearningRateSchedule):
    def __init__(self, learning_rate, rise, total):
        self.learning_rate, self.rise, self.total = learning_rate, rise, total

    def __call__(self, step):
        step = ops.cast(step, "float32")
        risen = 0.2 + 0.8 * step / max(self.rise, 1)
        fallen = 0.07 + 0.93 * (self.total - step) / (self.total - self.rise)
        return self.learning_rate * ops.minimum(risen if self.rise else 1.0, fallen)

    def get_config(self):
        return {"learning_rate": self.learning_rate, "rise": self.rise, "total": self.total}


_EVERY, _LAST = 5, 4  # steps between two times that the weights are drawn back, and after the last of them


class L2SGD(keras.optimizers.SGD):
    """SGD with L2 regularisation as the papers mean it: λw is added to the gradient and goes through the momentum.

    Keras's own `weight_decay` is decoupled: it shrinks the weights beside the momentum, so that the same number does
    about a tenth of it at momentum 0.9. Kernels alone are reached: no bias, no scale or offset of a normalization.

    With `lookahead` every fifth step draws the weights a part of the way back to those that the fifth step before left.
    Training goes on from there, for four steps after the last time too, so that a batch normalization's statistics are
    of these weights, as they would not be of a running mean of the weights.

    Args:
        l2: λ of the penalty λ/2·‖w‖².
        bias_rate: times the learning rate, for the biases of normalizations, Keras's `beta`.
        lookahead: that part of the way, in [0, 1), as it is in the end; after a part t of all steps it is t³ of that.
        steps: of the whole training.

    Reference:
        Zhang et al., Lookahead Optimizer: k steps forward, 1 step back, 2019 (arXiv 1907.08610), with k = 5 and
        1 − α the part of the way; that it rises is of Jordan 2024 (arXiv 2404.00498).
    """

    def __init__(self, *args, l2=0.0, bias_rate=1.0, lookahead=0.0, steps=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.l2, self.bias_rate, self.lookahead, self.steps = l2, bias_rate, lookahead, steps

    def build(self, variables):
        super().build(variables)
        if self.lookahead:
            self._left = [self.add_variable_from_reference(variable, "left") for variable in variables]

    def apply(self, grads, trainable_variables=None):
        variables = self._trainable_variables if trainable_variables is None else list(trainable_variables)
        changed = [self._changed(g, v) for g, v in zip(grads, variables, strict=True)]
        super().apply(changed, variables)
        if self.lookahead:
            self._draw_back(variables)

    def _draw_back(self, variables):
        step = self.iterations  # from 1
        due = ops.equal(ops.mod(self.steps - step, _EVERY), _LAST)
        part = self.lookahead * (ops.cast(step, "float32") / self.steps) ** 3
        for variable, left in zip(variables, self._left, strict=True):
            now = ops.convert_to_tensor(variable)
            before = ops.where(ops.equal(step, 1), now, ops.convert_to_tensor(left))
            now = ops.where(due, now + ops.cast(part, now.dtype) * (before - now), now)
            left.assign(ops.where(due, now, before))
            variable.assign(now)

    def _changed(self, gradient, variable):
        if self.l2 and "kernel" in variable.name:
            penalty = self.l2 * ops.convert_to_tensor(variable)
            return gradient + ops.cast(penalty, gradient.dtype)
        if self.bias_rate != 1 and "beta" in variable.name:
            return gradient * self.bias_rate  # the momentum is linear in it
        return gradient

    def _all_reduce_sum_gradients(self, grads_and_vars):
        """One replica has nothing to sum; TensorFlow's sum of one would keep each network in memory for good.

        It is a custom gradient, which TensorFlow registers by name, with the graph and its variables, and never drops.
        """
        return list(grads_and_vars)
