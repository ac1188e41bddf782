"""The fit on pictures small enough to reason about."""

import gc

import keras
import numpy as np
import pytest
from fit_model import fit
from PIL import Image

from convzoo import UserError
from convzoo.data import CutMix, MixUp, RandomFlip, RandomTranslation, Split
from convzoo.data.batches import Batches
from convzoo.models.builder import assemble
from convzoo.models.objective import Objective
from convzoo.training.checkpoint import Checkpoints
from convzoo.training.compiled import CompiledModel
from convzoo.training.predictor import Predictor
from convzoo.training.preprocess import adapt_preprocessing, adapt_rows, build_training_model
from convzoo.training.steps import make_train_step
from convzoo.training.steps.base import TrainStep
from convzoo.training.steps_per_execution import AdaptiveStepsPerExecution
from convzoo.training.trainer import downscale, make_learning_check, measure_speed, summarize

RECIPE = {
    "optimizer": {"_target_": "convzoo.training.L2SGD", "momentum": 0.9},
    "schedule": {"_target_": "convzoo.training.Constant"},
}


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
        CompiledModel(model, objective),
        Batches(bright_or_dark(64, 1), 16, seed=0),
        bright_or_dark(32, 2),
        RECIPE,
        learning_rate=learning_rate,
        epochs=epochs,
        on_epoch=lambda epoch, metrics: history.append((epoch, metrics)),
        **settings,
    )
    return history


def test_fit_learns_and_reports_every_epoch():
    model = network()
    history = train(model, epochs=12)
    assert [epoch for epoch, _ in history] == list(range(1, 13))
    last = history[-1][1]
    rates = "learning_rate images_per_second steps_per_execution epoch_seconds"
    assert set(last) == {*"train_loss train_accuracy val_loss val_accuracy".split(), *rates.split()}
    assert summarize([metrics for _, metrics in history]) == {
        "training_seconds": pytest.approx(sum(row["epoch_seconds"] for _, row in history))
    }
    assert last["val_accuracy"] == 1
    assert last["learning_rate"] == pytest.approx(0.1)
    assert min(last["images_per_second"], last["epoch_seconds"]) > 0
    assert 1 <= last["steps_per_execution"] <= 4
    held_out = bright_or_dark(100, 3)
    assert (Predictor(model)(held_out.x).argmax(axis=1) == held_out.y).all()


def test_train_metrics_are_means_of_the_epoch():
    """At a rate of next to nothing the weights stay, so they are what the model scores on all its pictures."""
    model = network()
    _, metrics = train(model, epochs=1, learning_rate=1e-12)[0]
    pictures = bright_or_dark(64, 1)
    right = Predictor(model)(pictures.x).argmax(axis=1) == pictures.y
    assert metrics["train_accuracy"] == pytest.approx(right.mean())
    assert right[:16].mean() != right.mean()  # no single batch says it


def test_fit_with_same_seed_gives_same_weights():
    one, other = network(), network()
    train(one)
    train(other)
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_fit_trains_on_batches_in_order():
    augmentations = [RandomFlip(), RandomTranslation(1)]
    batches, seen = Batches(bright_or_dark(64, 1), 16, seed=5, augmentations=augmentations), []
    make_batch = batches.batch
    batches.batch = lambda epoch, step: seen.append(batches.indices(epoch, step).tolist()) or make_batch(epoch, step)
    fit(CompiledModel(network()), batches, None, RECIPE, learning_rate=0.1, epochs=3)
    again = Batches(bright_or_dark(64, 1), 16, seed=5)
    assert seen == [again.indices(epoch, step).tolist() for epoch in range(3) for step in range(4)]


def test_on_step_is_called_for_steps_and_validation():
    calls = []
    train(network(), epochs=3, on_step=lambda: calls.append(True), steps=AdaptiveStepsPerExecution(maximum=1))
    assert len(calls) == 3 * (4 + 1)


def test_fit_does_not_depend_on_steps_per_execution():
    """Calls that take no time by this clock are followed by one of three steps; the fourth of an epoch is left over."""
    told = []
    for steps in (AdaptiveStepsPerExecution(maximum=1), AdaptiveStepsPerExecution(maximum=3, clock=lambda: 0.0)):
        model = network()
        history = train(model, epochs=3, steps=steps)
        rates = [metrics.pop("steps_per_execution") for _, metrics in history]
        for _, metrics in history:
            del metrics["images_per_second"], metrics["epoch_seconds"]
        told.append((history, [weight.tolist() for weight in model.get_weights()], rates))
    assert told[0][:2] == told[1][:2]
    assert told[0][2] == [1, 1, 1]
    assert told[1][2] == [4 / 3, 2, 2]  # the second call is made ready before the first one ends


def test_steps_per_execution_targets_a_tenth_of_a_second():
    seconds = iter([0, 8.0, 8, 8.04, 8.1, 8.25, 8.3, 8.4, 8.4, 8.401])
    adaptive, found = AdaptiveStepsPerExecution(maximum=32, clock=lambda: next(seconds)), []
    for steps in (1, 1, 2, 5, 1):  # of 8 s, which compiles, 40 ms, 75 ms, 20 ms and 1 ms
        adaptive.run(lambda batches: batches, steps * [None])
        found.append(adaptive.steps)
    assert found == [1, 2, 1, 5, 32]


def test_fit_trains_on_smaller_images_first(monkeypatch):
    """Five epochs and three sizes: two epochs, two, and one."""
    inputs = keras.Input((4, 6, 1), dtype="uint8")
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(pooled))
    pictures = Split(np.zeros((32, 4, 6, 1), np.uint8), np.zeros(32, np.int32))
    stack, learned = TrainStep.stack, []
    monkeypatch.setattr(
        TrainStep,
        "stack",
        lambda self, batches: learned.extend(tuple(x.shape) for x, _ in batches) or stack(self, batches),
    )
    recipe = {**RECIPE, "image_scales": [0.5, 0.75, 1.0]}
    fit(CompiledModel(model), Batches(pictures, 16, seed=0), None, recipe, learning_rate=0.1, epochs=5)
    assert learned == 4 * [(16, 2, 3, 1)] + 4 * [(16, 3, 4, 1)] + 2 * [(16, 4, 6, 1)]


def test_downscale_matches_pillow():
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    wanted = [np.asarray(Image.fromarray(image).resize((24, 24), Image.Resampling.BILINEAR)) for image in images]
    found = keras.ops.convert_to_numpy(downscale(images, 0.75))
    assert found.dtype == np.uint8
    assert abs(found.astype(int) - wanted).max() <= 1


def test_fit_with_select_best_keeps_best_weights():
    """At an absurd rate accuracy jumps up and down; the kept weights must score what the best epoch scored."""
    model = network()
    history = train(model, epochs=8, learning_rate=30.0, select="best")
    accuracies = [metrics["val_accuracy"] for _, metrics in history]
    held_out = bright_or_dark(32, 2)
    kept = (Predictor(model)(held_out.x).argmax(axis=1) == held_out.y).mean()
    assert min(accuracies) < max(accuracies)
    assert kept == pytest.approx(max(accuracies))


def test_summarize_adds_best_accuracy_when_selected():
    history = [dict(val_accuracy=accuracy, epoch_seconds=2.0) for accuracy in (0.5, 0.9, 0.7)]
    assert summarize(history, "best") == {"training_seconds": 6.0, "best_val_accuracy": 0.9}
    assert summarize(history) == summarize([{"epoch_seconds": 2.0}] * 3) == {"training_seconds": 6.0}


def test_fit_with_select_last_keeps_last_weights():
    model = network()
    history = train(model, epochs=3, learning_rate=0.02)
    held_out = bright_or_dark(32, 2)
    kept = (Predictor(model)(held_out.x).argmax(axis=1) == held_out.y).mean()
    assert kept == pytest.approx(history[-1][1]["val_accuracy"])


def test_saved_model_has_no_optimizer(tmp_path):
    model = network()
    train(model, epochs=1)
    model.save(tmp_path / "model.keras")
    assert not keras.saving.load_model(tmp_path / "model.keras").compiled


def test_adapt_preprocessing_adapts_row_by_row():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, size=(2500, 4, 4, 3)).astype(np.uint8)
    rows = {
        "scale": {"_target_": "keras.layers.Rescaling", "scale": 0.1, "offset": 5.0},
        "normalization": {"_target_": "keras.layers.Normalization", "axis": -1},
    }
    x = images
    front = adapt_preprocessing(rows, images)
    for layer in front:
        x = layer(x)
    x = keras.ops.convert_to_numpy(x)
    assert [layer.name for layer in front] == ["scale", "normalization"]
    assert x.dtype == np.float32
    np.testing.assert_allclose(x.mean(axis=(0, 1, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(x.std(axis=(0, 1, 2)), 1, atol=1e-3)


@pytest.mark.parametrize("dropout", [True, False])
def test_training_model_without_preprocessing_takes_bytes(dropout):
    """Of bytes most of Keras's layers make no numbers by themselves."""
    keras.utils.set_random_seed(0)
    rows = {
        "conv": {"_target_": "convzoo.layers.Conv2D", "filters": 4, "kernel_size": 3, "kernel_initializer": "ones"},
        "flat": {"_target_": "keras.layers.Flatten"},
        "score": {"_target_": "keras.layers.Dense", "units": 2},
    }
    first = {"drop": {"_target_": "keras.layers.Dropout", "rate": 0.2}} if dropout else {}
    network, images = {"rows": {**first, **rows}, "loss": None, "heads": {}}, bright_or_dark(64, 1).x
    model, objective = build_training_model(network, "net", {"preprocessing": {}, "image_scales": [1.0]}, images, 2)
    convolved = keras.ops.convert_to_numpy(keras.Model(model.input, model.get_layer("conv").output)(images))
    wanted = images[:, :3, :3, 0].astype("float32").sum((1, 2))
    np.testing.assert_allclose(convolved[:, 0, 0, 0], wanted, rtol=1e-5)
    train(model, epochs=1, learning_rate=1e-6, objective=objective)


def test_sizes_are_refused_when_a_head_cannot_take_them():
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
    recipe, images = {"preprocessing": {}, "image_scales": [0.5, 1.0]}, bright_or_dark(64, 1).x
    told = {
        "net takes no images of 2×2": {"after": "conv", "layers": flat},
        "head `aux` gives images of one size only": {"after": "pool", "target": "image", "layers": drawn},
    }
    for words, head in told.items():
        with pytest.raises(UserError, match=f"`recipe.image_scales`: {words}"):
            build_training_model({"rows": rows, "loss": None, "heads": {"aux": head}}, "net", recipe, images, 2)
    convolved = {"draw": {"_target_": "keras.layers.Conv2D", "filters": 1, "kernel_size": 1}}
    head = {"after": "conv", "target": "image", "layers": convolved}
    model, objective = build_training_model(
        {"rows": rows, "loss": None, "heads": {"aux": head}}, "net", recipe, images, 2
    )
    step = make_train_step(model, objective, keras.optimizers.SGD(1e-6))
    step.train_on_batch(images[:, ::2, ::2], bright_or_dark(64, 1).y)


def test_heads_are_trained_but_not_part_of_the_model():
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


def test_head_takes_labels_and_reconstructs_image():
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


def test_adapt_rows_whitens_the_row_s_own_input():
    """Whitened patches of images have the identity for their covariance, whatever the front did to them."""
    images = np.random.default_rng(0).integers(0, 256, size=(1200, 6, 6, 2)).astype(np.uint8)
    rows = {
        "white": {"_target_": "convzoo.layers.WhitenedConv2D", "kernel_size": 2, "epsilon": 1e-6},
        "flat": {"_target_": "keras.layers.Flatten"},
        "score": {"_target_": "keras.layers.Dense", "units": 3},
    }
    front = [keras.layers.Rescaling(1 / 64, offset=-2.0, dtype="float32")]
    model = assemble(rows, (6, 6, 2), 3, preprocessing=front, dtype="uint8")
    adapt_rows(model, rows, images)
    patches = keras.Model(model.input, model.get_layer("white").output).predict(images, verbose=0)
    half = patches[..., : patches.shape[-1] // 2].reshape(-1, 8)
    np.testing.assert_allclose(np.cov(half.T), np.eye(8), atol=0.02)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's graphs")
def test_fit_frees_its_graphs():
    """Two hundred runs in one process would hold two hundred networks."""

    def graphs():
        keras.utils.clear_session()
        gc.collect()
        return sum(type(each).__name__ == "FuncGraph" and each.name == "_train_on_each" for each in gc.get_objects())

    before, during = graphs(), []
    fit(
        CompiledModel(network()),
        Batches(bright_or_dark(64, 1), 16, seed=0),
        None,
        RECIPE,
        learning_rate=0.1,
        epochs=1,
        on_epoch=lambda epoch, metrics: during.append(graphs()),
    )
    assert during[0] > before
    assert graphs() == before


def dying_network(seed=0):
    """Behind it is a ReLU whose inputs are far below 0."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((4, 4, 1), dtype="uint8")
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    x = keras.layers.Dense(4, bias_initializer=keras.initializers.Constant(-50.0))(x)
    return keras.Model(inputs, keras.layers.Dense(2, dtype="float32")(keras.layers.ReLU(name="relu")(x)))


SETTINGS = {"recipe": {**RECIPE, "label_smoothing": 0.0}, "epochs": 8, "learning_rate": 0.1, "on_stall": "warn"}


def checked(model, *, epochs=8, on_stall="warn", stop_at=None, **options):
    """Trains with a `LearningCheck` and returns it with the history; an interrupt comes after step `stop_at`."""
    steps = iter(range(1000))

    def on_step():
        if next(steps) == stop_at:
            raise KeyboardInterrupt

    compiled, batches, held_out = (
        CompiledModel(model),
        Batches(bright_or_dark(64, 1), 16, seed=0),
        bright_or_dark(32, 2),
    )
    check = make_learning_check(compiled, batches, held_out, {**SETTINGS, "epochs": epochs, "on_stall": on_stall})
    options = {"learning_rate": 0.1, "epochs": epochs, "on_step": on_step, "learning_check": check, **options}
    return check, fit(compiled, batches, held_out, RECIPE, **options)


def test_dead_network_is_warned_of_and_named(capsys):
    check, history = checked(dying_network())
    assert len(history) == 8
    assert "every output of layer `relu` is 0" in check.reason
    assert capsys.readouterr().out.count("warning: the network does not learn: after epoch 2 of 8 ") == 1


def test_dead_network_with_stop_ends_early():
    check, history = checked(dying_network(), on_stall="stop", select="best")
    assert len(history) == 2
    assert "on_stall=stop ended it after epoch 2 of 8" in check.reason


def test_network_that_learns_has_no_reason_and_the_same_weights(capsys):
    one, other = network(), network()
    check, _ = checked(one, epochs=12)
    train(other, epochs=12)
    assert (check.reason, check.state.warned) == (None, False)
    assert "warning" not in capsys.readouterr().out
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_resumed_run_is_warned_of_once_and_ends_alike(tmp_path, capsys):
    """Epochs are of four steps and a call for validation; the warning comes with the second epoch."""
    models = dying_network(), dying_network(), dying_network()
    wanted, _ = checked(models[0])
    capsys.readouterr()
    with Checkpoints(tmp_path / "run", min_seconds=0) as checkpoints, pytest.raises(KeyboardInterrupt):
        checked(models[1], stop_at=20, checkpoints=checkpoints, steps=AdaptiveStepsPerExecution(maximum=1))
    with Checkpoints(tmp_path / "run", min_seconds=0) as checkpoints:
        check, _ = checked(models[2], checkpoints=checkpoints)
    assert (check.reason, check.state) == (wanted.reason, wanted.state)
    assert capsys.readouterr().out.count("warning") == 1
    for a, b in zip(models[2].get_weights(), models[0].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_run_that_was_stopped_early_is_not_resumed(tmp_path):
    with Checkpoints(tmp_path / "run", epochs=8) as checkpoints:
        first, _ = checked(dying_network(), on_stall="stop", checkpoints=checkpoints)
    with Checkpoints(tmp_path / "run", epochs=8) as checkpoints:
        assert checkpoints.has_final_checkpoint
        check, history = checked(dying_network(), on_stall="stop", checkpoints=checkpoints)
    assert (len(history), check.reason) == (2, first.reason)


@pytest.mark.parametrize(("select", "learned"), [("best", True), ("last", False)])
def test_network_that_dies_is_judged_by_the_weights_kept(select, learned):
    model = network()

    def kill(epoch, metrics):
        if epoch == 11:
            model.layers[-1].kernel.assign(np.zeros((16, 2)))

    model.layers[-1].set_weights([np.tile([-0.1, 0.1], (16, 1)), np.array([0.8, -0.8])])
    check, _ = checked(model, epochs=12, select=select, on_epoch=kill, learning_rate=1e-9)
    assert (check.reason is None) == learned


class SquaredScores(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return keras.ops.mean(y_pred**2, -1)


def test_learning_check_judges_plain_crossentropy_only():
    """A head's loss and a penalty are in the training's loss, not in that of the validation."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def judged(model, validation=True, **objective):
        compiled = CompiledModel(model, Objective(**{"loss": loss, **objective}))
        held_out = bright_or_dark(32, 2) if validation else None
        return make_learning_check(compiled, Batches(bright_or_dark(64, 1), 16, seed=0), held_out, SETTINGS).loss_part

    model, regularized = network(), network()
    head = {"aux": keras.layers.Dense(2)(model.layers[-2].output)}
    heads = {"outputs": head, "losses": (loss,), "weights": (0.5,), "targets": ("labels",)}
    regularized.layers[-1].kernel.regularizer = regularized.layers[-1].kernel_regularizer = keras.regularizers.L2(0.1)
    assert judged(network()) == "train"
    assert judged(network(), validation=False) == "train"
    assert judged(model, **heads) == judged(regularized) == "val"
    assert judged(model, validation=False, **heads) is None
    assert judged(network(), loss=SquaredScores()) is None


def test_mixing_raises_the_lowest_loss_of_training_alone():
    """The mean entropy of the labels of the first epoch."""
    batches = Batches(bright_or_dark(64, 1), 16, 0, [MixUp(1.0)])
    baselines = make_learning_check(CompiledModel(network()), batches, bright_or_dark(32, 2), SETTINGS).baselines
    labels = np.concatenate([y for [(_, y)] in batches.epoch(0)])
    entropy = -(labels * np.log(np.maximum(labels, 1e-30))).sum(1).mean()
    assert baselines["train"].lowest_loss == pytest.approx(entropy, rel=1e-5)
    assert 0 < entropy < baselines["train"].loss
    assert baselines["val"].lowest_loss == 0


def test_trainer_learns_from_mixed_labels():
    batches = Batches(bright_or_dark(64, 1), 16, 0, [RandomFlip(), MixUp(0.2), CutMix(1.0)])
    history = fit(CompiledModel(network()), batches, bright_or_dark(32, 2), RECIPE, learning_rate=0.1, epochs=8)
    assert history[-1]["val_accuracy"] == 1
    assert history[-1]["train_loss"] < history[0]["train_loss"]


def test_smoothing_raises_the_lowest_loss_of_training_alone():
    compiled, batches = CompiledModel(network()), Batches(bright_or_dark(64, 1), 16, seed=0)
    settings = {**SETTINGS, "recipe": {**RECIPE, "label_smoothing": 0.2}}
    baselines = make_learning_check(compiled, batches, bright_or_dark(32, 2), settings).baselines
    assert baselines["train"].lowest_loss == pytest.approx(-0.9 * np.log(0.9) - 0.1 * np.log(0.1))
    assert baselines["val"].lowest_loss == 0


@pytest.mark.parametrize("validation", [True, False])
def test_last_update_that_overflows_is_an_error(validation):
    """The only step has a finite loss; its update has not."""
    with pytest.raises(UserError, match=r"weights of layer `dense.*` are not finite .*learning_rate="):
        fit(
            CompiledModel(network()),
            Batches(bright_or_dark(16, 1), 16, seed=0),
            bright_or_dark(32, 2) if validation else None,
            {**RECIPE, "optimizer": {"_target_": "convzoo.training.L2SGD", "l2": 1e38}},
            learning_rate=1e38,
            epochs=1,
        )


def test_validation_loss_that_overflows_is_an_error():
    """Every score is finite, and the loss of a wrong answer is 6e38."""
    model = network()
    model.layers[-1].bias.assign([3e38, -3e38])
    with pytest.raises(UserError, match=r"`val_loss` is inf|the loss is inf"):
        train(model, epochs=1, learning_rate=1e-30)


def test_measure_speed_excludes_first_step():
    """The clock is read thrice a step, 0.5 s further each time: after two steps more than two seconds have passed."""
    readings = iter(0.5 * n for n in range(100))
    images = keras.Input((4, 4, 1))
    model = keras.Model(images, keras.layers.Dense(3)(keras.layers.Flatten()(images)))
    assert measure_speed(model, RECIPE, 16, clock=lambda: next(readings)) == 2 * 16 / 3.0
