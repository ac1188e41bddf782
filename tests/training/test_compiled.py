"""A run that takes over what the one before compiled ends where it would have ended by itself."""

import weakref

import keras
import numpy as np
import pytest

from convzoo import layers
from convzoo.data import Split
from convzoo.data.stream import Batches
from convzoo.models import assemble, objective, zoo
from convzoo.training import backend, compiled, preprocess
from convzoo.training.fit import fit
from convzoo.training.pace import Pace
from convzoo.training.step import Step

RECIPE = dict(
    momentum=0.9,
    nesterov=True,
    weight_decay=1e-3,
    warmup=0.2,
    boundaries=[],
    schedule="cosine",
    lookahead=0.8,
    label_smoothing=0.1,
)
PLAIN = {**RECIPE, "label_smoothing": 0.0}
# What draws, what keeps statistics, heads with weights, a loss of its own.
NETWORKS = ["airbench", "allconv", "capsnet", "fractalnet", "googlenet_cifar"]


@pytest.fixture(autouse=True)
def nothing_kept():
    compiled._last.clear()
    yield
    compiled._last.clear()


def pictures(n, shape=(8, 8, 3), classes=3):
    rng = np.random.default_rng(1)
    return Split(rng.integers(0, 256, (n, *shape), dtype=np.uint8), rng.integers(0, classes, n).astype(np.int32))


def network(seed, units=3):
    """A model with weights, moving means and two layers that draw, and a head with weights."""
    keras.utils.set_random_seed(seed)
    x = inputs = keras.Input((8, 8, 3), dtype="uint8")
    for layer in (
        layers.Normalization(mean=100.0, variance=50.0**2, dtype="float32"),
        keras.layers.Conv2D(4, 3, activation="relu"),
        layers.BatchNormalization(),
        layers.Dropout(0.3),
        layers.StochasticPooling2D(2),
        keras.layers.Flatten(),
        keras.layers.Dense(units, dtype="float32"),
    ):
        x = layer(x)
    model = keras.Model(inputs, x)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    head = keras.layers.Dense(units, dtype="float32")(model.layers[-2].output)
    return model, objective.Objective(loss, None, {"aux": head}, (loss,), (0.5,), ("labels",))


def train(key, seed, make=network, recipe=RECIPE, shape=(8, 8, 3), classes=3, learning_rate=0.05, **settings):
    """The `Compiled` after a training of two epochs, numbers of it, and what was told of the epochs."""
    backend.start("float32")  # as each run of a sweep does
    ready, told = compiled.of(key, lambda: make(seed)), []
    batches = Batches(pictures(12, shape, classes), 4, seed=seed, flip=True, shift=1)
    arguments = dict(learning_rate=learning_rate, epochs=2, **settings)
    for metrics in fit(ready, batches, pictures(10, shape, classes), recipe, **arguments):
        told.append([metrics[key] for key in ("train_loss", "train_accuracy", "val_loss", "val_accuracy")])
    found = [keras.ops.convert_to_numpy(each) for each in ready.variables()]
    return ready, found, told, ready.scores(pictures(5, shape, classes).x)


def assert_same(one, other):
    assert one[2] == other[2]
    for a, b in zip([*one[1], one[3]], [*other[1], other[3]], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("select", ["last", "best"])
def test_the_next_seed_of_a_cell_takes_it_over_and_ends_as_by_itself(select):
    wanted = train(None, 2, select=select)
    first, next_, again = (train("cell", seed, select=select) for seed in (1, 2, 1))
    assert next_[0] is first[0] is again[0]
    assert wanted[0] is not next_[0]
    assert_same(next_, wanted)
    assert_same(again, first)
    assert first[2] != next_[2]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's traces")
def test_a_network_is_traced_once(monkeypatch):
    judge, traced = Step.judge, []
    monkeypatch.setattr(Step, "judge", lambda *arguments: traced.append(True) or judge(*arguments))
    for seed in range(3):
        train("cell", seed)
    assert len(traced) == 1


def test_another_cell_begins_anew_and_the_last_is_given_back_before_it():
    first, alive = weakref.ref(train("cell", 1)[0]), []
    assert first() is not None
    compiled.of("another", lambda: alive.append(first()) or network(1))
    assert alive == [None]
    assert list(compiled._last) == ["another"]


def test_a_training_that_did_not_end_leaves_nothing_behind():
    wanted = train(None, 2)
    train("cell", 1)
    for stop in (1, 5):  # in mid-epoch
        steps = iter(range(100))
        stopping = {"on_step": lambda steps=steps, stop=stop: stopped() if next(steps) == stop else None}
        with pytest.raises(RuntimeError, match="stopped"):
            train("cell", 3, **stopping, pace=Pace(most=1))
    assert_same(train("cell", 2), wanted)


def stopped():
    raise RuntimeError("stopped")


def test_a_second_training_of_one_s_own_has_its_own_rate():
    ready = compiled.Compiled(*network(1))
    batches = Batches(pictures(12), 4, seed=0)
    fit(ready, batches, None, RECIPE, learning_rate=0.05, epochs=1)
    before = [keras.ops.convert_to_numpy(each).copy() for each in ready.model.trainable_variables]
    fit(ready, batches, None, RECIPE, learning_rate=0.0, epochs=1)
    for old, new in zip(before, ready.model.trainable_variables, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(new), old)


def test_what_may_hold_a_seed_s_numbers_in_its_trace_is_not_taken_over():
    inner = {"_target_": "convzoo.layers.Residual", "layers": {"n": {"_target_": "keras.layers.Normalization"}}}
    plain = {"rows": {"n": {"_target_": "keras.layers.BatchNormalization"}}, "loss": None, "heads": {}}
    heads = {"aux": {"after": "n", "layers": {"n": {"_target_": "convzoo.layers.Normalization"}}}}
    assert compiled.key("cell", "net", plain, []) == compiled.key("cell", "net", plain, [])
    assert compiled.key("cell", "net", plain, []) != compiled.key("cell", "other", plain, [])
    assert compiled.key("cell", "net", {**plain, "rows": {"r": inner}}, []) is None
    assert compiled.key("cell", "net", {**plain, "heads": heads}, []) is None
    assert compiled.key("cell", "net", plain, ["mine.Layer"]) is None
    assert compiled.of(None, lambda: network(1)) is not compiled.of(None, lambda: network(1))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_the_zoo_end_as_by_themselves(name):
    config = zoo.composed(name, image_shape=(32, 32, 3), classes=10)
    rows, (loss, heads) = zoo.rows(config), zoo.loss_and_heads(config)

    def make(seed):
        keras.utils.set_random_seed(seed)
        front = [keras.layers.Rescaling(1 / 64, offset=-2.0, dtype="float32")]
        model = assemble.assemble(rows, (32, 32, 3), 10, name, front, dtype="uint8")
        preprocess.fit_rows(model, rows, pictures(12, (32, 32, 3), 10).x)
        return model, objective.make(model, loss, heads)

    recipe = PLAIN if loss else RECIPE
    settings = dict(make=make, recipe=recipe, shape=(32, 32, 3), classes=10, learning_rate=1e-4)
    wanted = train(None, 2, **settings)
    first, found = train("cell", 1, **settings), train("cell", 2, **settings)
    assert found[0] is first[0]
    assert_same(found, wanted)
