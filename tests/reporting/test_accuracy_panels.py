"""The interactive page of a study: a panel for each network, pooling along the bottom, a line for each dropout."""

import html
import re

import pytest
from synthetic_runs import make_grid, make_run

from convzoo.reporting.accuracy_panels import Scale, render_accuracy
from convzoo.reporting.study_report import StudyReport

AXES = {"model": ["lenet", "nin"], "stride": ["1", "2"], "pooling": ["max", "l2"], "dropout": ["0", "0.5"]}


def render(runs):
    report = StudyReport("mine", runs)
    return html.unescape(render_accuracy("mine", report.cells, report.axes) or "")


def test_page_has_a_panel_a_network_and_a_line_a_dropout():
    page = render(make_grid(AXES))
    assert re.findall("<figcaption>(.*?)</figcaption>", page) == [
        "lenet, stride 1",
        "lenet, stride 2",
        "nin, stride 1",
        "nin, stride 2",
    ]
    assert re.findall(r"</span> (.*?)</button>", page) == ["dropout 0", "dropout 0.5"]
    assert len(re.findall('<g data-line="0">', page)) == 4
    assert page.count('class="mean"') == 16
    assert page.count(">pooling</text>") == 4
    assert "95 % intervals" in page


def test_page_states_mean_interval_and_seeds_of_cell():
    shares = (0.60, 0.62, 0.64)
    runs = [
        make_run({"pooling": kind}, seed, share + more)
        for kind, more in (("max", 0), ("l2", 0.1))
        for seed, share in enumerate(shares)
    ]
    page = render(runs)
    # Student's interval of 0.62 with deviation 0.02 and two degrees of freedom: 4.303 · 0.02 / √3 = 0.0497
    assert "pooling max; mean 62.00%, 57.03% to 66.97%; seed 0: 60.00%; seed 1: 62.00%; seed 2: 64.00%" in page


def test_page_marks_runs_that_did_not_learn_and_few_seeds():
    runs = make_grid({"pooling": ["max", "l2"]}, seeds=(0, 1))
    runs[0].not_learning = "the loss stays"
    page = render(runs)
    assert page.count('stroke="#c00000"') == 1
    assert "seed 0" in page
    assert "did not learn" in page
    assert "an interval takes 3" in page


@pytest.mark.parametrize(
    "axes", [{"model": ["lenet", "nin"]}, {"dropout": ["0", "0.5"]}, {"model.layers.c.k": ["3", "5"]}]
)
def test_page_of_single_axis_has_one_panel(axes):
    page = render(make_grid(axes))
    assert page.count("<figure>") == 1
    assert page.count('class="mean"') == 2


def test_page_needs_axis():
    assert render_accuracy("mine", StudyReport("mine", make_grid({})).cells, []) is None


def test_page_escapes_strange_values():
    report = StudyReport("mine", make_grid({"pooling": ["<script>alert(1)</script>", 'a" onload="x']}))
    page = render_accuracy("mine", report.cells, report.axes)
    assert "<script>alert" not in page
    assert 'a" onload' not in page


def test_scale_has_round_ticks_inside():
    ticks = Scale(0.571, 0.779).ticks()
    assert [label for _, label in ticks] == ["60%", "65%", "70%", "75%"]
    heights = [y for y, _ in ticks]
    assert heights == sorted(heights, reverse=True)
    assert Scale(0.5, 0.5101).ticks()[0][1] == "50.0%"
