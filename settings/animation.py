"""The settings of an animation of a layer: names, types, defaults and ranges."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from .schema import Settings, rule
from .text import has_only_text

FORMATS = (".gif", ".html", ".svg")
ALL_EXAMPLES = "all"
_PLACEHOLDER = "{example}"


def _is_animation_file(value: object) -> bool:
    return isinstance(value, str) and has_only_text(value) and Path(value).suffix.lower() in FORMATS


def _is_shape(value: Any) -> bool:
    is_list = isinstance(value, list) and len(value) in (2, 3)
    return value is None or (is_list and all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in value))


class AnimationSettings(Settings):
    """All settings of an animation, beside the arguments of the layer."""

    animate: Annotated[str, rule(_is_animation_file, f"a file that ends in {', '.join(FORMATS)}")] = Field(
        description=f"file to write; its ending is the format: {', '.join(FORMATS)}"
    )
    layer: str | None = Field(None, description="name of a layer, as Conv2D; typed without a key")
    example: str | None = Field(None, description="name of an example; list prints them, all writes them all")
    image_shape: Annotated[list[int] | None, rule(_is_shape, "a list of 2 or 3 positive integers")] = Field(
        None, examples=["[6,6,2]"], description="height, width and channels of the image; default: 5 to 8 cells"
    )
    image: Any = Field(
        None,
        examples=["[[3,0,1],[1,2,2],[0,1,3]]"],
        description="numbers of the image, in place of random ones: rows of cells, or rows of cells of channels",
    )
    image_seed: int = Field(0, ge=0, description="of the random numbers in the image and the weights")
    seconds: float = Field(1.0, gt=0, le=60, description="how long each picture is shown")

    @model_validator(mode="after")
    def _check_combinations(self) -> "AnimationSettings":
        if self.layer is None and self.example is None:
            raise ValueError("`animate` needs a layer, as Conv2D, or `example=NAME`; `example=list` lists the examples")
        if self.layer is not None and self.example is not None:
            raise ValueError(f"`example={self.example}` has its own layer. Received also: {self.layer}")
        if self.image is not None and self.image_shape is not None:
            raise ValueError("`image` has its own shape: leave out `image_shape`")
        if self.example == ALL_EXAMPLES and _PLACEHOLDER not in self.animate:
            raise ValueError(
                f"`animate` must contain {_PLACEHOLDER} for all examples. Received: animate={self.animate}"
            )
        return self

    def file_for(self, example: str) -> str:
        """Return the file of an example: `animate` with the example's name for `{example}`."""
        return self.animate.replace(_PLACEHOLDER, example)
