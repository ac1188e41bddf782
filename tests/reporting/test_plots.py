"""What is in the pictures, read off the figures."""

import io

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from convzoo.evaluation.calibration import compute_calibration
from convzoo.evaluation.shift import ShiftRobustness
from convzoo.models import plan
from convzoo.reporting import plots
from convzoo.reporting.plots import plot_network


def test_boxes_are_as_tall_as_the_maps_and_named():
    axes = plot_network(plan("lenet")).axes[0]
    boxes = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    heights = [round(32 * box.get_height(), 6) for box in boxes]
    assert heights[:5] == [32, 28, 14, 10, 5]  # the image, conv1, pool1, conv2, pool2
    widths = [box.get_width() for box in boxes]
    assert widths[0] < widths[1] < widths[3]  # 1, 6 and 16 channels
    texts = [text.get_text() for text in axes.texts]
    assert "28×28×6" in texts
    assert "pool2\nsees 16×16" in texts  # LeNet's second pool sees 16×16 pixels
    assert "61,706 parameters" in axes.get_title()


def test_the_shift_map_stands_as_the_offsets_do():
    accuracy = np.arange(9).reshape(3, 3) / 10  # row 0 is up, column 0 to the left
    axes = plots.plot_accuracy_by_shift(ShiftRobustness(accuracy, 0.5, 0.1, 200, "circular"), "a run").axes[0]
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written[(-1, -1)] == "0"
    assert written[(1, -1)] == "20"
    assert written[(-1, 1)] == "60"
    assert axes.get_ylim() == (1.5, -1.5)  # down is down
    assert "200 test images, circular border" in axes.get_title()
    assert "consistency 50.0%" in axes.get_title()


def test_bars_of_the_reliability_diagram_are_the_accuracies():
    sure = np.array([0.55, 0.7, 0.8])
    figure = plots.plot_reliability(
        compute_calibration(np.stack([sure, 1 - sure], axis=1), np.array([0, 0, 1]), 5), "a run"
    )
    bars = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    assert [round(bar.get_height(), 6) for bar in bars[:2]] == [1, 0.5]
    assert [round(bar.get_x(), 6) for bar in bars[:2]] == [0.4, 0.6]
    # The gaps: |1 - 0.55| of one answer, |0.5 - 0.75| of two.
    assert [round(bar.get_height(), 6) for bar in bars[2:4]] == [0.45, 0.25]
    assert "ECE 31.67%" in figure.axes[0].get_title()  # (0.45 + 2 · 0.25) / 3


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_filters_of_any_channels(channels):
    kernel = np.zeros((3, 3, channels, 70))
    kernel[0, 0, :, 0] = 2  # of the first filter the corner is all there is
    figure = plots.plot_filters(kernel, "a run")
    drawn = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(drawn) == 64
    assert "64 of 70 filters, 3×3" in figure._suptitle.get_text()
    corner, rest = (1, 0.5) if channels == 3 else (1, 0)
    np.testing.assert_allclose(drawn[0][0, 0], corner)
    np.testing.assert_allclose(drawn[0][1:], rest)


def test_the_classes_that_come_first():
    axes = plots.plot_prediction(
        np.zeros((4, 4, 1), np.uint8), np.array([0.1, 0.7, 0.2]), ["a", "b", "c"], "x", 2
    ).axes[1]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "c"]
    assert [round(bar.get_width(), 6) for bar in axes.patches] == [0.7, 0.2]


def test_mistakes_are_named():
    images = np.zeros((2, 4, 4, 3), np.uint8)
    mistakes = plots.Mistakes(images, np.array([0, 1]), np.array([1, 0]), np.array([0.99, 0.5]))
    figure = plots.plot_mistakes(mistakes, ["cat", "dog"], "a run")
    titles = [axes.get_title() for axes in figure.axes if axes.images]
    assert titles == ["cat 99%\nis dog", "dog 50%\nis cat"]
    none = plots.Mistakes(images[:0], np.array([], int), np.array([], int), np.array([]))
    figure = plots.plot_mistakes(none, ["cat", "dog"], "no mistake")
    figure.savefig(io.BytesIO())
