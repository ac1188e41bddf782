"""Formats that Keras exports models to: the packages that they need, and the runtime that reads them again.

Keras and the runtimes are imported in functions: a missing package is reported before anything is loaded.
"""

import importlib.util
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import UserError

Runtime = Callable[[np.ndarray], np.ndarray]  # from a batch of one image to its scores


@dataclass(frozen=True)
class ExportTarget:
    """A format.

    Attributes:
        keras_format: its name in `keras.Model.export`.
        file: name of what is written, a file or a folder.
        packages: mapping from modules that must be there to the packages on PyPI that hold them.
        load: takes the path of what was exported, and returns the runtime.
        backends: names of the backends from which Keras exports to it.
    """

    keras_format: str
    file: str
    packages: Mapping[str, str]
    load: Callable[[Path], Runtime]
    backends: tuple[str, ...] = ("tensorflow", "jax", "torch")


def _load_saved_model(path: Path) -> Runtime:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))  # its variables live as long as it does
    return lambda images: loaded.serve(images).numpy()


def _load_onnx(path: Path) -> Runtime:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})[0]


def _load_litert(path: Path) -> Runtime:
    with warnings.catch_warnings(action="ignore"):  # TensorFlow's says that it will go
        interpreter = _interpreter_class()(model_path=str(path))
    interpreter.allocate_tensors()
    images_index = interpreter.get_input_details()[0]["index"]
    scores_index = interpreter.get_output_details()[0]["index"]

    def predict(images: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(images_index, images)
        interpreter.invoke()
        return interpreter.get_tensor(scores_index)

    return predict


def _interpreter_class() -> Any:
    """Return the interpreter of `ai-edge-litert` if that is installed, or TensorFlow's, which is the same."""
    if _is_installed("ai_edge_litert"):
        from ai_edge_litert.interpreter import Interpreter

        return Interpreter
    import tensorflow as tf

    return tf.lite.Interpreter


def _load_openvino(path: Path) -> Runtime:
    import openvino

    compiled = openvino.Core().compile_model(path, "CPU")
    return lambda images: compiled(images)[0]


def _load_torch(path: Path) -> Runtime:
    import torch

    module = torch.export.load(path).module()

    def predict(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return module(torch.from_numpy(images)).numpy()

    return predict


TARGETS: Mapping[str, ExportTarget] = {
    "saved_model": ExportTarget(
        "tf_saved_model", "saved_model", {"tensorflow": "tensorflow"}, _load_saved_model, ("tensorflow", "jax")
    ),
    "onnx": ExportTarget(
        "onnx",
        "model.onnx",
        {"tf2onnx": "tf2onnx", "onnx": "onnx", "onnxruntime": "onnxruntime"},
        _load_onnx,
        ("tensorflow",),
    ),
    "litert": ExportTarget("litert", "model.tflite", {"tensorflow": "tensorflow"}, _load_litert, ("tensorflow",)),
    "openvino": ExportTarget("openvino", "model.xml", {"openvino": "openvino"}, _load_openvino, ("tensorflow", "jax")),
    "torch": ExportTarget("torch", "model.pt2", {"torch": "torch"}, _load_torch, ("torch",)),
}


_EXTRAS = ("onnx", "openvino", "torch")  # of this package, for a format


def check_runtime(name: str) -> None:
    """Check that a format can be exported to and read again here, before anything is loaded.

    Args:
        name: a key of `TARGETS`.

    Raises:
        UserError: a package is missing; the message has the command that installs it.
    """
    missing = [package for module, package in TARGETS[name].packages.items() if not _is_installed(module)]
    if missing:
        extra = f"'convzoo[{name}]'" if name in _EXTRAS else " ".join(missing)
        raise UserError(f"`export={name}` needs {', '.join(missing)}: pip install {extra}")


def check_backend(name: str, backend: str) -> None:
    """Check that Keras exports to a format from a backend.

    Raises:
        UserError: it does not; the message says how to choose another backend.
    """
    backends = TARGETS[name].backends
    if backend not in backends:
        raise UserError(
            f"`export={name}` needs the backend {' or '.join(backends)}: set KERAS_BACKEND={backends[0]}. "
            f"Received: {backend}"
        )


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def export_arguments(name: str) -> dict[str, Any]:
    """Return further arguments of `keras.Model.export`."""
    if name != "torch":
        return {}
    import torch

    return {"dynamic_shapes": ({0: torch.export.Dim("batch", min=1, max=1024)},)}
