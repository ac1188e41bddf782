import threading
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convzoo.data.stream import Batches, Decision


def numbered(n, shape=(2, 2, 1)):
    """A split whose picture and label number i hold i."""
    x = np.broadcast_to(np.arange(n, dtype=np.uint8).reshape(-1, 1, 1, 1), (n, *shape))
    return SimpleNamespace(x=x, y=np.arange(n, dtype=np.int32))


def decision(index, flip, shift):
    return Decision(np.array([index]), np.array([flip]), np.array([shift]))


PICTURE = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]


@pytest.mark.parametrize(
    ("flip", "shift", "fill", "expected"),
    [
        (False, (0, 0), "zeros", [[1, 2, 3], [4, 5, 6], [7, 8, 9]]),
        (True, (0, 0), "zeros", [[3, 2, 1], [6, 5, 4], [9, 8, 7]]),
        (False, (1, 0), "zeros", [[0, 0, 0], [1, 2, 3], [4, 5, 6]]),
        (False, (0, -1), "zeros", [[2, 3, 0], [5, 6, 0], [8, 9, 0]]),
        (True, (0, 1), "zeros", [[0, 3, 2], [0, 6, 5], [0, 9, 8]]),
        (False, (2, -2), "zeros", [[0, 0, 0], [0, 0, 0], [3, 0, 0]]),
        (False, (1, 0), "reflect", [[4, 5, 6], [1, 2, 3], [4, 5, 6]]),
        (False, (0, -2), "reflect", [[3, 2, 1], [6, 5, 4], [9, 8, 7]]),
        (True, (-1, 1), "reflect", [[5, 6, 5], [8, 9, 8], [5, 6, 5]]),
    ],
)
def test_flips_then_shifts_by_hand(flip, shift, fill, expected):
    split = SimpleNamespace(x=np.array(PICTURE, np.uint8).reshape(1, 3, 3, 1), y=np.array([7], np.int32))
    x, y = Batches(split, 1, seed=0, flip=True, shift=2, fill=fill).apply(decision(0, flip, shift))
    np.testing.assert_array_equal(x[0, :, :, 0], expected)
    assert x.dtype == np.uint8
    assert y.tolist() == [7]


@pytest.mark.parametrize("fill", ["reflect", "zeros"])
@pytest.mark.parametrize("channels", [1, 3])
def test_apply_is_the_loop_over_pixels(fill, channels):
    rng = np.random.default_rng(1)
    split = SimpleNamespace(x=rng.integers(0, 256, (30, 5, 7, channels), np.uint8), y=np.arange(30, dtype=np.int32))
    batches = Batches(split, 12, seed=3, flip=True, shift=3, fill=fill)
    chosen = batches.decide(epoch=2, step=1)
    x, y = batches.apply(chosen)
    for b, (index, flip, (down, right)) in enumerate(zip(chosen.indices, chosen.flips, chosen.shifts, strict=True)):
        picture = split.x[index, :, ::-1] if flip else split.x[index]
        framed = np.pad(picture, ((3, 3), (3, 3), (0, 0)), mode={"reflect": "reflect", "zeros": "constant"}[fill])
        np.testing.assert_array_equal(x[b], framed[3 - down : 8 - down, 3 - right : 10 - right])
        assert y[b] == index


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=12))
@settings(max_examples=25, deadline=None)
def test_a_batch_does_not_depend_on_what_was_asked_before(calls):
    def make():
        return Batches(numbered(20, (4, 4, 1)), 5, seed=9, flip=True, shift=1)

    used = make()
    for epoch, step in calls:
        fresh = make().decide(epoch, step)
        asked = used.decide(epoch, step)
        for name in ("indices", "flips", "shifts"):
            np.testing.assert_array_equal(getattr(asked, name), getattr(fresh, name))


def test_every_image_at_most_once_an_epoch_and_the_remainder_changes():
    batches = Batches(numbered(23), 5, seed=0)
    assert batches.steps == 4
    left_out = set()
    for epoch in range(30):
        seen = np.concatenate([y for [(_, y)] in batches.epoch(epoch)])
        assert len(seen) == len(set(seen)) == 20
        left_out |= set(range(23)) - set(seen)
    assert left_out == set(range(23))


def test_fewer_images_than_a_batch_are_one_batch():
    batches = Batches(numbered(3), 128, seed=0)
    assert batches.steps == 1
    assert sorted(batches.decide(4, 0).indices) == [0, 1, 2]


def test_seeds_and_epochs_differ():
    orders = {
        tuple(Batches(numbered(50), 50, seed).decide(epoch, 0).indices) for seed in range(4) for epoch in range(4)
    }
    assert len(orders) == 16


def test_flips_are_even_and_every_shift_is_as_likely():
    chosen = Batches(numbered(9000, (8, 8, 1)), 9000, seed=5, flip=True, shift=1).decide(0, 0)
    assert abs(chosen.flips.mean() - 0.5) < 0.02
    places, counts = np.unique(chosen.shifts, axis=0, return_counts=True)
    assert places.tolist() == [[i, j] for i in (-1, 0, 1) for j in (-1, 0, 1)]
    assert counts.min() > 870  # 1,000 each, standard deviation 30
    assert counts.max() < 1130


def test_alternating_flips_show_each_image_both_ways_in_turn():
    batches = Batches(numbered(40, (4, 4, 1)), 10, seed=5, flip="alternate")

    def flipped(epoch):
        chosen = [batches.decide(epoch, step) for step in range(4)]
        return {int(i): bool(f) for each in chosen for i, f in zip(each.indices, each.flips, strict=True)}

    first, second, third = flipped(0), flipped(1), flipped(2)
    assert 5 < sum(first.values()) < 35
    assert second == {image: not flip for image, flip in first.items()}
    assert third == first


def test_the_next_batch_is_made_ahead_and_an_epoch_may_be_left():
    batches = Batches(numbered(20, (4, 4, 1)), 5, seed=9, flip=True, shift=1)
    wanted = [batches.apply(batches.decide(3, step)) for step in range(4)]
    for [(x, y)], (wanted_x, wanted_y) in zip(batches.epoch(3), wanted, strict=True):
        np.testing.assert_array_equal(x, wanted_x)
        np.testing.assert_array_equal(y, wanted_y)
    alive = threading.active_count()
    for _ in batches.epoch(0):
        break
    assert threading.active_count() == alive


def test_some_batches_at_a_time_are_the_same_batches():
    """As many as are asked for when they are made, one lot ahead, and at the end what is left."""
    batches, counts = Batches(numbered(40, (4, 4, 1)), 5, seed=9, flip=True, shift=1), iter([1, 3, 2, 9, 9])
    wanted = [batches.apply(batches.decide(3, step)) for step in range(1, 8)]
    lots = list(batches.epoch(3, 1, count=lambda: next(counts)))
    assert [len(lot) for lot in lots] == [1, 3, 2, 1]
    for found, batch in zip([each for lot in lots for each in lot], wanted, strict=True):
        np.testing.assert_array_equal(found[0], batch[0])
        np.testing.assert_array_equal(found[1], batch[1])
    assert list(batches.epoch(3, 8)) == []


def test_an_augmentation_changes_neither_order_nor_the_other():
    plain, flipped, both = (
        Batches(numbered(40, (8, 8, 1)), 40, seed=2, flip=flip, shift=shift).decide(1, 0)
        for flip, shift in ((False, 0), (True, 0), (True, 3))
    )
    assert plain.indices.tolist() == flipped.indices.tolist() == both.indices.tolist()
    assert flipped.flips.tolist() == both.flips.tolist()
    assert not plain.flips.any()
    assert not flipped.shifts.any()


@pytest.mark.parametrize(("argument", "value"), [("batch_size", 0), ("shift", 4), ("shift", -1), ("fill", "mirror")])
def test_bad_arguments_are_named(argument, value):
    arguments = {"batch_size": 2, argument: value}
    with pytest.raises(ValueError, match=f"`{argument}` must .* Received: {argument}="):
        Batches(numbered(6, (4, 5, 1)), seed=0, **arguments)


@pytest.mark.parametrize("step", [-1, 3])
def test_a_step_outside_the_epoch_is_refused(step):
    with pytest.raises(ValueError, match=r"`step` must be in \[0, 3\)"):
        Batches(numbered(6), 2, seed=0).decide(0, step)
