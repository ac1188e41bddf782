"""A training that is stopped and goes on ends where one that was never stopped ends."""

import os
import re
import time

import keras
import numpy as np
import pytest

from convzoo import UserError, layers
from convzoo.data import Split
from convzoo.data.stream import Batches
from convzoo.training.checkpoint import BusyError, Checkpoints, clear_stale
from convzoo.training.compiled import Compiled
from convzoo.training.fit import fit
from convzoo.training.pace import Pace
from convzoo.training.step import Step

RECIPE = dict(momentum=0.9, nesterov=True, weight_decay=1e-3, warmup=0.2, boundaries=[], schedule="cosine")


class StopError(Exception):
    pass


def pictures(n, seed):
    rng = np.random.default_rng(seed)
    return Split(rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8), rng.integers(0, 3, n).astype(np.int32))


def network():
    """Every kind of state: weights, moving means, two layers that draw."""
    keras.utils.set_random_seed(7)
    x = inputs = keras.Input((8, 8, 3), dtype="uint8")
    for layer in (
        keras.layers.Rescaling(1 / 255),
        keras.layers.Conv2D(4, 3, activation="relu"),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.3),
        layers.StochasticPooling2D(2),
        keras.layers.Flatten(),
        keras.layers.Dense(3, dtype="float32"),
    ):
        x = layer(x)
    return keras.Model(inputs, x)


def train(checkpoints=None, stop_at=None, select="last", error=StopError, lookahead=0.0, most=1):
    """The model's weights and the epochs that were told, of five epochs of four steps and one look at validation; an
    error comes after one of these, or after a call of up to `most` steps.
    """
    model, told, steps = network(), [], iter(range(1000))

    def on_step():
        if next(steps) == stop_at:
            raise error

    history = fit(
        Compiled(model),
        Batches(pictures(32, 1), 8, seed=3, flip=True, shift=2),
        pictures(40, 2),
        {**RECIPE, "lookahead": lookahead},
        learning_rate=0.05,
        epochs=5,
        select=select,
        checkpoints=checkpoints,
        on_step=on_step,
        on_epoch=lambda epoch, metrics: told.append((epoch, metrics["val_loss"])),
        pace=Pace(most, clock=lambda: 0.0),
    )
    assert [metrics["val_loss"] for metrics in history] == [loss for _, loss in told]
    return model.get_weights(), told


def test_lookahead_reaches_the_training():
    ahead, plain = train(lookahead=0.8), train()
    assert any((one != other).any() for one, other in zip(ahead[0], plain[0], strict=True))


@pytest.mark.parametrize("select", ["last", "best"])
@pytest.mark.parametrize("stops", [[0], [4], [10, 3], [6, 1, 9]])
def test_the_weights_are_the_very_same(tmp_path, stops, select):
    wanted, told = train(select=select)
    for stop in stops:
        with Checkpoints(tmp_path / "run", seconds=0) as checkpoints, pytest.raises(StopError):
            train(checkpoints, stop, select)
    with Checkpoints(tmp_path / "run", seconds=0) as checkpoints:
        found, told_again = train(checkpoints, select=select)
        checkpoints.remove()
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)
    assert told_again == told
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("lookahead", [0.0, 0.8])
@pytest.mark.parametrize(
    ("stops", "told"),
    [
        ([0], ["0 and 1 step"]),
        ([6, 2, 9], ["1 and 2 steps", "1 and 4 steps", "3 and 4 steps"]),  # the second in validation
        ([4, 0], ["0 and 4 steps", "0 and 4 steps"]),
        ([23], ["4 and 4 steps"]),
    ],
)
def test_an_interrupt_loses_no_step(tmp_path, capsys, stops, told, lookahead):
    wanted, epochs = train(lookahead=lookahead)
    for stop in stops:
        with Checkpoints(tmp_path / "run") as checkpoints, pytest.raises(KeyboardInterrupt):
            train(checkpoints, stop, error=KeyboardInterrupt, lookahead=lookahead)
    with Checkpoints(tmp_path / "run") as checkpoints:
        found, epochs_again = train(checkpoints, lookahead=lookahead)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)
    assert epochs_again == epochs
    out = capsys.readouterr().out
    assert re.findall("going on after epoch (.*)", out) == told


def test_an_interrupt_between_calls_of_some_steps_loses_none(tmp_path, capsys):
    """The first two calls take a step each, those made after a measured one up to three: 1, 1 and 2, then 3 and 1."""
    wanted, epochs = train()
    for stop in (1, 0, 3):  # by itself each begins with calls of one step
        with Checkpoints(tmp_path / "run") as checkpoints, pytest.raises(KeyboardInterrupt):
            train(checkpoints, stop, error=KeyboardInterrupt, most=3)
    with Checkpoints(tmp_path / "run") as checkpoints:
        found, epochs_again = train(checkpoints, most=3)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)
    assert epochs_again == epochs
    told = re.findall("going on after epoch (.*)", capsys.readouterr().out)
    assert told == ["0 and 2 steps", "0 and 3 steps", "1 and 4 steps"]


def test_an_interrupt_in_the_middle_of_a_step_keeps_what_was_before(tmp_path, monkeypatch):
    """The weights are those after the step or not, nobody knows."""
    learn, calls = Step.learn, iter(range(100))

    def hit(self, ready):
        learned = learn(self, ready)
        if next(calls) == 6:
            raise KeyboardInterrupt
        return learned

    monkeypatch.setattr(Step, "learn", hit)
    with Checkpoints(tmp_path / "run", seconds=0) as checkpoints, pytest.raises(KeyboardInterrupt):
        train(checkpoints)
    assert [path.name[:11] for path in (tmp_path / "run").glob("epoch*")] == ["epoch-00001"]


def written(folder, *values):
    with Checkpoints(folder, seconds=0) as checkpoints:
        for value in values:
            checkpoints.history.append({"loss": value})
            checkpoints.write([np.full(3, value)], {"best": value})


def read(folder):
    with Checkpoints(folder) as checkpoints:
        held = checkpoints.read()
        return held and (held[0][0].tolist(), held[1], checkpoints.history)


def test_the_last_two_are_kept_and_the_newest_is_read(tmp_path):
    assert read(tmp_path) is None
    written(tmp_path, 1.0, 2.0, 3.0)
    assert [path.name[:11] for path in sorted(tmp_path.glob("epoch*"))] == ["epoch-00002", "epoch-00003"]
    assert read(tmp_path) == ([3.0] * 3, {"best": 3.0}, [{"loss": 1.0}, {"loss": 2.0}, {"loss": 3.0}])


def test_numbers_of_a_type_that_numpy_lacks_come_back(tmp_path):
    """A layer in plain bfloat16 has its variables in it."""
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense(3, dtype="bfloat16")
    dense.build((None, 4))
    kernel = keras.ops.convert_to_numpy(dense.kernel)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.write([kernel], {})
        ((held,), _) = checkpoints.read()
    dense.kernel.assign(keras.ops.zeros((4, 3)))
    dense.kernel.assign(held)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(dense.kernel), kernel)


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-20], lambda data: data[:100] + b"x" + data[101:], lambda _: b""]
)
def test_one_that_is_torn_is_told_and_the_one_before_it_taken(tmp_path, capsys, damage):
    written(tmp_path, 1.0, 2.0)
    newest = max(tmp_path.glob("epoch*"))
    newest.write_bytes(damage(newest.read_bytes()))
    assert read(tmp_path) == ([1.0] * 3, {"best": 1.0}, [{"loss": 1.0}])
    assert f"warning: {newest} is torn or was altered" in capsys.readouterr().out


def test_what_was_not_renamed_is_not_read(tmp_path):
    written(tmp_path, 1.0)
    (tmp_path / "writing").write_bytes(b"half")
    assert read(tmp_path)[0] == [1.0] * 3


def test_one_process_at_a_time(tmp_path):
    with Checkpoints(tmp_path), pytest.raises(BusyError, match="another process is training this run"):
        Checkpoints(tmp_path).__enter__()
    with Checkpoints(tmp_path):
        pass


def test_they_are_forgotten_where_that_is_wanted(tmp_path):
    written(tmp_path, 1.0)
    with Checkpoints(tmp_path, forgets=True) as checkpoints:
        assert not checkpoints.begun


def test_a_run_that_was_killed_before_its_first_was_begun(tmp_path):
    (tmp_path / "run").mkdir(parents=True)
    (tmp_path / "run" / "lock").touch()  # an end of another kind takes it away
    with Checkpoints(tmp_path / "run", forgets=True) as checkpoints:
        assert not checkpoints.begun
    (tmp_path / "run").mkdir(parents=True)
    (tmp_path / "run" / "lock").touch()
    with Checkpoints(tmp_path / "run") as checkpoints:
        assert checkpoints.begun
    with Checkpoints(tmp_path / "run") as checkpoints:
        assert not checkpoints.begun


def test_within_an_epoch_the_later_is_the_newer(tmp_path):
    with Checkpoints(tmp_path, seconds=0) as checkpoints:
        checkpoints.history.append({"loss": 1.0})
        for steps in (0, 9, 10):
            checkpoints.write([np.full(3, steps)], {}, steps)
    assert read(tmp_path)[0] == [10] * 3
    assert len(list(tmp_path.glob("epoch*"))) == 2


def test_they_are_due_when_their_time_has_come(tmp_path):
    now = iter([0.0, 29.0, 30.0, 31.0, 60.0])
    with Checkpoints(tmp_path, seconds=30, clock=lambda: next(now)) as checkpoints:
        assert [checkpoints.due(), checkpoints.due()] == [False, True]
        checkpoints.write([], {})
        assert not checkpoints.due()


def test_a_folder_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"`checkpoints\.directory`"):
        Checkpoints(tmp_path / "file" / "run").__enter__()


def test_a_folder_that_was_taken_away_while_one_waited_for_it_is_made_again(tmp_path, monkeypatch):
    """The first is done between the second's look at the folder and its lock."""
    first, second = Checkpoints(tmp_path / "all" / "run"), Checkpoints(tmp_path / "all" / "run")
    first.__enter__()
    enter = second._enter

    def late():
        if first.folder.exists() and not first._lock.closed:
            (first.folder / "lock").unlink()  # the lock that the second will hold is of no folder any more
            first.remove()
            first.__exit__()
            second.folder.mkdir(parents=True)
            second._lock = (tmp_path / "orphan").open("w")
            return
        enter()

    monkeypatch.setattr(second, "_enter", late)
    with second:
        second.write([np.zeros(3)], {})
        assert second.begun
        with pytest.raises(BusyError), Checkpoints(second.folder):
            pass


def test_nothing_is_left_of_a_run_that_came_to_no_checkpoint(tmp_path):
    with Checkpoints(tmp_path / "all" / "run") as checkpoints:
        assert checkpoints.folder.exists()
    assert not (tmp_path / "all").exists()


def test_stale_checkpoints_that_are_not_for_us_to_remove_stay_and_say_nothing(tmp_path, capsys, monkeypatch):
    with Checkpoints(folder := tmp_path / f"{'a' * 16}-{'a' * 8}") as checkpoints:
        checkpoints.write([np.zeros(3)], {})

    def refused(self):
        raise UserError("cannot be written to")

    monkeypatch.setattr(Checkpoints, "__enter__", refused)
    clear_stale(tmp_path, 7, now=lambda: time.time() + 10 * 24 * 3600)
    assert folder.exists()
    assert capsys.readouterr().out == ""


def test_what_nobody_went_on_from_is_removed_after_so_many_days(tmp_path, capsys):
    """Ten days from now: of four folders of a run each, one is younger, one in use and one this run's."""
    day = 24 * 3600
    for letter in "abcd":
        with Checkpoints(tmp_path / f"{letter * 16}-{letter * 8}") as checkpoints:
            checkpoints.write([np.zeros(3)], {})
    (tmp_path / "notes-of-mine").mkdir()
    for path in (young := tmp_path / f"{'b' * 16}-{'b' * 8}", *young.iterdir()):
        os.utime(path, (time.time() + 5 * day, time.time() + 5 * day))
    with Checkpoints(tmp_path / f"{'c' * 16}-{'c' * 8}"):
        clear_stale(tmp_path, 7, but=f"{'d' * 16}-{'d' * 8}", now=lambda: time.time() + 10 * day)
    left = {folder.name[0] for folder in tmp_path.iterdir()}
    assert left == {"b", "c", "d", "n"}
    assert "removed: nothing went on from there for 10 days" in capsys.readouterr().out
