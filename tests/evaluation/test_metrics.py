"""Numbers of an evaluation, worked out by hand."""

import numpy as np
import pytest

from convzoo.evaluation.metrics import evaluate
from convzoo.evaluation.statistics import accuracy_interval
from convzoo.reporting import plots

SCORES = np.log([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.5, 0.25, 0.25], [0.25, 0.25, 0.5]])
LABELS = np.array([0, 1, 1, 2])


def test_counts_loss_and_accuracy():
    result = evaluate(SCORES, LABELS)
    np.testing.assert_array_equal(result.confusion, [[1, 0, 0], [1, 1, 0], [0, 0, 1]])
    assert result.accuracy == 0.75
    assert result.loss == pytest.approx(-(3 * np.log(0.5) + np.log(0.25)) / 4)
    np.testing.assert_allclose(result.per_class, [1, 0.5, 1])
    assert result.top5_accuracy is None
    assert set(result.metrics) == {"loss", "accuracy"}


def test_top5_among_eleven_classes():
    scores = np.tile(np.arange(11.0), (11, 1))  # the five highest are always classes 6 to 10
    result = evaluate(scores, np.arange(11))
    assert result.accuracy == pytest.approx(1 / 11)
    assert result.metrics["top5_accuracy"] == pytest.approx(5 / 11)


def test_the_table_says_what_a_class_is_taken_for():
    lines = evaluate(SCORES, LABELS).format_table(["cat", "dog", "ship"]).splitlines()
    assert lines[0].split() == ["cat", "1", "images", "100.00%"]
    assert lines[1].split() == ["dog", "2", "images", "50.00%", "1", "taken", "for", "cat"]


def test_interval():
    """Newcombe 1998, Statistics in Medicine 17, table I: Wilson's interval of 81 out of 263 is 0.2553 to 0.3662."""
    assert accuracy_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_pictures_are_drawn(tmp_path):
    history = [dict(train_loss=2, train_accuracy=0.1, val_loss=2, val_accuracy=0.2) | {"learning_rate": 1}] * 2
    plots.plot_learning_curves(history, "a run").savefig(tmp_path / "curves.png")
    plots.plot_confusion_matrix(np.eye(3, dtype=int), ["a", "b", "c"], "a run").savefig(tmp_path / "matrix.png")
    assert {file.name for file in tmp_path.iterdir()} == {"curves.png", "matrix.png"}
    (curves, losses) = plots.plot_learning_curves(history, "a run").axes
    assert [line.get_label() for line in curves.lines] == ["train", "validation"]
    np.testing.assert_allclose(curves.lines[1].get_ydata(), [0.2, 0.2])
    assert losses.get_title() == "loss"


@pytest.mark.parametrize(("epochs", "loss", "accuracy"), [(1, 12345.67, 1.0), (3, 2.3, 0.1), (120, 1.2e-5, 0.9999)])
def test_learning_curves_have_room_and_whole_epochs(epochs, loss, accuracy):
    history = [dict(train_loss=loss / n, train_accuracy=accuracy * (1 - 1e-3 / n)) for n in range(1, epochs + 1)]
    figure = plots.plot_learning_curves(history, "a run")
    figure.draw_without_rendering()
    (left, right), whole = (axes.get_tightbbox() for axes in figure.axes), figure.bbox
    assert whole.x0 < left.x0 < left.x1 < right.x0 < right.x1 < whole.x1
    title = figure.texts[0].get_window_extent()
    assert whole.y0 < min(left.y0, right.y0) < max(left.y1, right.y1) < title.y0 < title.y1 < whole.y1
    assert all(tick == round(tick) for axes in figure.axes for tick in axes.get_xticks())
