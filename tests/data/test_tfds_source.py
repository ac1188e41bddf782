"""A CIFAR-10 of 50 + 20 pictures, prepared by the real TFDS from files in CIFAR's binary format."""

import errno
import gzip
import hashlib
import json
import logging
import os
import shutil
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download.checksums import UrlInfo
from tensorflow_datasets.image_classification import mnist
from tfds_sets import prepare_noise

from convzoo import UserError
from convzoo.data import check_available, load, memory, tfds_archives
from convzoo.data.images import resize
from convzoo.data.sources.tfds import read

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
REGISTERED = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"


def picture(i):
    """Red is i, green the row, blue the column."""
    rows, columns = np.mgrid[:32, :32]
    return np.stack([np.full((32, 32), i), rows, columns], axis=-1)


def write_binary(folder):
    """Picture i has label i % 10; 0 to 49 are for training, 50 to 69 for the test."""
    folder.mkdir(parents=True)
    (folder / "batches.meta.txt").write_text("\n".join(CLASSES) + "\n")
    names = {f"data_batch_{k}.bin": range(10 * k - 10, 10 * k) for k in range(1, 6)}
    for name, numbers in {**names, "test_batch.bin": range(50, 70)}.items():
        records = [bytes([i % 10]) + picture(i).transpose(2, 0, 1).astype(np.uint8).tobytes() for i in numbers]
        (folder / name).write_bytes(b"".join(records))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("prepared")
    binary = root / "binary"
    write_binary(binary / "cifar-10-batches-bin")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tfds.download.DownloadManager, "download_and_extract", lambda self, url: binary)
        tfds.builder("cifar10:3.0.2", data_dir=root / "tfds").download_and_prepare()
    return root / "tfds"


@pytest.fixture
def directory(prepared, tmp_path):
    return shutil.copytree(prepared, tmp_path / "data", copy_function=shutil.copy2)


def version_folder(directory):
    return directory / "cifar10" / "3.0.2"


def copy_of(directory):
    return directory / "convzoo" / "cifar10-3.0.2.npz"


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_pictures(arrays):
    for part, numbers in (("train", range(50)), ("test", range(50, 70))):
        x, y = arrays[part]
        assert (x.dtype, y.dtype, x.shape) == (np.uint8, np.int32, (len(numbers), 32, 32, 3))
        assert sorted(x[:, 0, 0, 0]) == list(numbers)
        for image, label in zip(x, y, strict=True):
            np.testing.assert_array_equal(image, picture(image[0, 0, 0]))
            assert label == image[0, 0, 0] % 10


def forged(key, name):
    """Names a class of `this`, a module of Python's that prints as it is imported, for the image."""

    def change(folder):
        path = folder / "features.json"
        said = json.loads(path.read_text())
        del said["featuresDict"]["features"]["image"]["pythonClassName"]
        said["featuresDict"]["features"]["image"][key] = name
        path.write_text(json.dumps(said))

    return change


def refusal(directory, name="cifar10:3.0.2"):
    """The one line that `read` refuses with; nothing that was in `directory` may change."""
    before = contents(directory)
    with pytest.raises(UserError) as refused:
        read(name, directory)
    after = contents(directory)
    assert {path: after.get(path) for path in before} == before
    message = str(refused.value)
    assert "\n" not in message
    return message


def in_a_fresh_process(code, directory, **environment):
    return subprocess.run(
        [sys.executable, "-c", code, str(directory)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_reads_what_tfds_prepared(directory):
    arrays, source = read("cifar10:3.0.2", directory)
    check_pictures(arrays)
    assert source == f"cifar10:3.0.2 of TensorFlow Datasets in {directory}"


TINY = {
    "name": "tiny",
    "source": "tfds",
    "tfds": "cifar10:3.0.2",
    "image_shape": [36, 34, 3],
    "classes": 10,
    "class_names": CLASSES,
    "validation": 10,
    "split_seed": 0,
    "fraction": 0.5,
    "epochs": 1,
    "augment": {"flip": True, "shift": True},
    "directory": None,
}


def test_load_cuts_it(directory, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(directory))
    tiny = load(TINY)
    assert sorted(tiny.validation.y) == list(range(10))
    assert sorted(tiny.train.y) == sorted(2 * list(range(10)))
    assert len(tiny.test) == 20
    image = tiny.test.x[0]
    np.testing.assert_array_equal(image[2:34, 1:33], picture(image[2, 1, 0]))
    assert image.sum(dtype=int) == picture(image[2, 1, 0]).sum()
    with pytest.raises(UserError, match=r"cifar10.*train: images are uint8 \(32, 32, 3\)"):
        load({**TINY, "image_shape": [28, 28, 3]})


@pytest.mark.integration
def test_the_second_time_needs_neither_tfds_nor_tensorflow(directory):
    first, _ = read("cifar10:3.0.2", directory)
    code = (
        "import sys; from convzoo.data.sources.tfds import read\n"
        "arrays, _ = read('cifar10:3.0.2', sys.argv[1])\n"
        "print([m for m in ('tensorflow', 'tensorflow_datasets', 'sklearn', 'keras') if m in sys.modules],"
        "arrays['train'][1].tolist())"
    )
    second = in_a_fresh_process(code, directory)
    assert second.stdout.strip() == f"[] {first['train'][1].tolist()}", second.stderr


def test_a_changed_source_is_read_again(directory):
    read("cifar10:3.0.2", directory)
    made = copy_of(directory).stat().st_ino, copy_of(directory).stat().st_mtime_ns
    read("cifar10:3.0.2", directory)
    assert (copy_of(directory).stat().st_ino, copy_of(directory).stat().st_mtime_ns) == made
    os.utime(next(version_folder(directory).glob("*train*")))
    check_pictures(read("cifar10:3.0.2", directory)[0])
    assert copy_of(directory).stat().st_mtime_ns != made[1]


@pytest.mark.parametrize("copy", [True, False])
def test_what_was_loaded_is_shared_until_its_files_change(directory, copy):
    if not copy:
        (directory / "convzoo").write_text("in the way")
    config = {**TINY, "directory": str(directory)}
    first = load(config)
    assert load(config) is first
    os.utime(next(version_folder(directory).glob("*train*")))
    second = load(config)
    assert second is not first
    assert second.digest == first.digest
    assert load({**config, "fraction": 1.0}) is not second


@pytest.mark.parametrize("damage", ["flipped bit", "cut off", "empty", "no array"])
def test_a_damaged_copy_is_made_again(directory, damage, caplog):
    read("cifar10:3.0.2", directory)
    whole = copy_of(directory).read_bytes()
    middle = len(whole) // 2
    if damage == "no array":
        with np.load(copy_of(directory)) as stored:
            np.savez(copy_of(directory), fingerprint=stored["fingerprint"], train_x=np.array([None]))
    else:
        flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        copy_of(directory).write_bytes({"flipped bit": flipped, "cut off": whole[:middle], "empty": b""}[damage])
    check_pictures(read("cifar10:3.0.2", directory)[0])
    assert "is damaged and is made again" in caplog.text
    caplog.clear()
    check_pictures(read("cifar10:3.0.2", directory)[0])
    assert not caplog.records


def test_goes_on_without_a_copy_where_none_can_be_written(directory, caplog):
    (directory / "convzoo").write_text("in the way")
    check_pictures(read("cifar10:3.0.2", directory)[0])
    (warning,) = caplog.records
    assert (warning.name, warning.levelno) == ("convzoo", logging.WARNING)
    assert str(directory / "convzoo") in warning.getMessage()


def test_a_disk_that_fills_up_leaves_no_piece_of_a_copy(directory, monkeypatch, caplog):
    def write_some(file, **arrays):
        file.write(b"some")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez", write_some)
    check_pictures(read("cifar10:3.0.2", directory)[0])
    assert "No space left on device" in caplog.text
    assert list((directory / "convzoo").iterdir()) == []


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda folder: (folder / "dataset_info.json").unlink(), "dataset_info.json is missing"),
        (lambda folder: (folder / "dataset_info.json").write_text('{"spl'), "dataset_info.json is damaged"),
        (lambda folder: (folder / "dataset_info.json").write_text('{"splits": []}'), "names no train split"),
        (lambda folder: (folder / "dataset_info.json").write_text("[" * 10**5), "dataset_info.json is damaged"),
        (lambda folder: (folder / "dataset_info.json").write_text(" " * 10**6 + "{}"), "dataset_info.json is damaged"),
        (lambda folder: (folder / "features.json").unlink(), "features.json is missing"),
        (lambda folder: (folder / "features.json").write_text("{"), "features.json is damaged"),
        (forged("pythonClassName", "this.Layer"), "features.json names 'this.Layer', which is no feature of TFDS"),
        (forged("python_class_name", "this.Layer"), "names 'this.Layer'"),  # as protobuf's other spelling
        (forged("type", "this.Layer"), "names 'this.Layer'"),  # as TFDS once wrote it
        (lambda folder: next(folder.glob("*test.tf*")).unlink(), "0 of 1 files of the test split"),
        (
            lambda folder: os.truncate(next(folder.glob("*train.tf*")), 4000),
            "train.tfrecord-00000-of-00001 is cut off",
        ),
        (lambda folder: next(folder.glob("*train.tf*")).write_bytes(bytes(10**6)), "DataLossError"),
    ],
)
def test_a_half_prepared_folder_is_named_and_kept(directory, harm, said):
    harm(version_folder(directory))
    message = refusal(directory)
    assert str(version_folder(directory)) in message
    assert said in message
    assert "away and run again" in message


def archive_at(path):
    path.parent.mkdir(parents=True)
    write_binary(path.parent / "cifar-10-batches-bin")
    with tarfile.open(path, "w:gz") as tar:
        tar.add(path.parent / "cifar-10-batches-bin", "cifar-10-batches-bin")
    shutil.rmtree(path.parent / "cifar-10-batches-bin")
    return UrlInfo(path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest(), path.name)


@pytest.mark.parametrize("place", ["manual", "manual/cifar10"])
def test_an_archive_put_there_by_hand_is_prepared(tmp_path, monkeypatch, place):
    info = archive_at(tmp_path / "downloads" / place / "cifar-10-binary.tar.gz")
    monkeypatch.setattr(tfds.builder_cls("cifar10"), "url_infos", {URL: info})
    check_pictures(read("cifar10:3.0.2", tmp_path)[0])
    assert version_folder(tmp_path).is_dir()


@pytest.fixture(params=["file", "folder", "address", "address of a folder"])
def mirror(request, tmp_path, monkeypatch):
    """A mirror of the archive, and the folder of TFDS that has nothing yet; no other source is there."""
    info = archive_at(tmp_path / "mirror" / "cifar-10-binary.tar.gz")
    monkeypatch.setattr(tfds.builder_cls("cifar10"), "url_infos", {URL: info})
    monkeypatch.setattr(tfds_archives, "_find_connection_error", lambda url: None if "127.0.0.1" in url else "gone")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path / "mirror")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/"
        places = {"file": tmp_path / "mirror" / info.filename, "folder": tmp_path / "mirror"}
        yield str(places.get(request.param, address + info.filename * (request.param == "address"))), tmp_path / "data"
        server.shutdown()


def test_archive_of_a_mirror_is_prepared(mirror):
    place, directory = mirror
    (directory).mkdir()
    check_available(noise_config("cifar10", directory, tfds="cifar10:3.0.2", mirror=place))
    check_pictures(read("cifar10:3.0.2", directory, mirror=place)[0])


@pytest.mark.parametrize("mirror", ["file"], indirect=True)
def test_other_file_at_a_mirror_is_refused(mirror):
    place, directory = mirror
    with open(place, "ab") as file:
        file.write(b"more")
    directory.mkdir()
    with pytest.raises(UserError, match=rf"cannot be fetched: {place}: it is another file: .* expected [0-9a-f]{{64}}"):
        read("cifar10:3.0.2", directory, mirror=place)
    assert not version_folder(directory).exists()


def test_an_archive_that_tfds_has_fetched_before_is_enough(tmp_path, monkeypatch):
    info = archive_at(tmp_path / "downloads" / "cifar10" / "archive")
    monkeypatch.setattr(tfds.builder_cls("cifar10"), "url_infos", {URL: info})
    name = tfds.core.download.resource.get_dl_fname(URL, info.checksum)
    fetched = (tmp_path / "downloads" / "cifar10" / "archive").rename(tmp_path / "downloads" / "cifar10" / name)
    fetched.with_name(f"{name}.INFO").write_text('{"original_fname": "cifar-10-binary.tar.gz"}')
    check_pictures(read("cifar10:3.0.2", tmp_path)[0])


def test_a_wrong_archive_is_named_with_both_checksums(tmp_path):
    archive = tmp_path / "downloads" / "manual" / "cifar-10-binary.tar.gz"
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"abc")
    message = refusal(tmp_path)
    assert str(archive) in message
    assert "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" in message  # FIPS 180's "abc"
    assert REGISTERED in message


def test_mnist_and_fashion_mnist_by_hand_are_kept_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "_TRAIN_EXAMPLES", 20)
    monkeypatch.setattr(mnist, "_TEST_EXAMPLES", 10)
    archives = {name: tfds.builder_cls(name).url_infos for name in ("mnist", "fashion_mnist")}
    for name, value in (("mnist", 3), ("fashion_mnist", 200)):
        folder = tmp_path / "downloads" / "manual" / name
        folder.mkdir(parents=True)
        infos = {}
        for url, info in archives[name].items():
            n = 20 if "train" in url else 10
            if "images" in url:
                content = struct.pack(">4i", 2051, n, 28, 28) + bytes([value]) * (n * 28 * 28)
            else:
                content = struct.pack(">2i", 2049, n) + bytes(i % 10 for i in range(n))
            (folder / info.filename).write_bytes(gzip.compress(content))
            checksum = hashlib.sha256((folder / info.filename).read_bytes()).hexdigest()
            infos[url] = UrlInfo((folder / info.filename).stat().st_size, checksum, info.filename)
        monkeypatch.setattr(tfds.builder_cls(name), "url_infos", infos)
        arrays, _ = read(f"{name}:3.0.1", tmp_path)
        assert np.unique(arrays["train"][0]).tolist() == [value]
        assert arrays["test"][0].shape == (10, 28, 28, 1)


@pytest.fixture(params=["refuses", "never answers"])
def proxy(request):
    """An address that every request goes to, and where none gets anywhere."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        if request.param == "refuses":
            server.close()
        yield address


@pytest.mark.integration
def test_without_a_network_says_what_to_do_within_ten_seconds(tmp_path, proxy):
    code = (
        "import sys; from convzoo import UserError; from convzoo.data.sources.tfds import check_available\n"
        "try: check_available('cifar10:3.0.2', sys.argv[1])\n"
        "except UserError as error: print(error)\n"
        "assert 'tensorflow' not in sys.modules"  # whose import alone takes most of ten seconds
    )
    settings = {f"{scheme}_proxy": proxy for scheme in ("http", "https", "all")}
    settings |= {name.upper(): value for name, value in settings.items()} | {"no_proxy": "", "NO_PROXY": ""}
    start = time.monotonic()
    done = in_a_fresh_process(code, tmp_path, **settings)
    assert time.monotonic() - start < 10
    assert done.stderr == ""
    (line,) = done.stdout.splitlines()
    for part in (
        "cifar10 is not in",
        "www.cs.toronto.edu cannot be reached",
        f"put cifar-10-binary.tar.gz, 162.17 MiB from {URL.removesuffix('cifar-10-binary.tar.gz')} into",
        str(tmp_path / "downloads" / "manual" / "cifar10"),
        "data=digits",
    ):
        assert part in line
    assert list(tmp_path.iterdir()) == []


def failing_download(error):
    def download(self, url):
        raise error

    return download


@pytest.fixture
def archive_by_hand(tmp_path, monkeypatch):
    info = archive_at(tmp_path / "downloads" / "manual" / "cifar-10-binary.tar.gz")
    monkeypatch.setattr(tfds.builder_cls("cifar10"), "url_infos", {URL: info})
    return tmp_path


def test_a_full_disk_is_one_line_and_nothing_is_lost(archive_by_hand, monkeypatch):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "some/file")
    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", failing_download(full))
    message = refusal(archive_by_hand)
    assert f"cannot be prepared in {archive_by_hand}: the disk is full" in message
    assert "data.directory=" in message
    assert not version_folder(archive_by_hand).exists()


def test_another_process_may_be_quicker(archive_by_hand, prepared, monkeypatch):
    def overtaken(self, **_):
        shutil.copytree(version_folder(prepared), version_folder(archive_by_hand))
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", overtaken)
    check_pictures(read("cifar10:3.0.2", archive_by_hand)[0])


def test_what_a_killed_preparation_left_is_named_and_kept(archive_by_hand, caplog):
    leftover = archive_by_hand / "cifar10" / "incomplete.ABC123_3.0.2"
    leftover.mkdir(parents=True)
    (leftover / "piece").write_text("half")
    check_pictures(read("cifar10:3.0.2", archive_by_hand)[0])
    assert str(leftover) in caplog.text
    assert (leftover / "piece").read_text() == "half"


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    assert f"nothing can be written to {tmp_path / 'file'}" in refusal(tmp_path / "file" / "data")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_named(tmp_path):
    tmp_path.chmod(0o555)
    assert f"nothing can be written to {tmp_path}" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cifar10", "be builder:version"),
        (None, "be builder:version"),
        ("../x:1.0.0", "be builder:version"),
        ("cifar11:3.0.2", "not found"),
        ("cifar10:9.9.9", "only: 3.0.2"),
    ],
)
def test_an_unknown_set_or_version_is_refused(tmp_path, name, said):
    message = refusal(tmp_path, name)
    assert message.startswith("`data.tfds` must")
    assert said in message


def noise_config(name, directory, **changes):
    config = {**TINY, "name": name, "tfds": f"{name}:1.0.0", "classes": 3, "class_names": ["a", "b", "c"]}
    return {
        **config,
        "image_shape": [8, 8, 3],
        "validation": 0,
        "fraction": 1.0,
        "directory": str(directory),
        **changes,
    }


def test_tfds_images_of_several_sizes_are_resized(tmp_path):
    written = prepare_noise(tmp_path, "varied", {"train": 12, "test": 6}, 3, (None, None, 3), sizes=(5, 20))
    dataset = load(noise_config("varied", tmp_path))
    expected = {resize(each["image"], 8, 8).tobytes(): each["label"] for each in written["train"]}
    assert {x.tobytes(): y for x, y in zip(dataset.train.x, dataset.train.y, strict=True)} == expected
    assert dataset.source.endswith(", resized to 8×8")


def test_tfds_images_of_several_sizes_have_a_copy_for_each_size(tmp_path):
    prepare_noise(tmp_path, "varied", {"train": 6, "test": 6}, 3, (None, None, 3), sizes=(5, 20))
    first = load(noise_config("varied", tmp_path))
    assert load(noise_config("varied", tmp_path, image_shape=[6, 9, 3])).train.x.shape == (6, 6, 9, 3)
    assert load(noise_config("varied", tmp_path)).digest == first.digest
    assert {path.name for path in (tmp_path / "convzoo").iterdir()} == {
        "varied-1.0.0-8x8.npz",
        "varied-1.0.0-6x9.npz",
    }


@pytest.mark.parametrize("splits", [{"validation": 3, "test": 3}, {"extra": 3}])
def test_tfds_set_without_train_is_told_so(tmp_path, splits):
    prepare_noise(tmp_path, "parts", splits)
    config = noise_config("parts", tmp_path)
    for refuse in (load, check_available):
        with pytest.raises(UserError, match=r"`data\.train` must be a split of parts:1\.0\.0, which has") as refused:
            refuse(config)
        assert all(split in str(refused.value) for split in splits)
        assert "away" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"keys": None}, "pairs of an image and a class"),
        ({"keys": ("label", "image")}, "pairs of an image and a class"),
        ({"dtype": np.uint16}, "its images are uint16"),
    ],
)
def test_tfds_set_that_is_no_classification_is_told_so(tmp_path, changes, text):
    prepare_noise(tmp_path, "strange", {"train": 3, "test": 3}, **changes)
    with pytest.raises(UserError, match=text):
        load(noise_config("strange", tmp_path))


def test_tfds_set_beyond_memory_is_refused(directory, monkeypatch):
    monkeypatch.setattr(memory, "total_memory", lambda: 10**5)
    assert "70 images of 32×32×3 take" in refusal(directory)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_missing_archives_are_named_in_a_short_line(tmp_path, monkeypatch, name):
    monkeypatch.setattr(tfds_archives, "_find_connection_error", lambda url: "ConnectionError")
    version = "3.0.2" if name == "cifar10" else "3.0.1"
    message = refusal(tmp_path, f"{name}:{version}").replace(str(tmp_path), "")
    assert len(message) < 450
    infos = tfds.builder_cls(name).url_infos
    assert all(info.filename in message or url.rpartition("/")[2] in message for url, info in infos.items())
    assert "sha256" not in message
    assert "/downloads/manual" in message
    assert "data=digits" in message
