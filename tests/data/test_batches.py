import threading
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convzoo.data import Cutout, MixUp, RandomFlip, RandomTranslation
from convzoo.data.batches import Batches


def numbered(n, shape=(2, 2, 1)):
    """A split whose image and label number i hold i."""
    x = np.broadcast_to(np.arange(n, dtype=np.uint8).reshape(-1, 1, 1, 1), (n, *shape))
    return SimpleNamespace(x=x, y=np.arange(n, dtype=np.int32))


def augmented(pixels=1):
    return [RandomFlip(), RandomTranslation(pixels)]


def assert_same_batch(batch, expected):
    for part, expected_part in zip(batch, expected, strict=True):
        np.testing.assert_array_equal(part, expected_part)


@pytest.mark.parametrize("last", [[], [Cutout(2)]])
def test_batches_apply_the_augmentations_in_their_order(last):
    """The gather that begins, and each augmentation after it, give what they give one after the other."""
    rng = np.random.default_rng(1)
    split = SimpleNamespace(x=rng.integers(0, 256, (30, 5, 7, 3), np.uint8), y=np.arange(30, dtype=np.int32))
    augmentations = [*augmented(3), *last, RandomFlip("alternate")]
    batches = Batches(split, 12, 3, augmentations)
    context = batches._context(2, 1)
    expected = split.x[context.indices], context.indices
    for augmentation in augmentations:
        expected = augmentation(*expected, context)
    images, labels = batches.batch(2, 1)
    assert_same_batch((images, labels), expected)
    assert images.dtype == np.uint8


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=12))
@settings(max_examples=25, deadline=None)
def test_batch_is_the_same_in_any_order_of_calls(calls):
    def make():
        return Batches(numbered(20, (4, 4, 1)), 5, 9, [*augmented(), Cutout(1), MixUp()])

    used = make()
    for epoch, step in calls:
        assert_same_batch(used.batch(epoch, step), make().batch(epoch, step))


def test_epoch_repeats_no_image_and_drops_other_ones_each_time():
    batches = Batches(numbered(23), 5, seed=0)
    assert batches.steps == 4
    left_out = set()
    for epoch in range(30):
        labels = np.concatenate([y for [(_, y)] in batches.epoch(epoch)])
        assert len(labels) == len(set(labels)) == 20
        left_out |= set(range(23)) - set(labels)
    assert left_out == set(range(23))


def test_fewer_images_than_a_batch_are_one_batch():
    batches = Batches(numbered(3), 128, seed=0)
    assert batches.steps == 1
    assert sorted(batches.indices(4, 0)) == [0, 1, 2]


def test_seeds_and_epochs_differ():
    orders = {tuple(Batches(numbered(50), 50, seed).indices(epoch, 0)) for seed in range(4) for epoch in range(4)}
    assert len(orders) == 16


def test_next_batch_is_made_ahead_and_an_epoch_may_be_left():
    batches = Batches(numbered(20, (4, 4, 1)), 5, 9, augmented())
    expected = [batches.batch(3, step) for step in range(4)]
    for [batch], expected_batch in zip(batches.epoch(3), expected, strict=True):
        assert_same_batch(batch, expected_batch)
    alive = threading.active_count()
    for _ in batches.epoch(0):
        break
    assert threading.active_count() == alive


def test_groups_hold_the_same_batches_in_the_same_order():
    """A group's size is asked for when it is made, one group ahead; the last has what remains."""
    batches, counts = Batches(numbered(40, (4, 4, 1)), 5, 9, augmented()), iter([1, 3, 2, 9, 9])
    expected = [batches.batch(3, step) for step in range(1, 8)]
    groups = list(batches.epoch(3, 1, steps_per_call=lambda: next(counts)))
    assert [len(group) for group in groups] == [1, 3, 2, 1]
    for batch, expected_batch in zip([each for group in groups for each in group], expected, strict=True):
        assert_same_batch(batch, expected_batch)
    assert list(batches.epoch(3, 8)) == []


def test_augmentations_do_not_change_the_order_of_images():
    plain, augmented_batches = (Batches(numbered(40, (8, 8, 1)), 40, 2, each) for each in ((), augmented(3)))
    assert plain.indices(1, 0).tolist() == augmented_batches.indices(1, 0).tolist()


def test_labels_are_those_of_the_batch():
    for augmentations in ([], augmented(), [*augmented(), MixUp()], [MixUp(), MixUp()]):
        batches = Batches(numbered(40, (8, 8, 1)), 8, 2, augmentations, classes=50)
        labels = batches.labels(1, 3)
        np.testing.assert_array_equal(labels, batches.batch(1, 3)[1])
        assert labels.shape == ((8, 50) if batches.mixes_labels else (8,))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be at least 1. Received: batch_size=0"),
        (
            {"augmentations": [RandomTranslation(4)]},
            "`pixels` is too large for images of 4×5 pixels. Received: pixels=4",
        ),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Batches(numbered(6, (4, 5, 1)), **{"batch_size": 2, "seed": 0, **arguments})


@pytest.mark.parametrize("step", [-1, 3])
def test_a_step_outside_the_epoch_is_refused(step):
    with pytest.raises(ValueError, match=r"`step` must be in \[0, 3\)"):
        Batches(numbered(6), 2, seed=0).batch(0, step)
