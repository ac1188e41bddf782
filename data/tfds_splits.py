"""The choice of splits of a set of TensorFlow Datasets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .. import UserError

ChosenSplits = tuple[dict[str, str], tuple[str, ...]]  # the split of each part, and notes
_VALIDATION_NAMES = ("validation", "valid", "val", "dev")  # of a split


@dataclass(frozen=True)
class SplitChoice:
    """The splits that a config names, in the notation of TFDS, such as `train[:90%]`.

    Attributes:
        train: to train on, or None for `train`.
        test: to test on, or None for `test`. Without one it is the validation split, or a fifth of the training images.
    """

    train: str | None = None
    test: str | None = None

    def find(self, name: str, available: Sequence[str]) -> ChosenSplits:
        """Finds the split of each part.

        Args:
            name: of the set, for messages.
            available: names of its splits.

        Returns:
            A mapping from part, "train" and perhaps "validation" and "test", to its split; and notes.

        Raises:
            UserError: the set has no such split.
        """
        validation = next((each for each in _VALIDATION_NAMES if each in available), None)
        named = {"train": self.train or "train"}
        notes: tuple[str, ...] = ()
        if self.test or "test" in available:
            named["test"] = self.test or "test"
        elif validation and validation not in base_names(named["train"]):
            named["test"] = validation
            notes = (f"{name} has no split `test`: its split `{validation}` is the test. data.test= chooses another",)
        else:
            notes = (
                f"{name} has no split `test`: a stratified fifth of `{named['train']}` is set aside for the test. "
                "data.test= chooses a split",
            )
        for part, split in named.items():
            if unknown := [base for base in base_names(split) if base not in available]:
                raise UserError(
                    f"`data.{part}` must be a split of {name}, which has {', '.join(available)}. Received: {unknown[0]}"
                )
        if validation and not any(validation in base_names(split) for split in named.values()):
            named["validation"] = validation
        return named, notes


@dataclass(frozen=True)
class SingleSplit:
    """One split of a set, as a further test set.

    Attributes:
        split: in the notation of TFDS, such as `test[:50%]`.
    """

    split: str

    def find(self, name: str, available: Sequence[str]) -> ChosenSplits:
        """Finds the split; as `SplitChoice.find`."""
        if unknown := [base for base in base_names(self.split) if base not in available]:
            raise UserError(
                f"{name} has no split {unknown[0]}; it has {', '.join(available)}, as {name}[{available[0]}]"
            )
        return {"test": self.split}, ()


def base_names(split: str) -> list[str]:
    """The names of the splits that an expression such as `train[:90%]+test` takes images from."""
    return [part.partition("[")[0].strip() for part in split.split("+")]
