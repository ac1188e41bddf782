"""The page `docs/results.md` and its plots, written from the tables in `results/` alone."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from .accuracy_table import AccuracyCell, AccuracyRow, AccuracyTable, MeanAccuracy, group_rows, read_table, table_paths
from .plots.accuracies import draw_accuracy_by_macs, draw_accuracy_by_minutes, draw_test_errors, render_svg

PAGE = "results.md"
NETWORKS = Path(__file__).parents[1] / "models" / "networks.json"
_DIGITS = 7  # of a digest that is shown
_HEAD = """# Results

<!-- Written by `python -m convzoo.benchmarks.results_page`. Do not edit. -->

Measured accuracies. Each number is computed from the recorded runs in [`results/`](../results), and each run is listed
with its ID, its command and the version of its code. `python -m convzoo.benchmarks.accuracies` makes such runs.
[Earlier measurements](results_earlier.md), recorded without run IDs, have a page of their own. So has
[speed](../benchmarks/README.md).

| word | meaning |
|---|---|
| JPEG copy | the images of the data set after JPEG compression. The published images give other numbers |
| (… to …) | of one seed, the 95 % interval over test images (Wilson's); of two seeds, the least and the most |
| | of three seeds and more, the 95 % interval of the mean over seeds (Student's) |
| with flip | test-time augmentation: the mean of the scores for an image and its mirror image |
| with six views | the same with two shifts of the image by one pixel: `test_views=translate` |
| the paper's error | as published, with another recipe and more epochs; "+" is with augmented training images |
| busy | other processes used the machine too, so that the training took longer |
| code | digest of the source files that decide a result |
"""

Column = tuple[str, list[str]]  # head and cells


def render_results(folder: Path) -> dict[str, str]:
    """Render the page of results and its plots.

    Args:
        folder: of the tables.

    Returns:
        A mapping from file name to text, the same at every call.

    Raises:
        UserError: a table cannot be read, or a row lacks its run ID, its seed or its code version.
    """
    files: dict[str, str] = {}
    sections = [_HEAD]
    for path in table_paths(folder):
        table = read_table(path)
        cells = group_rows(table)
        plots = _draw_plots(path.stem, cells)
        files.update({name: render_svg(draw) for name, (_, draw) in plots.items()})
        images = [f"![{title}]({name})" for name, (title, _) in plots.items()]
        blocks = [f"## {table.question}", *_format_cells(cells), *images, _format_runs(table)]
        sections.append("\n\n".join(blocks) + "\n")
    return {PAGE: "\n".join(sections), **files}


def read_published_errors(network: str) -> dict[str, float]:
    """Return the errors that a network's paper states, in percent, by data set; "+" is with augmentation.

    Args:
        network: name of the network; one that is not in the list of networks has none.
    """
    row = json.loads(NETWORKS.read_text()).get(network, {"cells": ["", ""]})
    errors = re.findall(r"([\d.]+) ([\w+]+)", row["cells"][-2])  # before the title
    return {data: float(error) for error, data in errors}


def _draw_plots(name: str, cells: Sequence[AccuracyCell]) -> dict[str, tuple[str, Callable[[], Figure]]]:
    """Return a mapping from file name to the title of a plot and the function that draws it."""
    if not cells:
        return {}
    plots: dict[str, tuple[str, Callable[[], Figure]]] = {
        f"results_{name}_macs.svg": ("Accuracy and multiplications", partial(draw_accuracy_by_macs, cells)),
        f"results_{name}_minutes.svg": ("Accuracy and minutes", partial(draw_accuracy_by_minutes, cells)),
    }
    published = {cell.first.network: error for cell in cells if (error := _find_comparable_error(cell))}
    if published:
        compared = [cell for cell in cells if cell.first.network in published]
        plots[f"results_{name}_errors.svg"] = (
            "Errors, and the papers'",
            partial(draw_test_errors, compared, published),
        )
    return plots


def _find_comparable_error(cell: AccuracyCell) -> tuple[float, bool] | None:
    """Return the published error on the cell's data set, and whether it is with augmentation, which is preferred."""
    errors, data = read_published_errors(cell.first.network), cell.first.images.name
    if f"{data}+" in errors:
        return errors[f"{data}+"], True
    return (errors[data], False) if data in errors else None


def _format_cells(cells: Sequence[AccuracyCell]) -> list[str]:
    """Format a row for each cell; what all of them share becomes a table of its own."""
    rows = [cell.first for cell in cells]
    measured: list[Column] = [
        ("network", [row.network for row in rows]),
        ("million MACs", [f"{row.macs / 1e6:,.1f}" for row in rows]),
        ("parameters", [f"{row.parameters:,}" for row in rows]),
        ("test accuracy, %", [_format_accuracy(cell.accuracy) + _format_not_learning(cell) for cell in cells]),
        ("with flip, %", [_format_accuracy(cell.flip_accuracy) for cell in cells]),
        ("with six views, %", [_format_accuracy(cell.views_accuracy) for cell in cells]),
        ("on original images, %", [_format_original(cell) for cell in cells]),
        ("seeds", [", ".join(str(row.seed) for row in cell.rows) for cell in cells]),
        ("error, %", [f"{100 * (1 - cell.accuracy.mean):.2f}" for cell in cells]),
        ("the paper's error, %", [_format_published(row) for row in rows]),
        ("minutes", [f"{cell.mean_minutes:.1f}{' (busy)' * cell.is_busy}" for cell in cells]),
    ]
    settings: list[Column] = [
        ("settings", [_format_code(" ".join(row.settings)) for row in rows]),
        ("data", [row.images.describe() for row in rows]),
        ("epochs", [str(row.epochs) for row in rows]),
        ("precision", [row.precision for row in rows]),
        ("machine", [_format_values(row.machine for row in cell.rows) for cell in cells]),
        ("code", [_format_values(row.code[:_DIGITS] for row in cell.rows) for cell in cells]),
    ]
    shared = [(head, values[0]) for head, values in settings if len(set(values)) == 1]
    own = [(head, values) for head, values in settings if len(set(values)) > 1]
    present = [(head, values) for head, values in measured if set(values) != {"–"}]
    blocks = [_format_table([(head, [value]) for head, value in shared])] if shared else []
    return [*blocks, _format_table([*present, *own])] if cells else ["No run yet."]


def _format_runs(table: AccuracyTable) -> str:
    rows = sorted(table.rows, key=lambda row: (row.macs, row.key))
    columns: list[Column] = [
        ("network", [row.network for row in rows]),
        ("seed", [str(row.seed) for row in rows]),
        ("test accuracy, %", [f"{100 * row.accuracy:.2f}" for row in rows]),
        ("run ID", [_format_code(row.run_id) for row in rows]),
        ("code", [_format_code(row.code) for row in rows]),
        ("commit", [_format_code(_shorten_commit(row.commit or "")) for row in rows]),
        ("date", [row.date for row in rows]),
        ("command", [_format_code(row.command) for row in rows]),
    ]
    return f"<details><summary>The runs</summary>\n\n{_format_table(columns)}\n\n</details>"


def _format_table(columns: Sequence[Column]) -> str:
    heads, values = zip(*columns, strict=True)
    rows = [heads, ["---"] * len(heads), *zip(*values, strict=True)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def _format_accuracy(accuracy: MeanAccuracy | None) -> str:
    if accuracy is None:
        return "–"
    low, high = accuracy.interval or (accuracy.mean, accuracy.mean)
    interval = f" ({100 * low:.2f} to {100 * high:.2f})" if accuracy.interval else ""
    return f"{100 * accuracy.mean:.2f}{interval}"


def _format_original(cell: AccuracyCell) -> str:
    if cell.original_accuracy is None:
        return "–"
    return f"{_format_accuracy(cell.original_accuracy)} of {cell.first.original_count:,}"


def _format_not_learning(cell: AccuracyCell) -> str:
    count = sum(row.not_learning is not None for row in cell.rows)
    return f"; {count} of {len(cell.rows)} did not learn" if count else ""


def _format_published(row: AccuracyRow) -> str:
    data = row.images.name
    errors = {key: error for key, error in read_published_errors(row.network).items() if key.rstrip("+") == data}
    return ", ".join(f"{error:g}{key.removeprefix(data)}" for key, error in errors.items()) or "–"


def _format_values(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(values))


def _shorten_commit(commit: str) -> str:
    """Return the first digits of a commit, and "-dirty" if it has that."""
    digits, dash, dirty = commit.partition("-")
    return f"{digits[:_DIGITS]}{dash}{dirty}"


def _format_code(text: str) -> str:
    return f"`{text}`" if text else "–"
