"""Sets of TensorFlow Datasets: fetched and prepared by it once, then read from a copy of plain arrays."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from ... import UserError
from ...settings.schema import Schema, parse
from .. import cache
from ..images import ResizeMethod, describe_resizing, resize
from ..memory import check_fits_memory
from ..splits import split_test
from ..tfds_archives import MissingArchive, check_reachable, find_missing_archives
from ..tfds_splits import ChosenSplits, SingleSplit, SplitChoice, base_names
from .base import Source, SourceData

log = logging.getLogger("convzoo")

_FEATURES = re.compile(r"tensorflow_datasets\.core\.features\.[\w.]+")
_MAX_INFO_BYTES = 1_000_000  # of a file that describes a set; none has a hundredth
SPLIT_NAMES = ("train", "test")
_DEFAULT_CHOICE = SplitChoice()
# Sets whose archives convzoo fetches; TFDS fetches those of other sets.
_FETCHED_SETS = ("cifar10", "cifar100", "fashion_mnist", "mnist")
_EXACT_NAME = r"\w+(/\w[\w.+-]*)?:\d+\.\d+\.\d+"
DATASET_NAME_PATTERN = r"\w+(/\w[\w.+-]*)?(:\d+\.\d+\.\d+)?"


@dataclass(frozen=True)
class SetDescription:
    """The description of a set by its builder.

    Attributes:
        tfds: builder, config if it has some, and version, as `cifar10_corrupted/fog_1:1.0.0`.
        image_shape: (height, width, channels); height and width are None where the images differ in size.
        class_names: in the order of the labels.
    """

    tfds: str
    image_shape: tuple[int | None, int | None, int]
    class_names: tuple[str, ...]

    @property
    def name(self) -> str:
        """Builder and config, without the version."""
        return self.tfds.partition(":")[0].replace("/", "_")


def describe_set(name: object, directory: str | Path | None = None) -> SetDescription:
    """Describes a set by its builder; nothing is fetched.

    Args:
        name: builder, perhaps with a config and a version: `svhn_cropped`, `cifar10_corrupted/fog_1`, `mnist:3.0.1`.
        directory: as that of `read`.

    Raises:
        UserError: TFDS has no such set, or it is no image classification.
    """
    if not isinstance(name, str) or not re.fullmatch(DATASET_NAME_PATTERN, name):
        raise UserError(
            "`data.tfds` must name a set of TensorFlow Datasets, as svhn_cropped, svhn_cropped:3.1.0 or "
            f"cifar10_corrupted/fog_1. Received: {name}"
        )
    root = cache.data_folder(directory)
    with _one_line_errors(name, root):
        for features in root.joinpath(*re.split("[/:]", name)).rglob("features.json"):
            if fault := _find_foreign_feature(features.parent):
                raise UserError(f"{features.parent} is not a whole {name}: {fault}. Move the folder away and run again")
    import tensorflow_datasets as tfds

    builder = _make_builder(name, root)
    image, label = _check_features(builder, tfds, name)
    set_name, _, version = builder.info.full_name.rpartition("/")
    return SetDescription(f"{set_name}:{version}", tuple(image.shape), tuple(label.names or ()))


def read(
    name: str,
    directory: str | Path | None = None,
    image_shape: Sequence[int] | None = None,
    choice: SplitChoice | SingleSplit = _DEFAULT_CHOICE,
    mirror: str | None = None,
    method: ResizeMethod | None = None,
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], str]:
    """Reads a set, after TFDS prepared it where it is not there yet.

    Args:
        name: builder and exact version, as `cifar10:3.0.2`.
        directory: the data folder of TFDS. None: `$TFDS_DATA_DIR`, else `~/tensorflow_datasets`.
        image_shape: (height, width, channels). Images of a set in which they differ in size are resized to it. None:
            such a set is refused.
        choice: the splits; default: the set's own.
        mirror: address or path of a copy of the set's archive, or of a folder of its archives.
        method: as for `images.resize`. If it is stated, images that all have one other size are resized too.

    Returns:
        `{"train": (x, y), "test": (x, y)}`, perhaps with "validation" or without "test", and a sentence that says where
        they came from.

    Raises:
        UserError: an unknown set or version; a half-prepared folder; a wrong archive; no archive and no
            network; a preparation that fails, on a full disk for one; a set that is no image classification, or has
            no such splits. What was there stays.
    """
    directory = _resolve_directory(name, directory)
    with _one_line_errors(name, directory):
        if not _set_and_copy_paths(name, directory)[0].exists():
            _prepare(name, directory, mirror)
        arrays, is_resized = _read(name, directory, image_shape, choice, method)
    names = [key.removesuffix("_x") for key in arrays if key.endswith("_x")]
    parts = {part: (arrays[f"{part}_x"], arrays[f"{part}_y"]) for part in names}
    source = f"{name} of TensorFlow Datasets in {directory}"
    if image_shape and is_resized:
        source = f"{source}, {describe_resizing(method, *image_shape[:2])}"
    return parts, source


def check_available(
    name: str,
    directory: str | Path | None = None,
    choice: SplitChoice | SingleSplit = _DEFAULT_CHOICE,
    mirror: str | None = None,
) -> None:
    """Refuses, in seconds and without TensorFlow, what `read` could not get, and says what is missing.

    Args and errors as those of `read`.
    """
    directory = _resolve_directory(name, directory)
    folder, _ = _set_and_copy_paths(name, directory)
    with _one_line_errors(name, directory):
        if not folder.exists():
            _plan_preparation(name, directory, mirror)
        else:
            _check_complete(name, folder, choice)


def fingerprint(name: str, directory: str | Path | None = None) -> str:
    """Text that changes with the files of a set."""
    folder, _ = _set_and_copy_paths(name, _resolve_directory(name, directory))
    return f"{folder} {cache.compute_fingerprint(folder.iterdir(), cache.INODE_FIELDS)}"


def _set_and_copy_paths(name: str, directory: Path) -> tuple[Path, Path]:
    """The paths of TFDS's folder of a set, and of its copy without the suffix."""
    copy = name.replace("/", "-").replace(":", "-")
    return directory.joinpath(*name.split(":")), cache.copies_folder(directory) / copy


def _resolve_directory(name: str, directory: str | Path | None) -> Path:
    if not re.fullmatch(_EXACT_NAME, str(name)):
        raise UserError(
            f"`data.tfds` must be builder:version, as cifar10:3.0.2; data=tfds finds the version. Received: {name}"
        )
    return cache.data_folder(directory)


@contextlib.contextmanager
def _one_line_errors(name: str, directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{name} cannot be read in {directory}: {_one_line(error)}") from error


def _read(
    name: str,
    directory: Path,
    image_shape: Sequence[int] | None,
    choice: SplitChoice | SingleSplit,
    method: ResizeMethod | None,
) -> tuple[dict[str, np.ndarray], bool]:
    """The arrays of a set, and True where its images were resized."""
    folder, copy = _set_and_copy_paths(name, directory)
    splits, _ = _check_complete(name, folder, choice)
    size = tuple(image_shape[:2]) if image_shape else None
    sizes = _find_image_sizes(folder)
    is_resized = None in sizes or (method is not None and size is not None and sizes != {size})
    of_size = f"-{'x'.join(map(str, size or (None, None)))}" if is_resized else ""
    if is_resized and method in ("crop", "pad"):
        of_size = f"{of_size}-{method}"
    copy = copy.with_name(f"{copy.name}{of_size}{_of_splits(splits)}.npz")
    if arrays := cache.load_arrays(copy, cache.compute_fingerprint(folder.iterdir())):
        return arrays, is_resized
    if is_resized and not image_shape:
        raise UserError(f"{folder}: the images of {name} differ in size; `data.image_size` must say what size they get")
    arrays = _decode(name, directory, splits, size if is_resized else None, method)
    cache.save_arrays(copy, cache.compute_fingerprint(folder.iterdir()), arrays)
    return arrays, is_resized


def _of_splits(splits: Mapping[str, str]) -> str:
    """A suffix of a copy's name, by the splits in it; "" for train and test."""
    if splits == {part: part for part in SPLIT_NAMES}:
        return ""
    return f"-{hashlib.blake2b(json.dumps(splits, sort_keys=True).encode(), digest_size=6).hexdigest()}"


def _check_complete(name: str, folder: Path, choice: SplitChoice | SingleSplit) -> ChosenSplits:
    """Refuses a damaged folder of a set, and one without the chosen splits; returns what `choice.find` returns."""
    if not (fault := _find_fault(folder)):
        splits, notes = choice.find(name, [split.name for split in _read_info(folder).splits])
        if not (fault := _find_fault(folder, {base for split in splits.values() for base in base_names(split)})):
            return splits, notes
    raise UserError(f"{folder} is not a whole {name}: {fault}. Move the folder away and run again")


class _SplitInfo(Schema):
    name: str
    shard_lengths: list[str | int] = Field(alias="shardLengths")
    num_bytes: str | int = Field(alias="numBytes")


class _DatasetInfo(Schema):
    splits: list[_SplitInfo]


def _read_info(folder: Path) -> _DatasetInfo:
    return parse(_DatasetInfo, json.loads(_read_text(folder / "dataset_info.json")), str(folder / "dataset_info.json"))


def _find_fault(folder: Path, names: Collection[str] = SPLIT_NAMES) -> str | None:
    """Describes the fault of a prepared folder, by names and sizes alone; None where there is none."""
    try:
        splits = {split.name: (len(split.shard_lengths), int(split.num_bytes)) for split in _read_info(folder).splits}
    except FileNotFoundError:
        return "dataset_info.json is missing"
    except (ValueError, RecursionError):
        return "dataset_info.json is damaged"
    if not splits:
        return "dataset_info.json names no train split"
    for part in set(names) & set(splits):
        count, size = splits[part]
        shards = list(folder.glob(f"*{part}.*-of-{count:05d}"))
        if len(shards) < count:
            return f"{len(shards)} of {count} files of the {part} split are there"
        if sum(shard.stat().st_size for shard in shards) < size:
            return f"{shards[0].name} is cut off"
    return _find_foreign_feature(folder)


def _find_foreign_feature(folder: Path) -> str | None:
    """Describes a class in features.json that is not TFDS's own: TFDS would import its module."""
    try:
        values = list(_iterate_features(folder))
    except FileNotFoundError:
        return "features.json is missing"
    except (ValueError, RecursionError):
        return "features.json is damaged"
    for value in values:
        for key in ("pythonClassName", "python_class_name", "type"):
            if isinstance(name := value.get(key), str) and not _FEATURES.fullmatch(name):
                return f"features.json names {name!r:.200}, which is no feature of TFDS"
    return None


def _iterate_features(folder: Path) -> Iterator[dict[str, Any]]:
    """The mappings in a set's features.json, from the outer to the inner."""
    values = [json.loads(_read_text(folder / "features.json"))]
    while values:
        value = values.pop(0)
        if isinstance(value, dict):
            yield value
        values += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _find_image_sizes(folder: Path) -> set[tuple[int, int] | None]:
    """The sizes, (height, width), of the features of a set that are images; None for one whose images differ."""
    sizes: set[tuple[int, int] | None] = set()
    for value in _iterate_features(folder):
        image = value.get("image")
        if not str(value.get("pythonClassName", "")).endswith(".Image") or not isinstance(image, dict):
            continue
        shape = image.get("shape")
        sides: Any = shape.get("dimensions") if isinstance(shape, dict) else None
        is_known = isinstance(sides, list) and all(str(side).isdecimal() and int(side) > 0 for side in sides[:2])
        sizes.add((int(sides[0]), int(sides[1])) if is_known and len(sides) > 1 else None)
    return sizes


def _read_text(path: Path) -> str:
    with path.open() as file:
        text = file.read(_MAX_INFO_BYTES + 1)
    if len(text) > _MAX_INFO_BYTES:
        raise ValueError("it is too large")
    return text


def _plan_preparation(name: str, directory: Path, mirror: str | None) -> tuple[Any, Any, list[MissingArchive]]:
    """Returns the builder of a set, its download config, and the archives to fetch, once they can be fetched."""
    folder, _ = _set_and_copy_paths(name, directory)
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise UserError(
            f"{name} is not in {directory}, and nothing can be written to {existing}. "
            "Choose another folder with data.directory="
        )
    import tensorflow_datasets as tfds

    builder = _make_builder(name, directory)
    downloads = directory / "downloads"
    own_folder = downloads / "manual" / builder.name
    manual = own_folder if own_folder.is_dir() else own_folder.parent
    missing = find_missing_archives(builder, downloads, manual, mirror)
    check_reachable(builder.name, downloads.parent, own_folder, missing)
    return (
        builder,
        tfds.download.DownloadConfig(
            manual_dir=manual,
            # MNIST and Fashion-MNIST have archives of the same names: apart, one is never taken for the other.
            extract_dir=downloads / "extracted" / builder.name,
        ),
        missing,
    )


def _make_builder(name: str, directory: Path) -> Any:
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name, data_dir=directory)
    except (tfds.core.DatasetNotFoundError, AssertionError, ValueError) as error:
        raise UserError(f"`data.tfds` must be a set that TFDS has. Received: {name} ({_one_line(error)})") from error


def _prepare(name: str, directory: Path, mirror: str | None) -> None:
    folder, _ = _set_and_copy_paths(name, directory)
    builder, config, missing = _plan_preparation(name, directory, mirror)
    for leftover in folder.parent.glob(f"incomplete.*_{folder.name}"):
        log.warning("%s is of a preparation that was cut short, or still runs; it is not used", leftover)
    for each in missing:
        if mirror or builder.name in _FETCHED_SETS:
            each.fetch(directory / "downloads" / builder.name)
    try:
        builder.download_and_prepare(download_config=config)
    except Exception as error:
        if folder.is_dir() and not _find_fault(folder):
            return  # another process was quicker
        reason = "the disk is full" if "no space left" in str(error).lower() else _one_line(error)
        raise UserError(
            f"{name} cannot be prepared in {directory}: {reason}. What was there before is unchanged; "
            "mend this, or choose another folder with data.directory="
        ) from error


def _decode(
    name: str,
    directory: Path,
    splits: Mapping[str, str],
    size: tuple[int, ...] | None,
    method: ResizeMethod | None,
) -> dict[str, np.ndarray]:
    """The arrays of a prepared set by its splits, its images resized to `size`, (height, width), if it is given."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf
    import tensorflow_datasets as tfds

    builder = tfds.builder(name, data_dir=directory)
    arrays: dict[str, np.ndarray] = {}
    folder, _ = _set_and_copy_paths(name, directory)
    image, _ = _check_features(builder, tfds, name)
    log.info("Reading %s; the next start takes it from a copy of plain arrays", folder)
    shape = (*(size or image.shape[:2]), image.shape[2])
    counts = _count_images(builder, splits)
    check_fits_memory(str(folder), sum(counts.values()), shape)
    try:
        for part, count in counts.items():
            x, y = np.empty((count, *shape), np.uint8), np.empty(count, np.int32)
            dataset = builder.as_dataset(split=splits[part], as_supervised=True, batch_size=None if size else 1000)
            start = 0
            for images, labels in tfds.as_numpy(dataset):
                if size:
                    images, labels = resize(images, size[0], size[1], method)[None], labels[None]
                rows = slice(start, start + len(labels))
                x[rows], y[rows] = images, labels
                start = rows.stop
            if start < count:
                raise UserError(f"{folder} cannot be read: it says that it holds {count} images, and holds {start}")
            arrays[f"{part}_x"], arrays[f"{part}_y"] = x, y
    except tf.errors.OpError as error:
        raise UserError(f"{folder} cannot be read: {_one_line(error)}. Move it away and run again") from error
    return arrays


def _count_images(builder: Any, splits: Mapping[str, str]) -> dict[str, int]:
    """The number of images of each part.

    Raises:
        UserError: a part has none, or two parts share some.
    """
    files: dict[str, dict[str, set[int]]] = {}
    for part, split in splits.items():
        try:
            instructions = builder.info.splits[split].file_instructions
        except (ValueError, AssertionError, KeyError) as error:
            raise UserError(
                f"`data.{part}` must be a split of the set. Received: {split} ({_one_line(error)})"
            ) from error
        files[part] = {}
        for each in instructions:
            end = each.examples_in_shard if each.take == -1 else each.skip + each.take
            files[part].setdefault(str(each.filename), set()).update(range(each.skip, end))
    counts = {part: sum(map(len, rows.values())) for part, rows in files.items()}
    if empty := [part for part, count in counts.items() if not count]:
        raise UserError(f"`data.{empty[0]}` must hold images. Received: {splits[empty[0]]}")
    for first, second in combinations(files, 2):
        shared = sum(len(rows & files[second].get(file, set())) for file, rows in files[first].items())
        if shared:
            raise UserError(
                f"`data.{first}` and `data.{second}` must not share images. Received: {splits[first]} and "
                f"{splits[second]}, with {shared:,} in both"
            )
    return counts


def _check_features(builder: Any, tfds: Any, name: str) -> tuple[Any, Any]:
    """Returns image and label of a set of pairs of an image and a class, and refuses another set."""
    keys, features = builder.info.supervised_keys, builder.info.features
    image, label = (features[key] if isinstance(key, str) else None for key in (keys or (None, None))[:2])
    if not isinstance(image, tfds.features.Image) or not isinstance(label, tfds.features.ClassLabel):
        given = f"are {tuple(keys)}" if keys else "are none"
        kinds = ", ".join(f"{key}: {type(value).__name__}" for key, value in sorted(dict(features or {}).items()))
        raise UserError(
            f"{name} cannot be used: a set of pairs of an image and a class is needed. Its supervised keys {given}, "
            f"its features {kinds or 'none'}"
        )
    if image.np_dtype != np.uint8 or image.shape[2] is None:
        kind = f"{np.dtype(image.np_dtype)} {image.shape}"
        raise UserError(f"{name} cannot be used: its images are {kind}, uint8 is needed")
    return image, label


def _one_line(error: BaseException) -> str:
    text = re.sub(r"\{\{.*?\}\} ?", "", f"{type(error).__name__}: {error}")  # TensorFlow's node names
    return text.splitlines()[0].rstrip(" .:")


class TfdsSource(Source):
    """`data.source=tfds`: `data.tfds` names builder and version, `data.directory` the folder of TFDS."""

    name = "tfds"
    has_named_splits = True

    def infer_settings(self) -> dict[str, Any]:
        """Reads the settings that are null off the builder, and the version of the set."""
        config = self.config
        if all(config.get(key) is not None for key in ("name", "image_shape", "classes", "class_names")):
            return {}
        described = describe_set(config.get("tfds"), config.get("directory"))
        inferred = {
            "name": described.name,
            "image_shape": list(described.image_shape),
            "classes": len(described.class_names),
            "class_names": list(described.class_names),
        }
        has_size = config.get("image_shape") is not None or config.get("image_size") is not None
        if not has_size and None in described.image_shape:
            raise UserError(
                f"`data.image_size` must be stated, as data.image_size=64: images of {described.tfds} differ in size, "
                "and are resized to it"
            )
        return {key: value for key, value in inferred.items() if config.get(key) is None} | {"tfds": described.tfds}

    def check_available(self) -> None:
        """Refuses a set that is not there and cannot be fetched."""
        check_available(self.config["tfds"], self.config["directory"], self._choice, self.config.get("mirror"))

    def fingerprint(self) -> str:
        """Text that changes with the prepared files."""
        return fingerprint(self.config["tfds"], self.config["directory"])

    def read(self) -> SourceData:
        """Reads the set, and prepares it first where that is needed."""
        config = self.config
        image_shape, mirror = tuple(config["image_shape"]), config.get("mirror")
        parts, description = read(
            config["tfds"], config["directory"], image_shape, self._choice, mirror, config.get("resize")
        )
        folder, _ = _set_and_copy_paths(config["tfds"], cache.data_folder(config["directory"]))
        _, notes = _check_complete(config["tfds"], folder, self._choice)
        if "test" not in parts:
            x, y = parts["train"]
            remedy = "Choose the test images with data.test="
            train, test = split_test(y, config["split_seed"], config["class_names"], f"{config['tfds']}:", remedy)
            parts |= {"train": (x[train], y[train]), "test": (x[test], y[test])}
        return SourceData(parts, description, notes)

    @property
    def _choice(self) -> SplitChoice:
        return SplitChoice(self.config.get("train"), self.config.get("test"))
