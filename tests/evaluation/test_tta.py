"""A classifier that sees one corner, on pictures whose answers can be told beforehand."""

from types import SimpleNamespace

import numpy as np
import pytest

from convzoo.evaluation import shift, tta


def corner(images):
    """Scores of two classes: whether the pixel at the top left is white."""
    white = images[:, 0, 0, 0] / 255
    return np.stack([1 - white, white], 1)


def test_shifts_are_of_one_pair_an_image():
    """Pictures white above their middle: of the 9 shifts from 4 up to 4 down, the corner sees the rows 4, 3, 2, 1, 0,
    7, 6, 5, 4, of which four are white."""
    images = np.zeros((400, 8, 8, 1), np.uint8)
    images[:, :4] = 255
    test, beside = tta.evaluate_with_tta(corner, SimpleNamespace(x=images, y=np.ones(400, int)), 4)
    white = 4 / 9
    assert test.accuracy == 1
    assert set(beside) == {"shift_accuracy", "shift_consistency"}
    assert beside["shift_accuracy"] == pytest.approx(white, abs=0.05)
    assert beside["shift_consistency"] == pytest.approx(white**2 + (1 - white) ** 2, abs=0.07)
    assert beside["shift_consistency"] == shift.consistency(corner, images, 4)
    (line,) = tta.format_extra_metrics(beside)
    assert f"{beside['shift_accuracy']:.2%}" in line


def test_a_picture_and_its_mirror_image_are_weighed_together():
    """The corner is 0.4 white on the left and 0.8 on the right: apart it is black, together 0.6 white; the other way
    round it is white apart and together; white on neither side or 0.2 on one it is black."""
    left, right = [0.4, 0.8, 0, 0.2], [0.8, 0.4, 0, 0]
    images = np.zeros((4, 3, 3, 1), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 2, 0] = np.multiply(left, 255), np.multiply(right, 255)
    test, beside = tta.evaluate_with_tta(corner, SimpleNamespace(x=images, y=np.array([1, 1, 0, 1])), views="flip")
    assert test.accuracy == 0.5
    assert beside == {"flip_accuracy": 0.75}
    assert list(tta.format_extra_metrics(beside)) == [
        "by the mean of each picture and its mirror image: accuracy 75.00%"
    ]


def test_translate_weighs_six_views_as_a_loop_over_pixels():
    """A linear classifier that looks at every pixel; the views are read from the image pixel by pixel."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (40, 4, 5, 1), np.uint8)
    weights = random.normal(size=(4, 5, 3))

    def predict(x):
        return np.einsum("nhwc,hwk->nk", x / 255, weights)

    def pixel(image, row, column):
        """The pixel of an image that is reflected at its border pixels."""
        row = abs(row) if row < 4 else 6 - row
        column = abs(column) if column < 5 else 8 - column
        return image[row, column, 0] / 255

    labels, correct = random.integers(0, 3, 40), 0
    for image, label in zip(images, labels, strict=True):
        scores = np.zeros(3)
        for offset, weight in ((0, 1 / 4), (-1, 1 / 8), (1, 1 / 8)):
            for row in range(4):
                for column in range(5):
                    value = pixel(image, row + offset, column + offset)
                    scores += weight * value * weights[row, column]
                    scores += weight * value * weights[row, 4 - column]
        correct += scores.argmax() == label
    split = SimpleNamespace(x=images, y=labels)
    _, metrics = tta.evaluate_with_tta(predict, split, views="translate")
    assert metrics["views_accuracy"] == correct / 40
    assert metrics["flip_accuracy"] == tta.evaluate_with_tta(predict, split, views="flip")[1]["flip_accuracy"]
    assert metrics["views_accuracy"] != metrics["flip_accuracy"]
    assert list(tta.format_extra_metrics(metrics))[-1].endswith(f"{correct / 40:.2%}")


@pytest.mark.parametrize("views", tta.VIEW_COUNTS)
def test_view_counts_are_the_predictions(views):
    calls = []
    split = SimpleNamespace(x=np.zeros((2, 3, 3, 1), np.uint8), y=np.zeros(2, int))
    tta.evaluate_with_tta(lambda x: calls.append(x) or corner(x), split, views=views)
    assert len(calls) == tta.VIEW_COUNTS[views]


def test_nothing_beside_is_asked_for():
    seen = []
    _, beside = tta.evaluate_with_tta(
        lambda x: seen.append(x) or corner(x), SimpleNamespace(x=np.zeros((2, 3, 3, 1)), y=[0, 0])
    )
    assert (beside, len(seen), list(tta.format_extra_metrics(beside))) == ({}, 1, [])
