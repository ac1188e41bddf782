"""Each augmentation against a truth of its own, and the rules that all of them keep."""

import doctest
import importlib
import itertools
import pkgutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from convzoo import UserError, data
from convzoo.data import (
    Augmentation,
    BatchContext,
    ColorJitter,
    CutMix,
    Cutout,
    MixUp,
    RandAugment,
    RandomCrop,
    RandomErasing,
    RandomFlip,
    RandomResizedCrop,
    RandomRotation,
    RandomTranslation,
    Split,
    TrivialAugment,
    augmentation,
)
from convzoo.data.augmentation import AUGMENTATIONS, policies
from convzoo.data.augmentation.rows import check_augmentation, make_augmentations, mixing_rows, rows_for_data_set
from convzoo.data.batches import Batches

EVERY = [
    ColorJitter(0.4, 0.4, 0.4, 0.1),
    CutMix(1.0),
    Cutout(4),
    MixUp(1.0),
    RandAugment(),
    RandomCrop(2),
    RandomErasing(0.9),
    RandomFlip(),
    RandomFlip("alternate"),
    RandomResizedCrop(),
    RandomRotation(30),
    RandomTranslation(3),
    TrivialAugment(),
]
COLORS = (ColorJitter, RandAugment, TrivialAugment, RandomResizedCrop, RandomRotation)  # need one or three channels
PIXELS = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]


def noise(n=16, height=9, width=11, channels=3):
    return np.random.default_rng(7).integers(0, 256, (n, height, width, channels), np.uint8)


def context(n=16, seed=0, epoch=0, step=0, classes=10):
    return BatchContext(seed, epoch, step, np.arange(n), classes)


def labels(n=16):
    return np.arange(n) % 10


def fix_draws(monkeypatch, each, value):
    monkeypatch.setattr(each, "sample", lambda *_: value)


@pytest.mark.parametrize(
    ("is_flipped", "shift", "fill_mode", "expected"),
    [
        (False, (0, 0), "constant", [[1, 2, 3], [4, 5, 6], [7, 8, 9]]),
        (True, (0, 0), "constant", [[3, 2, 1], [6, 5, 4], [9, 8, 7]]),
        (False, (1, 0), "constant", [[0, 0, 0], [1, 2, 3], [4, 5, 6]]),
        (False, (0, -1), "constant", [[2, 3, 0], [5, 6, 0], [8, 9, 0]]),
        (True, (0, 1), "constant", [[0, 3, 2], [0, 6, 5], [0, 9, 8]]),
        (False, (2, -2), "constant", [[0, 0, 0], [0, 0, 0], [3, 0, 0]]),
        (False, (1, 0), "reflect", [[4, 5, 6], [1, 2, 3], [4, 5, 6]]),
        (False, (0, -2), "reflect", [[3, 2, 1], [6, 5, 4], [9, 8, 7]]),
        (True, (-1, 1), "reflect", [[5, 6, 5], [8, 9, 8], [5, 6, 5]]),
    ],
)
@pytest.mark.parametrize("shift_class", [RandomTranslation, RandomCrop])
def test_flip_then_shift_matches_drawing(monkeypatch, shift_class, is_flipped, shift, fill_mode, expected):
    flip, move = RandomFlip(), shift_class(2, fill_mode)
    fix_draws(monkeypatch, flip, np.array([is_flipped]))
    fix_draws(monkeypatch, move, np.array([shift]))
    images = np.array(PIXELS, np.uint8).reshape(1, 3, 3, 1)
    batches = Batches(Split(images, np.array([7])), 1, 0, [flip, move])
    np.testing.assert_array_equal(batches.batch(0, 0)[0][0, :, :, 0], expected)


@pytest.mark.parametrize("modes", itertools.product(["reflect", "constant"], repeat=2))
@pytest.mark.parametrize("channels", [1, 3])
def test_gather_of_flips_and_shifts_is_the_loop(modes, channels):
    images = noise(30, 5, 7, channels)
    moves = [RandomTranslation(3, modes[0]), RandomFlip(), RandomCrop(2, modes[1])]
    batches = Batches(Split(images, np.arange(30)), 12, 3, moves)
    place = batches._context(2, 1)
    shifts, flips, more_shifts = (move.sample(place) for move in moves)
    for image, index, shift, is_flipped, more in zip(
        batches.batch(2, 1)[0], place.indices, shifts, flips, more_shifts, strict=True
    ):
        expected = shifted(images[index], shift, modes[0])
        expected = expected[:, ::-1] if is_flipped else expected
        np.testing.assert_array_equal(image, shifted(expected, more, modes[1]))


def shifted(image, shift, fill_mode):
    down, right = shift
    height, width = image.shape[:2]
    padded = np.pad(image, ((3, 3), (3, 3), (0, 0)), mode=fill_mode)
    return padded[3 - down : 3 - down + height, 3 - right : 3 - right + width]


def test_flips_are_even_and_every_shift_is_as_likely():
    many = context(9000, seed=5)
    assert abs(RandomFlip().sample(many).mean() - 0.5) < 0.02
    places, counts = np.unique(RandomTranslation(1).sample(many), axis=0, return_counts=True)
    assert places.tolist() == [[i, j] for i in (-1, 0, 1) for j in (-1, 0, 1)]
    assert counts.min() > 870  # 1,000 each, standard deviation 30
    assert counts.max() < 1130


def test_flips_of_images_seeds_and_epochs_are_independent():
    flips = [RandomFlip().sample(context(4000, seed, epoch)) for seed in range(3) for epoch in range(3)]
    flips += [flips[0][np.arange(1, 4001) % 4000]]  # the neighbour's
    agreement = [(a == b).mean() for a, b in itertools.combinations(flips, 2)]
    assert max(abs(share - 0.5) for share in agreement) < 0.04  # five standard deviations


def test_alternating_flips_show_each_image_both_ways():
    batches = Batches(Split(noise(40), labels(40)), 10, 5, [flip := RandomFlip("alternate")])

    def flips(epoch):
        places = [batches._context(epoch, step) for step in range(4)]
        return {int(i): bool(f) for each in places for i, f in zip(each.indices, flip.sample(each), strict=True)}

    first, second, third = flips(0), flips(1), flips(2)
    assert 5 < sum(first.values()) < 35
    assert second == {image: not is_flipped for image, is_flipped in first.items()}
    assert third == first


def test_resized_crop_is_pillows_resize_of_a_fitting_box(monkeypatch):
    boxes = []
    crop_image = Image.Image.crop

    def record(image, box):
        boxes.append(box)
        return crop_image(image, box)

    monkeypatch.setattr(Image.Image, "crop", record)
    images = noise(200, 32, 24)
    crops = RandomResizedCrop((0.25, 0.5), (0.5, 2)).augment(images, np.random.default_rng(0))
    for image, crop, (left, top, right, bottom) in zip(images, crops, boxes, strict=True):
        assert 0 <= left < right <= 24
        assert 0 <= top < bottom <= 32
        assert 0.2 < (right - left) * (bottom - top) / (32 * 24) < 0.55  # sides are rounded
        assert 0.4 < (right - left) / (bottom - top) < 2.4
        part = Image.fromarray(image[top:bottom, left:right])
        np.testing.assert_array_equal(crop, np.asarray(part.resize((24, 32), Image.Resampling.BILINEAR)))


def test_resized_crop_without_a_fitting_box_keeps_the_image():
    images = noise(4, 32, 4)
    np.testing.assert_array_equal(RandomResizedCrop((1, 1), (9, 9)).augment(images, np.random.default_rng(0)), images)


def test_rotation_turns_a_bar_by_its_angle():
    class Quarter:
        """A generator that draws 90 degrees."""

        @staticmethod
        def uniform(low, high, size):
            assert (low, high) == (-90, 90)
            return np.full(size, 90.0)

    image = np.zeros((1, 5, 5, 1), np.uint8)
    image[0, 2, 1:] = 200
    np.testing.assert_array_equal(RandomRotation(90).augment(image, Quarter)[0], np.rot90(image[0]))


def test_jitter_matches_pillows_enhancers_in_their_order(monkeypatch):
    """The four operations, by Pillow and colorsys-free arithmetic, in the order that was drawn."""
    jitter, images = ColorJitter(0.4, 0.5, 0.6, 0.2), noise(24)
    rng = np.random.default_rng(3)
    factors = rng.uniform([0.6, 0.5, 0.4], [1.4, 1.5, 1.6], (24, 3))
    turns = rng.uniform(-0.2, 0.2, 24)
    orders = rng.permuted(np.tile(np.arange(4), (24, 1)), axis=1)
    enhancers = [ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color]
    for number, image in enumerate(jitter.augment(images, np.random.default_rng(3))):
        expected = Image.fromarray(images[number])
        for operation in orders[number]:
            if operation < 3:
                expected = enhancers[operation](expected).enhance(factors[number, operation])
            else:
                hsv = np.array(expected.convert("HSV")).astype(int)
                hsv[..., 0] = (hsv[..., 0] + int(turns[number] * 255)) % 256
                expected = Image.fromarray(hsv.astype(np.uint8), "HSV").convert("RGB")
        np.testing.assert_array_equal(image, expected)
    assert len({tuple(order) for order in orders}) > 10


def test_jitter_leaves_what_it_is_not_given():
    np.testing.assert_array_equal(ColorJitter().augment(noise(), np.random.default_rng(0)), noise())
    gray = noise(channels=1)
    np.testing.assert_array_equal(ColorJitter(saturation=1, hue=0.5).augment(gray, np.random.default_rng(0)), gray)


@pytest.mark.parametrize("size", [1, 4, 5, 15])
def test_cutout_hides_a_clipped_square_in_the_mean_colour(size):
    images = noise(300, 9, 11)
    hidden = Cutout(size).augment(images, np.random.default_rng(2))
    corners = np.random.default_rng(2).integers((9, 11), size=(300, 2)) - size // 2
    colour = np.floor(images.reshape(-1, 3).mean(0) + 0.5)
    for image, expected, (top, left) in zip(hidden, images.copy(), corners, strict=True):
        expected[max(top, 0) : max(top + size, 0), max(left, 0) : max(left + size, 0)] = colour
        np.testing.assert_array_equal(image, expected)
    centres = corners + size // 2
    assert centres.min(0).tolist() == [0, 0]
    assert centres.max(0).tolist() == [8, 10]


def test_erasing_hides_a_rectangle_of_the_asked_share_of_images():
    images = np.zeros((2000, 32, 32, 3), np.uint8)
    erased = RandomErasing(0.3, (0.1, 0.2), (0.5, 2)).augment(images, np.random.default_rng(0))
    mask = erased.any(-1)
    is_changed = mask.any((1, 2))
    assert abs(is_changed.mean() - 0.3) < 0.05
    for each in mask[is_changed]:
        rows, columns = np.flatnonzero(each.any(1)), np.flatnonzero(each.any(0))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert 0.08 < height * width / 1024 < 0.22  # sides are rounded
        assert 0.4 < width / height < 2.4
        assert each.sum() > 0.98 * height * width  # a noise pixel is black once in 16 million
    values = erased[mask]
    assert abs(values.mean() - 127.5) < 1
    assert len(np.unique(values)) == 256


def test_mixup_blends_images_and_labels_in_one_share():
    images, batch = noise(), context(step=3)
    mixed, soft = MixUp(0.8)(images, labels(), batch)
    rng = MixUp(0.8).make_generator(batch)
    share = round(rng.beta(0.8, 0.8) * 256) / 256
    partners = rng.permutation(16)
    assert np.abs(mixed - (share * images + (1 - share) * images[partners].astype(float))).max() <= 0.5
    np.testing.assert_allclose(soft, share * np.eye(10)[labels()] + (1 - share) * np.eye(10)[labels()[partners]])
    assert soft.dtype == np.float32


def test_cutmix_labels_have_the_share_of_the_pixels():
    """Each image is of one colour, its number, so that the pixels of the partner can be counted."""
    images = np.broadcast_to(np.arange(1, 9, dtype=np.uint8).reshape(-1, 1, 1, 1), (8, 10, 12, 3))
    shares = []
    for step in range(200):
        mixed, soft = CutMix(1.0)(images, np.arange(8), context(8, step=step))
        for number, (image, label) in enumerate(zip(mixed, soft, strict=True)):
            expected = np.bincount(image[..., 0].ravel(), minlength=9)[1:9] / 120
            np.testing.assert_allclose(label[:8], expected, atol=1e-6)
            rows, columns = np.nonzero(image[..., 0] != number + 1)
            if len(rows):
                assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        shares.append(soft[0].max())
    assert 0.5 < np.mean(shares) < 1


def test_mixing_twice_mixes_soft_labels():
    batch = context(step=1)
    images, soft = MixUp(1.0)(noise(), labels(), batch)
    _, twice = CutMix(1.0)(images, soft, batch)
    mixture = CutMix(1.0).sample(batch, 9, 11)
    np.testing.assert_allclose(twice, mixture.share * soft + (1 - mixture.share) * soft[mixture.partners], rtol=1e-6)
    np.testing.assert_allclose(twice.sum(1), 1, rtol=1e-6)


def affine(image, *coefficients):
    return image.transform(image.size, Image.Transform.AFFINE, coefficients)


# torchvision's `_augmentation_space`: magnitude 9 of RandAugment, 30 of TrivialAugmentWide, for 9×11 pixels.
@pytest.mark.parametrize(
    ("operation", "narrow", "wide"),
    [
        ("identity", lambda x: x, lambda x: x),
        ("shear_x", lambda x: affine(x, 1, 0.09, 0, 0, 1, 0), lambda x: affine(x, 1, 0.99, 0, 0, 1, 0)),
        ("shear_y", lambda x: affine(x, 1, 0, 0, 0.09, 1, 0), lambda x: affine(x, 1, 0, 0, 0.99, 1, 0)),
        ("translate_x", lambda x: affine(x, 1, 0, 1, 0, 1, 0), lambda x: affine(x, 1, 0, 32, 0, 1, 0)),
        ("translate_y", lambda x: affine(x, 1, 0, 0, 0, 1, 1), lambda x: affine(x, 1, 0, 0, 0, 1, 32)),
        ("rotate", lambda x: x.rotate(9), lambda x: x.rotate(135)),
        ("brightness", lambda x: ImageEnhance.Brightness(x).enhance(1.27), lambda x: None),
        ("color", lambda x: ImageEnhance.Color(x).enhance(1.27), lambda x: ImageEnhance.Color(x).enhance(1.99)),
        ("contrast", lambda x: ImageEnhance.Contrast(x).enhance(1.27), lambda x: None),
        ("sharpness", lambda x: ImageEnhance.Sharpness(x).enhance(1.27), lambda x: None),
        ("posterize", lambda x: ImageOps.posterize(x, 7), lambda x: ImageOps.posterize(x, 2)),
        ("solarize", lambda x: ImageOps.solarize(x, 179), lambda x: ImageOps.solarize(x, 0)),  # from 178.5 on
        ("autocontrast", ImageOps.autocontrast, ImageOps.autocontrast),
        ("equalize", ImageOps.equalize, ImageOps.equalize),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_operations_are_torchvisions(operation, narrow, wide, channels):
    image = Image.fromarray(noise(channels=channels)[0].squeeze())
    result = policies.apply_operation(image, operation, 9 / 30, policies.RANDAUGMENT_SPACE)
    np.testing.assert_array_equal(result, narrow(image))
    if (expected := wide(image)) is not None:
        np.testing.assert_array_equal(policies.apply_operation(image, operation, 1.0, policies.WIDE_SPACE), expected)


def test_operations_have_a_row_each_in_torchvisions_order():
    assert len(policies.OPERATIONS) == 14
    magnitudes = [round(255 - 255 / 30 * level, 6) for level in range(31)]
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for level, threshold in enumerate(magnitudes):
        solarized = policies.apply_operation(Image.fromarray(ramp), "solarize", level / 30, policies.WIDE_SPACE)
        np.testing.assert_array_equal(solarized, np.where(ramp < threshold, ramp, 255 - ramp))
    for level in range(31):
        bits = 8 - round(level / 7.5)
        posterized = policies.apply_operation(
            Image.fromarray(ramp), "posterize", level / 30, policies.RANDAUGMENT_SPACE
        )
        np.testing.assert_array_equal(posterized, ramp >> (8 - bits) << (8 - bits))


@pytest.mark.parametrize("policy", [RandAugment(3, 12), TrivialAugment()])
def test_policies_draw_every_operation_evenly(monkeypatch, policy):
    calls = []

    def record(image, operation, magnitude, space):
        calls.append((operation, round(magnitude * 30)))
        return image

    monkeypatch.setattr(policies, "apply_operation", record)
    policy.augment(noise(3000), np.random.default_rng(0))
    operations, levels = zip(*calls, strict=True)
    counts = [operations.count(operation) for operation in policies.OPERATIONS]
    each = len(calls) / 14
    assert max(abs(count - each) for count in counts) < 5 * each**0.5
    if isinstance(policy, RandAugment):
        assert len(calls) == 9000
        assert set(levels) == {-12, 12}
    else:
        assert len(calls) == 3000
        assert set(levels) == set(range(-30, 31))


@pytest.mark.parametrize("each", EVERY, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("channels", [1, 3])
def test_images_keep_type_and_shape_and_the_argument(each, channels):
    images, y = noise(channels=channels), labels()
    each.check_image_shape(images.shape[1:])
    augmented, augmented_labels = each(images, y, context())
    assert augmented.dtype == np.uint8
    assert augmented.shape == images.shape
    assert not np.array_equal(augmented, images)
    np.testing.assert_array_equal(images, noise(channels=channels))
    if isinstance(each, MixUp | CutMix):
        assert augmented_labels.dtype == np.float32
        assert augmented_labels.shape == (16, 10)
        np.testing.assert_allclose(augmented_labels.sum(1), 1, rtol=1e-6)
    else:
        np.testing.assert_array_equal(augmented_labels, y)


def twin(each):
    """Another object of the same class, arguments and name."""
    copy = object.__new__(type(each))
    copy.__dict__.update(each.__dict__)
    return copy


@pytest.mark.parametrize("each", EVERY, ids=lambda each: type(each).__name__)
def test_augmentation_is_a_function_of_seed_epoch_and_step(each):
    moments = list(itertools.product((0, 1), (0, 1), (0, 1)))
    first = {moment: each(noise(), labels(), context(16, *moment))[0] for moment in moments}
    for moment in reversed(moments):
        np.testing.assert_array_equal(twin(each)(noise(), labels(), context(16, *moment))[0], first[moment])
    is_by_epoch = isinstance(each, RandomFlip | RandomTranslation | RandomCrop)
    moments_that_differ = [m for m in moments if m[2] == 0] if is_by_epoch else moments
    results = {first[moment].tobytes() for moment in moments_that_differ}
    assert len(results) == len(moments_that_differ)


@pytest.mark.parametrize("each", EVERY, ids=lambda each: type(each).__name__)
def test_draws_are_unchanged_when_others_come_and_go(each, monkeypatch):
    """The others do nothing here, so that the batch shows the draws of the one."""
    split = Split(noise(40), labels(40))
    alone = Batches(split, 8, 4, [each]).batch(2, 1)
    for other in EVERY:
        if type(other) is type(each):
            continue
        idle = twin(other)
        idle.augment = lambda images, rng: (rng.random(5), images.copy())[1]
        if hasattr(idle, "extend"):
            idle.extend = lambda pixel_map, context, size, idle=idle: (idle.sample(context), pixel_map)[1]
        if isinstance(idle, MixUp | CutMix):
            monkeypatch.setattr(type(idle), "__call__", lambda self, x, y, c: (self.sample(c, 9, 11), (x, y))[1])
        for order in ([idle, each], [each, idle]):
            together = Batches(split, 8, 4, order).batch(2, 1)
            np.testing.assert_array_equal(together[0], alone[0])
            np.testing.assert_array_equal(together[1], alone[1])
        monkeypatch.undo()


def test_names_give_two_of_a_class_different_draws():
    rows = {name: {"_target_": "convzoo.data.RandomTranslation", "pixels": 3} for name in ("first", "second")}
    first, second = make_augmentations(rows)
    assert not np.array_equal(first.sample(context()), second.sample(context()))
    rows = {name: {"_target_": "convzoo.data.Cutout", "size": 3} for name in ("first", "second")}
    first, second = make_augmentations(rows)
    assert not np.array_equal(first(noise(), labels(), context())[0], second(noise(), labels(), context())[0])


@pytest.mark.parametrize("each", [each for each in EVERY if isinstance(each, COLORS)], ids=lambda e: type(e).__name__)
def test_images_of_two_channels_are_refused_in_one_line(each):
    message = f"{type(each).__name__} takes images of 1 or 3 channels. Received: 2 channels"
    for call in (each.check_image_shape, lambda shape: each(np.zeros((1, *shape), np.uint8), labels(1), context(1))):
        with pytest.raises(UserError) as error:
            call((9, 11, 2))
        assert str(error.value) == message


@pytest.mark.parametrize("each", [each for each in EVERY if not isinstance(each, COLORS)])
def test_other_augmentations_take_any_channels(each):
    assert each(noise(channels=5), labels(), context())[0].shape == (16, 9, 11, 5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomFlip("up"), "`mode` must be random or alternate. Received: mode='up'"),
        (lambda: RandomTranslation(-1), "`pixels` must be a whole number of at least 0. Received: pixels=-1"),
        (lambda: RandomTranslation(True), "`pixels` must be a whole number of at least 0. Received: pixels=True"),
        (lambda: RandomCrop(4, "wrap"), "`fill_mode` must be reflect or constant. Received: fill_mode='wrap'"),
        (lambda: Cutout(0), "`size` must be a whole number of at least 1. Received: size=0"),
        (lambda: Cutout(2.5), "`size` must be a whole number of at least 1. Received: size=2.5"),
        (lambda: RandomErasing(1.5), "`probability` must be a number from 0 to 1. Received: probability=1.5"),
        (lambda: RandomRotation(float("nan")), "`degrees` must be a number from 0 to 180. Received: degrees=nan"),
        (lambda: MixUp(0), "`alpha` must be a number above 0. Received: alpha=0"),
        (lambda: CutMix("1"), "`alpha` must be a number above 0. Received: alpha='1'"),
        (lambda: ColorJitter(hue=0.6), "`hue` must be a number from 0 to 0.5. Received: hue=0.6"),
        (lambda: ColorJitter(contrast=-1), "`contrast` must be a number of at least 0. Received: contrast=-1"),
        (
            lambda: RandomResizedCrop((0.5, 1.5)),
            "`scale` must be two numbers above 0 and up to 1, the lower first. Received: scale=(0.5, 1.5)",
        ),
        (
            lambda: RandomResizedCrop(ratio=[2, 1]),
            "`ratio` must be two numbers above 0, the lower first. Received: ratio=[2, 1]",
        ),
        (lambda: RandAugment(2, 31), "`magnitude` must be a whole number from 0 to 30. Received: magnitude=31"),
    ],
)
def test_bad_arguments_are_named_in_one_line(make, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the message is compared whole)
        make()
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("Cutout", {"size": 0}, ".size` must be a whole number of at least 1. Received: size=0"),
        ("Cutout", {"size": 99}, ".size` is too large for images of 9×11 pixels. Received: size=99"),
        ("Cutout", {}, "` needs `size`, an argument of Cutout"),
        ("Cutout", {"siz": 1}, ".siz`: Cutout has no such argument; did you mean size?"),
        ("TrivialAugment", {"size": 1}, ".size`: TrivialAugment has no such argument; valid arguments: none"),
        ("Cutout", {"_args_": [1]}, "._args_`: Cutout has no such argument; valid arguments: size"),
        (
            "Cutout",
            {"size": {"a": 1}},
            ".size` must be a number, a word, true, false, null or a list of those. Received: {'a': 1}",
        ),
    ],
)
def test_bad_arguments_of_rows_are_refused_by_key(name, arguments, message):
    with pytest.raises(UserError) as error:
        check_augmentation({"hole": {"_target_": f"convzoo.data.{name}", **arguments}}, (9, 11, 3))
    assert str(error.value) == f"`recipe.augmentation.hole{message}"


@pytest.mark.parametrize("target", ["convzoo.data.Cuttout", "keras.layers.Cutout", "Cutout"])
def test_misspelt_target_gets_the_nearest_one(target):
    with pytest.raises(UserError) as error:
        check_augmentation({"hole": {"_target_": target}}, (9, 11, 3))
    place = f"`recipe.augmentation.hole._target_={target}`"
    assert str(error.value).startswith(f"{place}: there is no such class here; did you mean convzoo.data.Cutout")


@pytest.mark.parametrize("row", [3, {"size": 1}, {"_target_": 1}])
def test_row_without_target_is_refused(row):
    with pytest.raises(UserError, match=r"`recipe\.augmentation\.hole` must be a mapping with `_target_`"):
        check_augmentation({"hole": row}, (9, 11, 3))


def test_target_that_resembles_none_lists_the_valid_ones():
    with pytest.raises(UserError, match=r"there are: convzoo\.data\.ColorJitter, .*TrivialAugment$"):
        check_augmentation({"x": {"_target_": "os.system"}}, (9, 11, 3))


def test_rows_must_be_a_mapping_and_channels_fit():
    with pytest.raises(UserError, match=r"`recipe\.augmentation` must be a mapping"):
        check_augmentation([], (9, 11, 3))
    with pytest.raises(
        UserError, match=r"^`recipe\.augmentation\.jitter`: ColorJitter takes images of 1 or 3 channels"
    ):
        check_augmentation({"jitter": {"_target_": "convzoo.data.ColorJitter"}}, (9, 11, 4))


def test_rows_become_augmentations_in_their_order():
    rows = {
        "flip": {"_target_": "convzoo.data.RandomFlip", "mode": "alternate"},
        "none": None,
        "erase": {"_target_": "convzoo.data.RandomErasing", "scale": [0.1, 0.2]},
        "mixup": {"_target_": "convzoo.data.MixUp"},
    }
    flip, erase, mixup = make_augmentations(rows)
    assert (flip.name, flip.mode, erase.name, erase.scale, mixup.alpha) == (
        "flip",
        "alternate",
        "erase",
        (0.1, 0.2),
        0.2,
    )
    check_augmentation(rows, (9, 11, 3))
    assert mixing_rows(rows) == ["mixup"]


def test_allowed_rows_drop_what_the_data_set_forbids():
    required = {"Cutout": {"size": 1}, "RandomTranslation": {"pixels": 1}, "RandomRotation": {"degrees": 1}}
    rows = {target.rpartition(".")[2]: {"_target_": target} for target in AUGMENTATIONS}
    rows = {name: {**row, **required.get(name, {})} for name, row in rows.items()}
    rows["absent"] = None
    still = ["ColorJitter", "CutMix", "Cutout", "MixUp", "RandomErasing"]
    assert list(rows_for_data_set(rows, {"flip": False, "shift": False})) == still
    assert set(rows_for_data_set(rows, {"flip": True, "shift": False})) == {*still, "RandomFlip"}
    assert "RandomFlip" not in rows_for_data_set(rows, {"flip": False, "shift": True})
    assert rows_for_data_set(rows, {"flip": True, "shift": True}) == {k: row for k, row in rows.items() if row}


def test_class_of_ones_own_works_in_batches():
    class Darken(Augmentation):
        def __init__(self, most):
            self.most = most

        def augment(self, images, rng):
            return images - np.minimum(images, rng.integers(1, self.most, (len(images), 1, 1, 1), dtype=np.uint8))

    images, _ = Batches(Split(noise(40), labels(40)), 8, 0, [Darken(9), RandomFlip()]).batch(0, 0)
    assert images.mean() < noise(40).mean()
    with pytest.raises(NotImplementedError, match="must implement `augment`"):
        Augmentation()(noise(), labels(), context())


def test_import_of_augmentations_loads_neither_pillow_nor_keras():
    code = "import sys, convzoo.data; print([name for name in ('PIL', 'keras') if name in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"
    assert {cls.__name__ for cls in AUGMENTATIONS.values()} <= set(data.__all__)


MODULES = [module.name for module in pkgutil.walk_packages(augmentation.__path__, "convzoo.data.augmentation.")]


@pytest.mark.parametrize("name", ["convzoo.data.batches", *MODULES])
def test_examples_of_docstrings_run(name):
    names = {"np": np, "BatchContext": BatchContext}
    assert doctest.testmod(importlib.import_module(name), extraglobs=names).failed == 0
