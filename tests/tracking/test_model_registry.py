"""A registered model, loaded from the registry and served by a real server."""

import importlib
import json
import os
import sysconfig
import urllib.request
from pathlib import Path

import keras
import mlflow
import numpy as np
import pytest

from convzoo import UserError
from convzoo.layers import MaxPooling2D
from convzoo.settings import user_classes
from convzoo.tracking import model_registry
from convzoo.tracking.run import Run, RunSpec, find_run

pytestmark = pytest.mark.filterwarnings("ignore:.*MLflow doesn't validate:UserWarning")
NAMES = ("dark", "bright")
PICTURES = np.stack([np.full((4, 4, 3), value, np.uint8) for value in (0, 255)])
BRIGHT = 1 / (1 + np.exp(-3.0))  # of the bright picture, whose scores are 0 and 3


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose model knows bright pictures from dark ones: its scores are 0 and 6 · brightness - 3."""
    inputs = keras.Input((4, 4, 3), dtype="uint8")
    x = MaxPooling2D(2)(keras.layers.Rescaling(1 / 255)(inputs))
    score = keras.layers.Dense(2)
    model = keras.Model(inputs, score(keras.layers.GlobalAveragePooling2D()(x)))
    score.set_weights([np.array([[0, 2], [0, 2], [0, 2]]), np.array([0, -3])])
    uri = f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"
    with Run.start(RunSpec(uri, "study", "bright or dark", {}, {"identity": "i"})) as run:
        run.log_text("loss: null", "rows.yaml")
        run.save_model(model)
    before = mlflow.MlflowClient(uri).get_run(run.id).info
    assert model_registry.register_model(find_run(uri, run.id), "brightness", NAMES, (4, 4, 3)) == 1
    after = mlflow.MlflowClient(uri).get_run(run.id).info
    assert (before.end_time, before.status) == (after.end_time, after.status)  # what a study says of its time stands
    return find_run(uri, run.id), uri


@pytest.fixture
def at(run, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", run[1])
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", run[1])
    return run[1]


def test_it_answers_with_class_and_probabilities(at):
    model = mlflow.pyfunc.load_model("models:/brightness/1")
    dark, bright = model.predict(PICTURES)
    assert (dark["class"], bright["class"]) == NAMES
    assert bright["probability"] == pytest.approx(BRIGHT)
    assert bright["probabilities"] == pytest.approx({"dark": 1 - BRIGHT, "bright": BRIGHT})


def test_model_registered_by_former_module_name_is_loaded(at, tmp_path):
    folder = Path(mlflow.artifacts.download_artifacts("models:/brightness/1", dst_path=str(tmp_path)))
    text = (folder / "MLmodel").read_text()
    old_text = text.replace(
        "loader_module: convzoo.tracking.model_registry", "loader_module: convzoo.tracking.registry"
    )
    assert old_text != text
    (folder / "MLmodel").write_text(old_text)
    assert [row["class"] for row in mlflow.pyfunc.load_model(str(folder)).predict(PICTURES)] == list(NAMES)


def test_the_signature_says_what_goes_in_and_out(at):
    signature = mlflow.models.get_model_info("models:/brightness/1").signature
    (picture,) = signature.inputs.inputs
    assert (picture.type, picture.shape) == (np.dtype("uint8"), (-1, 4, 4, 3))
    assert signature.outputs.input_names() == ["class", "probability", "probabilities"]
    with pytest.raises(mlflow.exceptions.MlflowException, match=r"expected shape \(-1, 4, 4, 3\)"):
        mlflow.pyfunc.load_model("models:/brightness/1").predict(PICTURES[:, :2])


def test_a_second_one_is_the_next_version(run):
    assert model_registry.register_model(run[0], "brightness", NAMES, (4, 4, 3)) == 2


@pytest.mark.parametrize("names", [["one"], ["one", "two", "three"], [1, 2], "ab", None])
def test_a_registered_model_is_refused_when_its_names_are_others(run, tmp_path, names):
    with run[0].download("model.keras") as model:
        (tmp_path / "model.keras").write_bytes(Path(model).read_bytes())
    (tmp_path / "facts.json").write_text(json.dumps({"class_names": names, "allow": []}))
    with pytest.raises(UserError, match=r"^facts.json"):
        model_registry._load_pyfunc(tmp_path)


def test_a_name_that_mlflow_does_not_take(run):
    with pytest.raises(UserError, match="`register=a/b`"):
        model_registry.register_model(run[0], "a/b", NAMES, (4, 4, 3))


def test_a_model_with_a_layer_of_ones_own_is_loaded_with_it(at, tmp_path, monkeypatch):
    code = "import keras\nclass Doubled(keras.layers.Layer):\n    def call(self, x):\n        return 2 * x\n"
    (tmp_path / "doubled_layer.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    inputs = keras.Input((4, 4, 1), dtype="uint8")
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(inputs))
    model = keras.Model(inputs, importlib.import_module("doubled_layer").Doubled()(keras.layers.Dense(2)(x)))
    with Run.start(RunSpec(at, "study", "doubled", {}, {})) as new_run:
        new_run.log_text("loss: {_target_: convzoo.layers.CapsuleMarginLoss}", "rows.yaml")
        new_run.save_model(model)
    model_registry.register_model(find_run(at, new_run.id), "doubled", NAMES, (4, 4, 1), ["doubled_layer.Doubled"])
    version = mlflow.MlflowClient(at).get_model_version("doubled", "1")
    assert version.description.startswith("doubled; trained by CapsuleMarginLoss")
    monkeypatch.setattr(user_classes, "_CLASSES", {})
    (answer,) = mlflow.pyfunc.load_model("models:/doubled/1").predict(PICTURES[:1, ..., :1])
    assert answer["probabilities"] == pytest.approx({"dark": 0.5, "bright": 0.5})  # black, and no bias


@pytest.mark.slow
def test_a_server_answers_a_picture(run, tmp_path, serving):
    words = ["models", "serve", "-m", "models:/brightness/1", "--env-manager=local"]
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    with serving(tmp_path, *words, MLFLOW_TRACKING_URI=run[1], PATH=path) as server:
        question = json.dumps({"inputs": PICTURES.tolist()}).encode()
        request = urllib.request.Request(f"{server}/invocations", question, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as response:
            answers = json.load(response)["predictions"]
    assert [each["class"] for each in answers] == list(NAMES)
    assert answers[1]["probability"] == pytest.approx(BRIGHT)
