"""Tables and folded lines for the terminal."""

import textwrap
from collections.abc import Iterable, Sequence

from ..settings.terminal import terminal_width
from ..settings.text import fold as fold_text
from ..settings.text import printable, printable_lines

_WIDTH = 80  # columns where there is no terminal
_GAPS = (2, 1)  # spaces between the columns of a table, the second where the first do not fit


def fold(text: object, width: int | None = None, indent: str = "  ") -> str:
    """Break each line of a text between words, with control characters escaped.

    Args:
        text: one or more lines.
        width: the most columns of a line, unless a word is longer; None means the terminal's, 80 without a terminal.
        indent: the beginning of the second and further lines of a broken line.
    """
    return fold_text(printable_lines(text), width or terminal_width() or _WIDTH, indent)


def text_table(heads: Sequence[object], rows: Iterable[Sequence[object]], width: int | None = None) -> str:
    """Format a table, with control characters escaped.

    Where it is too wide, heads are broken between words, then cells. Where even that is too wide, each row becomes a
    paragraph.

    Args:
        heads: the heads of the columns.
        rows: a cell for each column.
        width: the most columns of the terminal that the table takes; None means all.
    """
    width = width or terminal_width() or _WIDTH
    lines = [[printable(cell) for cell in row] for row in (heads, *rows)]
    for gap in _GAPS:
        if widths := _column_widths(lines, width - gap * (len(heads) - 1)):
            head, *body = (_table_lines(line, widths, " " * gap) for line in lines)
            rule = "─" * max(len(line) for block in (head, *body) for line in block)
            return "\n".join([*head, rule, *(line for block in body for line in block)])
    names, *cells = lines
    paragraphs = [", ".join(f"{name}: {cell}" for name, cell in zip(names, row, strict=True)) for row in cells]
    return "\n".join(fold(paragraph, width) for paragraph in paragraphs)


def _column_widths(lines: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """Choose the width of each column so that a table fits, or return None if it cannot without breaking words.

    Args:
        lines: the heads and the rows.
        room: columns of the terminal that the cells of a row may take.
    """
    columns = list(zip(*lines, strict=True))
    natural = [max(map(len, column)) for column in columns]
    with_broken_heads = [max(_longest_word(head), *map(len, cells), 0) for head, *cells in columns]
    with_broken_cells = [max(map(_longest_word, column)) for column in columns]
    for narrow in (with_broken_heads, with_broken_cells):
        if sum(narrow) <= room:
            return _widen_columns(narrow, natural, room)
        natural = narrow
    return None


def _widen_columns(narrow: Sequence[int], natural: Sequence[int], room: int) -> list[int]:
    """Distribute the remaining room to the columns that could be wider, those that need most last."""
    widths = list(narrow)
    for index in sorted(range(len(widths)), key=lambda index: natural[index] - narrow[index]):
        widths[index] = min(natural[index], narrow[index] + max(0, room - sum(widths)))
    return widths


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)


def _table_lines(cells: Sequence[str], widths: Sequence[int], gap: str) -> list[str]:
    """Format one row, its cells broken between words."""
    broken = [
        textwrap.wrap(cell, width, break_long_words=False, break_on_hyphens=False) if len(cell) > width else [cell]
        for cell, width in zip(cells, widths, strict=True)
    ]
    height = max(map(len, broken))
    broken = [[*lines, *[""] * (height - len(lines))] for lines in broken]
    return [
        gap.join(part.ljust(width) for part, width in zip(parts, widths, strict=True)).rstrip()
        for parts in zip(*broken, strict=True)
    ]
