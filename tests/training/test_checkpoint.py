"""A training that is stopped and goes on ends where one that was never stopped ends."""

import json
import os
import re
import shutil
import time
from functools import cache

import keras
import numpy as np
import pytest
from fit_model import fit
from sampling import sample

from convzoo import UserError, layers
from convzoo.data import RandomFlip, RandomTranslation, Split
from convzoo.data.batches import Batches
from convzoo.training import backend
from convzoo.training.checkpoint import BusyError, Checkpoints, compute_digest, remove_stale
from convzoo.training.compiled import CompiledModel
from convzoo.training.steps.base import TrainStep
from convzoo.training.steps_per_execution import AdaptiveStepsPerExecution

RECIPE = {
    "optimizer": {"_target_": "convzoo.training.L2SGD", "momentum": 0.9, "nesterov": True, "l2": 1e-3},
    "schedule": {"_target_": "convzoo.training.WarmupCosine", "warmup": 0.2},
}


DAY = 24 * 3600


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
        CompiledModel(model),
        Batches(pictures(32, 1), 8, seed=3, augmentations=[RandomFlip(), RandomTranslation(2)]),
        pictures(40, 2),
        {**RECIPE, "lookahead": {"rate": lookahead} if lookahead else None},
        learning_rate=0.05,
        epochs=5,
        select=select,
        checkpoints=checkpoints,
        on_step=on_step,
        on_epoch=lambda epoch, metrics: told.append((epoch, metrics["val_loss"])),
        steps=AdaptiveStepsPerExecution(most, clock=lambda: 0.0),
    )
    assert [metrics["val_loss"] for metrics in history] == [loss for _, loss in told]
    return model.get_weights(), told


@cache
def train_whole(select="last", lookahead=0.0):
    """What `train` gives without a stop."""
    return train(select=select, lookahead=lookahead)


def test_fit_with_lookahead_gives_other_weights():
    ahead, plain = train_whole(lookahead=0.8), train_whole()
    assert any((one != other).any() for one, other in zip(ahead[0], plain[0], strict=True))


@pytest.mark.parametrize(
    ("stops", "select"),
    sample([([0], "last"), ([4], "last"), ([10, 3], "last"), ([6, 1, 9], "last"), ([6, 1, 9], "best")]),
)
def test_resume_gives_same_weights_after_failures(tmp_path, stops, select):
    wanted, told = train_whole(select=select)
    for stop in stops:
        with Checkpoints(tmp_path / "run", min_seconds=0) as checkpoints, pytest.raises(StopError):
            train(checkpoints, stop, select)
    with Checkpoints(tmp_path / "run", min_seconds=0) as checkpoints:
        found, told_again = train(checkpoints, select=select)
        checkpoints.remove()
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)
    assert told_again == told
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("stops", "told", "lookahead"),
    sample(
        [
            ([0], ["1, step 2"], 0.0),
            ([6, 2, 9], ["2, step 3", "2, validation", "4, validation"], 0.0),  # the second in validation
            ([6, 2, 9], ["2, step 3", "2, validation", "4, validation"], 0.8),
            ([4, 0], ["1, validation", "1, validation"], 0.0),
            ([23], ["5, validation"], 0.0),
        ]
    ),
)
def test_resume_after_interrupt_loses_no_step(tmp_path, capsys, stops, told, lookahead):
    wanted, epochs = train_whole(lookahead=lookahead)
    for stop in stops:
        with Checkpoints(tmp_path / "run") as checkpoints, pytest.raises(KeyboardInterrupt):
            train(checkpoints, stop, error=KeyboardInterrupt, lookahead=lookahead)
    with Checkpoints(tmp_path / "run") as checkpoints:
        found, epochs_again = train(checkpoints, lookahead=lookahead)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)
    assert epochs_again == epochs
    out = capsys.readouterr().out
    assert re.findall("resuming from epoch (.*)", out) == told


def test_resume_between_calls_of_some_steps_loses_no_step(tmp_path, capsys):
    """The first two calls take a step each, those made after a measured one up to three: 1, 1 and 2, then 3 and 1."""
    wanted, epochs = train_whole()
    for stop in (1, 0, 3):  # by itself each begins with calls of one step
        with Checkpoints(tmp_path / "run") as checkpoints, pytest.raises(KeyboardInterrupt):
            train(checkpoints, stop, error=KeyboardInterrupt, most=3)
    with Checkpoints(tmp_path / "run") as checkpoints:
        found, epochs_again = train(checkpoints, most=3)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)
    assert epochs_again == epochs
    told = re.findall("resuming from epoch (.*)", capsys.readouterr().out)
    assert told == ["1, step 3", "1, step 4", "2, validation"]


def test_interrupt_within_a_step_writes_no_checkpoint(tmp_path, monkeypatch):
    """The weights are those after the step or not, nobody knows."""
    train_on_batches, calls = TrainStep.train_on_batches, iter(range(100))

    def hit(self, stacked):
        learned = train_on_batches(self, stacked)
        if next(calls) == 6:
            raise KeyboardInterrupt
        return learned

    monkeypatch.setattr(TrainStep, "train_on_batches", hit)
    with Checkpoints(tmp_path / "run", min_seconds=0) as checkpoints, pytest.raises(KeyboardInterrupt):
        train(checkpoints)
    assert [path.name[:11] for path in (tmp_path / "run").glob("epoch*")] == ["epoch-00001"]


def written(folder, *values):
    with Checkpoints(folder, min_seconds=0) as checkpoints:
        for value in values:
            checkpoints.history.append({"loss": value})
            checkpoints.write([np.full(3, value)], {"best": value})


def read(folder):
    with Checkpoints(folder) as checkpoints:
        checkpoint = checkpoints.read()
        return checkpoint and (checkpoint.arrays[0].tolist(), checkpoint.facts.model_extra, checkpoints.history)


def test_checkpoints_keep_last_two_and_read_newest(tmp_path):
    assert read(tmp_path) is None
    written(tmp_path, 1.0, 2.0, 3.0)
    assert [path.name[:11] for path in sorted(tmp_path.glob("epoch*"))] == ["epoch-00002", "epoch-00003"]
    assert read(tmp_path) == ([3.0] * 3, {"best": 3.0}, [{"loss": 1.0}, {"loss": 2.0}, {"loss": 3.0}])


def test_checkpoint_restores_bfloat16_values(tmp_path):
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
def test_checkpoint_falls_back_when_digest_mismatches(tmp_path, capsys, damage):
    written(tmp_path, 1.0, 2.0)
    newest = max(tmp_path.glob("epoch*"))
    newest.write_bytes(damage(newest.read_bytes()))
    assert read(tmp_path) == ([1.0] * 3, {"best": 1.0}, [{"loss": 1.0}])
    assert f"warning: {newest} is damaged or was altered" in capsys.readouterr().out


def test_checkpoint_ignores_file_that_was_not_renamed(tmp_path):
    written(tmp_path, 1.0)
    (tmp_path / "writing").write_bytes(b"half")
    assert read(tmp_path)[0] == [1.0] * 3


def test_checkpoints_refuse_a_second_process(tmp_path):
    with Checkpoints(tmp_path), pytest.raises(BusyError, match="another process is training this run"):
        Checkpoints(tmp_path).__enter__()
    with Checkpoints(tmp_path):
        pass


def test_checkpoints_are_discarded_when_asked(tmp_path):
    written(tmp_path, 1.0)
    with Checkpoints(tmp_path, discard_existing=True) as checkpoints:
        assert not checkpoints.has_partial_run


def test_has_partial_run_when_killed_before_first_checkpoint(tmp_path):
    (tmp_path / "run").mkdir(parents=True)
    (tmp_path / "run" / "lock").touch()  # an end of another kind takes it away
    with Checkpoints(tmp_path / "run", discard_existing=True) as checkpoints:
        assert not checkpoints.has_partial_run
    (tmp_path / "run").mkdir(parents=True)
    (tmp_path / "run" / "lock").touch()
    with Checkpoints(tmp_path / "run") as checkpoints:
        assert checkpoints.has_partial_run
    with Checkpoints(tmp_path / "run") as checkpoints:
        assert not checkpoints.has_partial_run


def test_checkpoint_with_more_steps_is_newer(tmp_path):
    with Checkpoints(tmp_path, min_seconds=0) as checkpoints:
        checkpoints.history.append({"loss": 1.0})
        for steps in (0, 9, 10):
            checkpoints.write([np.full(3, steps)], {}, steps)
    assert read(tmp_path)[0] == [10] * 3
    assert len(list(tmp_path.glob("epoch*"))) == 2


def test_checkpoint_is_due_after_min_seconds(tmp_path):
    now = iter([0.0, 29.0, 30.0, 31.0, 60.0])
    checkpoints = Checkpoints(tmp_path, min_seconds=30)
    checkpoints.clock = lambda: next(now)
    with checkpoints:
        assert [checkpoints.is_due(), checkpoints.is_due()] == [False, True]
        checkpoints.write([], {})
        assert not checkpoints.is_due()


def test_checkpoints_refuse_a_folder_below_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"`checkpoints\.directory`"):
        Checkpoints(tmp_path / "file" / "run").__enter__()


def test_checkpoints_create_folder_again_when_removed_on_entry(tmp_path, monkeypatch):
    """The first is done between the second's look at the folder and its lock."""
    first, second = Checkpoints(tmp_path / "all" / "run"), Checkpoints(tmp_path / "all" / "run")
    first.__enter__()
    enter = second._acquire_lock

    def late():
        if first.folder.exists() and not first._lock.closed:
            (first.folder / "lock").unlink()  # the lock that the second will hold is of no folder any more
            first.remove()
            first.__exit__()
            second.folder.mkdir(parents=True)
            second._lock = (tmp_path / "orphan").open("w")
            return
        enter()

    monkeypatch.setattr(second, "_acquire_lock", late)
    with second:
        second.write([np.zeros(3)], {})
        assert second.has_partial_run
        with pytest.raises(BusyError), Checkpoints(second.folder):
            pass


def test_checkpoints_remove_empty_folder_on_exit(tmp_path):
    with Checkpoints(tmp_path / "all" / "run") as checkpoints:
        assert checkpoints.folder.exists()
    assert not (tmp_path / "all").exists()


def test_stale_checkpoints_stay_silently_when_not_removable(tmp_path, capsys, monkeypatch):
    with Checkpoints(folder := tmp_path / f"{'a' * 16}-{'a' * 8}") as checkpoints:
        checkpoints.write([np.zeros(3)], {})

    def refused(self):
        raise UserError("cannot be written to")

    monkeypatch.setattr(Checkpoints, "__enter__", refused)
    for day in range(1, 12):
        remove_stale(tmp_path, 7, now=lambda: time.time() + day * DAY)  # noqa: B023
    assert folder.exists()
    assert capsys.readouterr().out == ""


def test_stale_checkpoints_are_removed_after_days(tmp_path, capsys):
    """Of four folders of a run each, one is younger, one in use and one this run's."""
    for letter in "abcd":
        with Checkpoints(tmp_path / f"{letter * 16}-{letter * 8}") as checkpoints:
            checkpoints.write([np.zeros(3)], {})
    (tmp_path / "notes-of-mine").mkdir()
    young = max((tmp_path / f"{'b' * 16}-{'b' * 8}").glob("epoch*"))
    with Checkpoints(tmp_path / f"{'c' * 16}-{'c' * 8}"):
        look_daily(tmp_path, days=7, first=1, last=5)
        os.utime(young, (time.time() + 5 * DAY, time.time() + 5 * DAY))
        look_daily(tmp_path, days=7, first=6, last=9)
        assert {folder.name[0] for folder in tmp_path.iterdir()} == set("abcdn")
        look_daily(tmp_path, days=7, first=10, last=12)
    assert {folder.name[0] for folder in tmp_path.iterdir()} == set("bcdn")
    assert "removed: nobody resumed it for 7 days" in capsys.readouterr().out


def look_daily(directory, days, first, last):
    for day in range(first, last + 1):
        remove_stale(directory, days, excluded=f"{'d' * 16}-{'d' * 8}", now=lambda: time.time() + day * DAY)  # noqa: B023


@pytest.mark.parametrize("jumps", [[31], [31, 31, 32], [31, 0, 31, 0, 31], [-400, 31], [10_000, 10_031]])
def test_stale_checkpoints_stay_when_the_clock_jumps(tmp_path, jumps):
    written(folder := tmp_path / f"{'a' * 16}-{'a' * 8}", 1.0)
    for days in jumps:
        remove_stale(tmp_path, 30, now=lambda: time.time() + days * DAY)  # noqa: B023
    assert read(folder)[0] == [1.0] * 3


def test_stale_checkpoints_stay_when_their_run_was_resumed(tmp_path):
    written(folder := tmp_path / f"{'a' * 16}-{'a' * 8}", 1.0)
    look_daily(tmp_path, days=7, first=1, last=9)
    os.utime(max(folder.glob("epoch*")), (time.time() + 9 * DAY, time.time() + 9 * DAY))
    look_daily(tmp_path, days=7, first=10, last=14)
    assert folder.exists()


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"changed": "x", "seconds": 1e9, "last_look": 0}', "\xff"])
def test_stale_checkpoints_stay_when_the_idle_time_is_damaged(tmp_path, text):
    written(folder := tmp_path / f"{'a' * 16}-{'a' * 8}", 1.0)
    (folder / "idle.json").write_bytes(text.encode("latin-1"))
    remove_stale(tmp_path, 30, now=lambda: time.time() + 31 * DAY)
    assert read(folder)[0] == [1.0] * 3


def removed(folder):
    shutil.rmtree(folder.parent)


def lock_removed(folder):
    (folder / "lock").unlink()


@pytest.mark.parametrize("damage", [removed, lock_removed])
def test_checkpoints_are_written_again_after_removal(tmp_path, capsys, damage):
    with Checkpoints(folder := tmp_path / "all" / "run", min_seconds=0) as checkpoints:
        checkpoints.write([np.zeros(3)], {"best": 0.0})
        damage(folder)
        checkpoints.history.append({"loss": 1.0})
        checkpoints.write([np.ones(3)], {"best": 1.0})
        with pytest.raises(BusyError), Checkpoints(folder):
            pass
    assert read(folder) == ([1.0] * 3, {"best": 1.0}, [{"loss": 1.0}])
    assert capsys.readouterr().out == ""


def test_fit_ends_the_same_when_checkpoints_are_removed(tmp_path):
    wanted, epochs = train_whole()
    with Checkpoints(tmp_path / "all" / "run", min_seconds=0) as checkpoints:
        write = checkpoints.write

        def write_and_remove(*args, **options):
            write(*args, **options)
            shutil.rmtree(tmp_path / "all")

        checkpoints.write = write_and_remove
        weights, epochs_again = train(checkpoints)
        checkpoints.remove()
    assert epochs_again == epochs
    assert all((one == other).all() for one, other in zip(weights, wanted, strict=True))
    assert not (tmp_path / "all").exists()


def test_checkpoint_that_cannot_be_written_is_a_warning(tmp_path, capsys):
    with Checkpoints(folder := tmp_path / "all" / "run", min_seconds=0) as checkpoints:
        shutil.rmtree(tmp_path / "all")
        (tmp_path / "all").write_text("a file")
        for _ in range(3):
            checkpoints.write([np.zeros(3)], {})
        (tmp_path / "all").unlink()
        checkpoints.write([np.ones(3)], {})
    assert read(folder)[0] == [1.0] * 3
    (warning,) = capsys.readouterr().out.splitlines()
    assert warning.startswith(f"warning: `checkpoints.directory`: {folder} cannot be written to: ")


def test_checkpoints_of_another_process_stay(tmp_path, capsys):
    with Checkpoints(folder := tmp_path / "all" / "run", min_seconds=0) as first:
        shutil.rmtree(tmp_path / "all")
        with Checkpoints(folder, min_seconds=0) as second:
            first.write([np.zeros(3)], {})
            first.remove()
            first.__exit__()
            assert "another process is training this run" in capsys.readouterr().out
            second.write([np.ones(3)], {})
    assert read(folder)[0] == [1.0] * 3


@pytest.mark.parametrize(
    "facts", [b"", b"[]", b"5", b"{}", b'{"history": [5]}', b'{"history": [], "device": 5}', b"\xff"]
)
def test_checkpoint_falls_back_when_facts_mismatch(tmp_path, capsys, facts):
    """Its digest is right: somebody made it so."""
    written(tmp_path, 1.0)
    np.savez(tmp_path / "made.npz", facts=np.frombuffer(facts, np.uint8), a0=np.zeros(3))
    data = (tmp_path / "made.npz").read_bytes()
    (tmp_path / f"epoch-00002-{compute_digest(data)}.npz").write_bytes(data)
    with Checkpoints(tmp_path, device=CPU) as checkpoints:
        checkpoints.check_device()
    assert read(tmp_path)[0] == [1.0] * 3
    assert "is damaged or was altered" in capsys.readouterr().out


@pytest.fixture(scope="module")
def stopped_run(tmp_path_factory):
    """The folder of a run that was stopped in its third epoch."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    with Checkpoints(folder, min_seconds=0) as checkpoints, pytest.raises(StopError):
        train(checkpoints, stop_at=11)
    return folder


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("learning", {"idle_epochs": "many"}),
        ("learning", {"stopped": 1}),
        ("so_far", {"steps": -1}),
        ("so_far", {"loss": None}),
    ],
)
def test_resume_skips_checkpoint_when_its_state_is_altered(stopped_run, tmp_path, capsys, part, change):
    expected, _ = train_whole()
    shutil.copytree(stopped_run, tmp_path / "run")
    newest = max((tmp_path / "run").glob("epoch*"))
    with np.load(newest) as archive:
        arrays = dict(archive)
    facts = json.loads(bytes(arrays["facts"]))
    facts[part] |= change
    arrays["facts"] = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    np.savez(tmp_path / "altered.npz", **arrays)
    data = (tmp_path / "altered.npz").read_bytes()
    (tmp_path / "run" / f"epoch-00003-{compute_digest(data)}.npz").write_bytes(data)
    with Checkpoints(tmp_path / "run", min_seconds=0) as checkpoints:
        weights, _ = train(checkpoints)
    assert "is damaged or was altered; using the checkpoint before it" in capsys.readouterr().out
    for one, other in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(one, other)


CPU = {"device": "cpu", "threads": "2"}


@pytest.mark.parametrize(
    ("device", "remedy"),
    [
        ({"device": "cpu", "threads": "1"}, r"2 threads .* on 1 thread, .* with `\w+=2` in the environment"),
        ({"device": "cpu", "threads": "20"}, r"2 threads .* on 20 threads, .*=2` in the environment"),
        ({"device": "NVIDIA H200"}, "2 threads .* on NVIDIA H200, .* with the same device"),
    ],
)
def test_check_device_refuses_another_device(tmp_path, device, remedy):
    def enter(device, **options):
        return Checkpoints(tmp_path / "run", min_seconds=0, device=device, **options)

    with enter(CPU) as checkpoints:
        checkpoints.check_device()
        checkpoints.history.append({"loss": float("nan")})
        checkpoints.write([np.ones(3)], {"best": 1})
    with enter(device) as checkpoints, pytest.raises(UserError, match=f"{remedy}, or start over with `resume=never`"):
        checkpoints.check_device()
    with enter(CPU) as checkpoints:
        checkpoints.check_device()
        assert checkpoints.read().facts.model_extra == {"best": 1}
    with enter(device, discard_existing=True) as checkpoints:
        checkpoints.check_device()


def test_list_other_origins_finds_checkpoints_of_other_code(tmp_path):
    run, other = tmp_path / f"{'a' * 16}-{'b' * 8}", tmp_path / f"{'a' * 16}-{'c' * 8}"
    written(run, 1.0)
    written(other, 1.0)
    written(tmp_path / f"{'d' * 16}-{'b' * 8}", 1.0)
    (tmp_path / f"{'a' * 16}-{'e' * 8}").mkdir()
    assert Checkpoints(run).list_other_origins() == [other]


@pytest.mark.parametrize("number", ["1", "3"])
def test_describe_device_counts_threads(monkeypatch, number):
    name, _, _ = backend.format_threads_setting("9").partition("=")
    monkeypatch.setenv(name, number)
    if keras.backend.backend() == "torch":
        pytest.skip("torch reads its variable once")
    device = backend.describe_device()
    assert device in ({"device": "cpu", "threads": number}, {"device": device["device"]})
