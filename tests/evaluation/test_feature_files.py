"""Files of features, against the layers called one by one."""

import keras
import numpy as np
import pytest

from convzoo import UserError
from convzoo.data import Split
from convzoo.evaluation.feature_files import write_features


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4, 4, 1), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255, name="scale")(inputs)
    x = keras.layers.Conv2D(3, 3, name="conv1")(x)
    return keras.Model(inputs, keras.layers.Dense(2, name="score")(keras.layers.Flatten(name="flat")(x)))


def split(n):
    rng = np.random.default_rng(0)
    return Split(rng.integers(0, 256, (n, 4, 4, 1), dtype=np.uint8), rng.integers(0, 2, n).astype("int32"))


def test_write_features_writes_every_image_in_order(model, tmp_path):
    images = split(130)  # more than a batch
    shapes = write_features(model, images, ["conv1", "flat"], tmp_path / "x.npz", ["a", "b"])
    assert shapes == {"conv1": (130, 2, 2, 3), "flat": (130, 12)}
    with np.load(tmp_path / "x.npz") as stored:
        assert set(stored.files) == {"conv1", "flat", "labels", "class_names"}
        expected = model.get_layer("conv1")(images.x.astype("float32") / 255)
        np.testing.assert_allclose(stored["conv1"], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(stored["flat"], stored["conv1"].reshape(130, 12))
        np.testing.assert_array_equal(stored["labels"], images.y)
        assert stored["class_names"].tolist() == ["a", "b"]
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]


def test_write_features_refuses_a_row_called_labels(model, tmp_path):
    with pytest.raises(UserError, match="`rows` must not be named labels"):
        write_features(model, split(2), ["labels"], tmp_path / "x.npz", ["a", "b"])


def test_write_features_keeps_the_old_file_if_it_fails(model, tmp_path):
    (tmp_path / "x.npz").write_bytes(b"old")
    with pytest.raises(UserError, match="has no row 'conv2'"):
        write_features(model, split(2), ["conv2"], tmp_path / "x.npz", ["a", "b"])
    assert (tmp_path / "x.npz").read_bytes() == b"old"
