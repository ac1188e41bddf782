"""The benchmarks as commands: bad words are refused before anything is measured, and what was measured is kept."""

import importlib
import json
import sys
import types
from pathlib import Path

import pytest

from convzoo.benchmarks import command


def refused(monkeypatch, capsys, name, *words):
    """The line with which a benchmark refuses its words."""
    monkeypatch.setattr(sys, "argv", ["benchmark", *words])
    with pytest.raises(SystemExit) as end:
        importlib.import_module(f"convzoo.benchmarks.{name}").main()
    assert end.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("name", ["__main__", "layers", "launchers", "sweep"])
def test_a_file_that_cannot_be_is_refused(monkeypatch, capsys, name):
    line = refused(monkeypatch, capsys, name, "--output", "nowhere/found.json")
    assert line.endswith("--output: must be a file in a folder that is there. Received: nowhere/found.json")


@pytest.mark.parametrize("name", ["__main__", "layers", "launchers"])
@pytest.mark.parametrize("turns", ["0", "-1", "1.5", "many"])
def test_turns_are_counted(monkeypatch, capsys, name, turns):
    line = refused(monkeypatch, capsys, name, f"--turns={turns}")
    assert line.endswith(f"--turns: must be a whole number, at least 1. Received: {turns}")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["__main__", "resnet20"], "networks must be of allconv, nin, lenet. Received: resnet20"),
        (["__main__", "--picture=speed.txt"], "--picture must end in .png, .svg, .pdf. Received: speed.txt"),
        (["layers", "L2", "Bluring"], "no row starts so: Bluring"),
        (["layers", "--dtype=bf16"], "must be the name of a policy that computes with floats. Received: bf16"),
        (
            ["layers", "--dtype=int32"],
            "must be the name of a policy that computes with floats. Received: int32",
        ),
        (["launchers", "--workers=0"], "--workers: must be a whole number, at least 1. Received: 0"),
        (["sweep", "--pairs=3"], "--pairs must be at least 4. Received: 3"),
        (["sweep", "seed=3", "epochs=9"], "words must leave epochs, seed to the benchmark. Received: seed=3 epochs=9"),
    ],
)
def test_other_words_are_refused(monkeypatch, capsys, words, reason):
    assert refused(monkeypatch, capsys, *words).endswith(reason)


@pytest.mark.parametrize(("names", "lacking"), [("pytorch", "torch"), ("pytorch_compiled", "a C++ compiler")])
def test_what_a_contestant_needs_is_missed_at_once(monkeypatch, capsys, names, lacking):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if lacking == "torch" else name)
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert f"`{names}` needs {lacking}" in refused(monkeypatch, capsys, "__main__", "lenet", "--only", "ours", names)


@pytest.mark.parametrize("plugins", [None, types.ModuleType("hydra_plugins")])
def test_workers_without_their_launcher_are_missed_at_once(monkeypatch, capsys, plugins):
    monkeypatch.setitem(sys.modules, "hydra_plugins", plugins)
    monkeypatch.delitem(sys.modules, "hydra_plugins.hydra_joblib_launcher", raising=False)
    line = refused(monkeypatch, capsys, "launchers")
    assert line.endswith("the workers need a launcher, pip install 'convzoo[parallel]'")


def test_a_file_that_may_not_be_written_is_refused(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != tmp_path)
    line = refused(monkeypatch, capsys, "launchers", f"--output={tmp_path / 'found.json'}")
    assert line.endswith(f"--output: must be a file that may be written. Received: {tmp_path / 'found.json'}")


def test_a_sweep_that_fails_ends_in_one_line(tmp_path):
    with pytest.raises(SystemExit, match=r"^the sweep failed: model=lenot$"):
        command.sweep(["model=lenot"], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_the_speed_table_on_each_backend(monkeypatch, tmp_path, backend):
    pytest.importorskip(backend)
    monkeypatch.setenv("KERAS_BACKEND", backend)
    module = importlib.import_module("convzoo.benchmarks.__main__")
    names = ["ours", "bare", "keras_fit", "ceiling"]
    (turn,) = module.turns("lenet", names, 1, 3)
    assert turn["ours"]["backend"] == backend
    assert all(turn[name]["rate"] > 0 for name in names)


@pytest.mark.slow
def test_the_speed_table_from_its_command_to_its_files(monkeypatch, capsys, tmp_path):
    module = importlib.import_module("convzoo.benchmarks.__main__")
    table, picture = tmp_path / "speed.json", tmp_path / "speed.png"
    words = ["lenet", "--turns=2", "--steps=3", "--only", "ours", "bare", "keras_fit"]
    monkeypatch.setattr(sys, "argv", ["benchmark", *words, f"--output={table}", f"--picture={picture}"])
    module.main()
    (turns,) = json.loads(table.read_text())["networks"].values()
    assert len(turns) == 2
    assert all(each[name]["rate"] > 0 for each in turns for name in ("ours", "bare", "keras_fit"))
    said = capsys.readouterr().out
    assert said.endswith(module.table({"lenet": turns}) + "\n")
    assert picture.read_bytes().startswith(b"\x89PNG")
