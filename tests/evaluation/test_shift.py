"""Shifts against loops from the definitions, and classifiers whose answers are known by hand."""

import numpy as np
import pytest

from convzoo.evaluation import shift


def pictures(n=6, size=8, channels=3):
    return np.random.default_rng(1).integers(0, 256, (n, size, size, channels), dtype=np.uint8)


def brightness(images):
    """Circularly invariant: it sees the mean alone."""
    mean = images.mean(axis=(1, 2, 3)) / 255
    return np.stack([mean, 1 - mean], axis=1)


def corner(images):
    """It looks at the pixel at the top left alone: class 1 where that is white."""
    white = images[:, 0, 0, 0] > 127
    return np.stack([~white, white], axis=1) * 1000.0  # 1000 logits: the probability is 0 or 1


def looks_everywhere(images):
    weights = np.random.default_rng(2).normal(size=(images[0].size, 4)) / 500
    return images.reshape(len(images), -1) @ weights


def moved(image, down, right, border):
    """Pixel by pixel."""
    out = np.zeros_like(image)
    height, width = image.shape[:2]
    for i in range(height):
        for j in range(width):
            y, x = i - down, j - right
            if border == "circular":
                y, x = y % height, x % width
            elif border == "reflect":
                y, x = abs(y), abs(x)
                y, x = min(y, 2 * (height - 1) - y), min(x, 2 * (width - 1) - x)
            elif not (0 <= y < height and 0 <= x < width):
                continue
            out[i, j] = image[y, x]
    return out


@pytest.mark.parametrize("border", ["circular", "reflect", "zeros"])
def test_pictures_move_as_pixel_by_pixel(border):
    images = pictures()
    for offset in [(0, 0), (2, 0), (0, -3), (-1, 4)]:
        expected = np.stack([moved(image, *offset, border) for image in images])
        np.testing.assert_array_equal(shift.shift_images(images, *offset, border), expected)


@pytest.mark.parametrize("border", ["circular", "reflect", "zeros"])
def test_all_three_against_loops_from_the_definitions(border):
    images, labels, most = pictures(), np.array([0, 1, 2, 3, 0, 1]), 2
    offsets = [(down, right) for down in range(-most, most + 1) for right in range(-most, most + 1)]
    found = shift.measure_shift_robustness(looks_everywhere, images, labels, most, border)
    logits = {o: looks_everywhere(np.stack([moved(image, *o, border) for image in images])) for o in offsets}
    accuracy = [np.mean([row.argmax() == label for row, label in zip(logits[o], labels, strict=True)]) for o in offsets]
    np.testing.assert_allclose(found.accuracy.ravel(), accuracy)
    same = [logits[a][n].argmax() == logits[b][n].argmax() for n in range(6) for a in offsets for b in offsets]
    assert found.consistency == pytest.approx(np.mean(same))
    assert 0.2 < np.mean(same) < 1
    spreads = []
    for n, label in enumerate(labels):
        true = [np.exp(logits[o][n][label]) / np.exp(logits[o][n]).sum() for o in offsets]
        spreads.append(np.sqrt(np.mean((true - np.mean(true)) ** 2)))
    assert found.stability == pytest.approx(np.mean(spreads))
    assert (found.max_shift, found.images, found.border) == (2, 6, border)


def test_what_is_invariant_is_wholly_consistent():
    images = pictures()
    labels = brightness(images).argmax(axis=1)
    found = shift.measure_shift_robustness(brightness, images, labels, 3)
    assert found.consistency == 1
    assert found.stability == pytest.approx(0, abs=1e-12)
    np.testing.assert_array_equal(found.accuracy, np.ones((7, 7)))
    assert shift.consistency(brightness, images, 3, pairs=5) == 1


def test_one_white_pixel_by_hand():
    """White at (1, 2) of an 8×8 picture, shifts within ±2: the pixel comes to the corner under one shift of 25, 1 up
    and 2 to the left. So two shifts agree with 24² + 1² of 25², and of class 1 the probability is 1 once, else 0."""
    image = np.zeros((1, 8, 8, 1), np.uint8)
    image[0, 1, 2] = 255
    found = shift.measure_shift_robustness(corner, image, [1], 2)
    expected = np.zeros((5, 5))
    expected[2 - 1, 2 - 2] = 1
    np.testing.assert_array_equal(found.accuracy, expected)
    assert found.consistency == pytest.approx(577 / 625)
    assert found.stability == pytest.approx(np.sqrt(24) / 25)
    np.testing.assert_array_equal(shift.accuracy_by_offset(corner, image, [1], 2), expected)
    assert shift.stability(corner, image, [1], 2) == found.stability


def test_random_pairs_estimate_all_pairs():
    images = np.zeros((400, 8, 8, 1), np.uint8)
    images[:, 1, 2] = 255
    found = [shift.consistency(corner, images, 2, pairs=10, seed=seed) for seed in range(2)]
    assert found[0] != found[1]
    assert found[0] == shift.consistency(corner, images, 2, pairs=10, seed=0)
    deviation = np.sqrt(577 / 625 * 48 / 625 / 4000)  # of the mean of 4,000 coins
    assert found[0] == pytest.approx(577 / 625, abs=4 * deviation)


def test_a_pair_costs_two_passes_of_all_images():
    seen = []
    shift.consistency(lambda images: seen.append(len(images)) or brightness(images), pictures(), pairs=3)
    assert seen == [6] * 6


def test_chosen_pictures():
    np.testing.assert_array_equal(shift.sample_indices(5, 9), range(5))
    some = shift.sample_indices(1000, 50)
    assert len(set(some)) == 50
    assert list(some) == sorted(some) == list(shift.sample_indices(1000, 50))
    assert some[-1] > 500  # not the first ones: a folder of pictures is sorted by class


@pytest.mark.parametrize(("more", "told"), [(dict(border="mirror"), "'mirror'"), (dict(max_shift=8), "max_shift=8")])
def test_what_cannot_be(more, told):
    with pytest.raises(ValueError, match=told):
        shift.consistency(brightness, pictures(), **more)
