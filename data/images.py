"""Image files and arrays of any depth, mode and size as uint8 arrays of one shape."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .. import UserError
from .memory import check_fits_memory
from .splits import zero_pad

if TYPE_CHECKING:
    from PIL import Image

ResizeMethod = Literal["squash", "crop", "pad"]

# Pillow finds the format by the file's content. PostScript is left out: Pillow gives it to a program.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "AVIF", "JPEG2000")
# Formats without a clear signature are tried only where the suffix says so.
_FORMATS_BY_SUFFIX = ("DDS", "DIB", "ICNS", "ICO", "PCX", "PSD", "QOI", "SGI", "SUN", "TGA", "XBM", "XPM")
_MORE_SUFFIXES = {".jfi": "JPEG", ".jif": "JPEG", ".mpo": "JPEG"}
_MODES = {1: "L", 3: "RGB"}
_SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
_ORIENTATION, _BITS_PER_SAMPLE, _PHOTOMETRIC = 0x0112, 258, 262  # tags of TIFF and EXIF
_WHITE_IS_ZERO = 0


class UnreadableImageError(UserError):
    """An image file that cannot be read."""

    def __init__(self, file: str | Path, reason: str = "") -> None:
        super().__init__(f"{file} is no image that can be read{f': {reason}' if reason else ''}")
        self.reason = reason


@functools.cache
def image_suffixes() -> dict[str, str]:
    """The suffixes of image files that are read, lower case, each with the name of Pillow's format."""
    from PIL import Image

    formats = {*_FORMATS, *_FORMATS_BY_SUFFIX}
    return {suffix: name for suffix, name in Image.registered_extensions().items() if name in formats} | _MORE_SUFFIXES


def describe_resizing(method: ResizeMethod | None, height: int, width: int) -> str:
    """Describes what happens to images of another size.

    Example:
        >>> describe_resizing("crop", 32, 48)
        'resized and cropped to 32×48'
    """
    more = {"crop": " and cropped", "pad": " and padded"}.get(method or "squash", "")
    return f"resized{more} to {height}×{width}"


def read_image(file: str | Path, image_shape: tuple[int, int, int], method: ResizeMethod | None = None) -> np.ndarray:
    """Reads an image file as it is shown by a viewer, and resizes it.

    The orientation that a camera recorded is applied. Transparent pixels are laid on white. 16-bit grey levels are
    scaled to 0 to 255. Of an animation the first frame is read. An image of another size is resized as by
    `resize`.

    Args:
        file: its path.
        image_shape: (height, width, channels), channels 1 or 3.
        method: as for `resize`.

    Returns:
        uint8 array of `image_shape`.

    Raises:
        UserError: the file cannot be read, has 32-bit pixels, or is too large; `image_shape` has other channels.
    """
    with strict_decoding():
        return decode_image(file, image_shape, method)[0]


@contextmanager
def strict_decoding() -> Iterator[None]:
    """Makes Pillow raise an error for an image that is too large, and keeps its other warnings from the screen."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def decode_image(
    file: str | Path, image_shape: tuple[int, int, int], method: ResizeMethod | None = None
) -> tuple[np.ndarray, bool]:
    """Reads an image file as `read_image` does. The caller enters `strict_decoding`, once for all threads.

    Args and errors as those of `read_image`.

    Returns:
        The image, and True if it had another size.
    """
    from PIL import Image

    height, width, channels = image_shape
    if channels not in _MODES:
        raise UserError(f"`data.image_shape` of images must have 1 or 3 channels. Received: {list(image_shape)}")
    by_suffix = image_suffixes().get(Path(file).suffix.lower())
    formats = (*_FORMATS, by_suffix) if by_suffix in _FORMATS_BY_SUFFIX else _FORMATS
    try:
        if not Path(file).is_file():  # reading a pipe may block
            raise FileNotFoundError(file)
        with Image.open(file, formats=formats) as opened:
            opened.load()
            image = _to_eight_bits(_apply_orientation(opened), file)
            image = _blend_with_white(image).convert(_MODES[channels])
            is_resized = image.size != (width, height)
            return _resize(image, width, height, method).reshape(height, width, channels), is_resized
    except UnreadableImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableImageError(file, "it is too large") from error
    except Exception as error:  # its readers raise almost anything
        raise UnreadableImageError(file) from error


def resize(image: np.ndarray, height: int, width: int, method: ResizeMethod | None = None) -> np.ndarray:
    """Resizes an image by bilinear interpolation with antialiasing, as Pillow does.

    Args:
        image: uint8 of shape (height, width, channels).
        height: of the result.
        width: of the result.
        method: "squash" does not keep the proportions; "crop" keeps them, and of the longer side the centre; "pad"
            keeps them, and adds a border of zeros. None (default) is "squash".

    Returns:
        uint8 array of shape (height, width, channels).

    Example:
        >>> resize(np.full((2, 4, 1), 9, np.uint8), 4, 4, "pad")[:, 0, 0].tolist()
        [0, 9, 9, 0]
    """
    from PIL import Image

    channels = [Image.fromarray(image[..., channel]) for channel in range(image.shape[-1])]
    return np.stack([_resize(channel, width, height, method) for channel in channels], axis=-1)


def resize_images(images: Any, image_shape: tuple[int, ...], method: ResizeMethod | None, where: str) -> Any:
    """Brings an array of images to the height and width of a data config.

    Args:
        images: a uint8 array of shape (n, height, width, channels); files that become an array stay as they are.
        image_shape: (height, width, channels).
        method: as for `resize`. None resizes nothing: smaller images get a border of zeros.
        where: names the images in a message.

    Raises:
        UserError: the resized images do not fit into memory.
    """
    if method is None or not isinstance(images, np.ndarray) or images.shape[1:3] == image_shape[:2]:
        return zero_pad(images, image_shape)
    height, width = image_shape[:2]
    check_fits_memory(where, len(images), (height, width, images.shape[-1]))
    resized = np.empty((len(images), height, width, images.shape[-1]), np.uint8)
    for i, image in enumerate(images):
        resized[i] = resize(image, height, width, method)
    return resized


def _resize(image: Image.Image, width: int, height: int, method: ResizeMethod | None) -> np.ndarray:
    from PIL import Image, ImageOps

    if image.size == (width, height):
        return np.asarray(image)
    if method == "crop":
        return np.asarray(ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR))
    if method != "pad":
        return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    scale = min(width / image.width, height / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    padded = Image.new(image.mode, (width, height))
    padded.paste(image.resize(size, Image.Resampling.BILINEAR), ((width - size[0]) // 2, (height - size[1]) // 2))
    return np.asarray(padded)


def _apply_orientation(image: Image.Image) -> Image.Image:
    """Applies the orientation of the EXIF or XMP data. A TIFF file is upright once it is loaded."""
    from PIL.Image import Transpose

    methods = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    try:
        method = methods.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF data beside a good image
        return image
    if method is None:
        return image
    upright = image.transpose(method)
    upright.format = image.format
    return upright


def _to_eight_bits(image: Image.Image, file: str | Path) -> Image.Image:
    """Scales 16-bit grey levels to 0 to 255; Pillow would clip them."""
    from PIL import Image

    tags = getattr(image, "tag_v2", {})
    has_sixteen_bits = image.mode in _SIXTEEN_BITS or (image.mode == "I" and image.format in ("PPM", "PNG"))
    if not has_sixteen_bits:
        if image.mode in ("I", "F"):
            raise UnreadableImageError(
                file,
                f"its pixels are 32-bit {'integers' if image.mode == 'I' else 'floats'} (mode {image.mode}), whose "
                "black and white are not known. Save it with 8 or 16 bits",
            )
        return image
    bits = tags.get(_BITS_PER_SAMPLE, 16)
    white = 2 ** (bits[0] if isinstance(bits, tuple) else bits) - 1
    values = np.clip(np.asarray(image), 0, white).astype(np.uint32)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        values = white - values
    return Image.fromarray(((values * 255 + white // 2) // white).astype(np.uint8))


def _blend_with_white(image: Image.Image) -> Image.Image:
    from PIL import Image

    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
