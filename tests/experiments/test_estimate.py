"""What a sweep will take, by hand."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from omegaconf import OmegaConf

from convzoo.experiments.estimate import Estimate, _cells, _Machine
from convzoo.experiments.runner import run_composed
from convzoo.models import build
from convzoo.settings.composition import compose_run


def test_runs_that_differ_in_their_seed_alone_are_a_cell():
    words = ["study=mine", "pooling=max,l2", "seed=range(3)", "data.image_shape=[8,8,1],[9,9,1]", "epochs=2"]
    assert _cells(words) == [
        (["study=mine", f"pooling={pooling}", f"data.image_shape={shape}", "epochs=2"], ["0", "1", "2"])
        for pooling in ("max", "l2")
        for shape in ("[8,8,1]", "[9,9,1]")
    ]
    assert _cells(["epochs=1,2"]) == [(["epochs=1"], [None]), (["epochs=2"], [None])]
    assert _cells(["epochs=1", "seed=0,1", "seed=4"]) == [(["epochs=1"], ["4"])]


def machine(speeds, monkeypatch):
    found = _Machine.__new__(_Machine)
    found.speeds, found.uses_records, found.trials = {"float32": speeds, "mixed_bfloat16": []}.get, False, 0
    monkeypatch.setattr("convzoo.training.trainer.measure_speed", lambda *_: 25.0)
    monkeypatch.setattr("convzoo.models.builder.assemble", lambda *_, **__: SimpleNamespace(get_layer=None))
    monkeypatch.setattr("convzoo.models.objective.make_objective", lambda *_: None)
    return found


NETWORK = {"rows": {}, "loss": None, "heads": {}}
DATA = SimpleNamespace(train=SimpleNamespace(x=np.zeros((1000, 8, 8, 1)), __len__=lambda: 1000), class_names="ab")
HYDRA = {"hydra": {"overrides": {"task": []}}}
SETTINGS = {"recipe": {}, "batch_size": 8}


@pytest.mark.parametrize(
    ("macs", "speed", "basis"),
    [
        (1000, 300, "by recorded runs"),
        (1500, 200, "by recorded runs"),  # half as many again: two thirds as fast
        (30_000, 25, "by a try of 1 network"),  # the nearest is a third of it
    ],
)
def test_a_network_trains_as_fast_as_one_of_about_its_size(monkeypatch, macs, speed, basis):
    found = machine([(1000, 300.0), (10_000, 80.0)], monkeypatch)
    plan = SimpleNamespace(macs=macs, name="net")
    assert found._speed(SETTINGS, NETWORK, plan, DATA, "float32") == pytest.approx(speed)
    assert found.basis == basis
    assert found._speed(SETTINGS, NETWORK, plan, DATA, "float32") == pytest.approx(speed)  # tried once
    assert found.basis == basis


def test_what_another_precision_took_says_nothing(monkeypatch):
    found = machine([(1000, 300.0)], monkeypatch)
    found._speed(SETTINGS, NETWORK, SimpleNamespace(macs=1000, name="net"), DATA, "mixed_bfloat16")
    assert found.basis == "by a try of 1 network"


def test_seconds_are_of_training_and_looking(monkeypatch):
    """1,000 images for 3 epochs at 100 a second, and 3·100 + 200 looked at at 300 a second, and the start's second."""
    found = machine([(1000, 100.0)], monkeypatch)
    sets = SimpleNamespace(train=range(1000), validation=range(100), test=range(200), extra_tests={})
    settings = {"epochs": 3, "test_shift": 0, "test_views": "none"}
    plan = SimpleNamespace(macs=1000, name="net")
    assert found._seconds(settings, NETWORK, plan, sets, "float32") == pytest.approx(1 + 30 + 500 / 300)


def test_how_it_is_said():
    found = Estimate(12, 4, 3, 100.4, "by recorded runs", 2_500_000, 40_000_000)
    assert str(found) == (
        "12 runs of 4 cells, 3 done before; about 0:01:40 one after another, by recorded runs; "
        "2.5 MB on disk, 40.0 MB for checkpoints until a run is done"
    )
    found.skipped = 2
    assert str(found).endswith("; without 2 that will not run as they are")
    assert str(Estimate(12, 12, 12)) == "12 runs, 12 done before"
    assert str(Estimate(1, 1, seconds=None)) == "1 run"


class StartError(Exception):
    """Raised where a run would start."""


def test_finished_fine_tuning_counts_as_done(tmp_path, monkeypatch):
    """A run looks for its own record by the tag that the estimate expects."""
    monkeypatch.chdir(tmp_path)
    network = build("lenet", classes=10, image_shape=(32, 32, 1))
    x = inputs = keras.Input((32, 32, 1), dtype="uint8")
    for layer in (keras.layers.Rescaling(1 / 255, name="scale"), *network.layers[1:]):
        x = layer(x)
    keras.Model(inputs, x).save("first.keras")
    words = ["model=lenet", "data=digits", "recipe=linear_probe", "weights=first.keras"]
    identities = []

    def find_reusable(uri, study, identity, policy):
        identities.append(identity)
        raise StartError

    monkeypatch.setattr("convzoo.tracking.study_runs.find_reusable", find_reusable)
    with pytest.raises(StartError):
        run_composed(compose_run([*words, "seed=3"]))
    monkeypatch.setattr("convzoo.experiments.estimate._compose", lambda words: compose_run(words).config)
    found = _Machine(OmegaConf.merge(OmegaConf.create(HYDRA), compose_run(words).config))
    found.done = set(identities)
    estimate = Estimate(1, 1)
    assert found.add(estimate, words, ["3"]) == 0
    assert (estimate.done, estimate.skipped) == (1, 0)
