"""A scene drawn by Pillow, for animated GIFs."""

import functools
import io
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from .scene import STYLES, Scene, Shape

_SCALE = 2  # pixels drawn for each that is written, along each axis: smooth letters
_COLORS = 64
_DASH = 4  # pixels


def render_gif(scene: Scene, seconds: float) -> bytes:
    """Draw a scene as an animated GIF that repeats.

    Args:
        scene: its pictures.
        seconds: that each picture is shown; the last one stays three times as long.
    """
    pictures = [draw_frame(scene, number) for number in range(len(scene.frames))]
    palette = pictures[-1].quantize(_COLORS)
    pictures = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    milliseconds = round(1000 * seconds)
    durations = [*[milliseconds] * (len(pictures) - 1), 3 * milliseconds]
    data = io.BytesIO()
    pictures[0].save(data, "GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0, optimize=True)
    return data.getvalue()


def draw_frame(scene: Scene, number: int) -> Image.Image:
    """Draw one picture of a scene.

    Args:
        scene: its pictures.
        number: of the picture, from 0.
    """
    image = Image.new("RGB", (scene.width * _SCALE, scene.height * _SCALE), "white")
    draw = ImageDraw.Draw(image)
    for shape in scene.frames[number]:
        _draw_shape(draw, shape)
    return image.resize((scene.width, scene.height), Image.Resampling.LANCZOS)


def _draw_shape(draw: ImageDraw.ImageDraw, shape: Shape) -> None:
    style, size = STYLES[shape.style], _SCALE
    font = _load_font(round(shape.size * size), shape.style == "heading")
    if not shape.width:
        draw.text((shape.x * size, shape.y * size), shape.text, style.ink, font, anchor="lm")
        return
    left, top = shape.x * size, shape.y * size
    right, bottom = (shape.x + shape.width) * size, (shape.y + shape.height) * size
    if style.fill != "none":
        draw.rectangle((left, top, right, bottom), style.fill)
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    width = round(style.width * size)
    if style.is_dashed:  # each edge from the same corner, so that the dashes of neighbours fall on each other
        for x1, y1, x2, y2 in (
            (left, top, right, top),
            (left, top, left, bottom),
            (right, top, right, bottom),
            (left, bottom, right, bottom),
        ):
            _draw_dashes(draw, x1, y1, x2, y2, style.stroke, width)
    else:
        draw.line(corners, style.stroke, width, joint="curve")
    if shape.text:
        draw.text(((left + right) / 2, (top + bottom) / 2), shape.text, style.ink, font, anchor="mm")


def _draw_dashes(draw: ImageDraw.ImageDraw, x1: float, y1: float, x2: float, y2: float, color: str, width: int) -> None:
    length, dash = max(abs(x2 - x1), abs(y2 - y1)), _DASH * _SCALE
    for start in range(0, int(length), 2 * dash):
        ends = [min(each, length) / length for each in (start, start + dash)]
        points = [(x1 + (x2 - x1) * end, y1 + (y2 - y1) * end) for end in ends]
        draw.line(points, color, width)


@functools.cache
def _load_font(size: int, is_bold: bool) -> ImageFont.FreeTypeFont:
    """Load the font that matplotlib brings with it."""
    name = "DejaVuSans-Bold.ttf" if is_bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", name), size)
