"""What a store says of a run is checked before it is used: its files may be a stranger's."""

import contextlib
import sqlite3

import keras
import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from convzoo import UserError, evaluate
from convzoo.tracking.run import Run, RunSpec, find_run

DATA = {
    "name": "bright",
    "source": "files",
    "tfds": None,
    "image_shape": [4, 4, 3],
    "classes": 2,
    "class_names": ["dark", "bright"],
    "validation": 0,
    "split_seed": 0,
    "fraction": 1.0,
    "epochs": 1,
    "augment": {"flip": False, "shift": False},
    "directory": None,
}


class Stored:
    """A run in a store, whose files a test writes over."""

    def __init__(self, folder, run):
        self.id = run
        self.uri = f"sqlite:///{folder}/mlflow.db"
        self.files = folder / "mlartifacts" / run / "artifacts"

    def write(self, **settings):
        (self.files / "config.yaml").write_text(OmegaConf.to_yaml({"data": DATA, **settings}))


@pytest.fixture(scope="module")
def module_run(tmp_path_factory, empty):
    folder = tmp_path_factory.mktemp("store")
    (folder / "mlflow.db").write_bytes(empty.read_bytes())
    inputs = keras.Input((4, 4, 3), dtype="uint8")
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(x))
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    with Run.start(RunSpec(f"sqlite:///{folder}/mlflow.db", "mine", "a run", {}, {"identity": "i"})) as run:
        run.log_text("loss: null", "rows.yaml")
        run.log_text("data: {}", "config.yaml")
        run.save_model(model)
    patch.undo()
    return Stored(folder, run.id)


@pytest.fixture
def run(module_run, tmp_path, monkeypatch):
    """A run with its model, in a folder to work in."""
    monkeypatch.chdir(tmp_path)
    module_run.write()
    return module_run


@pytest.fixture
def asked(run, command_line):
    """Calls `evaluate.py` for the run with more words: its exit code, output and error line."""

    def ask(*words):
        return command_line(evaluate, [f"tracking.uri={run.uri}", f"run={run.id}", *words])

    return ask


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"data": {}}, "data.name"),
        ({"data": 5}, "data"),
        ({"data": ["a"]}, "data"),
        ({"tracking": "x"}, "tracking"),
        ({"tracking": None}, "tracking"),
        ({"tracking": {"artifacts": 3}}, "tracking.artifacts"),
        *[
            ({"data": {**DATA, "image_shape": shape}}, "data.image_shape")
            for shape in ([32], [3] * 4, None, "4,4,3", 4)
        ],
        ({"data": {**DATA, "image_shape": [4, 4, [1]]}}, "data.image_shape.2"),
        ({"data": {**DATA, "image_shape": [4, 4.0, 3]}}, "data.image_shape.1"),
        ({"data": {**DATA, "image_shape": [4, True, 3]}}, "data.image_shape.1"),
        ({"data": {**DATA, "image_shape": [-4, 4, 3]}}, "data.image_shape.0"),
        *[
            ({"data": {**DATA, "class_names": names}}, "data.class_names")
            for names in (None, [], ["a"], "ab", ["a", "a"], ["a", "\x1b[2J"], ["a", " "])
        ],
        ({"data": {**DATA, "class_names": [1, 2]}}, "data.class_names.0"),
        ({"data": {**DATA, "name": None}}, "data.name"),
        ({"data": {**DATA, "directory": ["x"]}}, "data.directory"),
    ],
)
def test_a_recorded_config_is_refused_when_it_is_another(run, settings, key):
    run.write(**settings)
    with pytest.raises(UserError, match=rf"^run {run.id}: config.yaml: `{key}` ") as error:
        find_run(run.uri, run.id).read_settings()
    assert str(error.value).isprintable()


@pytest.mark.parametrize("names", [["T-shirt/top", "a b"], ["猫", "=x"], ["می\u200cخواهم", "a\u3000b"]])
def test_a_recorded_config_is_read_with_any_names_of_classes(run, names):
    run.write(data={**DATA, "class_names": names}, more=1)
    assert find_run(run.uri, run.id).read_settings()["data"]["class_names"] == names


@pytest.mark.parametrize("loss", ["3", "{}", "{_target_: [x]}", "{_target_: null}", "[1]"])
def test_recorded_rows_are_refused_when_their_loss_is_another(run, loss):
    (run.files / "rows.yaml").write_text(f"loss: {loss}")
    with pytest.raises(UserError, match=rf"^run {run.id}: rows.yaml: `loss"):
        find_run(run.uri, run.id).loss_class_name()
    (run.files / "rows.yaml").write_text("loss: null")


@pytest.mark.parametrize("place", [None, "", "/etc", "file:///etc"])
def test_files_are_read_from_a_folder_of_the_run_s_own(run, place):
    with contextlib.closing(sqlite3.connect(run.uri.removeprefix("sqlite:///"), isolation_level=None)) as file:
        ((before,),) = file.execute("SELECT artifact_uri FROM runs WHERE run_uuid = ?", (run.id,)).fetchall()
        change = "UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?"
        file.execute(change, (place, run.id))
        try:
            with pytest.raises(UserError, match="must have the files of run"):
                find_run(run.uri, run.id).read_settings()
        finally:
            file.execute(change, (before, run.id))


@pytest.mark.parametrize(
    "data", [{"directory": "/victim"}, {}, {"source": "tfds", "tfds": "a:1.0.0", "directory": "/victim"}]
)
def test_a_recorded_folder_is_not_read_unless_it_is_typed(run, asked, data):
    run.write(data={**DATA, **data})
    code, _, error = asked()
    assert (code, error.count("\n")) == (2, 1)
    assert f"run {run.id} was trained on images in" in error
    assert "data.directory=" in error


@pytest.mark.parametrize(
    ("word", "data", "key"),
    [
        ("image=x.png", {"image_shape": [64, 64, 1]}, "data.image_shape"),
        ("image=x.png", {"class_names": ["a", "b", "c"]}, "data.class_names"),
        ("register=mine", {"class_names": ["a", "b", "c"]}, "data.class_names"),
    ],
)
def test_a_recorded_config_is_refused_when_the_model_is_another(run, asked, word, data, key):
    run.write(data={**DATA, **data})
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save("x.png")
    code, _, error = asked(word)
    assert (code, error.count("\n")) == (2, 1)
    assert f"run {run.id}: config.yaml: `{key}` must" in error


def test_answer_names_training_data_and_writes_in_its_folder(run, asked, tmp_path):
    run.write(data={**DATA, "directory": "/victim"})
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save("...png", format="png")
    code, out, error = asked("image=...png")
    assert code == 0, error
    assert "trained on bright: dark, bright" in out
    assert [path.name for path in (tmp_path / "reports").iterdir()] == [run.id]
    assert [path.name for path in (tmp_path / "reports" / run.id).iterdir()] == ["...png"]
