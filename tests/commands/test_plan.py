"""`plan=true`: which images a network is planned for."""

import json

import pytest

from convzoo import train

NETWORK = """
name: {name}
paper: {paper}
layers:
  conv: {{_target_: keras.layers.Conv2D, filters: 4, kernel_size: 3}}
  mean: {{_target_: keras.layers.GlobalAveragePooling2D}}
  score: {{_target_: keras.layers.Dense, units: "${{data.classes}}"}}
"""


@pytest.fixture
def plan_lines(command_line, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code, out, err = command_line(train, list(words))
        assert code == 0, err
        return out.splitlines()

    return run


def write_network(folder, name="mine", paper="{image_shape: [48, 40, 1], classes: 3}"):
    (folder / "model").mkdir()
    (folder / "model" / "mine.yaml").write_text(NETWORK.format(name=name, paper=paper))


def test_plan_without_data_is_of_the_papers_images(plan_lines):
    lines = plan_lines("model=googlenet", "plan=true")
    assert lines[0] == "googlenet on 224×224×3"
    (total,) = (line.split() for line in lines if line.startswith("total"))
    assert total[1:3] == ["6,998,552", "1,582,671,872"]
    assert lines[-1] == "planned at the paper's 224×224×3, 1000 classes; `data=cifar10` plans 32×32×3"


def test_plan_of_a_users_network_is_of_its_papers_images(plan_lines, tmp_path):
    write_network(tmp_path)
    assert plan_lines("--config-dir=.", "model=mine", "plan=true")[0] == "mine on 48×40×1"


@pytest.mark.parametrize("words", [["data=cifar10"], ["data.image_shape=[32,32,3]"], ["data=cifar100"]])
def test_plan_with_data_is_of_that_data_and_notes_small_maps(plan_lines, words):
    lines = plan_lines("model=resnet18", "plan=true", *words)
    assert lines[0] == "resnet18 on 32×32×3"
    assert " ".join(lines).count("resnet18 is made for larger images than 32×32: from conv5_1 on") == 1
    assert "planned at" not in " ".join(lines)


@pytest.mark.parametrize("paper", ["null", "{title: x}", "{image_shape: [32, 32, 1], classes: 3}"])
def test_plan_without_another_size_in_the_paper_is_of_the_data(plan_lines, tmp_path, paper):
    write_network(tmp_path, paper=paper)
    lines = plan_lines("--config-dir=.", "model=mine", "plan=true")
    assert lines[0] == "mine on 32×32×3"
    assert "planned at" not in " ".join(lines)


def test_plan_as_json_is_json_alone_and_has_activations(command_line, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    words = ["model=alexnet", "plan=json", "model.layers.conv1.activation=elu"]
    code, out, err = command_line(train, words)
    plan = json.loads(out)
    assert (code, plan["image_shape"]) == (0, [227, 227, 3])
    assert [row["activation"] for row in plan["rows"][:2]] == ["elu", None]
    assert "planned at the paper's 227×227×3" in err


def test_an_activation_that_was_typed_is_in_the_table(plan_lines):
    lines = plan_lines("model=lenet", "data=digits", "plan=true", "model.layers.conv1.activation=elu")
    assert lines[3].split()[:3] == ["conv1", "Conv2D", "elu"]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("paper", ["{image_shape: [5]}", "{image_shape: [32, 8, 3], classes: x}"])
def test_a_papers_size_that_is_none_is_refused_in_a_line(command_line, monkeypatch, tmp_path, paper):
    monkeypatch.chdir(tmp_path)
    write_network(tmp_path, paper=paper)
    code, _, err = command_line(train, ["--config-dir=.", "model=mine", "plan=true"])
    assert (code, err.count("\n")) == (2, 1)
    assert "`image_shape`" in err or "`classes`" in err


@pytest.mark.parametrize("source", ["typed", "file"])
def test_a_model_name_that_keras_refuses_is_refused_in_a_line(command_line, monkeypatch, tmp_path, source):
    monkeypatch.chdir(tmp_path)
    write_network(tmp_path, name="a/b")
    words = ["--config-dir=.", "model=mine"] if source == "file" else ["model=lenet", "model.name=a/b"]
    code, _, err = command_line(train, [*words, "data=digits", "plan=true"])
    assert (code, err.count("\n")) == (2, 1), err
    assert "`model.name`" in err
    assert "'a/b'" in err
