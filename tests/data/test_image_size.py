"""Images of any size: `data.image_size` and `data.resize`, beside Pillow, TensorFlow and a picture drawn by hand."""

import json

import numpy as np
import pytest
import tensorflow as tf
from omegaconf import OmegaConf
from PIL import Image
from tfds_sets import prepare_noise

import convzoo
from convzoo import UserError, compose_settings, data, evaluate, train
from convzoo.data.images import read_image, resize
from convzoo.tracking.identity import RunIdentity

CONFIGS = f"{convzoo.__path__[0]}/configs/data"
BILINEAR = Image.Resampling.BILINEAR
NOISE = np.random.default_rng(0).integers(0, 256, (40, 80, 3), np.uint8)


def load(name, **changes):
    config = {**OmegaConf.to_container(OmegaConf.load(f"{CONFIGS}/{name}.yaml")), "validation": 0, **changes}
    config.update(data.infer_settings(config))
    data.check_config(config)
    data.check_available(config)
    return data.load(config)


def draw(height=40, width=80):
    """A white square between two red bars."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = 255
    start = (width - height) // 2
    image[:, start : start + height] = 255
    return image


def paint(folder, image, count=5):
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(image).save(folder / name / f"{i}.png")


# The picture drawn by hand: of the inner pixels of an image of 20×20. Those at an edge are mixtures.
def is_squashed(image):
    return (image[:, 6:14] == 255).all() and (image[:, [*range(4), *range(16, 20)]] == [255, 0, 0]).all()


def is_cropped(image):
    return (image[:, 1:-1] == 255).all()


def is_padded(image):
    return (image[:5] == 0).all() and (image[15:] == 0).all() and (image[6:14, 6:14] == 255).all()


LOOKS = {"squash": is_squashed, "crop": is_cropped, "pad": is_padded}


def test_crop_is_pillows_resize_and_the_centre_of_it():
    whole = Image.fromarray(NOISE).resize((20, 10), BILINEAR)
    np.testing.assert_array_equal(resize(NOISE, 10, 10, "crop"), np.asarray(whole.crop((5, 0, 15, 10))))
    tall = Image.fromarray(NOISE.transpose(1, 0, 2)).resize((20, 40), BILINEAR)
    cropped = resize(NOISE.transpose(1, 0, 2), 30, 20, "crop")
    np.testing.assert_allclose(cropped, tall.crop((0, 5, 20, 35)), atol=1)  # rounded otherwise


def test_pad_is_pillows_resize_within_zeros():
    expected = np.zeros((20, 20, 3), np.uint8)
    expected[5:15] = Image.fromarray(NOISE).resize((20, 10), BILINEAR)
    np.testing.assert_array_equal(resize(NOISE, 20, 20, "pad"), expected)
    assert resize(NOISE[:1], 4, 4, "pad")[[0, 2, 3]].max() == 0  # a row stays a row


@pytest.mark.parametrize("size", [(10, 20), (13, 31), (60, 90)])
def test_squash_is_tensorflows_antialiased_resize(size):
    expected = tf.image.resize(NOISE, size, antialias=True).numpy()
    for method in ("squash", None):
        assert np.abs(resize(NOISE, *size, method) - expected).max() < 1.01  # rounded after each axis


@pytest.mark.parametrize("method", LOOKS)
def test_picture_of_each_source_looks_as_drawn(tmp_path, method):
    """A folder, arrays and one file; the next test has a set of TFDS."""
    paint(tmp_path / "folder", draw())
    np.savez(tmp_path / "arrays.npz", x=np.stack([draw()] * 10), y=np.arange(10) % 2)
    for place in ("folder", "arrays.npz"):
        found = load("files", directory=str(tmp_path / place), image_size=20, resize=method)
        assert found.train.x.shape[1:] == found.test.x.shape[1:] == (20, 20, 3)
        for image in (*found.train.x, *found.test.x):
            assert LOOKS[method](image)
    assert LOOKS[method](read_image(tmp_path / "folder" / "cat" / "0.png", (20, 20, 3), method))


@pytest.mark.parametrize("method", ["squash", "crop", "pad"])
def test_tfds_set_of_one_size_is_resized(tmp_path, method):
    written = prepare_noise(tmp_path, "noise", {"train": 9, "test": 6}, 3, (8, 12, 3))
    whole = load("tfds", tfds="noise", directory=str(tmp_path))
    resized = load("tfds", tfds="noise", directory=str(tmp_path), image_size=[4, 4], resize=method)
    expected = {resize(each["image"], 4, 4, method).tobytes() for each in written["train"]}
    assert {image.tobytes() for image in resized.train.x} == expected
    assert whole.train.x.shape[1:] == (8, 12, 3)
    copies = {path.name for path in (tmp_path / "convzoo").iterdir()}
    assert copies == {
        "noise-1.0.0.npz",
        "noise-1.0.0-4x4.npz" if method == "squash" else f"noise-1.0.0-4x4-{method}.npz",
    }


def test_tfds_set_of_this_size_is_not_resized(tmp_path):
    prepare_noise(tmp_path, "noise", {"train": 6, "test": 3}, 3, (8, 8, 3))
    whole = load("tfds", tfds="noise", directory=str(tmp_path))
    assert load("tfds", tfds="noise", directory=str(tmp_path), image_size=8).digest == whole.digest
    assert [path.name for path in (tmp_path / "convzoo").iterdir()] == ["noise-1.0.0.npz"]


def test_digits_of_a_rectangle_keep_their_proportions():
    squashed = load("digits", image_shape=[16, 32, 1]).test.x
    square = load("digits", image_shape=[32, 32, 1]).test.x
    small = load("digits", image_shape=[16, 16, 1]).test.x
    cropped = load("digits", image_size=[16, 32], resize="crop").test.x
    np.testing.assert_array_equal(cropped, square[:, 8:24])
    padded = load("digits", image_size=[16, 32], resize="pad").test.x
    np.testing.assert_array_equal(padded[:, :, 8:24], small)
    assert padded[:, :, :8].max() == padded[:, :, 24:].max() == 0
    np.testing.assert_array_equal(load("digits", image_size=[16, 32]).test.x, squashed)


def test_further_test_set_is_resized_as_the_images(tmp_path):
    paint(tmp_path / "folder", draw())
    paint(tmp_path / "more", draw(), 2)
    np.savez(tmp_path / "arrays.npz", x=np.stack([draw()] * 4), y=np.arange(4) % 2)
    extra = [str(tmp_path / "more"), str(tmp_path / "arrays.npz")]
    found = load("files", directory=str(tmp_path / "folder"), image_size=20, resize="crop", extra_tests=extra)
    assert {name: len(split) for name, split in found.extra_tests.items()} == {"more": 4, "arrays": 4}
    assert all(is_cropped(image) for split in found.extra_tests.values() for image in split.x)


def test_image_size_sets_the_sides_of_the_shape(tmp_path):
    paint(tmp_path, draw())
    settings = compose_settings(data="files", data__directory=str(tmp_path), data__image_size=64)
    assert (settings.data.image_shape, settings.data.resize) == ([64, 64, 3], "squash")
    settings = compose_settings(data="digits", data__image_size=[16, 24], data__resize="pad", model="lenet")
    assert (settings.data.image_shape, settings.data.resize) == ([16, 24, 1], "pad")
    assert compose_settings(data="digits").data.resize is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 0}, r"`data\.image_size` must be a number of pixels, \[height, width\] or null"),
        ({"image_size": [1, 2, 3]}, r"`data\.image_size` must be"),
        ({"image_size": "large"}, r"`data\.image_size` must be"),
        ({"resize": "stretch"}, r"`data\.resize` must be one of squash, crop, pad\. Received: data\.resize='stretch'"),
    ],
)
def test_wrong_size_or_method_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        load("digits", **changes)


def test_image_size_beside_another_shape_is_refused():
    config = {**OmegaConf.to_container(OmegaConf.load(f"{CONFIGS}/digits.yaml")), "image_size": 20}
    with pytest.raises(UserError, match=r"`data\.image_size` must be the height and width of `data\.image_shape`"):
        data.load(config)


class Plan:
    name, params, macs = "lenet", 1, 1


def identify(settings):
    return RunIdentity(settings.model_dump(), {"rows": {}}, {}, Plan, "0", "float32", "tensorflow").tags["identity"]


def test_resizing_is_part_of_the_identity(tmp_path):
    """A run from before there were the settings has the identity of one that states what it did."""
    paint(tmp_path, draw())
    files = {"data": "files", "data__directory": str(tmp_path)}
    former = compose_settings(**files, data__image_shape=[64, 64, 3])
    dumped = former.model_dump()
    del dumped["data"]["image_size"], dumped["data"]["resize"]
    before = RunIdentity(dumped, {"rows": {}}, {}, Plan, "0", "float32", "tensorflow").tags["identity"]
    assert identify(former) == before
    assert identify(compose_settings(**files, data__image_size=64)) == before
    others = [identify(compose_settings(**files, data__image_size=64, data__resize=name)) for name in ("crop", "pad")]
    assert len({before, *others}) == 3


@pytest.mark.slow
def test_evaluate_resizes_as_the_training_did(tmp_path, monkeypatch, command_line):
    monkeypatch.chdir(tmp_path)
    paint(tmp_path / "pets", draw(), 10)
    words = ["model=lenet", "data=files", "data.directory=pets", "data.image_size=32", "data.resize=crop"]
    code, out, error = command_line(train, [*words, "epochs=1", "batch_size=4", "data.validation=0"])
    assert code == 0, error
    assert "20 of 20 images had another size and are resized and cropped to 32×32" in out
    code, out, error = command_line(evaluate, ["run=latest", "data.directory=pets", "images=4", "shift=1"])
    assert code == 0, error
    assert "not the test images" not in out
    code, _, error = command_line(evaluate, ["run=latest", "image=pets/cat/0.png"])
    assert code == 0, error
    (request,) = tmp_path.glob("reports/*/0/request.json")
    assert np.unique(np.array(json.loads(request.read_text())["inputs"])[..., 1:-1, :]).tolist() == [255]
