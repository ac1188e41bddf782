"""The report of a run, on networks with random weights and answers known beforehand."""

import csv
import io

import keras
import numpy as np
import pytest

from convzoo import UserError
from convzoo.data import Dataset, Split
from convzoo.evaluation import activations
from convzoo.reporting.run_report import (
    ImageReport,
    ReportOptions,
    RunReport,
    TrainedNetwork,
    equivariance_errors,
)

NAMES = tuple("abcdefghij")
OTHERS = ("nin", "resnet20", "squeezenet_cifar", "capsnet")  # a chain, residuals, branches, vectors
PICTURES = {
    "confusion_matrix.png",
    "mistakes.png",
    "reliability.png",
    "accuracy_under_shift.png",
    "equivariance.png",
    "filters.png",
    "said.png",
    "feature_maps.png",
    "receptive_field.png",
}


def data(images):
    split = Split(images, (np.arange(len(images)) % 10).astype(np.int32))
    return Dataset("noise", NAMES, split, None, split, "made up")


def corner(images):
    """Scores that look at the pixel at the top left alone: class `value % 10`, the surer the higher the value."""
    pixel = images[:, 0, 0, 0].astype(int)
    return np.eye(10)[pixel % 10] * (1 + pixel[:, None] / 32)


@pytest.mark.parametrize("name", ["lenet", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_every_picture_of_networks_of_different_build(network, noise, name, tmp_path):
    model, _ = network(name)
    pictures = data(noise(30, model.input.shape[1:]))
    lines = []
    options = ReportOptions(shift=1, images=20)
    report = RunReport.compute(TrainedNetwork("a run", model, corner), pictures, options, log=lines.append)
    figures = report.figures()
    assert set(figures) == PICTURES
    page = report.html(figures)
    assert page.count("<img") == len(PICTURES)
    assert "made up" in page
    assert lines[0].startswith("20 images at 9 offsets")
    rows = list(csv.DictReader(io.StringIO(report.csv())))
    assert [row["layer"] for row in rows] == [stage.name for stage in report.stages]


def test_numbers_are_those_of_the_scores(network, noise):
    model, _ = network("lenet")
    images = noise(30, (32, 32, 1))
    images[:, 0, 0, 0] = np.arange(30)
    images[7, 0, 0, 0] = 251  # class 1 for a 7, surer than any other
    report = RunReport.compute(TrainedNetwork("a run", model, corner), data(images), ReportOptions(shift=1, images=30))
    assert report.evaluation.correct == 29
    assert report.metrics["accuracy"] == pytest.approx(29 / 30)
    assert report.metrics["accuracy/h"] == pytest.approx(2 / 3)
    assert report.metrics["shift_accuracy"] == pytest.approx(report.shift_robustness.accuracy.mean())
    assert report.shift_robustness.accuracy[1, 1] == pytest.approx(29 / 30)
    assert {"ece", "shift_consistency", "shift_stability", "loss"} <= set(report.metrics)
    titles = [axes.get_title() for axes in report.figures()["mistakes.png"].axes if axes.images]
    sure = np.exp(1 + 251 / 32) / (np.exp(1 + 251 / 32) + 9)
    assert titles == [f"b {sure:.0%}\nis h"]
    assert "the surest of 1 mistakes" in report.figures()["mistakes.png"]._suptitle.get_text()


def test_scores_that_are_no_logits_are_told(network, noise):
    model, _ = network("lenet")
    trained = TrainedNetwork("a run", model, corner, loss="CapsuleMarginLoss")
    report = RunReport.compute(trained, data(noise(10, (32, 32, 1))), ReportOptions(shift=0))
    assert "trained by CapsuleMarginLoss" in report.html({})


@pytest.mark.parametrize("name", ["lenet", "resnet20", "squeezenet_cifar"])
def test_inside_of_the_borders_a_map_moves_by_whole_cells(network, noise, name):
    """That is what convolution is; the jumps, receptive fields and paddings of the plan say where."""
    model, plan = network(name)
    stages = activations.find_stages(plan)
    errors = equivariance_errors(model, plan, stages, noise(3, model.input.shape[1:]))
    one, whole = sorted(errors)
    assert (one, whole) == (1, max(stage.row.jump[1] for stage in stages))
    inner = np.array(errors[whole][1])
    assert np.isfinite(inner).sum() >= 2
    assert np.nanmax(inner) < 1e-5
    assert np.max(errors[whole][0]) > 0.01  # borders differ
    strided = next(n for n, stage in enumerate(stages) if stage.row.jump[1] > 1)
    assert errors[1][1][strided] > 0.01  # a pixel is no whole cell
    assert errors[1][1][0] < 1e-5


def test_an_answer(network, noise):
    model, _ = network("lenet")
    image = noise(1, (32, 32, 1))[0]
    scores = np.log([0.05] * 8 + [0.5, 0.1])
    report = ImageReport("a run: cat.png", TrainedNetwork("a run", model, corner), image, scores, NAMES)
    assert str(report).splitlines()[:2] == ["i   50.00%", "j   10.00%"]
    figures = report.figures()
    assert set(figures) == {"said.png", "feature_maps.png", "receptive_field.png"}
    assert report.html(figures).count("<img") == 3


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (dict(shift=32), "`shift` must be an integer, from 0 to 31"),
        (dict(shift=1.5), "shift=1.5"),
        (dict(images=0), "`images` must be an integer, at least 1"),
        (dict(image_index=10), "from 0 to 9"),
        (dict(border="mirror"), "circular, reflect, zeros"),
    ],
)
def test_what_cannot_be(network, noise, options, told):
    trained = TrainedNetwork("a run", network("lenet")[0], corner)
    with pytest.raises(UserError, match=told):
        RunReport.compute(trained, data(noise(10, (32, 32, 1))), ReportOptions(**options))


def test_a_network_without_a_map_has_no_pictures_of_maps(noise):
    inputs = keras.Input((8, 8, 1), dtype="uint8")
    model = keras.Model(inputs, keras.layers.Dense(10)(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))))
    trained = TrainedNetwork("a run", model, corner)
    report = RunReport.compute(trained, data(noise(10, (8, 8, 1))), ReportOptions(shift=1))
    maps = {"filters.png", "feature_maps.png", "receptive_field.png", "equivariance.png"}
    assert set(report.figures()) == PICTURES - maps
