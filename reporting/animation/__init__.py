"""Animations of what a layer computes, as GIF, SVG or HTML."""

from .files import animate_layer, render_animation
from .scene import Scene, build_scene

__all__ = ["Scene", "animate_layer", "build_scene", "render_animation"]
