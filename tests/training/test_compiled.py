"""A run that takes over what the one before compiled ends where it would have ended by itself."""

import weakref

import keras
import numpy as np
import pytest
from fit_model import fit
from sampling import rarely

from convzoo import layers
from convzoo.data import RandomFlip, RandomTranslation, Split
from convzoo.data.batches import Batches
from convzoo.models import builder, objective, registry
from convzoo.training import backend, compiled, preprocess
from convzoo.training.steps.base import TrainStep
from convzoo.training.steps_per_execution import AdaptiveStepsPerExecution

RECIPE = {
    "optimizer": {"_target_": "convzoo.training.L2SGD", "momentum": 0.9, "nesterov": True, "l2": 1e-3},
    "schedule": {"_target_": "convzoo.training.WarmupCosine", "warmup": 0.2},
    "lookahead": {"rate": 0.8},
    "label_smoothing": 0.1,
}
PLAIN = {**RECIPE, "label_smoothing": 0.0}
# What draws, what keeps statistics, heads with weights, a loss of its own.
NETWORKS = ["airbench", "allconv", "capsnet", "fractalnet", "googlenet_cifar"]


@pytest.fixture
def cache():
    cache = compiled.CompiledModelCache()
    yield cache
    cache.clear()


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


def train(cache, key, seed, make=network, recipe=RECIPE, shape=(8, 8, 3), classes=3, learning_rate=0.05, **settings):
    """The `Compiled` after a training of two epochs, numbers of it, and what was told of the epochs."""
    backend.start("float32")  # as each run of a sweep does
    ready, told = cache.get_or_build(key, lambda: make(seed)), []
    batches = Batches(pictures(12, shape, classes), 4, seed=seed, augmentations=[RandomFlip(), RandomTranslation(1)])
    arguments = dict(learning_rate=learning_rate, epochs=2, **settings)
    for metrics in fit(ready, batches, pictures(10, shape, classes), recipe, **arguments):
        told.append([metrics[key] for key in ("train_loss", "train_accuracy", "val_loss", "val_accuracy")])
    found = [keras.ops.convert_to_numpy(each) for each in ready.variables()]
    return ready, found, told, ready.predict(pictures(5, shape, classes).x)


def assert_same(one, other):
    assert one[2] == other[2]
    for a, b in zip([*one[1], one[3]], [*other[1], other[3]], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def second_seed():
    """What `train` gives for seed 2 with a model of its own."""
    return train(compiled.CompiledModelCache(), None, 2)


@pytest.mark.integration
def test_cached_model_with_next_seed_ends_as_a_new_one(cache, second_seed, monkeypatch):
    compute_loss, traced = TrainStep.compute_loss, []
    monkeypatch.setattr(TrainStep, "compute_loss", lambda *args: traced.append(True) or compute_loss(*args))
    first, next_, again = (train(cache, "cell", seed) for seed in (1, 2, 1))
    assert next_[0] is first[0] is again[0]
    assert_same(next_, second_seed)
    assert_same(again, first)
    assert first[2] != next_[2]
    if keras.backend.backend() == "tensorflow":
        assert len(traced) == 1
    assert_same(train(cache, "cell", 2, select="best"), train(cache, None, 2, select="best"))


@pytest.mark.integration
def test_cache_frees_last_model_before_another_cell(cache):
    first, alive = weakref.ref(train(cache, "cell", 1)[0]), []
    assert first() is not None
    cache.get_or_build("another", lambda: alive.append(first()) or network(1))
    assert alive == [None]


@pytest.mark.integration
def test_cached_model_is_reset_after_a_failed_training(cache, second_seed):
    train(cache, "cell", 1)
    for stop in (1, 5):  # in mid-epoch
        steps = iter(range(100))
        stopping = {"on_step": lambda steps=steps, stop=stop: stopped() if next(steps) == stop else None}
        with pytest.raises(RuntimeError, match="stopped"):
            train(cache, "cell", 3, **stopping, steps=AdaptiveStepsPerExecution(maximum=1))
    assert_same(train(cache, "cell", 2), second_seed)


def stopped():
    raise RuntimeError("stopped")


def test_second_training_of_a_model_has_its_own_rate():
    ready = compiled.CompiledModel(*network(1))
    batches = Batches(pictures(12), 4, seed=0)
    fit(ready, batches, None, RECIPE, learning_rate=0.05, epochs=1)
    before = [keras.ops.convert_to_numpy(each).copy() for each in ready.model.trainable_variables]
    fit(ready, batches, None, RECIPE, learning_rate=0.0, epochs=1)
    for old, new in zip(before, ready.model.trainable_variables, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(new), old)


def test_cache_key_is_none_when_trace_depends_on_seed(cache):
    inner = {"_target_": "convzoo.layers.Residual", "layers": {"n": {"_target_": "keras.layers.Normalization"}}}
    plain = {"rows": {"n": {"_target_": "keras.layers.BatchNormalization"}}, "loss": None, "heads": {}}
    heads = {"aux": {"after": "n", "layers": {"n": {"_target_": "convzoo.layers.Normalization"}}}}
    assert compiled.cache_key("cell", "net", plain, []) == compiled.cache_key("cell", "net", plain, [])
    assert compiled.cache_key("cell", "net", plain, []) != compiled.cache_key("cell", "other", plain, [])
    assert compiled.cache_key("cell", "net", {**plain, "rows": {"r": inner}}, []) is None
    assert compiled.cache_key("cell", "net", {**plain, "heads": heads}, []) is None
    assert compiled.cache_key("cell", "net", plain, ["mine.Layer"]) is None
    assert cache.get_or_build(None, lambda: network(1)) is not cache.get_or_build(None, lambda: network(1))


@rarely
@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_cached_model_of_zoo_ends_as_a_new_one(cache, name):
    config = registry.compose_network(name, image_shape=(32, 32, 3), classes=10)
    rows, (loss, heads) = registry.rows(config), registry.loss_and_heads(config)

    def make(seed):
        keras.utils.set_random_seed(seed)
        front = [keras.layers.Rescaling(1 / 64, offset=-2.0, dtype="float32")]
        model = builder.assemble(rows, (32, 32, 3), 10, name, front, dtype="uint8")
        preprocess.adapt_rows(model, rows, pictures(12, (32, 32, 3), 10).x)
        return model, objective.make_objective(model, loss, heads)

    recipe = PLAIN if loss else RECIPE
    settings = dict(make=make, recipe=recipe, shape=(32, 32, 3), classes=10, learning_rate=1e-4)
    wanted = train(cache, None, 2, **settings)
    first, found = train(cache, "cell", 1, **settings), train(cache, "cell", 2, **settings)
    assert found[0] is first[0]
    assert_same(found, wanted)
