"""Export of a model by Keras, and the comparison of what was exported with the model itself."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from .. import UserError
from ..data import Split
from ..models import allowlist
from .export_targets import TARGETS, Runtime, check_backend, export_arguments
from .latency import Latency, measure_latency

# Of the largest score, or of 1. What is exported computes in float32, also where the model does in bfloat16.
_TOLERANCE = 1e-3
_MIXED_TOLERANCE = 0.1
_MIXED = re.compile(r"\bmixed_b?float16\b")


@dataclass(frozen=True)
class ExportCheck:
    """An exported model, compared with the model that it was made of.

    Attributes:
        target: name of the format.
        path: of the file or folder.
        size: of it, in bytes.
        images: number of test images that were compared.
        max_difference: largest difference of two scores.
        agreement: part of the images that both give the same class.
        accuracy: accuracies on those images, of what was exported and of the model.
        latency: of one image, of what was exported and of the model.
    """

    target: str
    path: Path
    size: int
    images: int
    max_difference: float
    agreement: float
    accuracy: tuple[float, float]
    latency: tuple[Latency, Latency]

    @property
    def metrics(self) -> dict[str, float]:
        """The numbers, by the name of a metric."""
        return {
            f"export_{self.target}_{name}": value
            for name, value in {
                "bytes": self.size,
                "max_difference": self.max_difference,
                "agreement": self.agreement,
                "accuracy": self.accuracy[0],
                "median_ms": self.latency[0].median_ms,
                "p95_ms": self.latency[0].p95_ms,
            }.items()
        }

    def __str__(self) -> str:
        exported, model = self.latency
        return "\n".join(
            [
                f"exported: {self.path}, {self.size:,} bytes",
                f"accuracy on {self.images:,} test images: {self.accuracy[0]:.2%}, of the model {self.accuracy[1]:.2%}",
                f"same class: {self.agreement:.2%}; largest difference of a score: {self.max_difference:.1e}",
                f"latency of one image: {exported}",
                f"of the model in Keras: {model}",
            ]
        )


def export(model: keras.Model, predict: Runtime, test: Split, folder: Path, target: str) -> ExportCheck:
    """Export a model, read it again by the runtime of the format, and compare the two.

    Args:
        model: from uint8 images to class scores.
        predict: computes the scores of a batch by the model itself.
        test: the test images to compare on, one at a time.
        folder: where to write; what an earlier export has written there is replaced.
        target: a key of `export_targets.TARGETS`.

    Raises:
        UserError: Keras cannot export the model so, or the scores differ.
    """
    check_backend(target, keras.backend.backend())
    path = folder / TARGETS[target].file
    try:
        exported = in_float32(model)
        exported(test.x[:1])  # Keras exports only what was called
        exported.export(str(path), format=TARGETS[target].keras_format, verbose=False, **export_arguments(target))
        run = TARGETS[target].load(path)
        scores = _predict_one_by_one(run, test.x)
    except Exception as error:  # each runtime has its own
        raise UserError(f"`export={target}`: {model.name} cannot be exported: {allowlist.first_line(error)}") from error
    expected = _predict_one_by_one(predict, test.x)
    difference = float(np.abs(scores - expected).max())
    classes, expected_classes = scores.argmax(-1), expected.argmax(-1)
    if not difference <= _tolerance(model) * max(1.0, float(np.abs(expected).max())):
        raise UserError(
            f"`export={target}`: the scores of {path} differ from those of the model by up to {difference:.1e}, and "
            f"{np.mean(classes != expected_classes):.2%} of {len(test)} test images get another class; do not use it"
        )
    return ExportCheck(
        target,
        path,
        _count_bytes(path),
        len(test),
        difference,
        float(np.mean(classes == expected_classes)),
        (float(np.mean(classes == test.y)), float(np.mean(expected_classes == test.y))),
        (measure_latency(lambda: run(test.x[:1])), measure_latency(lambda: predict(test.x[:1]))),
    )


def in_float32(model: keras.Model) -> keras.Model:
    """Return a model that computes in float32: the model itself, or a copy of one with another dtype policy."""
    config = model.to_json()
    if not _is_mixed(model):
        return model
    copy = keras.models.model_from_json(_MIXED.sub("float32", config), custom_objects=allowlist.user_layers())
    with tempfile.TemporaryDirectory() as directory:  # adapted layers compute what they need as weights are loaded
        file = Path(directory) / "model.weights.h5"
        model.save_weights(file)
        copy.load_weights(file)
    return copy


def _is_mixed(model: keras.Model) -> bool:
    return any(layer.dtype_policy.compute_dtype in ("bfloat16", "float16") for layer in model.layers)


def _tolerance(model: keras.Model) -> float:
    return _MIXED_TOLERANCE if _is_mixed(model) else _TOLERANCE


def _predict_one_by_one(run: Runtime, images: np.ndarray) -> np.ndarray:
    return np.concatenate([np.asarray(run(images[number : number + 1])) for number in range(len(images))])


def _count_bytes(path: Path) -> int:
    """Return the size of a folder, or of a file; OpenVINO's .xml has its weights beside it in a .bin."""
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    if path.suffix == ".xml":
        files.append(path.with_suffix(".bin"))
    return sum(file.stat().st_size for file in files if file.is_file())
