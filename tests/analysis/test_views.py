"""A classifier that sees one corner, on pictures whose answers can be told beforehand."""

from types import SimpleNamespace

import numpy as np
import pytest

from convzoo.analysis import shift, views


def corner(images):
    """Scores of two classes: whether the pixel at the top left is white."""
    white = images[:, 0, 0, 0] / 255
    return np.stack([1 - white, white], 1)


def test_shifts_are_of_one_pair_an_image():
    """Pictures white above their middle: of the 9 shifts from 4 up to 4 down, the corner sees the rows 4, 3, 2, 1, 0,
    7, 6, 5, 4, of which four are white."""
    images = np.zeros((400, 8, 8, 1), np.uint8)
    images[:, :4] = 255
    test, beside = views.measured(corner, SimpleNamespace(x=images, y=np.ones(400, int)), 4)
    white = 4 / 9
    assert test.accuracy == 1
    assert set(beside) == {"shift_accuracy", "shift_consistency"}
    assert beside["shift_accuracy"] == pytest.approx(white, abs=0.05)
    assert beside["shift_consistency"] == pytest.approx(white**2 + (1 - white) ** 2, abs=0.07)
    assert beside["shift_consistency"] == shift.consistency(corner, images, 4)
    (line,) = views.told(beside)
    assert f"{beside['shift_accuracy']:.2%}" in line


def test_a_picture_and_its_mirror_image_are_weighed_together():
    """The corner is 0.4 white on the left and 0.8 on the right: apart it is black, together 0.6 white; the other way
    round it is white apart and together; white on neither side or 0.2 on one it is black."""
    left, right = [0.4, 0.8, 0, 0.2], [0.8, 0.4, 0, 0]
    images = np.zeros((4, 3, 3, 1), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 2, 0] = np.multiply(left, 255), np.multiply(right, 255)
    test, beside = views.measured(corner, SimpleNamespace(x=images, y=np.array([1, 1, 0, 1])), flip=True)
    assert test.accuracy == 0.5
    assert beside == {"flip_accuracy": 0.75}
    assert list(views.told(beside)) == ["by the mean of each picture and its mirror image: accuracy 75.00%"]


def test_nothing_beside_is_asked_for():
    seen = []
    _, beside = views.measured(
        lambda x: seen.append(x) or corner(x), SimpleNamespace(x=np.zeros((2, 3, 3, 1)), y=[0, 0])
    )
    assert (beside, len(seen), list(views.told(beside))) == ({}, 1, [])
