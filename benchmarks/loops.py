"""A step of training as one writes it by hand, on each backend: what the bare loop of the speed table takes."""


def tensorflow(model, optimizer, loss):
    """A step, `loss = step(x, y)`."""
    import tensorflow as tf

    weights = model.trainable_variables

    @tf.function(jit_compile=False)
    def step(x, y):
        with tf.GradientTape() as tape:
            value = loss(y, model(x, training=True))
        optimizer.apply(tape.gradient(value, weights), weights)
        return value

    return step


def jax(model, optimizer, loss):
    """A step, `loss = step(x, y)`; what it learns stays in it."""
    import jax

    parts = model.trainable_variables, model.non_trainable_variables, optimizer.variables
    state = [[variable.value for variable in part] for part in parts]

    def judge(weights, others, x, y):
        scores, others = model.stateless_call(weights, others, x, training=True)
        return loss(y, scores), others

    @jax.jit
    def update(weights, others, optimized, x, y):
        (value, others), gradients = jax.value_and_grad(judge, has_aux=True)(weights, others, x, y)
        weights, optimized = optimizer.stateless_apply(optimized, gradients, weights)
        return value, [weights, others, optimized]

    def step(x, y):
        value, state[:] = update(*state, x, y)
        return value

    return step


def torch(model, optimizer, loss):
    """A step, `loss = step(x, y)`."""
    import torch

    weights = model.trainable_variables

    def step(x, y):
        value = loss(y, model(x, training=True))
        model.zero_grad()
        value.backward()
        with torch.no_grad():
            optimizer.apply([weight.value.grad for weight in weights], weights)
        return value.detach()

    return step


BACKENDS = {"tensorflow": tensorflow, "jax": jax, "torch": torch}
