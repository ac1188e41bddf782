"""A step against Keras's own, and what it does with a loss that is no number."""

import keras
import numpy as np
import pytest

from convzoo import UserError
from convzoo.layers import BatchNormalization
from convzoo.models.objective import Objective, make_objective
from convzoo.training.losses import SmoothedCrossentropy
from convzoo.training.optimizers.l2sgd import L2SGD
from convzoo.training.steps import make_train_step

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.normal(size=(8, 6, 6, 2)).astype("float32"), (np.arange(8) % 3).astype("int32")


def network(*layers):
    x = inputs = keras.Input((6, 6, 2))
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def layers():
    keras.utils.set_random_seed(0)
    return [
        keras.layers.Conv2D(4, 3, name="conv", kernel_regularizer=keras.regularizers.L2(0.01)),
        BatchNormalization(name="norm"),
        keras.layers.Dropout(0.3, seed=1, name="drop"),
        keras.layers.Flatten(name="flatten"),
        keras.layers.Dense(3, name="score"),
    ]


def optimizer(**arguments):
    return L2SGD(0.1, momentum=0.9, nesterov=True, l2=0.01, **arguments)


def weights(model):
    return [keras.ops.convert_to_numpy(weight).copy() for weight in model.weights]


def test_train_step_matches_keras():
    """The same losses, accuracies and weights, with dropout, regularization and a head of weight 0.3."""
    ours, theirs = network(*layers()), network(*layers())
    heads = [
        keras.layers.Dense(3, kernel_initializer="ones")(model.get_layer("flatten").output) for model in (ours, theirs)
    ]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    step = make_train_step(ours, Objective(loss, None, {"head": heads[0]}, (loss,), (0.3,), ("labels",)), optimizer())
    trainer = keras.Model(theirs.input, [theirs.output, heads[1]])
    trainer.compile(optimizer(), [loss, loss], loss_weights=[1.0, 0.3], metrics=[["accuracy"], []])
    for _ in range(4):
        found = step.train_on_batch(IMAGES, LABELS)
        wanted = trainer.train_on_batch(IMAGES, [LABELS, LABELS], return_dict=True)
        accuracy = next(value for key, value in wanted.items() if key.endswith("accuracy"))
        assert found == pytest.approx((wanted["loss"], accuracy), rel=1e-4)
    step.synchronize()
    for mine, other in zip(weights(ours), weights(theirs), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fault", [np.nan, np.inf])
def test_train_step_keeps_weights_when_loss_is_nonfinite(fault):
    model = network(*layers()[:2], keras.layers.Rescaling(fault, name="fault"), *layers()[3:])
    step = make_train_step(model, make_objective(model), optimizer())
    before = [keras.ops.convert_to_numpy(weight).copy() for weight in model.trainable_weights]
    with pytest.raises(UserError, match=r"^the loss is .*: layer `fault` is the first whose output is not finite"):
        step.train_on_batch(IMAGES, LABELS)
    for weight, value in zip(model.trainable_weights, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), value)


def test_train_step_names_layer_at_fault_for_smaller_images():
    x = inputs = keras.Input((6, 6, 2), name="image")
    rows = keras.layers.GlobalMaxPooling2D(), keras.layers.Rescaling(np.inf, name="fault"), keras.layers.Dense(3)
    for layer in (*layers()[:2], *rows):
        x = layer(x)
    model = keras.Model(inputs, x)
    step = make_train_step(model, make_objective(model), optimizer())
    for pictures in (IMAGES[:, 1:5, 1:5], IMAGES):
        with pytest.raises(UserError, match=r"^the loss is .*: layer `fault` is the first whose output is not finite"):
            step.train_on_batch(pictures, LABELS)


def test_train_step_names_layer_whose_update_overflowed():
    """A number of 3e38 times a rate of 100 is more than a float32 holds; the dense layer's kernel alone got it."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 2))
    outputs = keras.layers.Dense(3, name="score")(keras.layers.Flatten()(keras.layers.ReLU(name="relu")(inputs)))
    model = keras.Model(inputs, outputs)
    step = make_train_step(model, make_objective(model), L2SGD(1e38))
    step.train_on_batch(1e3 * IMAGES, LABELS)
    with pytest.raises(UserError, match=r"^the loss is nan: the weights of layer `score` are not finite"):
        step.train_on_batch(IMAGES, LABELS)


def test_train_step_trains_same_weights_on_other_sizes():
    """As by a network that was made for them and has the weights."""

    def made(side):
        keras.utils.set_random_seed(0)
        x = inputs = keras.Input((side, side, 2), name="image")
        for layer in (keras.layers.Conv2D(4, 3), BatchNormalization(), keras.layers.GlobalMaxPooling2D()):
            x = layer(x)
        return keras.Model(inputs, keras.layers.Dense(3)(x))

    ours, theirs = made(6), made(4)
    theirs.set_weights(ours.get_weights())
    step, wanted = (
        make_train_step(ours, make_objective(ours), optimizer()),
        make_train_step(theirs, make_objective(theirs), optimizer()),
    )
    smaller = IMAGES[:, 1:5, 1:5]
    for _ in range(2):
        assert step.train_on_batch(smaller, LABELS) == pytest.approx(wanted.train_on_batch(smaller, LABELS), rel=1e-5)
    step.train_on_batch(IMAGES, LABELS)
    step.synchronize()
    wanted.synchronize()
    larger = made(6)
    larger.set_weights(theirs.get_weights())
    assert max(abs(a - b).max() for a, b in zip(weights(ours), weights(larger), strict=True)) > 1e-3


def test_train_on_batches_equals_calls_of_one_step():
    """With what draws, keeps statistics and looks back; to the last bit."""
    batches = [(np.roll(IMAGES, shift, axis=0), np.roll(LABELS, shift)) for shift in range(7)]
    models, told = [network(*layers()) for _ in range(2)], []
    for model, calls in zip(models, ([1] * 7, [3, 1, 2, 1]), strict=True):
        step = make_train_step(model, make_objective(model), optimizer(lookahead={"rate": 0.8}, steps=7))
        left = iter(batches)
        told.append(
            [each for count in calls for each in step.train_on_batches(step.stack([next(left) for _ in range(count)]))]
        )
        step.synchronize()
    assert told[0] == told[1]
    assert len({loss for loss, _ in told[0]}) == 7
    for one, other in zip(*map(weights, models), strict=True):
        np.testing.assert_array_equal(one, other)


def test_train_step_accepts_loss_of_another_dtype():
    model, plain = network(*layers()[3:]), network(*layers()[3:])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, dtype="float16")
    found, _ = make_train_step(model, Objective(loss), optimizer()).train_on_batch(IMAGES, LABELS)
    assert found == pytest.approx(
        make_train_step(plain, make_objective(plain), optimizer()).train_on_batch(IMAGES, LABELS)[0], rel=1e-2
    )


def test_train_on_batches_stops_after_nonfinite_loss():
    """Of three batches the second is at fault: the weights are those after the first."""
    models, faulty = [network(*layers()[:1], *layers()[3:]) for _ in range(2)], np.full_like(IMAGES, np.nan)
    step, one = (make_train_step(model, make_objective(model), optimizer()) for model in models)
    one.train_on_batch(IMAGES, LABELS)
    one.synchronize()
    with pytest.raises(UserError, match=r"^the loss is nan: layer `conv` is the first whose output is not finite"):
        step.train_on_batches(step.stack([(IMAGES, LABELS), (faulty, LABELS), (IMAGES, LABELS)]))
    for found, wanted in zip(*map(weights, models), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_train_on_batches_keeps_state_after_nonfinite_loss():
    """A call of three batches leaves what a call each leaves, of which the second is the last."""
    steps = [
        make_train_step(model, make_objective(model), optimizer()) for model in (network(*layers()), network(*layers()))
    ]
    batches = [(IMAGES, LABELS), (np.full_like(IMAGES, np.nan), LABELS), (IMAGES, LABELS)]
    with pytest.raises(UserError, match=r"^the loss is nan"):
        steps[0].train_on_batches(steps[0].stack(batches))
    steps[1].train_on_batch(*batches[0])
    with pytest.raises(UserError, match=r"^the loss is nan"):
        steps[1].train_on_batch(*batches[1])
    for found, wanted in zip(*(step.variables() for step in steps), strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (found, wanted)))


def test_train_step_accepts_labels_of_another_dtype():
    model = network(*layers())
    step = make_train_step(model, make_objective(model), L2SGD(0.0))
    first, again = step.train_on_batch(IMAGES, LABELS.astype("int64")), step.train_on_batch(IMAGES, LABELS)
    assert all(map(np.isfinite, (*first, *again)))


def test_smoothed_crossentropy_matches_definition():
    scores = RNG.normal(size=(8, 3)).astype("float32")
    shares = 0.8 * np.eye(3)[LABELS] + 0.2 / 3
    logs = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    found = SmoothedCrossentropy(0.2)(LABELS, scores)
    assert float(found) == pytest.approx(-(shares * logs).sum(-1).mean(), rel=1e-5)


def test_lookahead_updates_every_fifth_step():
    """Plain steps, and by hand after steps 3, 8 and 13 of 17: w ← w + 0.8 (t / 17)³ (w̄ − w), w̄ ← w."""
    ours, plain = (network(keras.layers.Flatten(), keras.layers.Dense(3, name="score")) for _ in range(2))
    plain.set_weights(ours.get_weights())
    step, by_hand = (
        make_train_step(ours, make_objective(ours), optimizer(lookahead={"rate": 0.8}, steps=17)),
        make_train_step(plain, make_objective(plain), optimizer()),
    )
    left = None
    for number in range(1, 18):
        step.train_on_batch(IMAGES, LABELS)
        by_hand.train_on_batch(IMAGES, LABELS)
        by_hand.synchronize()
        left = left or weights(plain)
        if number in (3, 8, 13):
            part = 0.8 * (number / 17) ** 3
            left = [now + part * (before - now) for before, now in zip(left, weights(plain), strict=True)]
            plain.set_weights(left)
    step.synchronize()
    by_hand.synchronize()
    for found, wanted in zip(weights(ours), weights(plain), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


SOFT = np.random.default_rng(1).dirichlet(np.ones(3), 8).astype("float32")


def soft_loss(scores, labels, smoothing=0.0):
    """The cross-entropy of logits against distributions, in float64."""
    scores = scores.astype(float)
    logs = scores - np.log(np.exp(scores - scores.max(1, keepdims=True)).sum(1, keepdims=True)) - scores.max(1)[:, None]
    targets = (1 - smoothing) * labels + smoothing / labels.shape[1]
    return -(targets * logs).sum(1).mean()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_train_step_of_soft_labels_matches_the_definition(smoothing):
    """Loss and accuracy of the scores, a head on labels of weight 0.3, and one on the image."""
    keras.utils.set_random_seed(0)
    model = network(keras.layers.Flatten(name="flatten"), keras.layers.Dense(3, name="score"))
    flat = model.get_layer("flatten").output
    head = keras.layers.Dense(3, kernel_initializer="glorot_uniform")(flat)
    image = keras.layers.Reshape((6, 6, 2))(keras.layers.Dense(72)(flat))
    plain = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    loss = SmoothedCrossentropy(smoothing) if smoothing else plain
    heads = {"head": head, "image": image}
    losses = (plain, keras.losses.MeanSquaredError())
    objective = Objective(loss, None, heads, losses, (0.3, 0.5), ("labels", "image"))
    outputs = keras.Model(model.input, [model.output, head, image]).predict_on_batch(IMAGES)
    step = make_train_step(model, objective, keras.optimizers.SGD(0.1))
    first_loss, accuracy = step.train_on_batch(IMAGES, SOFT)
    expected = soft_loss(outputs[0], SOFT, smoothing) + 0.3 * soft_loss(outputs[1], SOFT)
    expected += 0.5 * ((outputs[2] - IMAGES / 255) ** 2).mean()
    assert first_loss == pytest.approx(expected, rel=1e-5)
    assert accuracy == np.mean(outputs[0].argmax(1) == SOFT.argmax(1))
    later_loss, _ = step.train_on_batch(IMAGES, SOFT)
    assert later_loss < first_loss


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_one_hot_labels_train_as_integers_do(smoothing):
    trained = []
    for labels in (LABELS, np.eye(3, dtype="float32")[LABELS]):
        keras.utils.set_random_seed(0)
        model = network(keras.layers.Flatten(), keras.layers.Dense(3))
        objective = make_objective(model)
        objective = objective._replace(loss=SmoothedCrossentropy(smoothing)) if smoothing else objective
        step = make_train_step(model, objective, optimizer())
        metrics = [step.train_on_batch(IMAGES, labels) for _ in range(3)]
        step.synchronize()
        trained.append((np.array(metrics), *weights(model)))
    for hard, soft in zip(*trained, strict=True):
        np.testing.assert_allclose(hard, soft, rtol=1e-4, atol=1e-6)


def test_soft_labels_need_a_crossentropy():
    model = network(keras.layers.Flatten(), keras.layers.Dense(3))
    objective = make_objective(model)._replace(loss=keras.losses.MeanSquaredError())
    with pytest.raises(ValueError, match="MeanSquaredError takes no labels that are distributions"):
        make_train_step(model, objective, optimizer()).train_on_batch(IMAGES, SOFT)
