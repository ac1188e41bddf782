"""What all pages of a report share."""

import base64
import functools
import html
import io

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; }}
td, th {{ padding: .2rem .8rem; border-bottom: 1px solid #ddd; text-align: left; }}
img {{ max-width: 100%; display: block; margin: 1.5rem 0; }}
li.supported {{ color: #06622d; }} li.refuted {{ color: #9c1c1c; }} li.undecided {{ color: #555; }}
</style></head><body>
{body}
</body></html>
"""


def write(folder, files):
    """Writes files, a mapping from name to text or figure, into a `Path`, which it makes and returns."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        (folder / file).write_bytes(content.encode() if isinstance(content, str) else _png(content))
    return folder


def picture(name, figure):
    """A matplotlib figure as an element of a page, its pixels inside of it."""
    pixels = base64.b64encode(_png(figure)).decode()
    return f'<img alt="{html.escape(name)}" src="data:image/png;base64,{pixels}">'


@functools.lru_cache(64)  # drawn once for the page and for the file
def _png(figure):
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110)
    return data.getvalue()


def table(heads, rows):
    """A table of words, for a page."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in heads)
    lines = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{lines}</table>"


def text_table(heads, rows):
    """A table of words, for the terminal."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (heads, *rows)
    ]
    return "\n".join([lines[0], "─" * max(map(len, lines)), *lines[1:]])
