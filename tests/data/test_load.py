import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from omegaconf import OmegaConf
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import convzoo
from convzoo import UserError
from convzoo.data import load, sources
from convzoo.data.splits import stratified_split

CONFIGS = Path(convzoo.__file__).parent / "configs" / "data"


def config(name, **changes):
    return {**OmegaConf.to_container(OmegaConf.load(CONFIGS / f"{name}.yaml")), **changes}


@pytest.fixture(scope="module")
def digits():
    return load(config("digits"))


def test_digits_parts(digits):
    assert [len(part) for part in (digits.train, digits.validation, digits.test)] == [1293, 144, 360]
    for part in (digits.train, digits.validation, digits.test):
        assert part.x.shape[1:] == (32, 32, 1)
        assert (part.x.dtype, part.y.dtype) == (np.uint8, np.int32)


def test_digits_are_scikit_learns_each_once_enlarged(digits):
    original = load_digits()
    scaled = original.images[..., None].astype(np.float32) * np.float32(255 / 16)
    expected = tf.image.resize(scaled, (32, 32), method="bilinear").numpy()
    parts = (digits.train, digits.validation, digits.test)
    ours = np.concatenate([part.x for part in parts]).reshape(1797, -1).astype(np.float32)
    labels = np.concatenate([part.y for part in parts])
    squares = (expected.reshape(1797, -1) ** 2).sum(1)
    match = (squares - 2 * ours @ expected.reshape(1797, -1).T).argmin(1)
    assert sorted(match) == list(range(1797))
    assert np.abs(ours - expected.reshape(1797, -1)[match]).max() < 0.51
    np.testing.assert_array_equal(labels, original.target[match])


def test_the_cut_is_the_same_on_every_machine(digits):
    assert digits.validation.y[:12].tolist() == [4, 6, 8, 2, 9, 8, 4, 3, 1, 6, 2, 4]
    assert digits.test.y[:12].tolist() == [2, 2, 0, 8, 7, 8, 3, 4, 0, 2, 1, 3]
    assert int(digits.validation.x.sum(dtype=np.int64)) == 11_569_746


def test_validation_is_the_same_for_every_fraction(digits):
    small = load(config("digits", fraction=0.25))
    np.testing.assert_array_equal(small.validation.x, digits.validation.x)
    np.testing.assert_array_equal(small.test.x, digits.test.x)
    assert len(small.train) == 323
    rows = {picture.tobytes() for picture in digits.train.x}
    assert {picture.tobytes() for picture in small.train.x} <= rows


def test_no_validation_trains_on_everything():
    everything = load(config("digits", validation=0))
    assert everything.validation is None
    assert len(everything.train) == 1437


def test_another_split_seed_cuts_otherwise(digits):
    other = load(config("digits", split_seed=1))
    assert not np.array_equal(other.test.x, digits.test.x)
    assert not np.array_equal(other.validation.x, digits.validation.x)


@pytest.mark.parametrize("count", [40, 144, 360, 1000])
def test_stratified_gives_classes_what_scikit_learn_gives_them(count):
    labels = load_digits().target
    taken, rest = stratified_split(labels, count, seed=0)
    assert len(taken) == count
    assert sorted([*taken, *rest]) == list(range(len(labels)))
    theirs, _ = train_test_split(labels, train_size=count, stratify=labels, random_state=0)
    assert np.abs(np.bincount(labels[taken]) - np.bincount(theirs)).max() <= 1


def test_stratified_is_exact_where_it_can_be():
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    taken, _ = stratified_split(labels, 100, seed=4)
    assert np.bincount(labels[taken]).tolist() == [60, 30, 10]


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("validation", -1, "a number of images, a fraction in (0, 1), or 0"),
        ("validation", 1.0, "a number of images, a fraction in (0, 1), or 0"),
        ("validation", True, "a number of images, a fraction in (0, 1), or 0"),
        ("validation", "some", "a number of images, a fraction in (0, 1), or 0"),
        ("validation", 1437, "leave each of 10 classes in both parts of 1437 images"),
        ("validation", 4, "leave each of 10 classes in both parts of 1437 images"),
        ("fraction", 0, "in (0, 1]"),
        ("fraction", 1.5, "in (0, 1]"),
        ("fraction", float("nan"), "in (0, 1]"),
        ("fraction", True, "in (0, 1]"),
        ("fraction", "half", "in (0, 1]"),
        ("fraction", 0.001, "leave an image of each of 10 classes"),
        ("split_seed", -1, "must be at least 0"),
        ("image_shape", [32, 32], "[height, width, channels]"),
        ("image_shape", [7, 32, 1], "[height, width, 1] of at least 8"),
        ("image_shape", [32, 32, 3], "[height, width, 1] of at least 8"),
        ("classes", 11, None),
        ("class_names", ["zero", "one"], "be 10 different names"),
        ("source", "kaggle", "be one of digits, files, tfds"),
    ],
)
def test_bad_values_are_one_line_with_the_key(key, value, rule):
    with pytest.raises(UserError) as refused:
        load(config("digits", **{key: value}))
    message = str(refused.value)
    assert message.startswith("`data.class_names` must" if key == "classes" else f"`data.{key}`")
    assert rule is None or rule in message
    assert "\n" not in message


NEW_SOURCE = """
import numpy as np

from convzoo.data.sources import Source, SourceData


class NoiseSource(Source):
    name = "noise"

    def read(self):
        images = np.random.default_rng(0).integers(0, 256, (40, *self.config["image_shape"]), np.uint8)
        labels = np.arange(40, dtype=np.int32) % self.config["classes"]
        return SourceData({"train": (images, labels), "test": (images[:10], labels[:10])}, "noise")
"""


def test_source_in_a_new_file_is_found(tmp_path, monkeypatch):
    (tmp_path / "noise.py").write_text(NEW_SOURCE)
    monkeypatch.setattr(sources, "__path__", [*sources.__path__, str(tmp_path)])
    dataset = load(config("digits", source="noise", validation=10))
    monkeypatch.delitem(sys.modules, f"{sources.__name__}.noise")
    assert [len(part) for part in (dataset.train, dataset.validation, dataset.test)] == [30, 10, 10]
    assert dataset.source == "noise"


@pytest.mark.parametrize("source", [["tfds"], None, {"digits": 1}])
def test_source_that_is_no_name_is_refused(source):
    with pytest.raises(UserError, match=r"`data\.source` must be text"):
        load(config("digits", source=source))


def test_a_missing_key_is_named():
    short = config("digits")
    del short["augment"]
    with pytest.raises(UserError, match=r"`data\.augment` is missing"):
        load(short)


def test_more_classes_than_the_pictures_show_are_refused():
    with pytest.raises(UserError, match=r"load_digits.*train: class `a`, whose label is 10, has no image"):
        load(config("digits", classes=11, class_names=list("0123456789a")))


def test_fewer_classes_than_the_labels_show_are_refused():
    with pytest.raises(UserError, match=r"labels from 0 to 9, `data\.classes` is 9"):
        load(config("digits", classes=9, class_names=list("012345678")))


def test_every_file_has_the_same_keys_and_its_own_name():
    files = {path.stem: OmegaConf.load(path) for path in CONFIGS.glob("*.yaml")}
    assert set(files) >= {"cifar10", "cifar100", "mnist", "fashion_mnist", "digits"}
    assert len({tuple(loaded) for loaded in files.values()}) == 1
    for name, loaded in files.items():
        assert loaded.name == (None if name == "tfds" else name)  # that one takes the set's name
        if loaded.class_names is None:  # found with one's own pictures
            continue
        assert len(set(loaded.class_names)) == loaded.classes
        assert all(isinstance(word, str) for word in loaded.class_names)
    assert not files["mnist"].augment.flip
    assert not files["digits"].augment.flip


def test_class_names_are_those_of_tfds():
    import tensorflow_datasets as tfds

    names = tfds.builder("fashion_mnist").info.features["label"].names
    assert config("fashion_mnist")["class_names"] == names
    assert config("mnist")["class_names"] == tfds.builder("mnist").info.features["label"].names
    # The file of CIFAR-100 lists them by the alphabet; the folders of CIFAR-10's web page do too.
    hundred = config("cifar100")["class_names"]
    assert hundred == sorted(hundred)
    assert (hundred[0], hundred[39], hundred[72], hundred[99]) == ("apple", "keyboard", "seal", "worm")


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "mnist", "fashion_mnist"])
def test_the_pinned_versions_are_those_that_tfds_makes(name):
    import tensorflow_datasets as tfds

    builder, version = config(name)["tfds"].split(":")
    assert str(tfds.builder(builder).version) == version


def test_what_was_read_is_shared_and_one_set_is_held():
    first = load(config("digits"))
    assert load(config("digits")) is first
    assert len(load(config("digits", fraction=0.5)).train) < len(first.train)
    again = load(config("digits"))
    assert again is not first
    assert again.digest == first.digest
