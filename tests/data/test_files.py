"""One's own pictures, written here and read back."""

import os

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

import convzoo
from convzoo import UserError, data
from convzoo.data.sources import image_files

CONFIG = OmegaConf.to_container(OmegaConf.load(f"{convzoo.__path__[0]}/configs/data/files.yaml"))
COLOURS = {"blue": (0, 0, 255), "red": (255, 0, 0)}


def paint(folder, counts, size=(8, 6)):
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", size, COLOURS[name]).save(folder / name / f"{i}.png")
    return folder


def load(path, **changes):
    config = {**CONFIG, "directory": str(path), "image_shape": [4, 4, 3], **changes}
    config.update(data.infer_settings(config))
    data.check_config(config)
    data.check_available(config)
    return data.load(config)


def test_a_folder_for_each_class(tmp_path):
    found = load(paint(tmp_path, {"red": 20, "blue": 10}), validation=6)
    assert found.class_names == ("blue", "red")
    assert [np.bincount(part.y).tolist() for part in (found.train, found.validation, found.test)] == [
        [6, 12],
        [2, 4],
        [2, 4],
    ]
    for part in (found.train, found.validation, found.test):
        assert part.x.dtype == np.uint8
        for x, y in zip(part.x, part.y, strict=True):
            assert (x == COLOURS[found.class_names[y]]).all()


def test_train_and_test_apart(tmp_path):
    paint(tmp_path / "train", {"red": 9, "blue": 3})
    paint(tmp_path / "test", {"red": 2, "blue": 1})
    found = load(tmp_path, validation=0)
    assert np.bincount(found.train.y).tolist() == [3, 9]
    assert np.bincount(found.test.y).tolist() == [1, 2]


def test_grey_pictures_of_another_size(tmp_path):
    found = load(paint(tmp_path, {"red": 10, "blue": 10}), image_shape=[5, 7, 1], validation=0)
    assert found.train.x.shape == (16, 5, 7, 1)
    luma = {0: round(255 * 0.114), 1: round(255 * 0.299)}  # ITU-R 601
    assert {(int(y), int(x.max())) for x, y in zip(found.train.x, found.train.y, strict=True)} == set(luma.items())


@pytest.mark.parametrize("grey", [False, True])
def test_arrays_as_keras_names_them(tmp_path, grey):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (12, 4, 4) if grey else (12, 4, 4, 3), dtype=np.uint8)
    y = np.arange(12) % 3
    np.savez(tmp_path / "mine.npz", x_train=x, y_train=y[:, None], x_test=x[:3], y_test=y[:3])
    found = load(tmp_path / "mine.npz", image_shape=[4, 4, 1 if grey else 3], validation=0)
    assert found.class_names == ("0", "1", "2")
    np.testing.assert_array_equal(found.train.x, x[..., None] if grey else x)
    np.testing.assert_array_equal(found.train.y, y)
    np.testing.assert_array_equal(found.test.y, y[:3])


def test_arrays_without_a_test_part_give_a_fifth_to_it(tmp_path):
    x = np.arange(20, dtype=np.uint8).reshape(20, 1, 1, 1)
    np.savez(tmp_path / "mine.npz", x=x, y=np.arange(20) % 2)
    found = load(tmp_path / "mine.npz", image_shape=[1, 1, 1], validation=0)
    assert (len(found.train), len(found.test)) == (16, 4)
    assert sorted([*found.train.x.ravel(), *found.test.x.ravel()]) == list(range(20))


def test_other_pictures_have_another_digest(tmp_path):
    digests = [
        load(paint(tmp_path / name, counts), validation=0).digest
        for name, counts in (("a", {"red": 5, "blue": 5}), ("b", {"red": 5, "blue": 5}), ("c", {"red": 6, "blue": 5}))
    ]
    assert digests[0] == digests[1] != digests[2]


def text_as_png(folder):
    paint(folder, {"red": 5, "blue": 5})
    (folder / "red" / "x.png").write_text("no picture")


def cut_off(folder):
    paint(folder, {"red": 5, "blue": 5}, (64, 64))
    picture = folder / "red" / "0.png"
    picture.write_bytes(picture.read_bytes()[:60])


def strange_arrays(folder):
    np.savez(folder / "mine.npz", x=np.zeros((4, 2, 2, 1)), y=np.arange(4))


@pytest.mark.parametrize(
    ("make", "path", "words"),
    [
        (lambda folder: None, "nowhere", "`data.directory` must be an existing folder or .npz file.*nowhere"),
        (lambda folder: None, ".", "at least two classes. Received: none"),
        (lambda folder: paint(folder, {"red": 5}), ".", "at least two classes. Received: red"),
        (lambda folder: paint(folder / "train", {"red": 5, "blue": 5}), ".", "both of train and test.*train"),
        (text_as_png, ".", r"1 of 11 files cannot be read as images: red/x\.png$"),
        (cut_off, ".", r"1 of 10 files cannot be read as images: red/0\.png$"),
        (strange_arrays, "mine.npz", "uint8 images.*float64"),
        (lambda folder: (folder / "mine.npz").write_text("zip?"), "mine.npz", r"mine\.npz cannot be read"),
        (lambda folder: np.savez(folder / "mine.npz", x_test=1), "mine.npz", "must hold x_train.*Missing"),
    ],
)
def test_what_is_refused(tmp_path, make, path, words):
    make(tmp_path)
    with pytest.raises(UserError, match=words):
        load(tmp_path / path, validation=0)


def test_a_pickle_is_not_opened(tmp_path):
    np.savez(tmp_path / "mine.npz", x=np.array([print], dtype=object), y=np.arange(2))
    with pytest.raises(UserError, match=r"mine\.npz cannot be read"):
        image_files.read(tmp_path / "mine.npz", (4, 4, 1), ("0", "1"), 0)


def test_a_class_of_test_that_train_lacks_is_named(tmp_path):
    paint(tmp_path / "train", {"red": 5, "blue": 5})
    paint(tmp_path / "test", {"red": 5, "blue": 5})
    (tmp_path / "test" / "green").mkdir()
    Image.new("RGB", (8, 6)).save(tmp_path / "test" / "green" / "0.png")
    with pytest.raises(UserError, match="test/green is of no class"):
        load(tmp_path, validation=0)


def alter(folder):
    Image.new("RGB", (8, 6), (9, 9, 9)).save(folder / "red" / "0.png")


def add(folder):
    Image.new("RGB", (8, 6), (9, 9, 9)).save(folder / "red" / "new.png")


def relabel(folder):
    (folder / "red" / "0.png").rename(folder / "blue" / "00.png")


def remove(folder):
    (folder / "blue" / "3.png").unlink()


def swap(folder):
    """Names, sizes and times stay."""
    place = folder.parent / "red"
    (folder / "red").rename(place)
    (folder / "blue").rename(folder / "red")
    place.rename(folder / "blue")


@pytest.mark.parametrize("change", [alter, add, relabel, remove, swap])
def test_pictures_are_read_again_once_they_changed(tmp_path, change):
    folder = paint(tmp_path / "pictures", {"red": 10, "blue": 10})
    for file in folder.glob("*/*"):
        os.utime(file, (0, 0))
    (folder / "red" / "notes.txt").symlink_to("nowhere")
    first = load(folder)
    assert load(folder) is first
    change(folder)
    second = load(folder)
    assert second.digest != first.digest
    assert load(folder) is second


def test_arrays_are_read_again_once_they_changed(tmp_path):
    x, y = np.zeros((20, 4, 4, 3), np.uint8), np.arange(20) % 2
    np.savez(tmp_path / "own.npz", x=x, y=y)
    first = load(tmp_path / "own.npz")
    assert load(tmp_path / "own.npz") is first
    np.savez(tmp_path / "own.npz", x=x + 1, y=y)
    assert load(tmp_path / "own.npz").digest != first.digest
