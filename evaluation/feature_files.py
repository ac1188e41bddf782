"""Files of features: the outputs of a network's rows for all images of a split."""

import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from keras import ops

from .. import UserError
from ..data import Split
from ..models.extraction import features

_BATCH_SIZE = 125
_LABELS = "labels"
_CLASS_NAMES = "class_names"


def write_features(
    model: keras.Model,
    split: Split,
    rows: Sequence[str],
    path: Path,
    class_names: Sequence[str],
) -> dict[str, tuple[int, ...]]:
    """Write the outputs of rows into an `.npz` file.

    Each array is filled on disk, batch by batch, so that maps of many images need no memory.

    Args:
        model: from the images of `split` to class scores.
        split: the images and their labels.
        rows: as for `convzoo.models.features`.
        path: of the file; it is replaced once the new one is whole.
        class_names: names of the classes, in the order of the labels.

    Returns:
        The shapes of the features, by row. The file holds them in float32 under the names of `rows`, and beside them
        `labels` and `class_names`.

    Raises:
        UserError: a name fits no row of the model, or several.
        OSError: the file cannot be written.

    Example:
        >>> write_features(model, data.test, ["mean"], Path("test.npz"), data.class_names)    # doctest: +SKIP
        {'mean': (10000, 64)}
    """
    if _LABELS in rows or _CLASS_NAMES in rows:
        raise UserError(f"`rows` must not be named {_LABELS} or {_CLASS_NAMES}, which the file holds beside them")
    outputs = features(model, list(rows))
    count = len(split.y)
    shapes = {row: (count, *each.shape[1:]) for row, each in zip(rows, outputs.outputs, strict=True)}
    with tempfile.TemporaryDirectory(prefix=".features-", dir=path.absolute().parent) as folder:
        arrays = {
            row: np.lib.format.open_memmap(Path(folder) / f"{number}.npy", "w+", "float32", shape)
            for number, (row, shape) in enumerate(shapes.items())
        }
        for start in range(0, count, _BATCH_SIZE):
            values = outputs.predict_on_batch(split.x[start : start + _BATCH_SIZE])
            for array, value in zip(arrays.values(), values, strict=True):
                array[start : start + _BATCH_SIZE] = ops.convert_to_numpy(ops.cast(value, "float32"))
        labels = {_LABELS: np.asarray(split.y), _CLASS_NAMES: np.asarray(class_names, "str")}
        with zipfile.ZipFile(Path(folder) / "whole.npz", "w") as archive:
            for name, content in {**arrays, **labels}.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, content, allow_pickle=False)
        (Path(folder) / "whole.npz").replace(path)
    return shapes
