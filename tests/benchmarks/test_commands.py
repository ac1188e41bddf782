"""The benchmarks as commands: bad words are refused before anything is measured, and what was measured is kept."""

import importlib
import json
import sys
import types
from pathlib import Path

import pytest
from sampling import rarely

from convzoo.benchmarks import command


def refused(monkeypatch, capsys, name, *words):
    """The line with which a benchmark refuses its words."""
    monkeypatch.setattr(sys, "argv", ["benchmark", *words])
    with pytest.raises(SystemExit) as end:
        importlib.import_module(f"convzoo.benchmarks.{name}").main()
    assert end.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("name", ["__main__", "augmentation", "layers", "launchers", "sweep"])
def test_output_in_missing_folder_is_refused(monkeypatch, capsys, name):
    line = refused(monkeypatch, capsys, name, "--output", "nowhere/found.json")
    assert line.endswith("--output: must be a file in an existing folder. Received: nowhere/found.json")


@pytest.mark.parametrize("name", ["__main__", "augmentation", "layers", "launchers"])
@pytest.mark.parametrize("turns", ["0", "-1", "1.5", "many"])
def test_turns_below_one_are_refused(monkeypatch, capsys, name, turns):
    line = refused(monkeypatch, capsys, name, f"--turns={turns}")
    assert line.endswith(f"--turns: must be a whole number, at least 1. Received: {turns}")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["__main__", "resnet20"], "networks must be of allconv, nin, lenet. Received: resnet20"),
        (["__main__", "--plot=speed.txt"], "--plot must end in .png, .svg, .pdf. Received: speed.txt"),
        (["layers", "L2", "Bluring"], "no row has a name that starts with: Bluring"),
        (["layers", "--dtype=bf16"], "must be the name of a policy that computes with floats. Received: bf16"),
        (
            ["layers", "--dtype=int32"],
            "must be the name of a policy that computes with floats. Received: int32",
        ),
        (["launchers", "--workers=0"], "--workers: must be a whole number, at least 1. Received: 0"),
        (["sweep", "--pairs=3"], "--pairs must be at least 4. Received: 3"),
        (["sweep", "seed=3", "epochs=9"], "the benchmark sets epochs, seed by itself. Received: seed=3 epochs=9"),
    ],
)
def test_bad_arguments_are_refused(monkeypatch, capsys, words, reason):
    assert refused(monkeypatch, capsys, *words).endswith(reason)


@pytest.mark.parametrize(("names", "lacking"), [("pytorch", "torch"), ("pytorch_compiled", "a C++ compiler")])
def test_missing_packages_are_reported_at_once(monkeypatch, capsys, names, lacking):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if lacking == "torch" else name)
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert f"`{names}` needs {lacking}" in refused(monkeypatch, capsys, "__main__", "lenet", "--only", "ours", names)


@pytest.mark.parametrize("plugins", [None, types.ModuleType("hydra_plugins")])
def test_missing_launcher_is_reported_at_once(monkeypatch, capsys, plugins):
    monkeypatch.setitem(sys.modules, "hydra_plugins", plugins)
    monkeypatch.delitem(sys.modules, "hydra_plugins.hydra_joblib_launcher", raising=False)
    line = refused(monkeypatch, capsys, "launchers")
    assert line.endswith("the workers need a launcher, pip install 'convzoo[parallel]'")


def test_output_that_cannot_be_written_is_refused(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != tmp_path)
    line = refused(monkeypatch, capsys, "launchers", f"--output={tmp_path / 'found.json'}")
    assert line.endswith(f"--output: must be a file that can be written. Received: {tmp_path / 'found.json'}")


def test_failed_sweep_ends_in_one_line(tmp_path):
    with pytest.raises(SystemExit, match=r"^the sweep failed: model=lenot$"):
        command.run_sweep(["model=lenot"], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_run_turns_on_each_backend(monkeypatch, tmp_path, backend):
    pytest.importorskip(backend)
    monkeypatch.setenv("KERAS_BACKEND", backend)
    module = importlib.import_module("convzoo.benchmarks.__main__")
    names = ["ours", "bare_loop", "keras_fit", "ceiling"]
    (turn,) = module.run_turns("lenet", names, 1, 3)
    assert turn["ours"]["backend"] == backend
    assert all(turn[name]["rate"] > 0 for name in names)


@rarely
@pytest.mark.slow
def test_speed_table_writes_its_files(monkeypatch, capsys, tmp_path):
    module = importlib.import_module("convzoo.benchmarks.__main__")
    table, picture = tmp_path / "speed.json", tmp_path / "speed.png"
    words = ["lenet", "--turns=2", "--steps=3", "--only", "ours", "bare_loop", "keras_fit"]
    monkeypatch.setattr(sys, "argv", ["benchmark", *words, f"--output={table}", f"--plot={picture}"])
    module.main()
    (turns,) = json.loads(table.read_text())["networks"].values()
    assert len(turns) == 2
    assert all(each[name]["rate"] > 0 for each in turns for name in ("ours", "bare_loop", "keras_fit"))
    said = capsys.readouterr().out
    assert said.endswith(module.format_table({"lenet": turns}) + "\n")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_augmentation_benchmark_prints_and_writes_ratios(monkeypatch, capsys, tmp_path):
    from convzoo.benchmarks import augmentation

    chosen = {name: each for name, each in augmentation.list_contestants().items() if name != "none"}
    few = {name: chosen[name] for name in (augmentation.REFERENCE, "MixUp", "RandAugment")}
    monkeypatch.setattr(augmentation, "list_contestants", lambda: few)
    monkeypatch.setattr(augmentation, "IMAGES", 1280)
    file = tmp_path / "speed.json"
    monkeypatch.setattr(sys, "argv", ["benchmark", "--turns=3", f"--output={file}"])
    augmentation.main()
    machine, _, *lines = capsys.readouterr().out.splitlines()
    results = json.loads(file.read_text())
    assert results["machine"] == machine
    assert [line.split()[0] for line in lines] == ["flip", "MixUp", "RandAugment"]
    assert results["rows"][augmentation.REFERENCE]["ratio"] == 1
    assert all(row["images_per_second"] > 0 for row in results["rows"].values())
    assert results["rows"]["RandAugment"]["ratio"] < results["rows"]["MixUp"]["ratio"]
