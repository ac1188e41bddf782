"""The page of results: its numbers are those of the tables, and it is written again byte for byte."""

import re
from itertools import combinations
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from accuracy_rows import make_row, write_rows
from matplotlib.backends.backend_agg import FigureCanvasAgg

from convzoo import UserError
from convzoo.benchmarks import results_page
from convzoo.reporting.accuracy_page import read_published_errors, render_results
from convzoo.reporting.accuracy_table import FOLDER, AccuracyRow, AccuracyTable, group_rows, read_table, table_paths
from convzoo.reporting.plots.accuracies import draw_accuracy_by_macs, draw_test_errors

ROOT = Path(__file__).parents[2]
RUN_ID = "f" * 32


def cells_of(rows):
    return group_rows(AccuracyTable(question="?", rows=[AccuracyRow(**row) for row in rows]))


def page_of(folder, rows):
    write_rows(folder / "zoo.json", rows)
    return render_results(folder)["results.md"]


def table_lines(page, head):
    """The rows of the table whose first columns are these, as cells."""
    lines = page[page.index(head) :].partition("\n\n")[0].splitlines()
    return [
        dict(zip(lines[0].strip("| ").split(" | "), line.strip("| ").split(" | "), strict=True)) for line in lines[2:]
    ]


def test_docs_are_what_the_tables_give():
    """Plots are compared if Matplotlib has the version of constraints.txt: another one writes other bytes."""
    outdated = results_page.list_outdated()
    if f"matplotlib=={matplotlib.__version__}\n" not in (ROOT / "constraints.txt").read_text():
        outdated = [name for name in outdated if name.endswith(".md")]
    assert outdated == []


def test_page_is_the_same_at_every_call(tmp_path):
    rows = [
        make_row(network=name, macs=macs) for name, macs in {"lenet": 10**6, "nin": 10**8, "allconv": 10**8}.items()
    ]
    write_rows(tmp_path / "zoo.json", rows)
    first = render_results(tmp_path)
    write_rows(tmp_path / "zoo.json", rows[::-1])
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red", "svg.hashsalt": "other"}):
        assert render_results(tmp_path) == first
    names = {"results.md", "results_zoo_macs.svg", "results_zoo_minutes.svg", "results_zoo_errors.svg"}
    assert set(first) == names
    assert not re.search(r"<dc:date>|Matplotlib v", "".join(first.values()))


@pytest.mark.parametrize("key", ["run_id", "seed", "code"])
def test_page_refuses_a_row_that_lacks(tmp_path, key):
    row = make_row()
    del row[key]
    with pytest.raises(UserError, match=rf"^zoo\.json: `rows\.1\.{key}` is missing$"):
        page_of(tmp_path, [make_row(), row])


@pytest.mark.parametrize(
    ("key", "value"),
    [("run_id", ""), ("run_id", None), ("seed", None), ("seed", "0"), ("code", ""), ("accuracy", 65.0), ("images", {})],
)
def test_page_refuses_a_row_whose_value_is_none(tmp_path, key, value):
    with pytest.raises(UserError, match=rf"^zoo\.json: `rows\.0\.{key}") as caught:
        page_of(tmp_path, [make_row(**{key: value})])
    assert "\n" not in str(caught.value)


def test_page_refuses_a_file_that_is_no_json(tmp_path):
    (tmp_path / "zoo.json").write_text("{")
    with pytest.raises(UserError, match=r"^zoo\.json is no JSON file"):
        render_results(tmp_path)


def test_page_has_mean_and_interval_over_three_seeds(tmp_path):
    """0.70, 0.72 and 0.74: their deviation is 0.02, and Student's t for two degrees of freedom is 4.303."""
    rows = [make_row(seed=seed, accuracy=accuracy) for seed, accuracy in enumerate((0.70, 0.72, 0.74))]
    (line,) = table_lines(page_of(tmp_path, rows), "| network | million MACs")
    half = 4.303 * 0.02 / 3**0.5
    assert line["test accuracy, %"] == f"72.00 ({72 - 100 * half:.2f} to {72 + 100 * half:.2f})"
    assert (line["seeds"], line["error, %"], line["minutes"]) == ("0, 1, 2", "28.00", "1.5")


def test_page_marks_minutes_of_a_busy_machine(tmp_path):
    rows = [make_row(seed=seed, load_per_core=load) for seed, load in enumerate((None, 1.0, 4.0))]
    (line,) = table_lines(page_of(tmp_path, rows), "| network | million MACs")
    assert line["minutes"] == "1.5 (busy)"
    (line,) = table_lines(page_of(tmp_path, rows[:2]), "| network | million MACs")
    assert line["minutes"] == "1.5"


def test_page_has_interval_over_images_for_one_seed(tmp_path):
    """Wilson's interval: (p + z²/2n ± z·sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)."""
    (line,) = table_lines(page_of(tmp_path, [make_row()]), "| network | million MACs")
    n, p, z = 10_000, 0.65, 1.959964
    center, half = p + z * z / 2 / n, z * (p * (1 - p) / n + z * z / 4 / n**2) ** 0.5
    low, high = (100 * (center + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    assert line["test accuracy, %"] == f"65.00 ({low:.2f} to {high:.2f})"


def test_page_has_least_and_most_of_two_seeds(tmp_path):
    rows = [make_row(accuracy=0.6, flip_accuracy=0.65), make_row(seed=1, accuracy=0.7, flip_accuracy=0.75)]
    (line,) = table_lines(page_of(tmp_path, rows), "| network | million MACs")
    assert line["test accuracy, %"] == "65.00 (60.00 to 70.00)"
    assert line["with flip, %"] == "70.00 (65.00 to 75.00)"
    assert "with six views, %" not in line


def test_page_shows_original_images_where_a_row_has_them(tmp_path):
    """By Wilson's formula with z = 1.959964, 900 right of 1,000 give 0.87985 to 0.91709."""
    write_rows(tmp_path / "mine.json", [make_row()])
    assert "on original images" not in render_results(tmp_path)["results.md"]
    extra = {"original_accuracy": 0.9, "original_count": 1000}
    write_rows(tmp_path / "mine.json", [make_row(), make_row(network="nin", **extra)])
    page = render_results(tmp_path)["results.md"]
    assert "| on original images, % |" in page
    assert "| 90.00 (87.98 to 91.71) of 1,000 |" in page


def test_page_keeps_rows_of_changed_settings_apart(tmp_path):
    """A recipe may have changed between two runs of one command: no mean is taken over both."""
    rows = [make_row(), make_row(seed=1, cell="of another recipe", code="f" * 16)]
    lines = table_lines(page_of(tmp_path, rows), "| network | million MACs")
    assert [(line["seeds"], line["code"]) for line in lines] == [("0", "0123456"), ("1", "fffffff")]


def test_page_lists_each_run_and_what_all_share(tmp_path):
    rows = [make_row(run_id=RUN_ID), make_row(network="allconv", macs=10**8, not_learning="at chance")]
    page = page_of(tmp_path, rows)
    assert table_lines(page, "| network | seed")[0]["run ID"] == f"`{RUN_ID}`"
    (shared,) = table_lines(page, "| settings | data")
    assert (shared["data"], shared["epochs"], shared["code"]) == ("cifar10, JPEG copy", "10", "0123456")
    lenet, allconv = table_lines(page, "| network | million MACs")
    assert (lenet["the paper's error, %"], allconv["the paper's error, %"]) == ("–", "9.08, 7.25+")
    assert allconv["test accuracy, %"].endswith("; 1 of 1 did not learn")


def test_published_errors_are_those_of_the_networks_file():
    assert read_published_errors("allconv") == {"cifar10": 9.08, "cifar10+": 7.25, "cifar100": 33.71}
    assert read_published_errors("lenet_of_a_study") == {}


def test_write_removes_plots_of_tables_that_are_gone(tmp_path):
    tables, docs = tmp_path / "results", tmp_path / "docs"
    tables.mkdir()
    docs.mkdir()
    write_rows(tables / "zoo.json", [make_row()])
    results_page.write_results(tables, docs)
    (docs / "results_gone_macs.svg").write_text("")
    assert results_page.list_outdated(tables, docs) == ["results_gone_macs.svg"]
    results_page.write_results(tables, docs)
    assert results_page.list_outdated(tables, docs) == []


def test_names_of_points_cover_no_other_name():
    random = np.random.default_rng(0)
    rows = [
        make_row(network=f"network_{n}", macs=int(10 ** random.uniform(6, 9)), accuracy=random.uniform(0.6, 0.9))
        for n in range(50)
    ]
    figure = draw_accuracy_by_macs(cells_of(rows))
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts]
    assert len(boxes) > 30
    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]


def test_errors_are_drawn_beside_the_papers():
    figure = draw_test_errors(cells_of([make_row(network="allconv", accuracy=0.8)]), {"allconv": (7.25, True)})
    drawn = sorted({round(float(x), 6) for line in figure.axes[0].lines for x in line.get_xdata()})
    assert drawn == [7.25, 20]


@pytest.mark.parametrize("path", table_paths(FOLDER), ids=lambda path: path.stem)
def test_recorded_rows_tell_one_code_and_run_each(path):
    table = read_table(path)
    assert table.question.endswith("?")
    assert len({row.run_id for row in table.rows}) == len({row.key for row in table.rows}) == len(table.rows)
