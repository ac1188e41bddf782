"""Your own images: a folder with a folder of images for each class, or arrays in an `.npz` file."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ... import UserError
from .. import archive, images
from ..cache import INODE_FIELDS, compute_fingerprint
from ..decoding import ImageFiles, decode_files
from ..images import ResizeMethod, UnreadableImageError, describe_resizing
from ..splits import split_test
from .base import Source, SourceData

__all__ = [
    "FilesSource",
    "ImageFiles",
    "UnreadableImageError",
    "decode_files",
    "fingerprint",
    "fingerprint_test",
    "infer_classes",
    "read",
    "read_test",
    "resolve_path",
]

SPLIT_NAMES = ("train", "test")
_PART_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_ARRAYS = ("x", "y", "x_train", "y_train", "x_test", "y_test")
# What systems and programs put beside images. Their hidden files begin with a dot.
_SYSTEM_FOLDERS = {"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found", "__pycache__"}
_SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
# Images that are not read: a class of these alone is a mistake, while a folder of text files is no class.
_UNREAD_IMAGES = set(".heic .heif .hif .jxl .svg .eps .raw .dng .cr2 .cr3 .nef .arw .orf .rw2 .raf .exr .dcm".split())


@dataclass
class _Folder:
    """The image files of a folder, and the number of files that were skipped.

    Args:
        part_folders: the folder of each part: "train", "test" and perhaps "validation", or "" for a set without splits.
        parts: the image files of each part by the name of their class.
        skipped: number of other files by suffix.
        outside: number of image files that are in no folder of a class.
    """

    part_folders: dict[str, Path]
    parts: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    outside: int = 0

    def skip(self, files: Sequence[os.DirEntry]) -> None:
        """Counts files that belong to no class."""
        for file in files:
            if _is_image(file):
                self.outside += 1
            else:
                self.skipped[_suffix(file)] += 1

    def notes(self) -> list[str]:
        """A line about the files that were skipped, if there are any."""
        kinds = [f"{count:,} {suffix or 'without a suffix'}" for suffix, count in sorted(self.skipped.items())]
        if self.outside:
            kinds.append(f"{self.outside:,} image{'s' * (self.outside != 1)} in no folder of a class")
        total = self.skipped.total() + self.outside
        return [f"skipped {total:,} file{'s' * (total != 1)}: {', '.join(kinds)}"] if total else []


def infer_classes(path: str | Path | None) -> tuple[int, tuple[str, ...]]:
    """Reads the number of classes and their names off folder names and labels alone.

    The name of a class is that of its folder in Unicode's composed form (NFC).

    Raises:
        UserError: there are no images, or those of one class only.
    """
    path, notes = resolve_path(path), []
    if path.is_dir():
        folder = _scan(path)
        names, notes = tuple(sorted(next(iter(folder.parts.values())))), folder.notes()
    else:
        _, labels = next(iter(_read_arrays(path).values()))
        names = tuple(map(str, range(labels.max(initial=-1) + 1)))
    if len(names) < 2:
        received = "; ".join([", ".join(names) or "none", *notes])
        raise UserError(f"{path} must hold images of at least two classes. Received: {received}")
    return len(names), names


def read(
    path: str | Path | None,
    image_shape: Sequence[int],
    class_names: Sequence[str],
    split_seed: int,
    method: ResizeMethod | None = None,
) -> tuple[dict[str, tuple[Any, np.ndarray]], str, list[str]]:
    """Finds the images of each part and their labels.

    A folder holds `train` and `test`, and perhaps `val`, each with a folder for each class, or the classes' folders
    themselves, of which a stratified fifth is set aside for the test. Images may lie in folders within that of their
    class. A file holds `x_train, y_train, x_test, y_test`, as Keras's own do, or `x, y`: uint8 images (n, height,
    width, channels) or (n, height, width), and integers.

    Args:
        path: the folder, or the file.
        image_shape: (height, width, channels), channels 1 or 3.
        class_names: in the order of the labels.
        split_seed: decides the fifth.
        method: as for `images.resize`; arrays are not resized here.

    Returns:
        A mapping from part ("train", "test" and perhaps "validation") to its images, an array or `ImageFiles`, and
        labels; a sentence that says where they came from; lines that say what was skipped.

    Raises:
        UserError: no such folder or file; an unknown class; a class without an image; arrays of another kind.
    """
    path, notes = resolve_path(path), []
    parts: dict[str, tuple[Any, np.ndarray]]
    if path.is_dir():
        folder = _scan(path)
        parts = {part: _label_files(folder, part, image_shape, class_names, method) for part in folder.parts}
        notes = folder.notes()
    else:
        parts = dict(_read_arrays(path))
    if "" in parts:
        own = "folders train and test" if path.is_dir() else "x_train, y_train, x_test and y_test"
        x, y = parts[""]
        train, test = split_test(y, split_seed, class_names, f"{path}:", f"Add images of it, or give {own}")
        parts = {"train": (x[train], y[train]), "test": (x[test], y[test])}
    return parts, str(path), notes


def read_test(
    path: Path, image_shape: Sequence[int], class_names: Sequence[str], method: ResizeMethod | None = None
) -> tuple[Any, np.ndarray]:
    """Finds the images of a further test set and their labels; classes may be absent.

    Args:
        path: a folder with a folder of images for each class, or an `.npz` file with `x` and `y`.
        image_shape: (height, width, channels), channels 1 or 3.
        class_names: in the order of the labels.
        method: as for `images.resize`; arrays are not resized here.

    Returns:
        The images, an array or `ImageFiles`, and the labels.

    Raises:
        UserError: an unknown class; no image; arrays of another kind.
    """
    if path.is_file():
        arrays = _load_arrays(path, ("x", "y"))
        if missing := {"x", "y"} - set(arrays):
            raise UserError(f"{path} must hold x and y. Missing: {min(missing)}")
        return _normalize_arrays(path, arrays["x"], arrays["y"])
    classes = _list_test_classes(path)
    names = list(map(_to_nfc, class_names))
    if unknown := set(classes) - set(names):
        raise UserError(f"{path / min(unknown)} is of no class of `data.class_names`: {_join_names(class_names)}")
    if not classes:
        raise UserError(f"{path} must hold a folder of images for each class, named as in `data.class_names`")
    labels = {name: label for label, name in enumerate(names)}
    files = [file for name in classes for file in classes[name]]
    y = np.repeat(np.array([labels[name] for name in classes], np.int32), [len(each) for each in classes.values()])
    return ImageFiles(files, image_shape, method), y


def fingerprint_test(path: Path) -> str:
    """Text that changes with the files that `read_test` reads."""
    if path.is_file():
        return f"{path} {compute_fingerprint([path], INODE_FIELDS)}"
    classes = _list_test_classes(path)
    return " ".join(f"{path} {name} {compute_fingerprint(files, INODE_FIELDS)}" for name, files in classes.items())


def _list_test_classes(path: Path) -> dict[str, list[str]]:
    try:
        return _find_classes(path, _Folder({"": path}))
    except OSError as error:
        raise UserError(f"{error.filename or path} cannot be read: {error.strerror}") from error


def fingerprint(path: str | Path | None) -> str:
    """Text that changes with the names, sizes, times and places of all files that `read` reads."""
    path = resolve_path(path)
    if path.is_file():
        return compute_fingerprint([path], INODE_FIELDS)
    parts = _scan(path).parts
    return " ".join(
        f"{part}/{name} {compute_fingerprint(files, INODE_FIELDS)}"
        for part in parts
        for name, files in parts[part].items()
    )


def resolve_path(path: str | Path | None) -> Path:
    """Returns the absolute path of a folder or an `.npz` file.

    Raises:
        UserError: it does not exist.
    """
    if path is None:
        raise UserError("`data.directory` must name a folder of images by class, or an .npz file")
    path = Path(path).expanduser().absolute()
    if not path.is_dir() and not (path.is_file() and path.suffix == ".npz"):
        raise UserError(f"`data.directory` must be an existing folder or .npz file. Received: {path}")
    return path


def _scan(path: Path) -> _Folder:
    """Lists the images of a folder.

    Raises:
        UserError: parts that are not a complete set; a class whose images are of a format that is not read; a folder
            that cannot be opened.
    """
    try:
        folder = _Folder(_find_parts(path))
        folder.parts = {
            part: _find_classes(folder_of_part, folder) for part, folder_of_part in folder.part_folders.items()
        }
        if "" not in folder.part_folders:
            for entry in _list_visible(path):
                if Path(entry) not in folder.part_folders.values():
                    folder.skip(list(_walk_files(entry)) if entry.is_dir() else [entry])
    except OSError as error:
        raise UserError(f"{error.filename or path} cannot be read: {error.strerror}") from error
    return folder


def _find_parts(path: Path) -> dict[str, Path]:
    """The folder of each part of a set that is cut already, train's first; else the folder itself, as ""."""
    names = sorted(entry.name for entry in _list_visible(path) if entry.is_dir())
    named = [name for name in names if name.casefold() in _PART_NAMES]
    part_folders = {_PART_NAMES[name.casefold()]: path / name for name in named}
    if not named or (len(part_folders) == 1 and len(names) > 1):  # a class may be called train
        return {"": path}
    received = ", ".join(named)
    if len(part_folders) < len(named):
        raise UserError(f"{path} must hold one folder for each of train, validation and test. Received: {received}")
    if not set(SPLIT_NAMES) <= set(part_folders):
        raise UserError(
            f"{path} must hold both of train and test, or neither: the folders of the classes, of which a fifth is "
            f"set aside for the test. Received: {received}"
        )
    return {part: part_folders[part] for part in ("train", "validation", "test") if part in part_folders}


def _find_classes(parent: Path, folder: _Folder) -> dict[str, list[str]]:
    """The image files below `parent` by the name of their class; counts the others in `folder`."""
    classes: dict[str, list[str]] = {}
    for entry in sorted(_list_visible(parent), key=lambda entry: entry.name):
        if not entry.is_dir():
            folder.skip([entry])
            continue
        files = list(_walk_files(entry))
        class_files = [file.path for file in files if _is_image(file)]
        if not class_files and (unread := _UNREAD_IMAGES & set(map(_suffix, files))):
            raise UserError(
                f"{entry.path} holds no image of a format that is read. Received: {len(files)} files, "
                f"{', '.join(sorted(unread))}. Convert them to PNG or JPEG, or move the folder away"
            )
        if len(class_files) < len(files):
            folder.skip([file for file in files if not _is_image(file)])
        if class_files:  # two folders are one class if their names differ in the normal form alone
            classes.setdefault(_to_nfc(entry.name), []).extend(class_files)
    return {name: sorted(files, key=_sort_key) for name, files in classes.items()}


def _sort_key(file: str) -> list[str]:
    """A key by which files are sorted as by their `Path`, which takes ten times as long to make."""
    return os.path.normcase(file).split(os.sep)


def _to_nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _suffix(entry: os.DirEntry) -> str:
    return os.path.splitext(entry.name)[1].lower()


def _is_image(entry: os.DirEntry) -> bool:
    return _suffix(entry) in images.image_suffixes()


def _list_visible(folder: os.PathLike[str] | str) -> list[os.DirEntry[str]]:
    """The content of a folder without hidden files and those of the system."""
    with os.scandir(folder) as entries:
        return [
            entry
            for entry in entries
            if not entry.name.startswith(".")
            and entry.name.casefold() not in (_SYSTEM_FOLDERS if entry.is_dir() else _SYSTEM_FILES)
        ]


def _walk_files(folder: os.PathLike[str] | str) -> Iterator[os.DirEntry[str]]:
    """The files of a folder and of all folders within it. Links to folders are followed, and none is read twice."""
    folders = [folder]
    visited: set[tuple[int, int]] = set()
    while folders:
        current = folders.pop()
        status = os.stat(current)
        if (status.st_dev, status.st_ino) in visited:
            continue
        visited.add((status.st_dev, status.st_ino))
        for entry in _list_visible(current):
            if entry.is_dir():
                folders.append(entry)
            else:
                yield entry


def _label_files(
    folder: _Folder, part: str, image_shape: Sequence[int], class_names: Sequence[str], method: ResizeMethod | None
) -> tuple[ImageFiles, np.ndarray]:
    """The image files of a part, in the order of their labels, and the labels."""
    classes, folder_of_part = folder.parts[part], folder.part_folders[part]
    names = list(map(_to_nfc, class_names))
    if unknown := set(classes) - set(names):
        raise UserError(
            f"{folder_of_part / min(unknown)} is of no class of `data.class_names`: {_join_names(class_names)}"
        )
    if missing := [name for name in names if name not in classes]:
        name = missing[0]
        counts = [f"{other} has {len(those[name])}, " for other, those in folder.parts.items() if name in those]
        raise UserError(
            f"{folder_of_part} has no image of class `{name}`: {''.join(counts)}each part needs some. Put images into "
            f"{folder_of_part / name}, or remove the class from the other parts and `data.class_names`"
        )
    files = [file for name in names for file in classes[name]]
    y = np.repeat(np.arange(len(names), dtype=np.int32), [len(classes[name]) for name in names])
    return ImageFiles(files, image_shape, method), y


def _join_names(names: Sequence[str], max_names: int = 10) -> str:
    more = f" and {len(names) - max_names} more" if len(names) > max_names else ""
    return ", ".join(names[:max_names]) + more


def _read_arrays(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    arrays = _load_arrays(path, _ARRAYS)
    suffixes = {"": ""} if {"x", "y"} <= set(arrays) else {part: f"_{part}" for part in SPLIT_NAMES}
    if missing := {f"{axis}{suffix}" for suffix in suffixes.values() for axis in "xy"} - set(arrays):
        raise UserError(f"{path} must hold x_train, y_train, x_test, y_test, or x, y. Missing: {min(missing)}")
    parts = {
        part: _normalize_arrays(path, arrays[f"x{suffix}"], arrays[f"y{suffix}"]) for part, suffix in suffixes.items()
    }
    for _, y in parts.values():
        _check_labels_complete(path, y)
    return {part: (x, y.astype(np.int32)) for part, (x, y) in parts.items()}


def _load_arrays(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    try:
        return archive.load_arrays(path, names)
    except (ValueError, OSError) as error:
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}") from error


def _normalize_arrays(path: Path, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if (
        x.ndim not in (3, 4)
        or x.dtype != np.uint8
        or y.shape not in ((len(x),), (len(x), 1))
        or y.dtype.kind not in "iu"
    ):
        raise UserError(
            f"{path} must hold uint8 images with 3 or 4 axes and an integer label for each. "
            f"Received: {x.dtype} {x.shape}, {y.dtype} {y.shape}"
        )
    if len(x) == 0:
        raise UserError(f"{path} must hold images. Received: {x.dtype} {x.shape}")
    return x.reshape(*x.shape[:3], -1), y.reshape(-1)


def _check_labels_complete(path: Path, y: np.ndarray) -> None:
    if y.min() < 0 or y.max() >= len(y):  # there is no class without an image
        raise UserError(f"{path} must hold labels from 0 that leave out none. Received: {y.min()} to {y.max()}")


class FilesSource(Source):
    """`data.source=files`: `data.directory` names a folder or an `.npz` file."""

    name = "files"
    has_class_folders = True

    def infer_settings(self) -> dict[str, Any]:
        """Reads `classes` and `class_names` off the folders, unless the config has the names."""
        if self.config.get("class_names") is not None:
            return {}
        classes, names = infer_classes(self.config.get("directory"))
        return {"classes": classes, "class_names": list(names)}

    def can_list_files(self) -> bool:
        """True for a folder."""
        return resolve_path(self.config["directory"]).is_dir()

    def fingerprint(self) -> str:
        """Text that changes with the files."""
        return fingerprint(self.config["directory"])

    def read(self) -> SourceData:
        """Lists the image files, or reads the arrays."""
        config = self.config
        parts, path, notes = read(
            config["directory"],
            config["image_shape"],
            config["class_names"],
            config["split_seed"],
            config.get("resize"),
        )
        return SourceData(parts, path, tuple(notes))

    def decode(self, images: Sequence[Any], description: str) -> tuple[list[np.ndarray], tuple[str, ...]]:
        """Reads image files; arrays stay as they are."""
        if not isinstance(images[0], ImageFiles):
            return super().decode(images, description)
        arrays, resized = decode_files(images, description)
        if not resized:
            return arrays, ()
        height, width, _ = self.config["image_shape"]
        total = sum(map(len, images))
        resizing = describe_resizing(self.config.get("resize"), height, width)
        note = f"{resized:,} of {total:,} images had another size and are {resizing}"
        if self.config.get("image_size") is None:
            note += "; `data.image_size` chooses the size"
        return arrays, (note,)
