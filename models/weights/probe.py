"""Probes: images, and the scores that the source's own network gives to them."""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ... import UserError
from ...settings.text import printable

SUFFIX = ".probe.npz"
_BYTES = 2**28  # of the images


@dataclass(frozen=True)
class Probe:
    """Images, and the scores that the source's own network gives to them.

    Attributes:
        images: float32, shape (n, height, width, channels), with values from 0 to 255; for a source whose scaling of
            images is not known, as its network takes them.
        scores: shape (n, classes), or the maps of a network without classifier.
    """

    images: np.ndarray
    scores: np.ndarray


def read_probe(path: Path) -> Probe | None:
    """Return the probe that stands beside a file of weights, `NAME.probe.npz`; None if there is none.

    Raises:
        UserError: it has no arrays `images` and `scores` of the same length.
    """
    beside_file = path.with_name(path.stem + SUFFIX)
    if not beside_file.is_file():
        return None
    try:
        with np.load(beside_file, allow_pickle=False) as arrays:
            images, scores = arrays["images"].astype("float32"), arrays["scores"].astype("float32")
    except (OSError, KeyError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{printable(beside_file.name)} must have the arrays `images` and `scores`") from error
    if images.ndim != 4 or not len(images) or len(images) != len(scores) or images.nbytes > _BYTES:
        raise UserError(
            f"{printable(beside_file.name)} must have images of shape (n, height, width, channels) and as many scores. "
            f"Received: {images.shape}, {scores.shape}"
        )
    return Probe(images, scores)
