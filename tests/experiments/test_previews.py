"""A batch of a training and the loss at rising learning rates, drawn without a training."""

import math

import keras
import numpy as np
import pytest
from matplotlib.image import imread

from convzoo import UserError, run_training
from convzoo.data import Split
from convzoo.data.batches import Batches
from convzoo.experiments import previews
from convzoo.experiments.previews import find_learning_rate
from convzoo.experiments.run_result import Status
from convzoo.models import build
from convzoo.reporting.plots import plot_batch
from convzoo.training.compiled import CompiledModel
from convzoo.training.finetuning import FineTuning
from convzoo.training.lr_range import learning_rates, run_range_test


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_learning_rates_rise_in_equal_ratios():
    rates = learning_rates(0.1, steps=6)
    assert rates == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1, 10])


def test_range_test_suggests_a_tenth_of_the_best_rate():
    rates = learning_rates(1.0, steps=1001)
    losses = [1 + abs(math.log10(rate)) / 3 for rate in rates]  # lowest at a rate of 1
    outcome = run_range_test(iter(losses), rates)
    assert len(outcome.rates) == 1001
    assert 0.1 <= outcome.suggested < 0.13  # the running mean lags by some steps


def test_range_test_ends_when_the_loss_diverges():
    losses = [1.0] * 10 + [1e6] * 10
    outcome = run_range_test(iter(losses), learning_rates(1.0, steps=20))
    assert len(outcome.rates) == 11


def test_range_test_ends_at_a_loss_that_is_not_finite():
    def losses():
        yield from [3.0, 2.0, 1.0]
        raise UserError("the loss is nan")

    assert run_range_test(losses(), learning_rates(1.0)).losses == (3.0, 2.0, 1.0)


def test_range_test_refuses_a_first_loss_that_is_not_finite():
    def losses():
        raise UserError("the loss is nan")
        yield

    with pytest.raises(UserError, match="the loss is nan"):
        run_range_test(losses(), learning_rates(1.0))


def test_range_test_suggests_nothing_when_the_loss_only_rises():
    assert run_range_test(iter([1.0, 1.1, 1.2, 1.3]), learning_rates(1.0, steps=4)).suggested is None


def test_plot_batch_names_classes_and_shares():
    images = np.zeros((3, 8, 8, 1), np.uint8)
    labels = np.array([[1, 0, 0], [0.25, 0.75, 0], [0, 0, 1]], "float32")
    figure = plot_batch(images, labels, ("a", "b", "c"), "title")
    assert [axes.get_title() for axes in figure.axes[:3]] == ["a", "75% b\n25% a", "c"]


@pytest.mark.integration
def test_show_batch_draws_a_file_and_records_nothing(folder):
    result = run_training(model="lenet", data="digits", show_batch="batch.png")
    assert result.status == Status.PLANNED
    assert imread("batch.png").std() > 0.1
    assert [path.name for path in folder.iterdir()] == ["batch.png"]


@pytest.mark.integration
def test_lr_range_draws_a_file_and_suggests_a_rate(folder, capsys):
    run_training(model="lenet", data="digits", lr_range=True)
    suggested = float(capsys.readouterr().out.split("suggested: learning_rate=")[1].split()[0])
    assert 1e-4 < suggested < 1  # of Muon, whose rate is 0.02
    assert [path.name for path in folder.iterdir()] == ["lr_range.png"]


SGD = {"_target_": "keras.optimizers.SGD"}


@pytest.mark.integration
@pytest.mark.parametrize(
    ("recipe", "freeze", "trained"),
    [
        ({"head_epochs": 3}, [], {"score"}),  # of three epochs
        ({"head_epochs": 1, "body_rate": 0.0}, [], {"score"}),
        ({"head_epochs": 1}, ["conv1"], {"dense", "score"}),
    ],
)
def test_lr_range_trains_as_a_fine_tuning(folder, recipe, freeze, trained):
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((8, 8, 1), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(x)
    x = keras.layers.Flatten()(keras.layers.Conv2D(2, 3, name="conv1")(x))
    x = keras.layers.Dense(2, name="score")(keras.layers.Dense(3, name="dense")(x))
    model = keras.Model(inputs, x)
    before = {weight.path: np.array(weight) for weight in model.weights}
    settings = {
        "recipe": {"optimizer": SGD, "label_smoothing": 0.0, "finetuning": recipe},
        "learning_rate": 1e-3,
        "epochs": 3,
        "freeze": freeze,
    }
    images = Split(np.arange(16 * 64, dtype=np.uint8).reshape(16, 8, 8, 1), np.arange(16, dtype=np.int32) % 2)
    tuning = FineTuning.plan(model, settings)
    find_learning_rate(CompiledModel(model), Batches(images, 8, seed=0), settings, "x.png", tuning)
    changed = {weight.path for weight in model.weights if not np.array_equal(before[weight.path], np.array(weight))}
    assert {path.partition("/")[0] for path in changed} == trained


def test_lr_range_of_a_linear_probe_trains_the_head(folder, monkeypatch):
    """A run that starts from weights hands its fine-tuning on to the range test."""
    build("lenet", classes=10, image_shape=(32, 32, 1)).save("first.keras")
    tunings = []
    monkeypatch.setattr(previews, "find_learning_rate", lambda model, *args: tunings.append(args[-1]))
    run_training(model="lenet", data="digits", recipe="linear_probe", weights="first.keras", lr_range=True)
    [tuning] = tunings
    assert len(tuning.head) == 1
    assert tuning.head_epochs > 0


@pytest.mark.integration
@pytest.mark.parametrize("words", [{"show_batch": "batch.txt"}, {"lr_range": "a.gif"}, {"show_batch": "no/where.png"}])
def test_file_that_cannot_be_drawn_is_refused(words):
    [key] = words
    with pytest.raises(UserError, match=f"`{key}"):
        run_training(model="lenet", data="digits", **words)
