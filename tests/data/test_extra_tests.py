"""Further test sets: what is read, under which name, and what is refused before a training starts."""

from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image
from tfds_sets import prepare_noise

import convzoo
from convzoo import UserError
from convzoo.data import check_available, check_config, load, name_extra_tests
from convzoo.data.images import read_image

DIGITS = OmegaConf.to_container(OmegaConf.load(Path(convzoo.__file__).parent / "configs" / "data" / "digits.yaml"))


def config(*places, **changes):
    return {**DIGITS, "extra_tests": list(map(str, places)), **changes}


def write_arrays(path, count=3, shape=(32, 32, 1), dtype=np.uint8, labels=None):
    x = np.random.default_rng(count).integers(0, 256, (count, *shape)).astype(dtype)
    y = np.arange(count) % 10 if labels is None else np.array(labels)
    np.savez(path, x=x, y=y)
    return x, y


def write_images(folder, **counts):
    """Writes images of 32x32 grey pixels into a folder for each class."""
    for name, count in counts.items():
        (folder / name.removeprefix("_")).mkdir(parents=True)
        for i in range(count):
            pixels = np.random.default_rng([i, len(name)]).integers(0, 256, (32, 32), np.uint8)
            Image.fromarray(pixels).save(folder / name.removeprefix("_") / f"{i}.png")


def test_arrays_become_a_further_test_set(tmp_path):
    x, y = write_arrays(tmp_path / "Original-3.npz", labels=[7, 7, 2])
    dataset = load(config(tmp_path / "Original-3.npz"))
    (split,) = dataset.extra_tests.values()
    assert list(dataset.extra_tests) == ["original_3"]
    np.testing.assert_array_equal(split.x, x)
    assert split.y.tolist() == y.tolist()
    assert "further test images: original_3: 3" in dataset.summary


def test_smaller_arrays_get_a_border_as_the_set_itself(tmp_path):
    x, _ = write_arrays(tmp_path / "small.npz", shape=(28, 28))
    images = load(config(tmp_path / "small.npz")).extra_tests["small"].x
    np.testing.assert_array_equal(images[:, 2:30, 2:30, 0], x)
    assert images.sum(dtype=int) == x.sum(dtype=int)


def test_folder_of_some_classes_gets_their_labels(tmp_path):
    write_images(tmp_path / "mine", _3=2, _9=1)
    split = load(config(tmp_path / "mine")).extra_tests["mine"]
    assert split.y.tolist() == [3, 3, 9]
    np.testing.assert_array_equal(split.x[2], read_image(tmp_path / "mine" / "9" / "0.png", (32, 32, 1)))


def test_digest_changes_with_further_tests_alone(tmp_path):
    write_arrays(tmp_path / "a.npz", 3)
    plain, extra = load(config()), load(config(tmp_path / "a.npz"))
    assert plain.digest == load(DIGITS).digest != extra.digest
    assert plain.test.digest == extra.test.digest
    write_arrays(tmp_path / "a.npz", 4)
    assert load(config(tmp_path / "a.npz")).digest not in (plain.digest, extra.digest)


def test_digest_does_not_change_with_the_order_or_place(tmp_path):
    (tmp_path / "other").mkdir()
    for folder in (tmp_path, tmp_path / "other"):
        write_arrays(folder / "a.npz", 3)
        write_arrays(folder / "b.npz", 4)
    first = load(config(tmp_path / "a.npz", tmp_path / "b.npz"))
    assert load(config(tmp_path / "other" / "b.npz", tmp_path / "a.npz")).digest == first.digest


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"shape": (32, 32, 3)}, r"images are uint8 \(32, 32, 3\), by `data.image_shape` they are uint8 \(32, 32, 1\)"),
        ({"labels": [0, 1, 10]}, "labels from 0 to 10, `data.classes` is 10"),
        ({"labels": [0, -1, 1]}, "labels from -1 to 1"),
        ({"labels": [0, 1, 2**32]}, "labels from 0 to 4294967296"),
        ({"dtype": np.float32}, "must hold uint8 images"),
        ({"count": 0}, "must hold images"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_at_once(tmp_path, arrays, text):
    write_arrays(tmp_path / "odd.npz", **arrays)
    with pytest.raises(UserError, match=text) as refused:
        check_available(config(tmp_path / "odd.npz"))
    assert str(tmp_path / "odd.npz") in str(refused.value)


def test_arrays_of_other_names_are_refused(tmp_path):
    np.savez(tmp_path / "odd.npz", images=np.zeros((1, 32, 32, 1), np.uint8))
    with pytest.raises(UserError, match=r"must hold x and y\. Missing: x"):
        check_available(config(tmp_path / "odd.npz"))


def test_folder_of_an_unknown_class_is_refused(tmp_path):
    write_images(tmp_path / "mine", _3=1, eleven=1)
    with pytest.raises(UserError, match=r"mine/eleven is of no class of `data.class_names`: 0, 1"):
        check_available(config(tmp_path / "mine"))


def test_folder_without_images_is_refused(tmp_path):
    (tmp_path / "mine" / "3").mkdir(parents=True)
    with pytest.raises(UserError, match="must hold a folder of images for each class"):
        check_available(config(tmp_path / "mine"))


def test_place_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"`data.extra_tests` must list .* Received: .*/none.npz"):
        check_available(config(tmp_path / "none.npz"))


@pytest.mark.parametrize(
    ("places", "text"),
    [
        (["a/x.npz", "b/X.npz"], "a/x.npz and b/X.npz both give `test_x_accuracy`"),
        (["a/flip.npz"], "names other than flip, shift, top5, views"),
        (["a/+.npz"], "names other than"),
        ("a.npz", r"must be a list of \.npz files, folders and sets of TFDS"),
        ([3], "must be a list"),
    ],
)
def test_names_that_clash_are_refused_with_the_config(places, text):
    with pytest.raises(UserError, match=text) as refused:
        check_config({**DIGITS, "extra_tests": places})
    assert "`data.extra_tests`" in str(refused.value)


def test_names_come_from_files_folders_and_sets():
    places = ["a/CIFAR 10.1.npz", "mine/test-2/", "cifar10_1/v4:1.1.0", "svhn_cropped[extra]"]
    assert name_extra_tests(config(*places)) == ("cifar_10_1", "test_2", "cifar10_1_v4", "svhn_cropped_extra")


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """A folder of TFDS with sets of noise, whose classes are those of digits in another order, or have other names."""
    folder = tmp_path_factory.mktemp("noise")
    names = [str(i) for i in range(9, -1, -1)]
    sets = {
        "reversed": (
            names,
            prepare_noise(folder, "reversed", {"test": 6, "extra": 4, "unlabelled": 2}, names, (32, 32, 1)),
        ),
        "unnamed": (10, prepare_noise(folder, "unnamed", {"test": 6}, 10, (32, 32, 1))),
        "animals": (["cat", "dog"], prepare_noise(folder, "animals", {"test": 6}, ["cat", "dog"], (32, 32, 1))),
    }
    return folder, {name: images for name, (_, images) in sets.items()}


def load_noise(noise, place, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(noise[0]))
    check_available(config(place))
    (split,) = load(config(place)).extra_tests.values()
    return {image.tobytes(): int(y) for image, y in zip(split.x, split.y, strict=True)}


def test_set_of_tfds_gets_the_labels_of_its_class_names(noise, monkeypatch):
    written = noise[1]["reversed"]
    assert load_noise(noise, "reversed", monkeypatch) == {
        each["image"].tobytes(): 9 - each["label"] for each in written["test"]
    }


def test_set_of_tfds_is_read_by_split(noise, monkeypatch):
    written = noise[1]["reversed"]["extra"]
    assert load_noise(noise, "reversed:1.0.0[extra]", monkeypatch).keys() == {
        each["image"].tobytes() for each in written
    }


def test_set_of_tfds_without_names_keeps_its_labels(noise, monkeypatch):
    written = noise[1]["unnamed"]["test"]
    expected = {each["image"].tobytes(): each["label"] for each in written}
    assert load_noise(noise, "unnamed", monkeypatch) == expected


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("animals", r"`data.extra_tests`: animals has a class that is not in `data.class_names`: cat"),
        ("reversed[train]", r"reversed:1.0.0 has no split train; it has extra, test, unlabelled|has test, extra"),
        ("mine/absent", r"`data.extra_tests`: mine/absent is no .npz file and no folder, and as a set of TFDS: "),
    ],
)
def test_set_of_tfds_that_does_not_fit_is_refused(noise, monkeypatch, place, text):
    monkeypatch.setenv("TFDS_DATA_DIR", str(noise[0]))
    with pytest.raises(UserError, match=text):
        check_available(config(place))


def test_set_of_tfds_without_labels_is_refused(noise, monkeypatch):
    with pytest.raises(UserError, match=r"`data.extra_tests`: .*: labels from -1 to -1, the set has 10 classes"):
        load_noise(noise, "reversed[unlabelled]", monkeypatch)
