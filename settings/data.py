"""The settings of a data set: the keys of a file in `configs/data`."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from .schema import Name, Settings, rule
from .text import has_only_text


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_shape(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 3 and all(_is_int(size) and size > 0 for size in value)


def _is_size_or_null(value: Any) -> bool:
    sides = value if isinstance(value, list) and len(value) == 2 else [value]
    return value is None or all(_is_int(side) and side > 0 for side in sides)


def read_image_size(value: Any) -> list[int] | None:
    """Return [height, width] of a setting `image_size`; None if it is null or invalid.

    Example:
        >>> read_image_size(64), read_image_size([48, 64]), read_image_size("large")
        ([64, 64], [48, 64], None)
    """
    if value is None or not _is_size_or_null(value):
        return None
    return list(value) if isinstance(value, list) else [value, value]


def _is_share_or_count(value: Any) -> bool:
    return (_is_int(value) and value >= 0) or (isinstance(value, float) and 0 < value < 1)


def _is_fraction(value: Any) -> bool:
    return (_is_int(value) or isinstance(value, float)) and 0 < value <= 1


def _is_place_or_null(value: Any) -> bool:
    return value is None or (_are_places([value]) and "@" not in value.partition("://")[2].partition("/")[0])


def _are_places(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(place, str) and place.strip() != "" and has_only_text(place) for place in value
    )


_SPLIT = r"\w+(\[(-?\d+%?)?:(-?\d+%?)?\])?"
_SPLIT_RULE = "a split of the set, as train, train[:90%] or train+validation, or null"


def _is_split_or_null(value: Any) -> bool:
    return value is None or (isinstance(value, str) and re.fullmatch(rf"{_SPLIT}( ?\+ ?{_SPLIT})*", value) is not None)


class AugmentSettings(Settings):
    """The augmentation that a data set allows."""

    flip: bool = Field(description="images may be mirrored: left and right mean the same")
    shift: bool = Field(description="images may be shifted")


class DataSettings(Settings):
    """The settings of a data set."""

    name: Name
    source: str = Field(description="where the images come from; `data/sources` has a file for each")
    tfds: Name | None = Field(description="the set's name and version in TensorFlow Datasets")
    image_shape: Annotated[list[int] | tuple[int, ...], rule(_is_shape, "[height, width, channels], positive integers")]
    classes: Annotated[int, rule(lambda v: _is_int(v) and v > 1, "an integer of at least 2")]
    class_names: Any = Field(description="one name a class, in the order of the labels")
    validation: Annotated[
        int | float, rule(_is_share_or_count, "a number of images, a fraction in (0, 1), or 0 for none")
    ] = Field(description="cut from the training images, stratified")
    split_seed: int = Field(ge=0, description="fixes the cuts, whatever the run's seed")
    fraction: Annotated[int | float, rule(_is_fraction, "in (0, 1]")] = Field(
        description="share of the training images that is used; the test images are never cut"
    )
    epochs: Any = Field(description="epochs of recipe=fast")
    augment: AugmentSettings
    extra_tests: Annotated[
        list[str],
        rule(_are_places, "a list of .npz files, folders and sets of TFDS, as [original.npz,mine/test]"),
    ] = Field(
        [],
        description="sets that a run is also tested on: .npz files, folders of class folders, sets of TFDS",
    )
    image_size: Annotated[
        int | list[int] | None, rule(_is_size_or_null, "a number of pixels, [height, width] or null")
    ] = Field(None, examples=["N|[HEIGHT,WIDTH]"], description="resize the images; sets the sides of `image_shape`")
    resize: Literal["squash", "crop", "pad"] | None = Field(
        None,
        description="squash: proportions change; crop: the centre is kept; pad: a border is added. Default: squash for "
        "image files and with `image_size`; other sets are not resized",
    )
    train: Annotated[str | None, rule(_is_split_or_null, _SPLIT_RULE)] = Field(
        None, description="split of a set of TensorFlow Datasets to train on; null: train"
    )
    test: Annotated[str | None, rule(_is_split_or_null, _SPLIT_RULE)] = Field(
        None, description="split of it to test on; null: test, or what the set has in its place"
    )
    mirror: Annotated[str | None, rule(_is_place_or_null, "an address or a path without a password, or null")] = Field(
        None, description="a copy of a TFDS set's archive, or a folder of its archives: an address or a path"
    )
    directory: Any = Field(description="the folder of the images; null: $TFDS_DATA_DIR, else ~/tensorflow_datasets")

    @model_validator(mode="after")
    def _check_image_size(self) -> "DataSettings":
        size = read_image_size(self.image_size)
        if size is not None and size != list(self.image_shape[:2]):
            raise ValueError(
                f"`data.image_size` must be the height and width of `data.image_shape`, {list(self.image_shape[:2])}. "
                f"Received: data.image_size={self.image_size}"
            )
        return self

    @model_validator(mode="after")
    def _check_class_names(self) -> "DataSettings":
        if not (_are_names(self.class_names) and len(self.class_names) == self.classes):
            raise ValueError(
                f"`data.class_names` must be {self.classes} different names, as `data.classes`. "
                f"Received: {self.class_names}"
            )
        return self


def _are_names(names: object) -> bool:
    """Return whether these are different printable names."""
    return (
        isinstance(names, list | tuple)
        and all(isinstance(name, str) and has_only_text(name) and name.strip() for name in names)
        and len(set(names)) == len(names)
    )
