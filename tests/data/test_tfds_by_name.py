"""Sets of TFDS by their name alone: what is read off the builder, and the splits that are taken."""

import subprocess

import numpy as np
import pytest
from omegaconf import OmegaConf
from tfds_sets import prepare_noise

import convzoo
from convzoo import UserError, data, train

CONFIG = OmegaConf.to_container(OmegaConf.load(f"{convzoo.__path__[0]}/configs/data/tfds.yaml"))
NAMES = ["ant", "bee", "cat"]


def config(directory, tfds, **changes):
    """The config that `data=tfds data.tfds=NAME` ends with."""
    plain = {**CONFIG, "tfds": tfds, "directory": str(directory), "validation": 0, **changes}
    whole = {**plain, **data.infer_settings(plain)}
    data.check_config(whole)
    data.check_available(whole)
    return whole


def labels_by_image(split):
    return {image.tobytes(): int(y) for image, y in zip(split.x, split.y, strict=True)}


def written_labels(*splits):
    return {each["image"].tobytes(): each["label"] for split in splits for each in split}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sets")


@pytest.fixture(scope="module")
def insects(folder):
    """A set with train, validation and test."""
    return prepare_noise(folder, "insects", {"train": 60, "validation": 6, "test": 9}, NAMES)


@pytest.fixture(scope="module")
def no_test(folder):
    """A set without a split called test."""
    return prepare_noise(folder, "no_test", {"train": 20, "validation": 6}, NAMES)


@pytest.fixture(scope="module")
def train_alone(folder):
    """A set of one split."""
    return prepare_noise(folder, "train_alone", {"train": 30}, NAMES)


@pytest.mark.parametrize("name", ["insects", "insects:1.0.0"])
def test_settings_come_from_the_builder(folder, insects, name):
    whole = config(folder, name)
    assert {key: whole[key] for key in ("name", "tfds", "image_shape", "classes", "class_names")} == {
        "name": "insects",
        "tfds": "insects:1.0.0",
        "image_shape": [8, 8, 3],
        "classes": 3,
        "class_names": NAMES,
    }


def test_settings_of_a_registered_set_need_no_download(tmp_path):
    """The names are those of the TFDS catalog."""
    plain = {**CONFIG, "tfds": "svhn_cropped", "directory": str(tmp_path)}
    inferred = data.infer_settings(plain)
    assert (inferred["tfds"], inferred["name"]) == ("svhn_cropped:3.1.0", "svhn_cropped")
    assert (inferred["image_shape"], inferred["class_names"]) == ([32, 32, 3], list("0123456789"))
    inferred = data.infer_settings({**plain, "tfds": "cifar10_1/v4"})
    assert (inferred["tfds"], inferred["name"]) == ("cifar10_1/v4:1.1.0", "cifar10_1_v4")
    assert list(tmp_path.iterdir()) == []


def test_settings_that_are_stated_stay(folder, insects):
    whole = config(folder, "insects", name="mine", image_shape=[10, 10, 3])
    assert (whole["name"], whole["image_shape"]) == ("mine", [10, 10, 3])


def test_whole_set_is_read_with_its_validation_split(folder, insects):
    dataset = data.load(config(folder, "insects", validation=0.1))
    for part in ("train", "validation", "test"):
        assert labels_by_image(getattr(dataset, part)) == written_labels(insects[part])
    assert dataset.notes == ("the validation split of the set is the validation split",)
    assert data.load(config(folder, "insects")).validation is None


def test_slices_are_those_of_tfds(folder, insects):
    """TFDS keeps its own order within a split, so a slice is known by its size and its complement."""
    first = data.load(config(folder, "insects", train="train[:75%]", test="train[75%:]"))
    assert (len(first.train), len(first.test)) == (45, 15)
    both = labels_by_image(first.train) | labels_by_image(first.test)
    assert both == written_labels(insects["train"])
    again = data.load(config(folder, "insects", train="train[:45]", test="train[-15:]"))
    assert again.digest == first.digest


def test_splits_may_be_added(folder, insects):
    dataset = data.load(config(folder, "insects", train="train+validation"))
    assert labels_by_image(dataset.train) == written_labels(insects["train"], insects["validation"])
    assert dataset.validation is None


def test_set_without_a_test_says_which_split_it_uses(folder, no_test):
    dataset = data.load(config(folder, "no_test"))
    assert labels_by_image(dataset.test) == written_labels(no_test["validation"])
    (note,) = dataset.notes
    assert note.startswith("no_test:1.0.0 has no split `test`: its split `validation` is the test.")
    assert note in dataset.summary


def test_set_of_train_alone_sets_a_fifth_aside(folder, train_alone):
    dataset = data.load(config(folder, "train_alone"))
    assert np.bincount(dataset.test.y).tolist() == [2, 2, 2]
    assert labels_by_image(dataset.train) | labels_by_image(dataset.test) == written_labels(train_alone["train"])
    assert len(dataset.train) == 24
    assert "a stratified fifth of `train` is set aside for the test" in dataset.summary


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"train": "train", "test": "train[90%:]"},
            r"must not share images\. .* train and train\[90%:\], with 6",
        ),
        ({"train": "train[:100]"}, r"`data\.train` must be a split of the set\. Received: train\[:100\]"),
        ({"train": "train[:0]"}, r"`data\.train` must "),
        ({"test": "extra"}, r"`data\.test` must be a split of insects:1\.0\.0, which has .*\. Received: extra"),
        ({"train": "train[a]"}, r"`data\.train` must be a split of the set, as train, train\[:90%\]"),
        ({"train": ""}, r"`data\.train` must be a split of the set, as train"),
    ],
)
def test_splits_that_do_not_fit_are_refused(folder, insects, changes, text):
    with pytest.raises(UserError, match=text):
        data.load(config(folder, "insects", **changes))


def test_splits_of_another_source_are_refused():
    digits = OmegaConf.to_container(OmegaConf.load(f"{convzoo.__path__[0]}/configs/data/digits.yaml"))
    with pytest.raises(UserError, match=r"`data\.train` chooses a split of a set of TensorFlow Datasets"):
        data.check_config({**digits, "train": "train"})


@pytest.mark.parametrize("name", [None, "../insects", "a/../b", "huggingface:x", "absent_set"])
def test_names_of_no_set_are_refused(folder, name):
    with pytest.raises(UserError, match=r"`data\.tfds` must"):
        config(folder, name)


def test_set_of_several_sizes_wants_a_size(tmp_path):
    prepare_noise(tmp_path, "varied", {"train": 6, "test": 3}, 3, (None, None, 3), sizes=(5, 20))
    with pytest.raises(UserError, match=r"`data\.image_size` must be stated, as data\.image_size=64"):
        config(tmp_path, "varied")
    assert data.load(config(tmp_path, "varied", image_shape=[6, 7, 3])).test.x.shape == (3, 6, 7, 3)


def test_set_that_is_no_classification_is_refused_by_name(tmp_path):
    prepare_noise(tmp_path, "strange", {"train": 3, "test": 3}, keys=None)
    with pytest.raises(UserError, match=r"strange cannot be used: a set of pairs .* its features image: Image, label"):
        config(tmp_path, "strange")


def test_foreign_class_of_a_set_is_not_imported(tmp_path):
    """A features.json may name any class, and TFDS would import its module."""
    prepare_noise(tmp_path, "forged", {"train": 3, "test": 3})
    path = tmp_path / "forged" / "1.0.0" / "features.json"
    path.write_text(path.read_text().replace("tensorflow_datasets.core.features", "this.features"))
    for name in ("forged", "forged:1.0.0"):
        with pytest.raises(UserError, match="which is no feature of TFDS"):
            config(tmp_path, name)


@pytest.mark.integration
def test_splits_work_as_printed_through_a_shell(tmp_path, monkeypatch, command_line):
    prepare_noise(tmp_path, "insects", {"train": 50, "test": 9}, NAMES, (32, 32, 3))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    printed = """model=lenet data=tfds data.tfds=insects 'data.train="train[:90%]"' data.validation=0.2 epochs=1"""
    shell = subprocess.run(["sh", "-c", f"printf '%s\\n' {printed}"], capture_output=True, text=True, check=True)
    code, output, errors = command_line(train, shell.stdout.splitlines())
    assert code in (None, 0), errors
    assert "images: 36 to train on, 9 to validate, 9 to test" in output
    assert "insects:1.0.0 of TensorFlow Datasets" in output
