"""The fit on pictures small enough to reason about."""

import gc

import keras
import numpy as np
import pytest
from PIL import Image

from convzoo import UserError
from convzoo.data import Split
from convzoo.data.stream import Batches
from convzoo.models.assemble import assemble
from convzoo.models.objective import Objective
from convzoo.training.compiled import Compiled
from convzoo.training.fit import fit, in_all, shrunk, speed
from convzoo.training.pace import Pace
from convzoo.training.preprocess import fit_front, fit_rows, fitted
from convzoo.training.scores import Scores
from convzoo.training.step import Step

RECIPE = dict(momentum=0.9, nesterov=False, weight_decay=0.0, warmup=0.0, boundaries=[], schedule="constant")


def bright_or_dark(n, seed):
    """Pictures of two classes: dark and bright."""
    rng = np.random.default_rng(seed)
    y = np.arange(n, dtype=np.int32) % 2
    x = (rng.integers(0, 100, size=(n, 4, 4, 1)) + 150 * y[:, None, None, None]).astype(np.uint8)
    return Split(x, y)


def network(seed=0):
    keras.utils.set_random_seed(seed)
    x = inputs = keras.Input((4, 4, 1), dtype="uint8")
    for layer in (keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(2, dtype="float32")):
        x = layer(x)
    return keras.Model(inputs, x)


def train(model, *, epochs=4, learning_rate=0.1, objective=None, **settings):
    history = []
    fit(
        Compiled(model, objective),
        Batches(bright_or_dark(64, 1), 16, seed=0),
        bright_or_dark(32, 2),
        RECIPE,
        learning_rate=learning_rate,
        epochs=epochs,
        on_epoch=lambda epoch, metrics: history.append((epoch, metrics)),
        **settings,
    )
    return history


def test_it_learns_and_reports_every_epoch():
    model = network()
    history = train(model, epochs=12)
    assert [epoch for epoch, _ in history] == list(range(1, 13))
    last = history[-1][1]
    rates = "learning_rate images_per_second steps_per_execution epoch_seconds"
    assert set(last) == {*"train_loss train_accuracy val_loss val_accuracy".split(), *rates.split()}
    assert in_all([metrics for _, metrics in history]) == {
        "training_seconds": pytest.approx(sum(row["epoch_seconds"] for _, row in history))
    }
    assert last["val_accuracy"] == 1
    assert last["learning_rate"] == pytest.approx(0.1)
    assert min(last["images_per_second"], last["epoch_seconds"]) > 0
    assert 1 <= last["steps_per_execution"] <= 4
    held_out = bright_or_dark(100, 3)
    assert (Scores(model)(held_out.x).argmax(axis=1) == held_out.y).all()


def test_train_metrics_are_those_of_the_whole_epoch():
    """At a rate of next to nothing the weights stay, so they are what the model scores on all its pictures."""
    model = network()
    _, metrics = train(model, epochs=1, learning_rate=1e-12)[0]
    pictures = bright_or_dark(64, 1)
    right = Scores(model)(pictures.x).argmax(axis=1) == pictures.y
    assert metrics["train_accuracy"] == pytest.approx(right.mean())
    assert right[:16].mean() != right.mean()  # no single batch says it


def test_the_same_seed_gives_the_same_weights():
    one, other = network(), network()
    train(one)
    train(other)
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_batches_come_as_they_were_decided():
    batches, seen = Batches(bright_or_dark(64, 1), 16, seed=5, flip=True, shift=1), []
    apply = batches.apply
    batches.apply = lambda decision: seen.append(decision.indices.tolist()) or apply(decision)
    fit(Compiled(network()), batches, None, RECIPE, learning_rate=0.1, epochs=3)
    again = Batches(bright_or_dark(64, 1), 16, seed=5)
    assert seen == [again.decide(epoch, step).indices.tolist() for epoch in range(3) for step in range(4)]


def test_every_call_and_every_batch_of_validation_is_told():
    calls = []
    train(network(), epochs=3, on_step=lambda: calls.append(True), pace=Pace(most=1))
    assert len(calls) == 3 * (4 + 1)


def test_no_result_depends_on_how_many_steps_go_to_the_backend_at_once():
    """Calls that take no time by this clock are followed by one of three steps; the fourth of an epoch is left over."""
    told = []
    for pace in (Pace(most=1), Pace(most=3, clock=lambda: 0.0)):
        model = network()
        history = train(model, epochs=3, pace=pace)
        rates = [metrics.pop("steps_per_execution") for _, metrics in history]
        for _, metrics in history:
            del metrics["images_per_second"], metrics["epoch_seconds"]
        told.append((history, [weight.tolist() for weight in model.get_weights()], rates))
    assert told[0][:2] == told[1][:2]
    assert told[0][2] == [1, 1, 1]
    assert told[1][2] == [4 / 3, 2, 2]  # the second call is made ready before the first one ends


def test_a_call_takes_a_tenth_of_a_second_or_one_step():
    seconds = iter([0, 8.0, 8, 8.04, 8.1, 8.25, 8.3, 8.4, 8.4, 8.401])
    pace, found = Pace(most=32, clock=lambda: next(seconds)), []
    for steps in (1, 1, 2, 5, 1):  # of 8 s, which compiles, 40 ms, 75 ms, 20 ms and 1 ms
        pace.timed(lambda ready: ready, steps * [None])
        found.append(pace.steps)
    assert found == [1, 2, 1, 5, 32]


def test_smaller_pictures_come_first(monkeypatch):
    """Five epochs and three sizes: two epochs, two, and one."""
    inputs = keras.Input((4, 6, 1), dtype="uint8")
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(pooled))
    pictures = Split(np.zeros((32, 4, 6, 1), np.uint8), np.zeros(32, np.int32))
    ready, learned = Step.ready, []
    monkeypatch.setattr(
        Step, "ready", lambda self, of: learned.extend(tuple(x.shape) for x, _ in of) or ready(self, of)
    )
    recipe = {**RECIPE, "sizes": [0.5, 0.75, 1.0]}
    fit(Compiled(model), Batches(pictures, 16, seed=0), None, recipe, learning_rate=0.1, epochs=5)
    assert learned == 4 * [(16, 2, 3, 1)] + 4 * [(16, 3, 4, 1)] + 2 * [(16, 4, 6, 1)]


def test_pictures_shrink_as_pillow_s_do():
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    wanted = [np.asarray(Image.fromarray(image).resize((24, 24), Image.Resampling.BILINEAR)) for image in images]
    found = keras.ops.convert_to_numpy(shrunk(images, 0.75))
    assert found.dtype == np.uint8
    assert abs(found.astype(int) - wanted).max() <= 1


def test_best_keeps_the_weights_of_the_best_epoch():
    """At an absurd rate accuracy jumps up and down; the kept weights must score what the best epoch scored."""
    model = network()
    history = train(model, epochs=8, learning_rate=30.0, select="best")
    accuracies = [metrics["val_accuracy"] for _, metrics in history]
    held_out = bright_or_dark(32, 2)
    kept = (Scores(model)(held_out.x).argmax(axis=1) == held_out.y).mean()
    assert min(accuracies) < max(accuracies)
    assert kept == pytest.approx(max(accuracies))


def test_of_all_epochs_the_best_or_the_last_tells():
    history = [dict(val_accuracy=accuracy, epoch_seconds=2.0) for accuracy in (0.5, 0.9, 0.7)]
    assert in_all(history, "best") == {"training_seconds": 6.0, "best_val_accuracy": 0.9}
    assert in_all(history) == in_all([{"epoch_seconds": 2.0}] * 3) == {"training_seconds": 6.0}


def test_last_keeps_the_last_weights():
    model = network()
    history = train(model, epochs=3, learning_rate=0.02)
    held_out = bright_or_dark(32, 2)
    kept = (Scores(model)(held_out.x).argmax(axis=1) == held_out.y).mean()
    assert kept == pytest.approx(history[-1][1]["val_accuracy"])


def test_what_is_saved_knows_nothing_of_the_optimizer(tmp_path):
    model = network()
    train(model, epochs=1)
    model.save(tmp_path / "model.keras")
    assert not keras.saving.load_model(tmp_path / "model.keras").compiled


def test_the_front_is_fitted_to_the_images_row_by_row():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, size=(2500, 4, 4, 3)).astype(np.uint8)
    rows = {
        "scale": {"_target_": "keras.layers.Rescaling", "scale": 0.1, "offset": 5.0},
        "normalization": {"_target_": "keras.layers.Normalization", "axis": -1},
    }
    x = images
    front = fit_front(rows, images)
    for layer in front:
        x = layer(x)
    x = keras.ops.convert_to_numpy(x)
    assert [layer.name for layer in front] == ["scale", "normalization"]
    assert x.dtype == np.float32
    np.testing.assert_allclose(x.mean(axis=(0, 1, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(x.std(axis=(0, 1, 2)), 1, atol=1e-3)


@pytest.mark.parametrize("dropout", [True, False])
def test_without_a_front_a_network_learns_from_the_bytes(dropout):
    """Of bytes most of Keras's layers make no numbers by themselves."""
    keras.utils.set_random_seed(0)
    rows = {
        "conv": {"_target_": "convzoo.layers.Conv2D", "filters": 4, "kernel_size": 3, "kernel_initializer": "ones"},
        "flat": {"_target_": "keras.layers.Flatten"},
        "score": {"_target_": "keras.layers.Dense", "units": 2},
    }
    first = {"drop": {"_target_": "keras.layers.Dropout", "rate": 0.2}} if dropout else {}
    network, images = {"rows": {**first, **rows}, "loss": None, "heads": {}}, bright_or_dark(64, 1).x
    model, objective = fitted(network, "net", {"preprocess": None, "sizes": [1.0]}, images, 2)
    convolved = keras.ops.convert_to_numpy(keras.Model(model.input, model.get_layer("conv").output)(images))
    wanted = images[:, :3, :3, 0].astype("float32").sum((1, 2))
    np.testing.assert_allclose(convolved[:, 0, 0, 0], wanted, rtol=1e-6)
    train(model, epochs=1, learning_rate=1e-6, objective=objective)


def test_sizes_that_a_head_cannot_take_are_refused():
    rows = {
        "conv": {"_target_": "keras.layers.Conv2D", "filters": 1, "kernel_size": 3, "padding": "same"},
        "pool": {"_target_": "keras.layers.GlobalMaxPooling2D"},
        "score": {"_target_": "keras.layers.Dense", "units": 2},
    }
    flat = {"flat": {"_target_": "keras.layers.Flatten"}, "dense": {"_target_": "keras.layers.Dense", "units": 2}}
    drawn = {
        "dense": {"_target_": "keras.layers.Dense", "units": 16},
        "shape": {"_target_": "keras.layers.Reshape", "target_shape": [4, 4, 1]},
    }
    recipe, images = {"preprocess": None, "sizes": [0.5, 1.0]}, bright_or_dark(64, 1).x
    told = {
        "net takes no images of 2×2": {"after": "conv", "layers": flat},
        "head `aux` gives pictures of one size alone": {"after": "pool", "target": "image", "layers": drawn},
    }
    for words, head in told.items():
        with pytest.raises(UserError, match=f"`recipe.sizes`: {words}"):
            fitted({"rows": rows, "loss": None, "heads": {"aux": head}}, "net", recipe, images, 2)
    convolved = {"draw": {"_target_": "keras.layers.Conv2D", "filters": 1, "kernel_size": 1}}
    head = {"after": "conv", "target": "image", "layers": convolved}
    model, objective = fitted({"rows": rows, "loss": None, "heads": {"aux": head}}, "net", recipe, images, 2)
    step = Step(model, objective, keras.optimizers.SGD(1e-6))
    step(images[:, ::2, ::2], bright_or_dark(64, 1).y)


def test_heads_are_trained_and_not_saved():
    """The head's loss reaches the layers before it; its own layers stay outside of the model."""
    model = network()
    dense = keras.layers.Dense(2)
    head = dense(model.layers[-2].output)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    both = Objective(loss, None, {"aux": head}, (loss,), (0.5,), ("labels",))
    history = train(model, epochs=12, objective=both)
    assert history[-1][1]["val_accuracy"] == 1
    assert keras.ops.convert_to_numpy(dense.bias).any()
    assert dense not in model.layers


def test_a_head_may_take_the_labels_and_be_held_against_the_image():
    """A layer that turns labels into pictures learns the mean brightness of either class."""
    model = network()
    labels = keras.Input((), dtype="int32")
    pixels = keras.layers.Embedding(2, 16, embeddings_initializer="zeros")
    drawn = keras.layers.Reshape((4, 4, 1))(pixels(labels))
    losses = keras.losses.SparseCategoricalCrossentropy(from_logits=True), keras.losses.MeanSquaredError()
    both = Objective(losses[0], labels, {"draw": drawn}, losses[1:], (10.0,), ("image",))
    train(model, epochs=60, learning_rate=0.05, objective=both)
    x, y = bright_or_dark(64, 1).x / 255, bright_or_dark(64, 1).y
    means = [x[y == label].mean() for label in (0, 1)]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(pixels.embeddings).mean(-1), means, atol=0.05)


def test_rows_that_learn_from_data_are_fitted_to_what_reaches_them():
    """Whitened patches of images have the identity for their covariance, whatever the front did to them."""
    images = np.random.default_rng(0).integers(0, 256, size=(1200, 6, 6, 2)).astype(np.uint8)
    rows = {
        "white": {"_target_": "convzoo.layers.WhitenedConv2D", "kernel_size": 2, "epsilon": 1e-6},
        "flat": {"_target_": "keras.layers.Flatten"},
        "score": {"_target_": "keras.layers.Dense", "units": 3},
    }
    front = [keras.layers.Rescaling(1 / 64, offset=-2.0, dtype="float32")]
    model = assemble(rows, (6, 6, 2), 3, front=front, dtype="uint8")
    fit_rows(model, rows, images)
    patches = keras.Model(model.input, model.get_layer("white").output).predict(images, verbose=0)
    half = patches[..., : patches.shape[-1] // 2].reshape(-1, 8)
    np.testing.assert_allclose(np.cov(half.T), np.eye(8), atol=0.02)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's graphs")
def test_a_network_that_was_trained_leaves_nothing_behind():
    """Two hundred runs in one process would hold two hundred networks."""

    def graphs():
        keras.utils.clear_session()
        gc.collect()
        return sum(type(each).__name__ == "FuncGraph" and each.name == "learn_each" for each in gc.get_objects())

    before, during = graphs(), []
    fit(
        Compiled(network()),
        Batches(bright_or_dark(64, 1), 16, seed=0),
        None,
        RECIPE,
        learning_rate=0.1,
        epochs=1,
        on_epoch=lambda epoch, metrics: during.append(graphs()),
    )
    assert during[0] > before
    assert graphs() == before


def test_speed_is_images_by_time_without_the_first_step():
    """The clock is read thrice a step, 0.5 s further each time: after two steps more than two seconds have passed."""
    readings = iter(0.5 * n for n in range(100))
    images = keras.Input((4, 4, 1))
    model = keras.Model(images, keras.layers.Dense(3)(keras.layers.Flatten()(images)))
    assert speed(model, RECIPE, 16, seconds=2.0, clock=lambda: next(readings)) == 2 * 16 / 3.0
