"""Animations written into files; the ending of a file's name is its format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ... import UserError
from ...settings.animation import FORMATS
from ..html import render_page
from .gif import render_gif
from .scene import STYLES, Scene, build_scene

if TYPE_CHECKING:
    import keras
    import numpy as np


def animate_layer(layer: keras.Layer, inputs: np.ndarray, path: str | Path, seconds: float = 1.0) -> Path:
    """Call a layer on one image, and write an animation of how each output value is computed.

    Args:
        layer: a convolution, transposed convolution, locally connected layer or pool of convzoo or Keras, with
            channels last.
        inputs: shape (height, width, channels), a few cells large.
        path: of the file, which ends in `.gif`, `.html` or `.svg`. An existing file is replaced.
        seconds: that each picture is shown; default 1.

    Returns:
        The path.

    Raises:
        UserError: the layer cannot be traced, the maps are too large for a picture, or the file cannot be written.

    Example:
        >>> from convzoo.layers import MaxPooling2D
        >>> animate_layer(MaxPooling2D(2), np.arange(16).reshape(4, 4, 1), "max_pooling.svg")
        PosixPath('max_pooling.svg')
    """
    from ...evaluation.traces import trace_layer

    path = Path(path)
    check_format(path)
    scene = build_scene(trace_layer(layer, inputs))
    try:
        path.write_bytes(render_animation(scene, path.suffix.lower(), seconds))
    except OSError as error:
        raise UserError(f"`animate={path}`: {error.strerror}") from error
    return path


def check_format(path: Path) -> None:
    """Refuse a file whose ending is no format of an animation.

    Raises:
        UserError: it is none.
    """
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"`animate` must be a file that ends in {', '.join(FORMATS)}. Received: animate={path}")


def render_animation(scene: Scene, suffix: str, seconds: float = 1.0) -> bytes:
    """Render a scene.

    Args:
        scene: its pictures.
        suffix: one of `FORMATS`.
        seconds: that each picture is shown.
    """
    if suffix == ".gif":
        return render_gif(scene, seconds)
    template = "animation.html" if suffix == ".html" else "animation_image.html"
    return render_page(template, scene=scene, runs=scene.runs(), styles=STYLES, seconds=seconds).encode()
