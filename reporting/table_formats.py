"""Tables for papers and spreadsheets: LaTeX, CSV and Markdown."""

import csv
import io
from collections.abc import Callable, Sequence
from typing import Literal

from ..evaluation.statistics import MIN_SEEDS, Spread, clip_interval
from ..settings.text import csv_cell, printable

TableFormat = Literal["latex", "csv", "markdown"]

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "–": "--",
    "±": r"$\pm$",
    "×": r"$\times$",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}  # by character


def format_table(heads: Sequence[str], rows: Sequence[Sequence[str]], form: TableFormat) -> str:
    r"""Format a table, with control characters escaped.

    Args:
        heads: the heads of the columns.
        rows: a text for each column.
        form: "latex" (with the package booktabs), "csv" or "markdown".

    Example:
        >>> print(format_table(["model", "accuracy, %"], [["nin", "90.10"]], "markdown"), end="")
        | model | accuracy, % |
        |---|---|
        | nin | 90.10 |
    """
    lines = [[printable(cell) for cell in row] for row in (heads, *rows)]
    return _FORMATS[form](lines)


def format_share_interval(spread: Spread, lowest: float) -> str:
    """Format the interval of shares from `lowest` to 1, in hundredths."""
    if spread.n < MIN_SEEDS:
        return "too few seeds"
    shown = clip_interval(spread, lowest, 1)
    sign = "+" if lowest < 0 else ""
    return f"{100 * shown[0]:{sign}.2f} to {100 * shown[1]:{sign}.2f}" if shown else "–"


def format_p_value(p: float | None) -> str:
    """Format a p-value; None has none."""
    return "–" if p is None else f"{p:.3f}" if p >= 0.001 else "< 0.001"


def _format_latex(lines: Sequence[Sequence[str]]) -> str:
    head, *body = (" & ".join("".join(_LATEX.get(c, c) for c in cell) for cell in row) + r" \\" for row in lines)
    columns = "l" * len(lines[0])
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            head,
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _format_csv(lines: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([[csv_cell(cell) for cell in row] for row in lines])
    return text.getvalue()


def _format_markdown(lines: Sequence[Sequence[str]]) -> str:
    head, *body = ("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines)
    return "\n".join([head, "|" + "---|" * len(lines[0]), *body, ""])


_FORMATS: dict[TableFormat, Callable[[Sequence[Sequence[str]]], str]] = {
    "latex": _format_latex,
    "csv": _format_csv,
    "markdown": _format_markdown,
}
