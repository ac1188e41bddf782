"""The copy of decoded image files: when it is used, and when it is made again."""

import itertools
import logging
import os
import shutil

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

import convzoo
from convzoo import data
from convzoo.data import decoding, images

CONFIG = OmegaConf.to_container(OmegaConf.load(f"{convzoo.__path__[0]}/configs/data/files.yaml"))
_grey_levels = itertools.count(1)


@pytest.fixture
def pets(tmp_path):
    """A folder of ten grey images in each of two classes; each has a grey level of its own."""
    for name in ("cat", "dog"):
        for number in range(10):
            paint(tmp_path / "pets" / name / f"{number}.png")
    return tmp_path / "pets"


@pytest.fixture
def decoded(tmp_path, monkeypatch):
    """The files that were decoded. Every array gets a copy, however fast it is decoded, in a folder `store`."""
    files, decode = [], images.decode_image
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "store"))
    monkeypatch.setattr(decoding, "_MIN_SECONDS", 0)
    monkeypatch.setattr(images, "decode_image", lambda file, *args: files.append(file) or decode(file, *args))
    return files


def paint(path, level=None, size=(4, 4)):
    level = next(_grey_levels) if level is None else level
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, level).save(path)
    return level


def load(path, **changes):
    """Loads a folder as a new process does."""
    config = {**CONFIG, "directory": str(path), "image_shape": [4, 4, 1], "validation": 0, **changes}
    config.update(data.infer_settings(config))
    data._dataset_cache = data._DatasetCache()
    return data.load(config)


def levels(dataset):
    return sorted(int(image.max()) for split in (dataset.train, dataset.test) for image in split.x)


def copies(folder):
    return sorted((folder / "store" / "convzoo").glob("*"))


def test_second_start_decodes_nothing(pets, decoded, tmp_path):
    paint(pets / "cat" / "large.png", size=(9, 7))
    first = load(pets)
    assert len(decoded) == 21
    second = load(pets)
    assert len(decoded) == 21
    assert (second.digest, second.notes) == (first.digest, first.notes)
    assert first.notes[0].startswith("1 of 21 images had another size")
    assert len(copies(tmp_path)) == 1


@pytest.mark.parametrize("changes", [{"fraction": 0.5}, {"split_seed": 1}, {"validation": 4}])
def test_part_and_other_order_of_the_files_need_no_decoding(pets, decoded, changes):
    expected = load(pets, **changes)
    load(pets)
    decoded.clear()
    found = load(pets, **changes)
    assert not decoded
    assert found.digest == expected.digest


def test_changed_file_is_decoded_again(pets, decoded):
    before = levels(load(pets))
    level = paint(pets / "cat" / "3.png")
    after = levels(load(pets))
    assert len(decoded) == 40
    assert set(after) - set(before) == {level}


def test_touched_file_of_the_same_size_is_decoded_again(pets, decoded):
    load(pets)
    stat = (pets / "cat" / "3.png").stat()
    os.utime(pets / "cat" / "3.png", ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    load(pets)
    assert len(decoded) == 40


def test_added_file_is_decoded_and_removed_file_is_gone(pets, decoded):
    before = levels(load(pets))
    level = paint(pets / "cat" / "new.png")
    assert levels(load(pets)) == sorted([*before, level])
    assert len(decoded) == 41
    (pets / "cat" / "new.png").unlink()
    assert levels(load(pets)) == before
    assert len(decoded) == 41  # the others are as they were


def test_other_resizing_has_a_copy_of_its_own(pets, decoded, tmp_path):
    load(pets)
    load(pets, image_shape=[2, 2, 1])
    load(pets, image_shape=[2, 2, 1], resize="crop")
    load(pets, image_shape=[2, 2, 1], resize="squash")
    assert len(decoded) == 60
    assert len(copies(tmp_path)) == 3


def test_moved_folder_is_decoded_again(pets, decoded, tmp_path):
    first = load(pets)
    shutil.copytree(pets, tmp_path / "others")
    assert load(tmp_path / "others").digest == first.digest
    assert len(decoded) == 40


class Exploding:
    def __reduce__(self):
        return os.abort, ()


def cut_off(file):
    file.write_bytes(file.read_bytes()[:-300])


def flip_bit(file):
    content = bytearray(file.read_bytes())
    content[content.index(b"x.npy") + 200] ^= 1
    file.write_bytes(content)


def replace_by_pickle(file):
    with np.load(file) as stored:
        arrays = dict(stored)
    np.savez(file, **{**arrays, "x": np.array([Exploding()], object)}, allow_pickle=True)


def replace_images(file):
    with np.load(file) as stored:
        arrays = dict(stored)
    np.savez(file, **{**arrays, "x": arrays["x"][:3]})


def replace_records(file):
    with np.load(file) as stored:
        arrays = dict(stored)
    np.savez(file, **{**arrays, "records": np.frombuffer(b"[[1], 2]", np.uint8)})


@pytest.mark.parametrize("damage", [cut_off, flip_bit, replace_by_pickle, replace_images, replace_records])
def test_damaged_copy_is_made_again_with_a_line(pets, decoded, tmp_path, caplog, damage):
    first = load(pets)
    (file,) = copies(tmp_path)
    damage(file)
    with caplog.at_level(logging.WARNING, "convzoo"):
        assert load(pets).digest == first.digest
    assert len(decoded) == 40
    assert [record.message.partition(" (")[0] for record in caplog.records] == [f"{file} is damaged and is made again"]
    assert load(pets).digest == first.digest
    assert len(decoded) == 40


def test_copy_of_another_pillow_is_made_again(pets, decoded, monkeypatch):
    load(pets)
    monkeypatch.setattr("PIL.__version__", "1.0")
    load(pets)
    assert len(decoded) == 40


def test_images_that_are_decoded_fast_get_no_copy(pets, decoded, tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "_MIN_SECONDS", 1000)
    load(pets)
    assert not copies(tmp_path)


def test_folder_without_room_for_a_copy_is_read_all_the_same(pets, decoded, tmp_path, caplog):
    (tmp_path / "store").write_text("a file where the folder would be")
    with caplog.at_level(logging.WARNING, "convzoo"):
        assert len(levels(load(pets))) == 20
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        f"No quick copy in {tmp_path / 'store' / 'convzoo'}, so the next start is slow too"
    ]
