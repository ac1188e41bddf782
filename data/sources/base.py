"""The interface of a data source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np


@dataclass(frozen=True, eq=False)
class SourceData:
    """The images and labels of a source.

    Args:
        parts: mapping from "train", "test" and perhaps "validation" to (images, labels). Images are a uint8 array, or
            what the source's `decode` takes.
        description: a sentence that says where the images came from.
        notes: lines about files that were skipped.
    """

    parts: dict[str, tuple[Any, np.ndarray]]
    description: str
    notes: tuple[str, ...] = ()


class Source(ABC):
    """A kind of image set. A subclass in a module of this folder is available as `data.source`, by its `name`.

    Args:
        config: the keys of a file in `configs/data`.
    """

    name: ClassVar[str]
    has_class_folders: ClassVar[bool] = False  # class names then name folders
    has_named_splits: ClassVar[bool] = False  # `data.train` and `data.test` then choose splits

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config

    def infer_settings(self) -> dict[str, Any]:
        """Reads settings that the config may leave out, such as `classes`, off the data set."""
        return {}

    def check_available(self) -> None:  # noqa: B027, a source that is always there need not override it
        """Refuses, within seconds and without TensorFlow, what `read` could not get, by a `UserError`."""

    def can_list_files(self) -> bool:
        """True where `read` only lists files, so that splits can be checked before an image is decoded."""
        return False

    def fingerprint(self) -> str:
        """Text that changes with the files that `read` reads."""
        return ""

    @abstractmethod
    def read(self) -> SourceData:
        """Reads or lists all images; raises `UserError` where it cannot."""

    def decode(self, images: Sequence[Any], description: str) -> tuple[list[np.ndarray], tuple[str, ...]]:
        """Turns the images of each split into uint8 arrays; returns them and notes."""
        return list(images), ()
