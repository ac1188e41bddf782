"""Model files, arrays and pictures of a stranger: refused in one line, within bounds of time and memory."""

import base64
import io
import json
import os
import pickle
import struct
import time
import zipfile
import zlib

import h5py
import keras
import numpy as np
import pytest
from PIL import Image

from convzoo import UserError
from convzoo.data.images import read_image
from convzoo.data.sources import image_files
from convzoo.models import loading
from convzoo.models.builder import assemble, run_symbolically

ROWS = {
    "conv": {"_target_": "keras.layers.Conv2D", "filters": 4, "kernel_size": 3, "activation": "relu"},
    "score": {"_target_": "convzoo.layers.FullyConnected", "units": 10},
}

DENSE = {"_target_": "keras.layers.Dense", "units": 10}
PAD = {"_target_": "keras.layers.ZeroPadding2D", "padding": 20_000}
CUT = {"_target_": "keras.layers.Cropping2D", "cropping": 20_000}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The members of a good `.keras` file, a mapping from name to bytes."""
    path = tmp_path_factory.mktemp("good") / "model.keras"
    assemble(ROWS, (8, 8, 1), 10).save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def changed(good, change):
    """The members, `change` applied to the layers of their config."""
    config = json.loads(good["config.json"])
    change({layer["name"]: layer for layer in config["config"]["layers"]})
    return {**good, "config.json": json.dumps(config).encode()}


def layer(**parts):
    return lambda path, good: write(path, changed(good, lambda layers: layers["conv"].update(parts)))


def argument(key, value):
    return lambda path, good: write(path, changed(good, lambda layers: layers["conv"]["config"].update({key: value})))


def member(name, content=b"canary"):
    return lambda path, good: write(path, {**good, name: content})


def link(path, good):
    write(path, good)
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("assets")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        archive.writestr(info, "/etc")


def lambda_layer(path, good):
    inputs = keras.Input((8, 8, 1))
    canary = str(path.parent / "canary")
    run = keras.layers.Lambda(lambda x: (np.save(canary, 0), x)[1], output_shape=(8, 8, 1), name="run")
    keras.Model(inputs, run(inputs)).save(path)
    (path.parent / "canary.npy").unlink(missing_ok=True)


def weights(change):
    def made(path, good):
        buffer = io.BytesIO(good["model.weights.h5"])
        with h5py.File(buffer, "r+") as file:
            change(file["layers/conv2d/vars"], path.parent)
        write(path, {**good, "model.weights.h5": buffer.getvalue()})

    return made


def external_link(variables, folder):
    with h5py.File(folder / "secret.h5", "w") as secret:
        secret["kernel"] = np.zeros((3, 3, 1, 4), "float32")
    del variables["0"]
    variables["0"] = h5py.ExternalLink(str(folder / "secret.h5"), "kernel")


def external_storage(variables, folder):
    (folder / "secret").write_bytes(bytes(144))
    del variables["0"]
    variables.create_dataset("0", (3, 3, 1, 4), "float32", external=[(str(folder / "secret"), 0, 144)])


def huge_dataset(variables, folder):
    del variables["0"]
    variables.create_dataset("0", (10**6, 10**6), "float32", chunks=(1000, 1000))


def huge_layer(path, good):
    rows = {**ROWS, "conv": {**ROWS["conv"], "filters": 6_400_000}}
    config = run_symbolically(lambda: assemble(rows, (8, 8, 1), 10).to_json())
    write(path, {**good, "config.json": config.encode()})


def huge_maps(padding, image_shape=(8, 8, 1)):
    """The network with images that its rows pad far out and cut back."""

    def made(path, good):
        rows = {**padding, "mean": {"_target_": "keras.layers.GlobalAveragePooling2D"}, "dense": DENSE}
        config = run_symbolically(lambda: assemble(rows, image_shape, 10).to_json())
        write(path, {**good, "config.json": config.encode()})

    return made


def deflated(name, size):
    return lambda path, good: write(path, {**good, name: bytes(size)}, zipfile.ZIP_DEFLATED)


def nested(path, good):
    write(path, {**good, "config.json": b"[" * 200_000 + b"]" * 200_000})


class Payload:
    def __reduce__(self):
        return os.system, ("touch canary",)


LISTED, MEMBERS = "is not among the layers that a model may have here", "it may hold config.json"
MODELS = {
    "Lambda": (lambda_layer, LISTED),
    **{
        f"layer {module}.{name}": (layer(module=module, class_name=name, registered_name=None), LISTED)
        for module, name in [
            ("os", "system"),
            ("builtins", "eval"),
            ("subprocess", "run"),
            ("convzoo.train", "main"),
            ("keras.layers", "Lambda"),
            ("keras.src.layers.core.lambda_layer", "Lambda"),
            ("keras.layers", "TFSMLayer"),
            ("keras.layers", "TorchModuleWrapper"),
            ("keras.layers", "StringLookup"),
            ("keras.utils", "get_file"),
            ("keras", "Sequential"),
        ]
    },
    "registered name": (layer(registered_name="evil>Layer"), LISTED),
    "registered name without a package": (layer(registered_name="Lambda"), LISTED),
    "registered name of Keras": (layer(registered_name="keras>Lambda"), LISTED),
    "activation from os": (
        argument("activation", {"module": "os", "class_name": "function", "config": "system"}),
        LISTED,
    ),
    "activation from builtins": (
        argument("activation", {"module": "builtins", "class_name": "function", "config": "eval"}),
        LISTED,
    ),
    "marshalled function": (
        argument("activation", {"class_name": "__lambda__", "config": {"value": base64.b64encode(b"x").decode()}}),
        LISTED,
    ),
    "initializer from elsewhere": (
        argument("kernel_initializer", {"module": "evil", "class_name": "Layer", "config": {}}),
        LISTED,
    ),
    "target in the build config": (layer(build_config={"x": {"module": "os", "class_name": "system"}}), LISTED),
    "member above": (member("../canary"), MEMBERS),
    "member of the root": (member("/canary"), MEMBERS),
    "member of Windows": (member("..\\canary"), MEMBERS),
    "asset above": (member("assets/../../canary"), MEMBERS),
    "pickled weights": (member("model.weights.npz", pickle.dumps(Payload())), MEMBERS),
    "link": (link, MEMBERS),
    "deflated config": (deflated("config.json", 2**26), "inflates"),
    "deflated weights": (deflated("model.weights.h5", 2**26), "inflates"),
    "brackets": (nested, "cannot be loaded"),
    "layer of 9 gigabytes": (huge_layer, "declares 2,368,000,010 weights"),
    "map of 6 gigabytes": (huge_maps({"pad": PAD}), "maps of one image must take at most 1,073,741,824 bytes"),
    "maps of 6 gigabytes within a layer": (
        huge_maps({"many": {"_target_": "convzoo.layers.Repeat", "body": {"pad": PAD, "cut": CUT}, "times": 2}}),
        "maps of one image must take at most 1,073,741,824 bytes",
    ),
    "map of 6 gigabytes of an image of any size": (
        huge_maps({"pad": PAD}, (None, None, 1)),
        "maps of one image must take at most 1,073,741,824 bytes",
    ),
    "many maps of 6 gigabytes together": (
        huge_maps({f"pad{i}": {**PAD, "padding": 1000} for i in range(8)}),
        "maps of one image must take at most 1,073,741,824 bytes",
    ),
    "layer of too many kernels": (argument("filters", 10**30), "cannot be loaded"),
    "weights in another file": (weights(external_link), "cannot be loaded"),
    "weights in bytes of another file": (weights(external_storage), "cannot be loaded"),
    "weights of 4 terabytes": (weights(huge_dataset), "cannot be loaded"),
    "pickle": (lambda path, good: path.write_bytes(pickle.dumps(Payload())), "cannot be loaded"),
    "folder": (lambda path, good: path.mkdir(), "cannot be loaded"),
    "nothing": (lambda path, good: path.write_bytes(b""), "cannot be loaded"),
    "cut off": (lambda path, good: (write(path, good), os.truncate(path, 2000)), "cannot be loaded"),
}


@pytest.mark.parametrize("what", MODELS)
def test_a_model_file_is_refused_in_one_line(tmp_path, monkeypatch, good, what):
    make, told = MODELS[what]
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    make(tmp_path / "work" / "model.keras", good)
    before, begun = sorted(tmp_path.rglob("*")), time.process_time()
    with pytest.raises(UserError, match="the model cannot be loaded") as refused:
        loading.load(tmp_path / "work" / "model.keras")
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)
    assert time.process_time() - begun < 10
    assert sorted(tmp_path.rglob("*")) == before


def test_the_file_that_attacks_begin_from_is_a_good_one(tmp_path, good):
    write(tmp_path / "model.keras", good)
    assert loading.load(tmp_path / "model.keras").count_params() == 40 + 1450
    write(tmp_path / "deflated.keras", good, zipfile.ZIP_DEFLATED)
    assert loading.load(tmp_path / "deflated.keras").count_params() == 40 + 1450


def npy(shape, dtype="|u1", content=b""):
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + content


def arrays(x, y=None, compression=zipfile.ZIP_STORED):
    y = npy((4,), "<i4", np.arange(4, dtype="<i4").tobytes()) if y is None else y
    return lambda path: write(path, {"x.npy": x, "y.npy": y}, compression)


X = npy((4, 2, 2), content=bytes(16))
ARRAYS = {
    "pickle": (arrays(npy((4, 2, 2), "|O", pickle.dumps(Payload()))), "holds Python objects"),
    "pickle of labels": (arrays(X, npy((4,), "|O", pickle.dumps(Payload()))), "holds Python objects"),
    "pickle in a field": (arrays(npy((4,), "|O8")), "holds Python objects"),
    "8 terabytes declared": (arrays(npy((10**6, 2000, 2000, 2))), "more than this machine's memory"),
    "a gigabyte declared": (arrays(npy((10**3, 1000, 1000))), "and holds"),
    "beyond 64 bits": (arrays(npy((10**12, 10**12, 10**12))), "more than this machine's memory"),
    "header that is code": (arrays(npy("__import__('os').system('touch canary')")), "cannot be read"),
    "member that is none": (arrays(b"no array"), "cannot be read"),
    "a pickle named so": (lambda path: path.write_bytes(pickle.dumps(Payload())), "cannot be read"),
    "labels of a trillion classes": (
        arrays(X, npy((4,), "<i8", np.array([0, 1, 2, 10**12]).tobytes())),
        "labels from 0 that leave out none. Received: 0 to 1000000000000",
    ),
    "labels that are others in 32 bits": (
        arrays(X, npy((4,), "<i8", np.array([0, 1, 1, 2**32]).tobytes())),
        "Received: 0 to 4294967296",
    ),
}


@pytest.mark.parametrize("what", ARRAYS)
def test_an_npz_file_is_refused_in_one_line(tmp_path, monkeypatch, what):
    make, told = ARRAYS[what]
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "theirs.npz")
    begun = time.process_time()
    with pytest.raises(UserError, match=r"theirs\.npz") as refused:
        image_files.read("theirs.npz", (2, 2, 1), list("0123"), 0)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)
    assert time.process_time() - begun < 5
    assert [path.name for path in tmp_path.iterdir()] == ["theirs.npz"]


def test_what_would_inflate_beyond_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("convzoo.data.archive.total_memory", lambda: 2**20)
    x = npy((4, 1024, 1024), content=bytes(2**22))
    arrays(x, compression=zipfile.ZIP_DEFLATED)(tmp_path / "theirs.npz")
    assert (tmp_path / "theirs.npz").stat().st_size < 2**13
    with pytest.raises(UserError, match=r"x\.npy says that it has 4,194,304 bytes, more than"):
        image_files.read(tmp_path / "theirs.npz", (2, 2, 1), list("0123"), 0)


def png(width, height, extra=b""):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    rows = zlib.compress(bytes(min(height, 100) * (min(width, 100) + 1)))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def text_bomb():
    data = b"Comment\0\0" + zlib.compress(bytes(2**27))
    return struct.pack(">I", len(data)) + b"zTXt" + data + struct.pack(">I", zlib.crc32(b"zTXt" + data))


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(canary) (w) file closefile\nshowpage\n"
PICTURES = {
    "100,000 × 100,000": (png(100_000, 100_000), "too large"),
    "12,000 × 12,000": (png(12_000, 12_000), "too large"),
    "text that inflates": (png(8, 8, text_bomb()), "no image"),
    "PostScript named so": (POSTSCRIPT, "no image"),
    "no width": (png(0, 8), "no image"),
    "pickle": (pickle.dumps(Payload()), "no image"),
    "XML": (b"<svg xmlns='http://www.w3.org/2000/svg'><image href='/etc/passwd'/></svg>", "no image"),
}


@pytest.mark.parametrize("what", PICTURES)
def test_a_picture_is_refused_in_one_line(tmp_path, monkeypatch, what):
    content, told = PICTURES[what]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "theirs.png").write_bytes(content)
    begun = time.process_time()
    with pytest.raises(UserError, match=r"theirs\.png is no image that can be read") as refused:
        read_image("theirs.png", (8, 8, 1))
    assert told in str(refused.value)
    assert time.process_time() - begun < 5
    assert [path.name for path in tmp_path.iterdir()] == ["theirs.png"]


def test_postscript_would_reach_a_program(tmp_path):
    """Pillow by itself takes it for a picture, whatever it is named."""
    (tmp_path / "theirs.png").write_bytes(POSTSCRIPT)
    with Image.open(tmp_path / "theirs.png") as image:
        assert image.format == "EPS"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "theirs.png")
    with pytest.raises(UserError, match="no image"):
        read_image(tmp_path / "theirs.png", (8, 8, 1))
