"""Steps of training: loss, gradient and update, one or some of them in one call.

That is one compiled loop on TensorFlow; on JAX a compiled call for each, none waited for before the next; on torch one
after the other.

Keras's `train_on_batch` does the same, a tenth slower for a small network, and learns from a loss that is no number.
"""

import math

import keras
from keras import ops

from .. import UserError
from ..models.assemble import resized


class Step:
    """Trains on a batch, `loss, accuracy = step(images, labels)`, or on one after the other in one call, by `learn`.

    The loss is the one that was minimised, heads and regularization included; the accuracy that of the scores, both
    before the update.

    Args:
        model: from pictures to class scores; trained in place, but see `synchronize`.
        objective: `convzoo.models.objective.Objective` of it.
        optimizer: Keras's.

    Attributes:
        model: over the same layers, with the heads' outputs beside the scores: what is saved knows nothing of them.
    """

    def __init__(self, model, objective, optimizer):
        self.model = with_heads(model, objective)
        self.objective, self.optimizer, self._of_shape = objective, optimizer, {model.input.shape[1:]: self.model}
        optimizer.build(self.model.trainable_variables)
        make = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[keras.backend.backend()]
        self._run, self._together, self.synchronize = make(self)

    def __call__(self, x, y):
        """Loss and accuracy of a batch; raises as `learn` does."""
        return self.learn(self.ready([(x, y)]))[0]

    def ready(self, batches):
        """What `learn` takes.

        Args:
            batches: list of pairs of pictures and labels, all of one size.

        It may be made beside a step, in a thread of its own.
        """
        parts = zip(*batches, strict=True)
        return tuple(self._together([ops.convert_to_tensor(each) for each in part]) for part in parts)

    def learn(self, ready):
        """Trains on one batch after the other, as calls for each would.

        Args:
            ready: as `self.ready` made it.

        Returns:
            A list with the loss and the accuracy of each batch.

        Raises:
            UserError: a loss is infinite or no number; no weight has learned from its batch then, nor from those after.
        """
        told = [tuple(map(float, each)) for each in self._run(*ready)]
        for number, (loss, _) in enumerate(told):
            if not math.isfinite(loss):
                self.synchronize()
                x, y = (part[number] for part in ready)
                raise UserError(f"the loss is {loss}: {_first_fault(self.model, self.inputs(x, y))}")
        return told

    def variables(self):
        """All that decides the next step: weights, the seeds' states, the optimizer's step, rate and momentum."""
        return [*self.model.variables, *self.optimizer.variables]

    def of(self, x):
        """The model for pictures of this size, over the same layers; a new one is not to be made in a trace."""
        shape = tuple(x.shape[1:])
        if shape not in self._of_shape:
            self._of_shape[shape] = resized(self.model, shape)
        return self._of_shape[shape]

    def inputs(self, x, y):
        return [x] if self.objective.labels is None else [x, y]

    def judge(self, x, y, outputs, penalties):
        """Loss and accuracy of what the model gave."""
        scores, *heads = keras.tree.flatten(outputs)
        loss = self.objective.loss(y, scores)
        about = self.objective.targets, self.objective.losses, self.objective.weights
        for head, target, of, weight in zip(heads, *about, strict=True):
            wanted = y if target == "labels" else ops.cast(x, "float32") / 255
            loss = loss + weight * of(wanted, head)
        right = ops.equal(ops.argmax(scores, -1), ops.cast(y, "int32"))
        return sum(penalties, loss), ops.mean(ops.cast(right, "float32"))


def with_heads(model, objective):
    """A model over the same layers, with the heads' outputs beside the scores."""
    inputs = [model.input] if objective.labels is None else [model.input, objective.labels]
    return keras.Model(inputs, [model.output, *objective.outputs.values()], name=model.name)


class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy of logits, held against labels that leave a part of themselves to be shared by all classes.

    Args:
        smoothing: the part, in [0, 1).

    Reference:
        Szegedy et al., Rethinking the Inception architecture for computer vision, 2015 (arXiv 1512.00567), section 7.
    """

    def __init__(self, smoothing, **kwargs):
        super().__init__(**kwargs)
        self.smoothing = smoothing

    def call(self, y_true, y_pred):
        logs = ops.log_softmax(y_pred)
        own = ops.take_along_axis(logs, ops.cast(y_true, "int32")[:, None], -1)[:, 0]
        return -(1 - self.smoothing) * own - self.smoothing * ops.mean(logs, -1)


def _tensorflow(step):
    import tensorflow as tf

    optimizer, variables, compiled = step.optimizer, step.model.trainable_variables, {}

    def learn(x, y):
        model = step.of(x)
        with tf.GradientTape() as tape:
            outputs = model(step.inputs(x, y), training=True)
            loss, accuracy = step.judge(x, y, outputs, model.losses)
        gradients = tape.gradient(loss, variables)
        finite = tf.math.is_finite(loss)
        tf.cond(finite, lambda: optimizer.apply(gradients, variables), lambda: None)
        return finite, tf.stack([tf.cast(loss, tf.float32), accuracy])

    def learn_each(xs, ys):
        def one(number, _, told):
            finite, found = learn(xs[number], ys[number])
            return number + 1, finite, told.write(number, found)

        def go_on(number, finite, _):
            return finite & (number < tf.shape(ys)[0])

        told = tf.TensorArray(tf.float32, 0, dynamic_size=True, element_shape=(2,))
        return tf.while_loop(go_on, one, (0, True, told), parallel_iterations=1)[2].stack()

    def run(xs, ys):
        of_any_number = tuple(tf.TensorSpec((None, *part.shape[1:]), part.dtype) for part in (xs, ys))
        if of_any_number not in compiled:
            step.of(xs[0])
            # XLA trains these networks three to nine times slower on a processor.
            function = tf.function(learn_each, jit_compile=False, autograph=False)
            compiled[of_any_number] = function.get_concrete_function(*of_any_number)
        return compiled[of_any_number](xs, ys).numpy()

    return run, tf.stack, lambda: None


def _torch(step):
    import torch

    optimizer, variables = step.optimizer, step.model.trainable_variables

    def run(xs, ys):
        for x, y in zip(xs, ys, strict=True):
            model = step.of(x)
            loss, accuracy = step.judge(x, y, model(step.inputs(x, y), training=True), model.losses)
            step.model.zero_grad()
            loss.backward()
            finite = torch.isfinite(loss)
            if finite:
                with torch.no_grad():
                    optimizer.apply([variable.value.grad for variable in variables], variables)
            yield loss.detach(), accuracy
            if not finite:
                return

    return run, list, lambda: None


def _jax(step):
    import jax

    model, optimizer = step.model, step.optimizer
    parts = [model.trainable_variables, model.non_trainable_variables, optimizer.variables]
    state = []  # between two calls of `synchronize`, what the variables are to be

    def of(trained, held, x, y):
        outputs, held, penalties = step.of(x).stateless_call(
            trained, held, step.inputs(x, y), training=True, return_losses=True
        )
        loss, accuracy = step.judge(x, y, outputs, penalties)
        return loss, (accuracy, held)

    def update(values, finite, x, y):
        trained, before, optimized = values
        (loss, (accuracy, held)), gradients = jax.value_and_grad(of, has_aux=True)(trained, before, x, y)
        held = jax.lax.cond(finite, lambda: held, lambda: before)  # behind a batch at fault all stays as it left it
        finite = finite & jax.numpy.isfinite(loss)
        trained, optimized = jax.lax.cond(
            finite,
            lambda: optimizer.stateless_apply(optimized, gradients, trained),
            lambda: (trained, optimized),
        )
        return [trained, held, optimized], finite, (loss, accuracy)

    compiled = jax.jit(update)

    def run(xs, ys):
        step.of(xs[0])
        if not state:
            state[:] = [[variable.value for variable in part] for part in parts]
        finite, told = jax.numpy.asarray(True), []
        for x, y in zip(xs, ys, strict=True):
            state[:], finite, found = compiled(list(state), finite, x, y)
            told.append(found)  # nobody waits for a step before the next is on its way
        return told

    def synchronize():
        for part, values in zip(parts, state, strict=False):  # no state before the first step
            for variable, value in zip(part, values, strict=True):
                variable.assign(value)
        state.clear()

    return run, list, synchronize


def _first_fault(model, inputs):
    """Says where a number that is not finite came from: an update of weights, a layer's output, or the loss."""
    held = [layer.name for layer in model.layers if not all(map(_is_finite, layer.weights))]
    if held:  # a gradient goes backwards: what is behind the last of them is whole
        others = f", as are those of {', '.join(f'`{name}`' for name in held[:-1])}" if held[:-1] else ""
        return f"the weights of layer `{held[-1]}` are no finite numbers since the last update{others}"
    names, given = [], []

    def call(layer, *args, **kwargs):
        output = layer(*args, **kwargs)
        names.append(layer.name)
        given.append(output)
        return output

    inner = resized(model, inputs[0].shape[1:], call).inputs
    for name, outputs in zip(names, keras.Model(inner, given)(inputs, training=True), strict=True):
        if not all(map(_is_finite, keras.tree.flatten(outputs))):
            return f"layer `{name}` is the first whose output is not finite"
    return "the outputs of all layers are finite, the loss of them is not"


def _is_finite(values):
    return bool(ops.all(ops.isfinite(ops.cast(values, "float32"))))
