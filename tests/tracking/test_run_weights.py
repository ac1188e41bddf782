"""`weights="run:ID"`: the model of a recorded run."""

import keras
import numpy as np
import pytest

from convzoo import UserError
from convzoo.models import build
from convzoo.models.weights import read_source
from convzoo.tracking.run import Run, RunSpec

as_array = keras.ops.convert_to_numpy


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A run with a LeNet behind a scaling of its images, and the address of its store."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"
    core = build("lenet")
    inputs = keras.Input(core.input_shape[1:], name="image", dtype="uint8")
    x = keras.layers.Rescaling(1 / 255, name="scale")(keras.layers.Rescaling(1.0, name="floats")(inputs))
    for layer in core.layers[1:]:
        x = layer(x)
    model = keras.Model(inputs, x)
    with Run.start(RunSpec(uri, "study", "lenet seed=0", {}, {"identity": "i"})) as run:
        run.save_model(model)
    return model, run.id, uri


def test_build_with_run_has_its_weights_and_scaling(recorded, monkeypatch):
    model, run_id, uri = recorded
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    images = np.random.default_rng(0).integers(0, 256, (3, *model.input_shape[1:])).astype("uint8")
    for source in (f"run:{run_id}", "run:latest"):
        loaded = build("lenet", weights=source)
        np.testing.assert_allclose(as_array(loaded(images.astype("float32"))), as_array(model(images)), rtol=1e-5)


def test_run_source_reads_the_store_that_is_named(recorded, monkeypatch):
    _, run_id, uri = recorded
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert read_source(f"run:{run_id}", "lenet", uri).label == f"run:{run_id}"


def test_run_that_is_not_recorded_is_refused(recorded, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", recorded[2])
    with pytest.raises(UserError, match="there is no run 'none' in"):
        build("lenet", weights="run:none")
