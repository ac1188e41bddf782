"""What `study=NAME` on the command line becomes."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser

import convzoo
from convzoo import UserError
from convzoo.models import registry
from convzoo.settings import study_file


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
    (tmp_path / "studies" / "what.yaml").write_text(
        "sweep: {dropout: [0, 1]}\n"
        "claims: [{says: It helps, better: {dropout: 0}, than: {dropout: 1}, by: 0.01, of: loss}]\n"
    )
    for name, more in {
        "excluding": "exclude: not_learning",
        "dropping": "exclude: outliers",
        "unknown": "excludes: not_learning",
        "large": "of: test_accuracy, by: .inf",
    }.items():
        (tmp_path / "studies" / f"{name}.yaml").write_text(
            "sweep: {dropout: [0, 1]}\n"
            f"claims: [{{says: It helps, better: {{dropout: 0}}, than: {{dropout: 1}}, by: 0.01, {more}}}]\n".replace(
                "by: 0.01, of: test_accuracy, by", "of: test_accuracy, by"
            )
        )
    (tmp_path / "studies" / "torn.yaml").write_text("sweep: {seed: [0\n")
    return tmp_path


def test_a_file_stands_for_its_words(folder):
    words = [f"--config-dir={folder}", "study=mine"]
    assert study_file.expand_overrides(words) == [
        "-m",
        *words,
        "pooling=max,l2",
        "seed=0,1",
        "model=lenet",
        "epochs=3",
        "data.shift=null",
        "tracking.artifacts=light",
    ]


def test_what_is_typed_wins(folder):
    found = study_file.expand_overrides(["--config-dir", str(folder), "-m", "study=mine", "seed=7", "epochs=1"])
    assert found.count("-m") == 1
    assert [word for word in found if word.startswith(("seed", "epochs"))] == ["seed=7", "epochs=1"]


def test_a_run_is_told_by_what_its_study_varies(folder):
    def distinguishing(words, name):
        return study_file.distinguishing_overrides(words, name, [str(folder)])

    words = ["study=mine", "pooling=l2", "seed=1", "model=lenet", "epochs=3", "data.shift=null"]
    assert distinguishing(words, "mine") == ["study=mine", "pooling=l2", "seed=1"]
    assert distinguishing([*words[:3], "epochs=5"], "mine") == [*words[:3], "epochs=5"]  # typed over the file
    assert distinguishing(words, "free") == words


def test_one_may_be_like_another(folder):
    said = study_file.load_study("more", [folder])
    assert said["sweep"] == {"pooling": ["max", "l2"], "seed": [0, 1, 2], "model": ["lenet", "nin"]}
    assert said["set"] == {"epochs": 9, "data.shift": None}  # the other's model was set, this one's is swept
    assert said["question"] == "Which?"


@pytest.mark.parametrize("words", [["study=free", "model=lenet"], ["model=lenet"], ["study=../model/lenet"]])
def test_a_name_without_a_file_is_free(words):
    assert study_file.expand_overrides(words) == words


def test_misspelt_study_is_refused_unless_it_is_a_sweep():
    with pytest.raises(UserError, match=r"`study=poolng_kinds`.*did you mean pooling_kinds"):
        study_file.expand_overrides(["study=poolng_kinds"])
    assert study_file.expand_overrides(["-m", "study=poolng_kinds"])[:2] == ["-m", "study=poolng_kinds"]


def test_study_runs_keep_no_model_by_default(folder):
    light = "tracking.artifacts=light"
    assert study_file.expand_overrides(["-m", "study=free", "seed=0,1"])[3:] == [light]
    assert study_file.expand_overrides(["-m", "seed=0,1"]) == ["-m", "seed=0,1"]  # of no study
    for asked in (["-m", "study=free", "tracking.artifacts=full"], ["study=mine", "tracking.artifacts=full"]):
        assert light not in study_file.expand_overrides([f"--config-dir={folder}", *asked])


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("bad", "`sweeps`"),
        ("twice", "`seed` in"),
        ("odd", "`dropout`, which it neither"),
        ("what", "`goal` is needed with `of: loss`: larger or smaller"),
        ("dropping", "`exclude` must be not_learning, or not be there. Received: 'outliers'"),
        ("unknown", "the key `excludes`; a claim may have says, better, than, by, of, goal, exclude"),
        ("large", "`by` must be a difference, as 0.01"),
        ("torn", "cannot be read"),
    ],
)
def test_a_file_that_is_none_is_refused(folder, name, told):
    with pytest.raises(UserError, match=f"`study={name}`.*{told}"):
        study_file.load_study(name, [folder])


def test_claim_may_exclude_runs_that_did_not_learn(folder):
    assert study_file.load_study("excluding", [folder])["claims"][0]["exclude"] == "not_learning"


@pytest.mark.parametrize("name", study_file.study_names())
def test_every_study_at_hand_composes(name):
    """All its runs' configs, and claims that runs of it can decide."""
    said = study_file.load_study(name)
    assert said["question"].endswith("?")
    assert all(isinstance(values, list) and len(values) > 1 for values in said["sweep"].values())
    words = study_file.expand_overrides([f"study={name}"])[1:]
    swept = [each for each in OverridesParser.create().parse_overrides(words) if each.is_sweep_override()]
    assert {each.key_or_group for each in swept} == set(said["sweep"])
    first = [word.partition(",")[0] for word in words if not word.startswith("study=")]
    with initialize_config_dir(str(Path(convzoo.__file__).parent / "configs"), version_base="1.3"):
        config = compose("train", first)
    assert config.model.name
    for claim in said["claims"]:
        assert set(claim) - {"of"} == {"says", "better", "than", "by"}
        for side in ("better", "than"):
            for key, value in claim[side].items():
                swept = [word.rpartition("/")[2] if isinstance(word, str) else word for word in said["sweep"][key]]
                assert value in swept, (key, value)  # a network's own name is without its folder
    for line in said["published"]:
        assert all(value in said["sweep"][key] for key, value in line["where"].items())


@pytest.mark.parametrize(
    "path", sorted((study_file.CONFIGS_FOLDER / "model" / "study").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_network_of_a_study_can_be_planned(path):
    with initialize_config_dir(str(study_file.CONFIGS_FOLDER), version_base="1.3"):
        config = compose("train", [f"model=study/{path.stem}", "data=cifar10"])
    assert config.model.name == path.stem
    plan = registry.plan_rows(registry.rows(config), (32, 32, 3), 10, config.model.name)
    # The weights of each, counted by hand from its rows: kernels and biases.
    assert plan.params == {
        "nin_without_1x1": 14_592 + 921_792 + 331_968 + 1_930,
        "inception_module": 4_864 + 110_784 + 163_696 + 2_570,
        "inception_naive": 4_864 + 110_784 + (192 + 1) * 64 + (9 * 192 + 1) * 128 + (25 * 192 + 1) * 32 + 4_170,
        "lenet_depth_1x1": 1_824 + 150 + 9_664 + 1_040 + 48_120 + 10_164 + 850,
    }.get(path.stem, 1_824 + 9_664 + 48_120 + 10_164 + 850)


def test_what_is_swept():
    words = ["a=1,2,3", "seed=range(4)", "b=x", "c.d=[1,2],[3]"]
    counts = {key: len(values) for key, values in study_file.overrides_by_key(words).items()}
    assert counts == {"a": 3, "seed": 4, "b": 1, "c.d": 2}
    # The last word for a key counts, as for Hydra.
    found = study_file.overrides_by_key([*words, "seed=1", "a=1,2"])
    assert (found["seed"], found["a"], found["c.d"]) == (["seed=1"], ["a=1", "a=2"], ["c.d=[1,2]", "c.d=[3]"])
