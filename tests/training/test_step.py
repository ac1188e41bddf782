"""A step against Keras's own, and what it does with a loss that is no number."""

import keras
import numpy as np
import pytest

from convzoo import UserError
from convzoo.layers import BatchNormalization
from convzoo.models.objective import Objective, make
from convzoo.training.optimizer import L2SGD
from convzoo.training.step import SmoothedCrossentropy, Step

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


def test_it_learns_what_keras_learns():
    """The same losses, accuracies and weights, with dropout, regularization and a head of weight 0.3."""
    ours, theirs = network(*layers()), network(*layers())
    heads = [
        keras.layers.Dense(3, kernel_initializer="ones")(model.get_layer("flatten").output) for model in (ours, theirs)
    ]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    learn = Step(ours, Objective(loss, None, {"head": heads[0]}, (loss,), (0.3,), ("labels",)), optimizer())
    trainer = keras.Model(theirs.input, [theirs.output, heads[1]])
    trainer.compile(optimizer(), [loss, loss], loss_weights=[1.0, 0.3], metrics=[["accuracy"], []])
    for _ in range(4):
        found = learn(IMAGES, LABELS)
        wanted = trainer.train_on_batch(IMAGES, [LABELS, LABELS], return_dict=True)
        accuracy = next(value for key, value in wanted.items() if key.endswith("accuracy"))
        assert found == pytest.approx((wanted["loss"], accuracy), rel=1e-4)
    learn.synchronize()
    for mine, other in zip(weights(ours), weights(theirs), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fault", [np.nan, np.inf])
def test_a_loss_that_is_no_number_is_not_learned_from(fault):
    model = network(*layers()[:2], keras.layers.Rescaling(fault, name="fault"), *layers()[3:])
    learn = Step(model, make(model), optimizer())
    before = [keras.ops.convert_to_numpy(weight).copy() for weight in model.trainable_weights]
    with pytest.raises(UserError, match=r"^the loss is .*: layer `fault` is the first whose output is not finite"):
        learn(IMAGES, LABELS)
    for weight, value in zip(model.trainable_weights, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), value)


def test_of_smaller_pictures_the_layer_at_fault_is_named_as_well():
    x = inputs = keras.Input((6, 6, 2), name="image")
    rows = keras.layers.GlobalMaxPooling2D(), keras.layers.Rescaling(np.inf, name="fault"), keras.layers.Dense(3)
    for layer in (*layers()[:2], *rows):
        x = layer(x)
    model = keras.Model(inputs, x)
    learn = Step(model, make(model), optimizer())
    for pictures in (IMAGES[:, 1:5, 1:5], IMAGES):
        with pytest.raises(UserError, match=r"^the loss is .*: layer `fault` is the first whose output is not finite"):
            learn(pictures, LABELS)


def test_an_update_that_overflowed_is_told_by_its_layer():
    """A number of 3e38 times a rate of 100 is more than a float32 holds; the dense layer's kernel alone got it."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 2))
    outputs = keras.layers.Dense(3, name="score")(keras.layers.Flatten()(keras.layers.ReLU(name="relu")(inputs)))
    model = keras.Model(inputs, outputs)
    learn = Step(model, make(model), L2SGD(1e38))
    learn(1e3 * IMAGES, LABELS)
    with pytest.raises(UserError, match=r"^the loss is nan: the weights of layer `score` are no finite numbers"):
        learn(IMAGES, LABELS)


def test_pictures_of_another_size_are_learned_from_by_the_same_weights():
    """As by a network that was made for them and has the weights."""

    def made(side):
        keras.utils.set_random_seed(0)
        x = inputs = keras.Input((side, side, 2), name="image")
        for layer in (keras.layers.Conv2D(4, 3), BatchNormalization(), keras.layers.GlobalMaxPooling2D()):
            x = layer(x)
        return keras.Model(inputs, keras.layers.Dense(3)(x))

    ours, theirs = made(6), made(4)
    theirs.set_weights(ours.get_weights())
    learn, wanted = Step(ours, make(ours), optimizer()), Step(theirs, make(theirs), optimizer())
    smaller = IMAGES[:, 1:5, 1:5]
    for _ in range(2):
        assert learn(smaller, LABELS) == pytest.approx(wanted(smaller, LABELS), rel=1e-5)
    learn(IMAGES, LABELS)
    learn.synchronize()
    wanted.synchronize()
    larger = made(6)
    larger.set_weights(theirs.get_weights())
    assert max(abs(a - b).max() for a, b in zip(weights(ours), weights(larger), strict=True)) > 1e-3


def test_steps_in_one_call_are_those_of_a_call_each():
    """With what draws, keeps statistics and looks back; to the last bit."""
    batches = [(np.roll(IMAGES, shift, axis=0), np.roll(LABELS, shift)) for shift in range(7)]
    models, told = [network(*layers()) for _ in range(2)], []
    for model, calls in zip(models, ([1] * 7, [3, 1, 2, 1]), strict=True):
        learn, left = Step(model, make(model), optimizer(lookahead=0.8, steps=7)), iter(batches)
        told.append([each for count in calls for each in learn.learn(learn.ready([next(left) for _ in range(count)]))])
        learn.synchronize()
    assert told[0] == told[1]
    assert len({loss for loss, _ in told[0]}) == 7
    for one, other in zip(*map(weights, models), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_loss_may_be_of_another_dtype():
    model, plain = network(*layers()[3:]), network(*layers()[3:])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, dtype="float16")
    found, _ = Step(model, Objective(loss), optimizer())(IMAGES, LABELS)
    assert found == pytest.approx(Step(plain, make(plain), optimizer())(IMAGES, LABELS)[0], rel=1e-2)


def test_after_a_loss_that_is_no_number_a_call_learns_no_more():
    """Of three batches the second is at fault: the weights are those after the first."""
    models, faulty = [network(*layers()[:1], *layers()[3:]) for _ in range(2)], np.full_like(IMAGES, np.nan)
    learn, one = (Step(model, make(model), optimizer()) for model in models)
    one(IMAGES, LABELS)
    one.synchronize()
    with pytest.raises(UserError, match=r"^the loss is nan: layer `conv` is the first whose output is not finite"):
        learn.learn(learn.ready([(IMAGES, LABELS), (faulty, LABELS), (IMAGES, LABELS)]))
    for found, wanted in zip(*map(weights, models), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_behind_a_batch_at_fault_statistics_and_seeds_stay():
    """A call of three batches leaves what a call each leaves, of which the second is the last."""
    steps = [Step(model, make(model), optimizer()) for model in (network(*layers()), network(*layers()))]
    batches = [(IMAGES, LABELS), (np.full_like(IMAGES, np.nan), LABELS), (IMAGES, LABELS)]
    with pytest.raises(UserError, match=r"^the loss is nan"):
        steps[0].learn(steps[0].ready(batches))
    steps[1](*batches[0])
    with pytest.raises(UserError, match=r"^the loss is nan"):
        steps[1](*batches[1])
    for found, wanted in zip(*(step.variables() for step in steps), strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (found, wanted)))


def test_labels_may_be_of_another_type():
    model = network(*layers())
    learn = Step(model, make(model), L2SGD(0.0))
    first, again = learn(IMAGES, LABELS.astype("int64")), learn(IMAGES, LABELS)
    assert all(map(np.isfinite, (*first, *again)))


def test_smoothing_is_torch_s_or_the_definition():
    scores = RNG.normal(size=(8, 3)).astype("float32")
    shares = 0.8 * np.eye(3)[LABELS] + 0.2 / 3
    logs = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    found = SmoothedCrossentropy(0.2)(LABELS, scores)
    assert float(found) == pytest.approx(-(shares * logs).sum(-1).mean(), rel=1e-5)


def test_lookahead_goes_back_every_fifth_step():
    """Plain steps, and by hand after steps 3, 8 and 13 of 17: w ← w + 0.8 (t / 17)³ (w̄ − w), w̄ ← w."""
    ours, plain = (network(keras.layers.Flatten(), keras.layers.Dense(3, name="score")) for _ in range(2))
    plain.set_weights(ours.get_weights())
    learn, by_hand = Step(ours, make(ours), optimizer(lookahead=0.8, steps=17)), Step(plain, make(plain), optimizer())
    left = None
    for step in range(1, 18):
        learn(IMAGES, LABELS)
        by_hand(IMAGES, LABELS)
        by_hand.synchronize()
        left = left or weights(plain)
        if step in (3, 8, 13):
            part = 0.8 * (step / 17) ** 3
            left = [now + part * (before - now) for before, now in zip(left, weights(plain), strict=True)]
            plain.set_weights(left)
    learn.synchronize()
    by_hand.synchronize()
    for found, wanted in zip(weights(ours), weights(plain), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
