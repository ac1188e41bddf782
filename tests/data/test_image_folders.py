"""Folders of images as people have them: nested, mixed with other files, named in any script, of rare classes."""

import itertools
import os
import unicodedata
import zipfile

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

import convzoo
from convzoo import UserError, data
from convzoo.data import archive, images, memory

CONFIG = OmegaConf.to_container(OmegaConf.load(f"{convzoo.__path__[0]}/configs/data/files.yaml"))
_colours = itertools.count()


def paint(root, *names, size=(4, 4)):
    """Writes an image of its own colour for each name, which ends with its suffix."""
    for name in names:
        number = next(_colours)
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.new("RGB", size, (number % 256, number // 256, 0))
        image.save(path, {".jfi": "JPEG"}.get(path.suffix))


def class_of(name, count=10, suffix="png"):
    return [f"{name}/{i}.{suffix}" for i in range(count)]


def load(path, **changes):
    config = {**CONFIG, "directory": str(path), "image_shape": [4, 4, 3], "validation": 0, **changes}
    config.update(data.infer_settings(config))
    data.check_config(config)
    data.check_available(config)
    return data.load(config)


def count(dataset):
    parts = [dataset.train, dataset.test, *([dataset.validation] if dataset.validation else [])]
    counts = np.bincount(np.concatenate([part.y for part in parts]), minlength=len(dataset.class_names))
    return dict(zip(dataset.class_names, counts.tolist(), strict=True))


def test_folder_of_a_class_is_read_with_the_folders_within(tmp_path):
    paint(tmp_path, *class_of("cat"), *class_of("cat/more"), *class_of("dog/a/b/c"), *class_of("dog/a"))
    assert count(load(tmp_path)) == {"cat": 20, "dog": 20}


def test_images_in_a_subfolder_are_read_again_once_they_changed(tmp_path):
    paint(tmp_path, *class_of("cat"), *class_of("cat/more"), *class_of("dog"))
    first = load(tmp_path)
    assert load(tmp_path) is first
    paint(tmp_path, "cat/more/new.png")
    assert count(load(tmp_path)) == {"cat": 21, "dog": 10}


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "jfi", "avif", "tga", "pnm", "JPG"])
def test_folder_is_read_whatever_the_suffix_of_its_images(tmp_path, suffix):
    paint(tmp_path, *class_of("cat", 5), *class_of("cat/x", 5, suffix), *class_of("dog"))
    assert count(load(tmp_path)) == {"cat": 10, "dog": 10}


def write(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")


@pytest.mark.parametrize(
    "names",
    [
        ("cat/._0.png", "cat/.DS_Store", "dog/Thumbs.db", "dog/desktop.ini", ".DS_Store", "Thumbs.db"),
        ("__MACOSX/cat/._0.png", "__MACOSX/cat/0.png"),
        ("cat/@eaDir/0.png/SYNOFILE_THUMB_M.png", "cat/.ipynb_checkpoints/0-checkpoint.png", ".git/a.png"),
    ],
)
def test_files_of_the_system_are_passed_over_without_a_word(tmp_path, names):
    paint(tmp_path, *class_of("cat"), *class_of("dog"))
    write(tmp_path, *names)
    (tmp_path / "bird").mkdir()
    (tmp_path / "empty" / "deep").mkdir(parents=True)
    dataset = load(tmp_path)
    assert count(dataset) == {"cat": 10, "dog": 10}
    assert dataset.notes == ()


def test_other_files_are_counted_by_their_suffix(tmp_path):
    paint(tmp_path, *class_of("cat"), *class_of("dog"), "loose.png")
    write(tmp_path, "README.md", "cat/a.txt", "cat/deep/b.txt", "dog/0.heic", "notes/c.txt", "dog/none")
    dataset = load(tmp_path)
    assert dataset.class_names == ("cat", "dog")
    line = "skipped 7 files: 1 without a suffix, 1 .heic, 1 .md, 3 .txt, 1 image in no folder of a class"
    assert dataset.notes == (line,)
    assert dataset.summary.splitlines()[-1] == line


def test_files_beside_train_and_test_are_counted(tmp_path):
    for part in ("train", "test"):
        paint(tmp_path / part, *class_of("cat", 4), *class_of("dog", 4))
    paint(tmp_path, "unlabelled/0.png", "train/loose.png")
    write(tmp_path, "annotations/deep/0.xml")
    assert load(tmp_path).notes == ("skipped 3 files: 1 .xml, 2 images in no folder of a class",)


@pytest.mark.parametrize("suffix", [".heic", ".HEIF", ".svg", ".nef", ".jxl"])
def test_class_of_unread_images_is_refused_by_name(tmp_path, suffix):
    paint(tmp_path, *class_of("cat"), *class_of("dog"))
    write(tmp_path, f"bird/0{suffix}", f"bird/1{suffix}", "bird/a.txt")
    with pytest.raises(UserError, match=rf"{tmp_path}/bird holds no image.*3 files, \{suffix.lower()}"):
        load(tmp_path)


def test_too_few_classes_are_told_with_the_skipped_files(tmp_path):
    paint(tmp_path, *class_of("cat"))
    write(tmp_path, "dog/a.txt")
    with pytest.raises(UserError, match=r"at least two classes. Received: cat; skipped 1 file: 1 \.txt"):
        load(tmp_path)


@pytest.mark.parametrize("forms", itertools.product(["NFC", "NFD"], repeat=2))
def test_normal_forms_of_a_name_are_one_class(tmp_path, forms):
    for part, form in zip(("train", "test"), forms, strict=True):
        paint(tmp_path / part, *class_of(unicodedata.normalize(form, "café"), 4), *class_of("dog", 4))
    dataset = load(tmp_path)
    assert count(dataset) == {"café": 8, "dog": 8}
    assert dataset.class_names == (unicodedata.normalize("NFC", "café"), "dog")
    named = load(tmp_path, classes=2, class_names=["dog", unicodedata.normalize("NFD", "café")])
    assert np.bincount(named.train.y).tolist() == [4, 4]


def test_two_folders_of_two_normal_forms_are_one_class(tmp_path):
    paint(tmp_path, *(name for form in ("NFC", "NFD") for name in class_of(unicodedata.normalize(form, "é"), 5)))
    paint(tmp_path, *class_of("dog"))
    assert count(load(tmp_path)) == {"é": 10, "dog": 10}


@pytest.mark.parametrize(
    "name",
    ["a=b", "[x]", "(1)", "a,b", "{a}", "#1", "кошки", "猫", "قطة", "🐱", "50%", "a b", "'", '"', "~", "null", "1"],
)
def test_class_names_are_text_of_any_script(tmp_path, name):
    paint(tmp_path / name, *class_of(name), *class_of("dog"))
    assert count(load(tmp_path / name)) == {name: 10, "dog": 10}


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_validation_folder_is_the_validation_split(tmp_path, name):
    for part, number in (("train", 6), (name, 3), ("test", 2)):
        paint(tmp_path / part, *class_of("cat", number), *class_of("dog", number))
    dataset = load(tmp_path, validation=0.1)
    assert [len(part) for part in (dataset.train, dataset.validation, dataset.test)] == [12, 6, 4]
    assert "the validation split of the set is the validation split" in dataset.notes
    validation = {image.tobytes() for image in dataset.validation.x}
    assert validation == {images.read_image(file, (4, 4, 3)).tobytes() for file in (tmp_path / name).glob("*/*")}
    without = load(tmp_path, validation=0)
    assert (len(without.train), without.validation) == (12, None)
    assert "not used, because `data.validation` is 0" in without.notes[0]


@pytest.mark.parametrize("names", [("Train", "Test"), ("training", "testing"), ("TRAIN", "test")])
def test_parts_are_known_in_other_spellings(tmp_path, names):
    for name, number in zip(names, (5, 3), strict=True):
        paint(tmp_path / name, *class_of("cat", number), *class_of("dog", number))
    dataset = load(tmp_path)
    assert (len(dataset.train), len(dataset.test), dataset.class_names) == (10, 6, ("cat", "dog"))


@pytest.mark.parametrize(
    ("names", "received"),
    [
        (("train", "val"), "train, val"),
        (("train", "valid", "annotations"), "train, valid"),
        (("val", "test"), "test, val"),
        (("test",), "test"),
        (("train", "val", "valid", "test"), "test, train, val, valid"),
    ],
)
def test_parts_that_are_not_whole_are_named(tmp_path, names, received):
    for name in names:
        paint(tmp_path / name, *class_of("cat", 3), *class_of("dog", 3))
    with pytest.raises(UserError, match=rf"{tmp_path} must hold.*train.*test.*Received: {received}$"):
        load(tmp_path)


def test_class_may_be_called_train(tmp_path):
    paint(tmp_path, *class_of("train"), *class_of("bus"))
    assert count(load(tmp_path)) == {"bus": 10, "train": 10}


@pytest.mark.parametrize("images", [1, 2])
def test_rare_class_without_a_test_folder_is_named(tmp_path, images):
    paint(tmp_path, *class_of("cat"), *class_of("dog"), *class_of("bird", images))
    plural = "" if images == 1 else "s"
    with pytest.raises(UserError, match=rf"{images} image{plural} of class `bird`, too few.*folders train and test"):
        load(tmp_path)


def test_rare_class_is_named_when_validation_lacks_it(tmp_path):
    paint(tmp_path, *class_of("cat", 50), *class_of("bird", 4))
    with pytest.raises(UserError, match=r"`data\.validation` must.*3 images of class `bird`.*add images"):
        load(tmp_path, validation=0.1)


def test_rare_class_is_named_when_a_fraction_lacks_it(tmp_path):
    paint(tmp_path, *class_of("cat", 50), *class_of("bird", 4))
    with pytest.raises(UserError, match=r"`data\.fraction` must.*3 images of class `bird`"):
        load(tmp_path, fraction=0.1)


@pytest.mark.parametrize("part", ["train", "test", "val"])
def test_class_that_one_part_lacks_is_named_with_its_folder(tmp_path, part):
    for name in ("train", "test", "val"):
        paint(tmp_path / name, *class_of("cat", 3), *class_of("dog", 3), *class_of("bird", 3 * (name != part)))
    (tmp_path / part / "bird").mkdir()
    with pytest.raises(UserError) as refused:
        load(tmp_path)
    if part == "train":
        assert str(refused.value) == f"{tmp_path}/val/bird is of no class of `data.class_names`: cat, dog"
    else:
        assert str(refused.value).startswith(f"{tmp_path}/{part} has no image of class `bird`: train has 3, ")


def test_look_refuses_rare_classes_before_any_image_is_read(tmp_path, monkeypatch):
    paint(tmp_path, *class_of("cat"), *class_of("bird", 1))
    monkeypatch.setattr(images, "decode_image", None)
    config = {**CONFIG, "directory": str(tmp_path), "classes": 2, "class_names": ["bird", "cat"]}
    with pytest.raises(UserError, match="bird"):
        data.check_available(config)


def test_images_of_several_sizes_are_resized_and_counted(tmp_path):
    paint(tmp_path, *class_of("cat"))
    paint(tmp_path, *class_of("dog"), size=(9, 5))
    dataset = load(tmp_path)
    assert dataset.train.x.shape[1:] == (4, 4, 3)
    assert dataset.notes == (
        "10 of 20 images had another size and are resized to 4×4; `data.image_size` chooses the size",
    )


def test_links_to_folders_are_followed_once(tmp_path):
    paint(tmp_path, *class_of("pets/cat"), *class_of("dogs"))
    (tmp_path / "pets" / "dog").symlink_to(tmp_path / "dogs")
    (tmp_path / "dogs" / "loop").symlink_to(tmp_path / "dogs")
    assert count(load(tmp_path / "pets")) == {"cat": 10, "dog": 10}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_folder_that_cannot_be_opened_is_named(tmp_path):
    paint(tmp_path, *class_of("cat"), *class_of("dog"))
    (tmp_path / "dog").chmod(0)
    try:
        with pytest.raises(UserError, match="dog cannot be read: Permission denied"):
            load(tmp_path)
    finally:
        (tmp_path / "dog").chmod(0o755)


def test_only_the_images_that_are_kept_are_read(tmp_path, monkeypatch):
    paint(tmp_path, *class_of("cat", 50), *class_of("dog", 50))
    whole = load(tmp_path, validation=0.2)
    decoded, decode = [], images.decode_image
    monkeypatch.setattr(images, "decode_image", lambda file, *args: decoded.append(file) or decode(file, *args))
    part = load(tmp_path, validation=0.2, fraction=0.25)
    assert len(decoded) == len(set(decoded)) == 16 + 16 + 20
    np.testing.assert_array_equal(part.validation.x, whole.validation.x)
    np.testing.assert_array_equal(part.test.x, whole.test.x)
    assert {image.tobytes() for image in part.train.x} <= {image.tobytes() for image in whole.train.x}


def test_images_are_held_once(tmp_path):
    paint(tmp_path, *class_of("cat"), *class_of("dog"))
    dataset = load(tmp_path, validation=0.2)
    parts = (dataset.train.x, dataset.validation.x, dataset.test.x)
    assert len({id(part.base) for part in parts}) == 1
    assert parts[0].base.nbytes == sum(part.nbytes for part in parts)


def test_images_beyond_memory_are_refused_unread(tmp_path, monkeypatch):
    paint(tmp_path, *class_of("cat"), *class_of("dog"))
    monkeypatch.setattr(memory, "total_memory", lambda: 10**9)
    with pytest.raises(UserError, match=r"20 images of 9000×9000×3 take 4\.9 GB.*1\.0 GB of memory.*data\.fraction"):
        load(tmp_path, image_shape=[9000, 9000, 3])


def test_summary_names_splits_and_classes(tmp_path):
    paint(tmp_path, *class_of("cat", 10), *class_of("dog", 20))
    assert load(tmp_path, validation=6).summary.splitlines() == [
        "images: 18 to train on, 6 to validate, 6 to test",
        "by class: cat: 10, dog: 20",
    ]


def test_summary_of_many_classes_is_the_smallest_and_the_largest(tmp_path):
    paint(tmp_path, *(name for i in range(12) for name in class_of(f"c{i:02}", 5 + i)))
    assert load(tmp_path).summary.splitlines()[1] == "by class: 5 (c00) to 16 (c11), 12 classes"


def test_archive_opens_only_the_arrays_asked_for(tmp_path, monkeypatch):
    """A file of many members costs no more than its list of names."""
    np.savez(tmp_path / "mine.npz", x=np.zeros((4, 2, 2, 1), np.uint8), y=np.arange(4))
    with zipfile.ZipFile(tmp_path / "mine.npz", "a") as stored:
        for i in range(2000):
            stored.writestr(f"m{i}.npy", b"no array")
    opened, original = [], zipfile.ZipFile.open
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *args: opened.append(args[1]) or original(*args))
    arrays = archive.load_arrays(tmp_path / "mine.npz", ("x", "y", "z"))
    assert set(arrays) == {"x", "y"}
    assert len(opened) == 4
