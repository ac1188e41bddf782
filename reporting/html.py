"""HTML pages of reports, from the templates in `templates/`, and the files of a report."""

import base64
import functools
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Undefined
from matplotlib.figure import Figure

from ..settings.text import printable


def write_files(folder: Path, files: Mapping[str, str | Figure]) -> Path:
    """Write texts and figures into a folder.

    Args:
        folder: is made if it does not exist.
        files: mapping from file name to text or figure.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        (folder / file).write_bytes(content.encode() if isinstance(content, str) else _render_png(content))
    return folder


def render_page(template: str, **values: Any) -> str:
    """Render a template. Text in `values` is escaped: neither HTML nor control characters get into the page.

    Args:
        template: its file name in `templates/`.
        values: the template's variables.

    Raises:
        jinja2.UndefinedError: a variable of the template is missing.
    """
    return _environment().get_template(template).render(values)


def encode_image(figure: Figure) -> str:
    """Return the address of an image that holds the pixels of a figure, for the `src` of an `img`."""
    return f"data:image/png;base64,{base64.b64encode(_render_png(figure)).decode()}"


@functools.lru_cache(64)  # the page and the file share a rendering
def _render_png(figure: Figure) -> bytes:
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110)
    return data.getvalue()


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        finalize=_escape_control_characters,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _escape_control_characters(value: Any) -> Any:
    is_markup = hasattr(value, "__html__")  # the output of a macro, or of the filter `safe`
    return value if is_markup or isinstance(value, Undefined) else printable(value)
