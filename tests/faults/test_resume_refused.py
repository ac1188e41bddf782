"""The same command again, and something that decides a result is another: no run is of two codes or two devices."""

import os

import pytest
from fault_processes import Command, Store, lines

from convzoo import train
from convzoo.tracking.run import Run
from convzoo.training import backend

LAYER = """
import keras
import helper_of_mine

class Mine(keras.layers.Layer):
    def call(self, x):
        return helper_of_mine.FACTOR * x
"""
WORDS = ("model=lenet", "data=digits", "data.fraction=0.3", "epochs=6", "checkpoints.seconds=0", "study=mine")


def stop(command):
    """Kills a training that has a checkpoint."""
    command.until("^epoch 2/6")
    command.kill()


@pytest.mark.slow
def test_a_layer_of_ones_own_that_was_edited_starts_over(tmp_path):
    (tmp_path / "mine.py").write_text(LAYER)
    (tmp_path / "helper_of_mine.py").write_text("FACTOR = 1\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    words = [*WORDS, "allow=[mine.Mine]", "model.layers.pool1._target_=mine.Mine"]
    words += [f"~model.layers.pool1.{key}" for key in ("pool_size", "strides", "padding", "role")]
    stop(Command(tmp_path, *words, PYTHONPATH=path))
    (tmp_path / "helper_of_mine.py").write_text("FACTOR = 0.5\n")  # the layer's own file stays as it was
    text = Command(tmp_path, *words, PYTHONPATH=path).end()
    assert lines(text, "checkpoints/", "made by other code or other versions")
    assert not lines(text, "resuming")
    text = Command(tmp_path, *words, PYTHONPATH=path).end()
    assert lines(text, "done before")
    runs = Store(f"sqlite:///{tmp_path}/mlflow.db").runs("mine")
    assert [run.info.status for run in runs] == ["KILLED", "FINISHED"]
    assert runs[0].data.tags["identity"] == runs[1].data.tags["identity"]
    (tmp_path / "mine.py").write_text(f"{LAYER}# edited\n")
    text = Command(tmp_path, *words, PYTHONPATH=path).end()
    assert lines(text, f"run {runs[1].info.run_id} is of other code", "is made again")


@pytest.mark.integration
def test_other_thread_count_is_refused_with_the_remedy(tmp_path, uri, monkeypatch, command_line):
    monkeypatch.chdir(tmp_path)
    words = ["model=lenet", "data=digits", "data.fraction=0.1", "epochs=2", "study=mine", f"tracking.uri={uri}"]
    name, _, _ = backend.format_threads_setting("").partition("=")

    def train_on(threads, stop=False):
        monkeypatch.setattr(backend, "describe_device", lambda: {"device": "cpu", "threads": threads})
        with monkeypatch.context() as patch:
            if stop:
                patch.setattr(Run, "log_epoch", interrupt)
            return command_line(train, [*words, "checkpoints.seconds=0"])

    def interrupt(*_):
        raise KeyboardInterrupt

    assert train_on("2", stop=True)[0] == 130
    code, _, error = train_on("1")
    assert (code, error.count("\n")) == (2, 1)
    assert "was started on 2 threads and would be resumed on 1 thread" in error
    assert f"resume it with `{name}=2` in the environment, or start over with `resume=never`" in error
    code, out, _ = train_on("2")
    assert code == 0
    assert "resuming from epoch" in out
    assert "done before" in train_on("1")[1]
    finished = [run.data.tags for run in Store(uri).runs("mine") if run.info.status == "FINISHED"]
    assert [(tags["device"], tags["threads"]) for tags in finished] == [("cpu", "2")]
