"""Exports, compared with the model by the runtime of the format."""

import dataclasses
import importlib.util
from pathlib import Path

import keras
import numpy as np
import pytest

from convzoo import UserError
from convzoo.data import Split
from convzoo.evaluation import export_targets, exports
from convzoo.evaluation.export_targets import TARGETS, check_backend, check_runtime
from convzoo.evaluation.exports import export, in_float32
from convzoo.evaluation.latency import Latency
from convzoo.layers import BatchNormalization, Normalization, Residual
from convzoo.training.predictor import Predictor


def images(n=6):
    rng = np.random.default_rng(0)
    return Split(rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8), rng.integers(0, 4, n).astype("int32"))


def network(policy="float32"):
    """A small network with a block, behind preprocessing that was adapted to images."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(policy)
    inputs = keras.Input((8, 8, 3), dtype="uint8")
    normalization = Normalization(axis=-1, dtype="float32")
    normalization.adapt(iter([images().x]))
    x = keras.layers.Conv2D(4, 3, padding="same", name="conv1")(normalization(inputs))
    x = Residual([keras.layers.Conv2D(4, 3, padding="same"), BatchNormalization()], name="block")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(4, dtype="float32")(x), name="small")


def export_small(folder, target, model=None):
    model = model or network()
    return export(model, Predictor(model).predict_on_batch, images(), folder, target)


def is_installed(target):
    return all(importlib.util.find_spec(module) for module in TARGETS[target].packages)


@pytest.mark.parametrize(
    "target", [target if target == "litert" else pytest.param(target, marks=pytest.mark.slow) for target in TARGETS]
)
def test_export_gives_the_scores_of_the_model(tmp_path, target):
    if keras.backend.backend() not in TARGETS[target].backends or not is_installed(target):
        pytest.skip(f"{target} has no runtime here")
    model, test = network(), images()
    check = export_small(tmp_path, target, model)
    expected = np.asarray(model(test.x))
    runtime = TARGETS[target].load(tmp_path / TARGETS[target].file)
    actual = np.concatenate([runtime(test.x[number : number + 1]) for number in range(6)])
    np.testing.assert_allclose(actual, expected, atol=1e-4)
    assert check.max_difference == pytest.approx(np.abs(actual - expected).max(), abs=1e-6)
    assert check.agreement == 1
    assert check.accuracy == (np.mean(expected.argmax(-1) == test.y),) * 2
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert check.size == sum(path.stat().st_size for path in files) > 500
    assert check.metrics[f"export_{target}_p95_ms"] >= check.metrics[f"export_{target}_median_ms"] > 0
    assert f"{check.size:,} bytes" in str(check)


@pytest.mark.parametrize(("target", "size"), [("onnx", 10), ("openvino", 210)])
def test_export_size_is_of_its_own_files(tmp_path, monkeypatch, target, size):
    """The weights that OpenVINO has written before into the same folder are not of another format."""
    (tmp_path / "model.bin").write_bytes(bytes(200))
    predict = Predictor(network()).predict_on_batch
    fake = dataclasses.replace(TARGETS[target], load=lambda path: predict, backends=(keras.backend.backend(),))
    monkeypatch.setattr(exports, "TARGETS", {target: fake})
    monkeypatch.setattr(export_targets, "TARGETS", {target: fake})
    monkeypatch.setattr(exports, "measure_latency", lambda predict: Latency(1.0, 1.0, 1))
    monkeypatch.setattr(keras.Model, "export", lambda self, path, **options: Path(path).write_bytes(bytes(10)) and None)
    assert export_small(tmp_path, target).size == size


def test_export_of_a_mixed_model_is_in_float32(tmp_path):
    model = network("mixed_bfloat16")
    copy = in_float32(model)
    plain = network()  # the same weights, by the seed
    assert {layer.compute_dtype for layer in copy.layers[1:]} == {"float32"}
    assert {layer.compute_dtype for layer in copy.get_layer("block").layers} == {"float32"}
    np.testing.assert_allclose(copy(images().x), plain(images().x), atol=1e-5)
    assert in_float32(plain) is plain


def test_export_refuses_scores_that_differ(tmp_path, monkeypatch):
    def load(path):
        return lambda batch: np.full((len(batch), 4), 7.0, "float32")

    target = dataclasses.replace(TARGETS["saved_model"], load=load, backends=(keras.backend.backend(),))
    monkeypatch.setattr(exports, "TARGETS", {"saved_model": target})
    monkeypatch.setattr(export_targets, "TARGETS", {"saved_model": target})
    monkeypatch.setattr(keras.Model, "export", lambda self, path, **options: None)
    with pytest.raises(UserError, match=r"`export=saved_model`: the scores of .* differ .* do not use it"):
        export_small(tmp_path, "saved_model")


def test_missing_runtime_is_one_line_with_its_command(monkeypatch):
    monkeypatch.setattr(export_targets, "_is_installed", lambda module: module == "onnx")
    with pytest.raises(UserError) as error:
        check_runtime("onnx")
    assert str(error.value) == "`export=onnx` needs tf2onnx, onnxruntime: pip install 'convzoo[onnx]'"


def test_another_backend_is_one_line():
    with pytest.raises(UserError) as error:
        check_backend("torch", "tensorflow")
    assert str(error.value) == ("`export=torch` needs the backend torch: set KERAS_BACKEND=torch. Received: tensorflow")
