"""One's own pictures: a folder with a folder of pictures for each class, or arrays in an `.npz` file."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from .. import UserError
from . import archive
from .cache import INODE, fingerprint
from .splits import stratified

PARTS = ("train", "test")
_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
# Pillow looks at what a file holds, whatever its name, and hands PostScript to a program.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
_TOLD = 20
_MODES = {1: "L", 3: "RGB"}


class NoPictureError(UserError):
    """A file that is no picture."""


def describe(path):
    """(classes, class names) of the pictures at `path`, by a look at names and labels alone.

    Raises:
        UserError: there is nothing of the kind.
    """
    path = existing(path)
    if path.is_dir():
        names = tuple(sorted(folder.name for folder in _folders(_parts(path).get("train", path))))
    else:
        _, labels = next(iter(_arrays(path).values()))
        names = tuple(map(str, range(labels.max(initial=-1) + 1)))
    if len(names) < 2:
        raise UserError(f"{path} must hold pictures of two classes at least. Received: {', '.join(names) or 'none'}")
    return len(names), names


def read(path, image_shape, class_names, split_seed):
    """Returns `{"train": (x, y), "test": (x, y)}` and a sentence that says where they came from.

    A folder holds `train` and `test`, each with a folder for each class, or the classes' folders themselves, of which
    a stratified fifth is set aside for the test. Pictures of another size are resized, by bilinear interpolation. A
    file holds `x_train, y_train, x_test, y_test`, as Keras's own do, or `x, y`: uint8 images (n, height, width,
    channels) or (n, height, width), of the size of `image_shape`, and integers.

    Args:
        path: the folder, or the file.
        image_shape: (height, width, channels), channels 1 or 3.
        class_names: in the order of the labels.
        split_seed: decides the fifth.

    Raises:
        UserError: no such folder or file; a file that is no picture; an unknown class; arrays of another kind.
    """
    path = existing(path)
    if path.is_dir():
        parts = {part: _pictures(folder, image_shape, class_names) for part, folder in _parts(path).items()}
        parts = parts or {"": _pictures(path, image_shape, class_names)}
    else:
        parts = _arrays(path)
    if "" in parts:
        x, y = parts[""]
        test, train = stratified(y, max(len(y) // 5, 1), split_seed)
        parts = {"train": (x[train], y[train]), "test": (x[test], y[test])}
    return parts, str(path)


def state(path):
    """Text that changes with the names, sizes, times and places of all that `read` looks at."""
    path = existing(path)
    if path.is_file():
        return fingerprint([path], INODE)
    folders = [each for part in _parts(path).values() or [path] for each in sorted(part.iterdir()) if each.is_dir()]
    return " ".join(f"{each.relative_to(path)} {fingerprint(_files(each), INODE)}" for each in folders)


def existing(path):
    """The path, absolute, of a folder or an `.npz` file that is there.

    Raises:
        UserError: it is not.
    """
    if path is None:
        raise UserError("`data.directory` must name a folder of pictures by class, or an .npz file")
    path = Path(path).expanduser().absolute()
    if not path.is_dir() and not (path.is_file() and path.suffix == ".npz"):
        raise UserError(f"`data.directory` must be a folder or an .npz file that is there. Received: {path}")
    return path


def _parts(path):
    """`train` and `test` of a folder that is cut already, else nothing."""
    parts = {part: path / part for part in PARTS if (path / part).is_dir()}
    if parts and {folder.name for folder in _folders(path)} == set(parts) != set(PARTS):
        raise UserError(f"{path} must hold both of train and test, or neither. Received: {', '.join(parts)}")
    return parts if set(parts) == set(PARTS) else {}


def _folders(path):
    return [folder for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith(".")]


def _files(folder):
    return sorted(file for file in folder.glob("*") if file.suffix.lower() in _SUFFIXES)


def picture(file, image_shape):
    """A picture of `image_shape`, uint8, resized by bilinear interpolation where it has another size.

    Args:
        file: its path.
        image_shape: (height, width, channels), channels 1 or 3.

    Raises:
        UserError: it is none that can be read, or `image_shape` has other channels.
    """
    from PIL import Image

    height, width, channels = image_shape
    if channels not in _MODES:
        raise UserError(f"`data.image_shape` of pictures must have 1 or 3 channels. Received: {list(image_shape)}")
    try:
        if not Path(file).is_file():  # a pipe would be waited for
            raise FileNotFoundError(file)
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=_FORMATS) as image:
                image = image.convert(_MODES[channels])
                if image.size != (width, height):
                    image = image.resize((width, height), Image.Resampling.BILINEAR)
                return np.asarray(image).reshape(height, width, channels)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise NoPictureError(f"{file} is no picture that can be read: it is too large") from error
    except Exception as error:  # its readers raise almost anything
        raise NoPictureError(f"{file} is no picture that can be read") from error


def _pictures(path, image_shape, class_names):
    if unknown := {folder.name for folder in _folders(path)} - set(class_names):
        raise UserError(f"{path / min(unknown)} is of no class of `data.class_names`")
    images, labels, bad = [], [], []
    for label, name in enumerate(class_names):
        for file in _files(path / name):
            try:
                images.append(picture(file, image_shape))
                labels.append(label)
            except NoPictureError:
                bad.append(str(file.relative_to(path)))
    if bad:
        more = f" and {len(bad) - _TOLD} more" if len(bad) > _TOLD else ""
        count = f"{len(bad)} of {len(bad) + len(images)} files"
        raise UserError(f"{path}: {count} cannot be read as pictures: {', '.join(bad[:_TOLD])}{more}")
    if not images:
        raise UserError(f"{path} holds no picture in folders of its classes")
    return np.stack(images), np.array(labels, np.int32)


def _arrays(path):
    try:
        found = archive.load(path)
    except (ValueError, OSError) as error:
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    suffixes = {"": ""} if {"x", "y"} <= set(found) else {part: f"_{part}" for part in PARTS}
    if missing := {f"{axis}{suffix}" for suffix in suffixes.values() for axis in "xy"} - set(found):
        raise UserError(f"{path} must hold x_train, y_train, x_test, y_test, or x, y. Missing: {min(missing)}")
    return {part: _checked(path, found[f"x{suffix}"], found[f"y{suffix}"]) for part, suffix in suffixes.items()}


def _checked(path, x, y):
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
    if y.min() < 0 or y.max() >= len(y):  # there is no class without an image
        raise UserError(f"{path} must hold labels from 0 that leave out none. Received: {y.min()} to {y.max()}")
    return x.reshape(*x.shape[:3], -1), y.reshape(-1).astype(np.int32)
