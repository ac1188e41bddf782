"""What stands in front of a network: layers fitted to the training part."""

import keras
from hydra.utils import instantiate
from omegaconf import OmegaConf

from .. import UserError
from ..models import targets

_BATCH = 1000


def fit_front(rows, images):
    """Builds the rows of `recipe.preprocess` and adapts those that learn from data, each on what the ones before give.

    Args:
        rows: mapping from name to row; they compute in float32.
        images: the training part, uint8, shape (n, height, width, channels).

    Returns:
        The layers, in order.
    """
    rows = rows or {}
    targets.check(rows, "recipe.preprocess")
    front = []
    for name, row in rows.items():
        try:
            layer = instantiate(OmegaConf.create({**row, "dtype": "float32"}), name=name, _convert_="all")
        except Exception as error:
            cause = error.__cause__ or error
            raise UserError(f"row `recipe.preprocess.{name}` cannot be built: {cause}") from error
        if hasattr(layer, "adapt"):
            layer.adapt(_batches(images, front))
        front.append(layer)
    return front


def _batches(images, front):
    for start in range(0, len(images), _BATCH):
        batch = images[start : start + _BATCH].astype("float32")
        for layer in front:
            batch = keras.ops.convert_to_numpy(layer(batch))
        yield batch
