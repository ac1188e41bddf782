"""What `study=NAME` on the command line becomes."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

import convzoo
from convzoo import UserError
from convzoo.studies import files
from convzoo.studies.watch import _swept


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "mine.yaml").write_text(
        "question: Which?\nsweep: {pooling: [max, l2], seed: [0, 1]}\n"
        "set: {model: lenet, epochs: 3, data.shift: null}\n"
    )
    (tmp_path / "studies" / "more.yaml").write_text(
        "like: mine\nsweep: {seed: [0, 1, 2], model: [lenet, nin]}\nset: {epochs: 9}\n"
    )
    (tmp_path / "studies" / "bad.yaml").write_text("sweeps: {seed: [0]}\n")
    (tmp_path / "studies" / "twice.yaml").write_text("sweep: {seed: [0, 1]}\nset: {seed: 0}\n")
    (tmp_path / "studies" / "odd.yaml").write_text(
        "sweep: {seed: [0, 1]}\nclaims: [{says: It helps, better: {dropout: 0}, than: {dropout: 1}, by: 0.01}]\n"
    )
    (tmp_path / "studies" / "torn.yaml").write_text("sweep: {seed: [0\n")
    return tmp_path


def test_a_file_stands_for_its_words(folder):
    words = [f"--config-dir={folder}", "study=mine"]
    assert files.expanded(words) == [
        "-m",
        *words,
        "pooling=max,l2",
        "seed=0,1",
        "model=lenet",
        "epochs=3",
        "data.shift=null",
    ]


def test_what_is_typed_wins(folder):
    found = files.expanded(["--config-dir", str(folder), "-m", "study=mine", "seed=7", "epochs=1"])
    assert found.count("-m") == 1
    assert [word for word in found if word.startswith(("seed", "epochs"))] == ["seed=7", "epochs=1"]


def test_a_run_is_told_by_what_its_study_varies(folder):
    def telling(words, name):
        runtime = {"config_sources": [{"path": str(folder)}]}
        return files.telling(OmegaConf.create({"overrides": {"task": words}, "runtime": runtime}), name)

    words = ["study=mine", "pooling=l2", "seed=1", "model=lenet", "epochs=3", "data.shift=null"]
    assert telling(words, "mine") == ["study=mine", "pooling=l2", "seed=1"]
    assert telling([*words[:3], "epochs=5"], "mine") == [*words[:3], "epochs=5"]  # typed over the file
    assert telling(words, "free") == words


def test_one_may_be_like_another(folder):
    said = files.read("more", [folder])
    assert said["sweep"] == {"pooling": ["max", "l2"], "seed": [0, 1, 2], "model": ["lenet", "nin"]}
    assert said["set"] == {"epochs": 9, "data.shift": None}  # the other's model was set, this one's is swept
    assert said["question"] == "Which?"


@pytest.mark.parametrize("words", [["study=free", "model=lenet"], ["model=lenet"], ["study=../model/lenet"]])
def test_a_name_without_a_file_is_free(words):
    assert files.expanded(words) == words


def test_a_name_that_is_nearly_one_at_hand_is_refused_unless_it_is_a_sweep():
    with pytest.raises(UserError, match=r"`study=poolng_kinds`.*near it: pooling_kinds"):
        files.expanded(["study=poolng_kinds"])
    assert files.expanded(["-m", "study=poolng_kinds"]) == ["-m", "study=poolng_kinds"]


@pytest.mark.parametrize(
    ("name", "told"),
    [("bad", "`sweeps`"), ("twice", "`seed` in"), ("odd", "`dropout`, which it neither"), ("torn", "cannot be read")],
)
def test_a_file_that_is_none_is_refused(folder, name, told):
    with pytest.raises(UserError, match=f"`study={name}`.*{told}"):
        files.read(name, [folder])


@pytest.mark.parametrize("name", files.names())
def test_every_study_at_hand_composes(name):
    """All its runs' configs, and claims that runs of it can decide."""
    said = files.read(name)
    assert said["question"].endswith("?")
    assert all(isinstance(values, list) and len(values) > 1 for values in said["sweep"].values())
    words = files.expanded([f"study={name}"])[1:]
    swept = [each for each in OverridesParser.create().parse_overrides(words) if each.is_sweep_override()]
    assert {each.key_or_group for each in swept} == set(said["sweep"])
    first = [word.partition(",")[0] for word in words if not word.startswith("study=")]
    with initialize_config_dir(str(Path(convzoo.__file__).parent / "configs"), version_base="1.3"):
        config = compose("train", first)
    assert config.model.name
    for claim in said["claims"]:
        assert set(claim) == {"says", "better", "than", "by"}
        for side in ("better", "than"):
            for key, value in claim[side].items():
                assert value in said["sweep"][key], (key, value)
    for line in said["published"]:
        assert all(value in said["sweep"][key] for key, value in line["where"].items())


def test_what_is_swept():
    words = ["a=1,2,3", "seed=range(4)", "b=x", "c.d=[1,2],[3]"]
    assert _swept(words) == {"a": 3, "seed": 4, "c.d": 2}
    assert _swept([*words, "seed=1", "a=1,2"]) == {"c.d": 2, "a": 2}  # the last word for a key counts, as for Hydra
