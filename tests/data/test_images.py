"""Image files of every depth, mode, orientation and format that people have, against the values that a viewer shows."""

import struct

import numpy as np
import pytest
from PIL import Image

from convzoo import UserError
from convzoo.data.images import image_suffixes, read_image, resize

LEVELS = np.array([[0, 257 * 100, 65535]], np.uint16)


def write_pgm(path, levels, white=65535):
    path.write_bytes(b"P5 %d 1 %d\n" % (levels.size, white) + levels.astype(">u2").tobytes())


def write_tiff(path, pixels, bits, photometric=1, order="<"):
    """A TIFF of one grey row, written by hand: Pillow writes neither 12 bits nor white as zero."""
    tags = {256: 3, 257: 1, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: 1, 279: len(pixels)}
    entries = [struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0) for tag, value in tags.items()]
    padding = b"\0" * (len(pixels) % 2)
    header = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(pixels + padding))
    directory = struct.pack(f"{order}H", len(entries)) + b"".join(entries) + struct.pack(f"{order}I", 0)
    path.write_bytes(header + pixels + padding + directory)


SIXTEEN_BITS = {
    "png": lambda path: Image.fromarray(LEVELS).save(path),
    "tiff": lambda path: Image.fromarray(LEVELS).save(path),
    "compressed.tif": lambda path: Image.fromarray(LEVELS).save(path, compression="tiff_lzw"),
    "big.tif": lambda path: write_tiff(path, LEVELS.astype(">u2").tobytes(), 16, order=">"),
    "negative.tif": lambda path: write_tiff(path, (65535 - LEVELS).astype("<u2").tobytes(), 16, photometric=0),
    "twelve.tif": lambda path: write_tiff(path, bytes([0x00, 0x06, 0x46, 0xFF, 0xF0]), 12),
    "pgm": lambda path: write_pgm(path, LEVELS),
    "ten.pgm": lambda path: write_pgm(path, np.array([0, 401, 1023]), 1023),
    "jp2": lambda path: Image.fromarray(np.repeat(LEVELS, 2, axis=0)).resize((3, 1)).save(path, irreversible=False),
}


@pytest.mark.parametrize("kind", SIXTEEN_BITS)
@pytest.mark.parametrize("channels", [1, 3])
def test_picture_scales_sixteen_bit_grey_levels(tmp_path, kind, channels):
    path = tmp_path / f"deep.{kind}"
    SIXTEEN_BITS[kind](path)
    levels = read_image(path, (1, 3, channels))
    assert levels.shape == (1, 3, channels)
    assert levels.reshape(3, channels).tolist() == [[level] * channels for level in (0, 100, 255)]


def test_picture_scales_sixteen_bits_before_resizing(tmp_path):
    Image.fromarray(np.full((4, 4), 257 * 100, np.uint16)).save(tmp_path / "deep.png")
    assert np.unique(read_image(tmp_path / "deep.png", (3, 3, 1))).tolist() == [100]


def write_pfm(path):
    path.write_bytes(b"Pf\n3 1\n-1.0\n" + np.array([0, 0.5, 1], "<f4").tobytes())


@pytest.mark.parametrize(
    ("kind", "write", "mode"),
    [
        ("tif", lambda path: Image.fromarray(np.array([[0, 0.5, 1]], np.float32)).save(path), "floats (mode F)"),
        ("tif", lambda path: Image.fromarray(np.array([[0, 9, 99999]], np.int32)).save(path), "integers (mode I)"),
        ("pfm", write_pfm, "floats (mode F)"),
    ],
)
def test_picture_refuses_thirty_two_bit_pixels(tmp_path, kind, write, mode):
    write(tmp_path / f"depth.{kind}")
    with pytest.raises(UserError, match=rf"depth\.{kind} is no image.*32-bit") as refused:
        read_image(tmp_path / f"depth.{kind}", (1, 3, 1))
    assert mode in str(refused.value)


# Where the first row's middle pixel of a 3 × 2 image is shown, by EXIF's definition of each orientation.
UPRIGHT = np.array([[10, 20, 30], [40, 50, 60]], np.uint8)
STORED = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.T,
    6: np.rot90(UPRIGHT),
    7: UPRIGHT[::-1, ::-1].T,
    8: np.rot90(UPRIGHT, -1),
}


@pytest.mark.parametrize("kind", ["png", "tif", "compressed.tif", "webp", "jpg", "avif"])
@pytest.mark.parametrize("orientation", STORED)
def test_picture_honours_the_orientation(tmp_path, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    # Blocks of 16 pixels survive lossy compression.
    stored = Image.fromarray(np.kron(STORED[orientation] * 4, np.ones((16, 16), np.uint8))).convert("RGB")
    options = {"compressed.tif": {"compression": "tiff_lzw"}, "webp": {"lossless": True}}.get(kind, {"quality": 95})
    stored.save(tmp_path / f"phone.{kind}", exif=exif, **options)
    levels = read_image(tmp_path / f"phone.{kind}", (32, 48, 1))[8::16, 8::16, 0]
    assert np.abs(levels.astype(int) - UPRIGHT * 4).max() <= 4


def test_picture_with_sixteen_bits_is_turned(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(UPRIGHT).astype(np.uint16) * 257).save(tmp_path / "deep.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png", (2, 3, 1))[..., 0], UPRIGHT)


def test_picture_is_read_when_its_exif_data_are_damaged(tmp_path):
    Image.fromarray(UPRIGHT).save(tmp_path / "a.png", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", (2, 3, 1))[..., 0], UPRIGHT)


def transparent(mode):
    """Opaque black beside transparent black."""
    image = Image.new(mode, (2, 1))
    opaque = {"RGBA": (0, 0, 0, 255), "LA": (0, 255)}[mode]
    image.putpixel((0, 0), opaque)
    return image


def palette():
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.putpixel((1, 0), 1)
    return image


ON_WHITE = {
    "RGBA": ("png", lambda path: transparent("RGBA").save(path)),
    "RGBA of WebP": ("webp", lambda path: transparent("RGBA").save(path, lossless=True)),
    "LA": ("png", lambda path: transparent("LA").save(path)),
    "palette": ("png", lambda path: palette().save(path, transparency=1)),
    "palette of GIF": ("gif", lambda path: palette().save(path, transparency=1)),
    "colour key": ("png", lambda path: palette().convert("RGB").save(path, transparency=(255, 0, 0))),
}


@pytest.mark.parametrize("mode", ON_WHITE)
@pytest.mark.parametrize("channels", [1, 3])
def test_picture_lays_transparent_pixels_on_white(tmp_path, mode, channels):
    suffix, write = ON_WHITE[mode]
    write(tmp_path / f"logo.{suffix}")
    assert read_image(tmp_path / f"logo.{suffix}", (1, 2, channels)).tolist() == [[[0] * channels, [255] * channels]]


def test_picture_mixes_half_transparent_pixels_with_white(tmp_path):
    Image.new("RGBA", (1, 1), (200, 0, 0, 51)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", (1, 1, 3)).ravel().tolist() == [244, 204, 204]


@pytest.mark.parametrize("kind", ["png", "tif", "pbm"])
def test_picture_of_one_bit_is_black_and_white(tmp_path, kind):
    Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1").save(tmp_path / f"a.{kind}")
    assert read_image(tmp_path / f"a.{kind}", (1, 2, 1)).ravel().tolist() == [0, 255]


def test_picture_turns_cmyk_into_rgb(tmp_path):
    Image.new("CMYK", (16, 16), (255, 0, 0, 0)).save(tmp_path / "print.jpg", quality=100)
    red, green, blue = read_image(tmp_path / "print.jpg", (16, 16, 3))[8, 8].tolist()
    assert (red < 5, green > 250, blue > 250) == (True, True, True)


@pytest.mark.parametrize("kind", ["gif", "png", "webp", "tif"])
def test_picture_of_an_animation_is_its_first_frame(tmp_path, kind):
    first, second = (Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 0, 255)))
    options = {"lossless": True} if kind == "webp" else {}
    first.save(tmp_path / f"a.{kind}", save_all=True, append_images=[second], **options)
    assert np.unique(read_image(tmp_path / f"a.{kind}", (8, 8, 3)).reshape(-1, 3), axis=0).tolist() == [[255, 0, 0]]


def test_picture_of_two_views_is_the_first(tmp_path):
    """Phones write a second image, as a gain map, behind a JPEG."""
    first, second = (Image.new("L", (8, 8), level) for level in (100, 200))
    first.save(tmp_path / "phone.jpg", "MPO", save_all=True, append_images=[second])
    assert np.unique(read_image(tmp_path / "phone.jpg", (8, 8, 1))).tolist() == [100]


FORMATS = {
    "JPEG": ["jpg", "jpeg", "jpe", "jfif", "jfi", "jif", "JPG"],
    "PPM": ["ppm", "pnm", "pgm"],
    "TIFF": ["tif", "tiff"],
    "JPEG2000": ["jp2", "j2k"],
    **{name.upper(): [name] for name in ("png", "gif", "webp", "bmp", "avif", "tga", "ico", "pcx", "dib", "sgi")},
}


@pytest.mark.parametrize(("name", "suffix"), [(name, suffix) for name in FORMATS for suffix in FORMATS[name]])
def test_picture_reads_every_suffix_of_a_format(tmp_path, name, suffix):
    Image.new("RGB", (16, 16), (250, 250, 250)).save(tmp_path / f"a.{suffix}", name)
    assert f".{suffix.lower()}" in image_suffixes()
    assert read_image(tmp_path / f"a.{suffix}", (16, 16, 3)).min() >= 245


def test_picture_takes_the_format_from_the_content(tmp_path):
    Image.new("L", (4, 4), 9).save(tmp_path / "a.jpg", "PNG")
    Image.new("L", (4, 4), 9).save(tmp_path / "b.tga", "PNG")
    for name in ("a.jpg", "b.tga"):
        assert np.unique(read_image(tmp_path / name, (4, 4, 1))).tolist() == [9]


def test_no_suffix_belongs_to_a_program_or_a_stub():
    assert not {".eps", ".ps", ".pdf", ".wmf", ".emf", ".h5", ".grib", ".bufr", ".mpg"} & set(image_suffixes())


def test_picture_that_is_too_large_is_refused_by_name(tmp_path, monkeypatch):
    Image.new("L", (40, 40)).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UserError, match=r"large\.png.*too large"):
        read_image(tmp_path / "large.png", (4, 4, 1))


def test_picture_does_not_warn_of_what_it_can_read(tmp_path, recwarn):
    """Pillow warns of a palette whose transparency is bytes, and of damaged EXIF data."""
    palette().save(tmp_path / "a.png", transparency=bytes([255, 0]))
    read_image(tmp_path / "a.png", (1, 2, 3))
    assert not recwarn


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_resize_gives_what_an_image_file_gives(tmp_path, channels):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, channels), dtype=np.uint8)
    resized = resize(pixels, 4, 5)
    assert resized.shape == (4, 5, channels)
    if channels < 4:
        Image.fromarray(pixels.squeeze()).save(tmp_path / "a.png")
        np.testing.assert_array_equal(resized, read_image(tmp_path / "a.png", (4, 5, channels)))


def test_truncated_image_is_refused(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UserError, match=r"a\.png is no image"):
        read_image(path, (4, 4, 1))
