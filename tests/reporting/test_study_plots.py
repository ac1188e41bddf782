"""What the pictures of a study show, at two cells and at a hundred."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from synthetic_runs import make_grid, make_grid_of_100, make_run

from convzoo.evaluation.comparison import compute_differences, group_cells
from convzoo.reporting.plots.study import (
    choose_layout,
    draw_cells,
    draw_cost,
    draw_differences,
    draw_interactions,
)


@pytest.fixture(scope="module")
def hundred():
    return group_cells(make_grid_of_100())


def legend_ends(figure):
    """(x0, y0, x1, y1) of the figure's legend as fractions of the figure."""
    canvas = FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    (legend,) = figure.legends
    return legend.get_window_extent(canvas.get_renderer()).transformed(figure.transFigure.inverted()).extents


def is_inside(ends):
    return min(ends) >= -0.001 and max(ends) <= 1.001


def test_cost_points_stand_at_their_cost_on_log_axis(hundred):
    found, axes = hundred
    figure = draw_cost(found, axes)
    (plot,) = figure.axes
    assert plot.get_xscale() == "log"
    points = [(line.get_xdata()[0], line.get_ydata()[0]) for line in plot.lines if len(line.get_xdata()) == 1]
    assert sorted(points) == sorted((cell.macs / 1e6, cell.spread().mean) for cell in found)
    assert is_inside(legend_ends(figure))


def test_cost_of_network_without_multiplications_has_linear_axis():
    found, axes = group_cells([make_run({"dropout": d}, 0, 0.5, macs) for d, macs in (("0", 0), ("1", 10**6))])
    assert draw_cost(found, axes).axes[0].get_xscale() == "linear"


def test_cell_pages_show_each_cell_once_on_one_scale(hundred):
    pages = draw_cells("study", hundred[0], "test_accuracy")
    labels = [text.get_text() for page in pages for text in page.axes[0].get_yticklabels()]
    assert len(pages) == 3
    assert len(labels) == 100 + 3  # each page has the names of the axes
    assert len({page.axes[0].get_xlim() for page in pages}) == 1
    assert is_inside(legend_ends(pages[0]))


def test_cells_of_two_seeds_have_no_interval():
    found, _ = group_cells(make_grid({"dropout": ["0", "0.5"]}, seeds=(0, 1)))
    (page,) = draw_cells("study", found, "test_accuracy")
    assert not [line for line in page.axes[0].lines if line.get_linestyle() == "-" and len(line.get_xdata()) == 2]


def test_layout_gives_each_network_panel(hundred):
    layout = choose_layout(*hundred)
    assert (layout.along, layout.lines, layout.panels) == ("pooling", "dropout", ("model", "stride"))
    (figure,) = draw_interactions(*hundred)
    titles = [axes.get_title() for axes in figure.axes if axes.get_visible()]
    assert titles[:2] == ["allconv, stride 1", "allconv, stride 2"]
    assert len(titles) == 10
    assert is_inside(legend_ends(figure))


def test_layout_covers_or_names_every_axis_when_there_are_many():
    axes = {"model": ["a", "b"], **{f"data.{letter}": ["0", "1", "2", "3"] for letter in "pqrst"}}
    found, names = group_cells(make_grid(axes, seeds=(0,)))
    layout = choose_layout(found, names)
    assert sorted([layout.along, layout.lines, *layout.panels, *layout.averaged]) == sorted(names)
    assert layout.averaged
    assert len(draw_interactions(found, names)[0].axes) <= 24


@pytest.mark.parametrize(("values", "style"), [(["same", "valid"], "None"), (["1", "2"], "-")])
def test_interaction_joins_numbers_and_not_words(values, style):
    found, axes = group_cells(make_grid({"pooling": ["max", "l2"], "model.layers.conv1.padding": values}, seeds=(0,)))
    (figure,) = draw_interactions(found, axes)
    means = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 2 and line.get_marker() != "None"]
    assert {line.get_linestyle() for line in means} == {style}


@pytest.mark.parametrize(
    "axes",
    [{"pooling": ["max", "l2"]}, {"model": ["lenet", "nin"], "pooling": ["max", "l2", "average"]}],
    ids=["2 cells", "6 cells"],
)
def test_small_study_draws_legends_inside(axes):
    found, names = group_cells(make_grid(axes, macs=lambda settings: len(settings["pooling"]) * 10**6))
    figures = [*draw_cells("study", found, "test_accuracy"), draw_cost(found, names)]
    figures += draw_interactions(found, names) if len(names) > 1 else []
    assert all(is_inside(legend_ends(figure)) for figure in figures)


def test_figures_mark_run_that_did_not_learn():
    runs = make_grid({"model": ["lenet", "nin"], "pooling": ["max", "l2"], "dropout": ["0", "1"]})
    runs[4].not_learning, runs[4].metrics["test_accuracy"] = "at chance", 0.1
    found, axes = group_cells(runs)
    figures = [*draw_cells("study", found, "test_accuracy"), *draw_interactions(found, axes), draw_cost(found, axes)]
    for figure in figures:
        marks = [line for plot in figure.axes for line in plot.lines if line.get_marker() == "x"]
        assert sum(len(line.get_xdata()) for line in marks) == 1
        assert any("did not learn" in text.get_text() for text in figure.legends[0].get_texts())
    without = {(d.axis, d.first, d.second): d for d in compute_differences(found, axes, learning_only=True)}
    figure = draw_differences("effects", compute_differences(found, axes), without)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "all runs",
        "without those that did not learn",
    ]


def test_text_of_a_store_is_drawn_as_it_is():
    """Two dollars would begin a formula, and one that matplotlib cannot read ends the drawing."""
    hostile = r"$\bad{$" + "x" * 500
    found, axes = group_cells(make_grid({"pooling": [hostile, "_y"], "dropout": ["\x1b[2J", "0"]}))
    figures = [*draw_cells(hostile, found, "test_accuracy"), *draw_interactions(found, axes), draw_cost(found, axes)]
    for figure in [*figures, draw_differences(hostile, compute_differences(found, axes), {})]:
        FigureCanvasAgg(figure).draw()


def test_limits_hold_all_points(hundred):
    (figure,) = draw_interactions(*hundred)
    low, high = figure.axes[0].get_ylim()
    values = [value for cell in hundred[0] for value in cell.by_seed().values()]
    assert low < np.min(values)
    assert np.max(values) < high
