"""A study's page as a person reads it: a real MLflow server, a real browser, a window of 1280×800 pixels."""

import itertools
import re
import shutil

import mlflow
import pytest

from convzoo.experiments import study_page
from convzoo.settings.colors import COLORS
from convzoo.tracking import addresses, charts, study_runs
from convzoo.tracking.run import Run, RunSpec
from convzoo.tracking.run_names import name_tags, run_name

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTH, HEIGHT = 1280, 800
SECONDS = 300
SWEEP = {"model": ["lenet", "nin"], "stride": [1, 2], "pooling": ["max", "l2"], "dropout": [0, 0.5], "seed": [0, 1]}
CLAIM = {"says": "Max pooling beats L2 pooling", "better": {"pooling": "max"}, "than": {"pooling": "l2"}, "by": 0.01}


def accuracy(model, stride, pooling, dropout, seed):
    share = {"lenet": 0.6, "nin": 0.8}[model] - 0.05 * stride + {"max": 0.02, "l2": 0}[pooling]
    return share + 0.06 * dropout + seed * (0.001 if pooling == "max" else 0.003)


def mean_text(*cell):
    return f"{50 * sum(accuracy(*cell, seed) for seed in SWEEP['seed']):.2f}"


@pytest.fixture(scope="module")
def study(tmp_path_factory, serving):
    """The address of a server with a study of 32 runs, MLflow's id of the study, and the address that is printed."""
    folder = tmp_path_factory.mktemp("server")
    uri = f"sqlite:///{folder}/mlflow.db"
    file = {"question": "Does the kind of pooling matter?", "sweep": SWEEP, "claims": [CLAIM]}
    study_runs.set_up_study(uri, "grid", list(SWEEP), file)
    for *cell, seed in itertools.product(*SWEEP.values()):
        model, stride, pooling, dropout = cell
        words = [f"model={model}", f"stride={stride}", f"pooling={pooling}", f"dropout={dropout}"]
        params = dict(zip(SWEEP, (*cell, seed), strict=True), macs=400_000 // stride, parameters=60_000)
        tags = {"cell": " ".join(words), **name_tags(model, words)}
        with Run.start(RunSpec(uri, "grid", run_name(model, seed, words), params, tags)) as run:
            for epoch in (1, 2, 3):
                run.log_metrics({"val_accuracy": epoch / 5, "train_loss": 1 / epoch}, epoch)
            run.log_metrics({"test_accuracy": accuracy(*cell, seed), "training_seconds": 1.0}, 3)
    study_page.finish_page(uri, "grid")
    with serving(folder, "server", f"--backend-store-uri={uri}") as server:
        experiment = mlflow.MlflowClient(uri).get_experiment_by_name("grid").experiment_id
        yield server, experiment, addresses.how_to_open(server, experiment)


@pytest.fixture(scope="module")
def page():
    playwright = pytest.importorskip("playwright.sync_api")
    if BROWSER is None:
        pytest.skip("there is no Chromium")
    with playwright.sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.set_default_timeout(SECONDS * 1000)
        yield page
        browser.close()


def open_page(page, address):
    page.goto("about:blank")
    page.goto(address, wait_until="commit", timeout=SECONDS * 1000)


def assert_readable(locator):
    """The text lies in the window, is not cut, and nothing covers it."""
    locator.wait_for()
    box = locator.bounding_box()
    assert box["x"] >= 0
    assert box["y"] >= 0
    assert box["x"] + box["width"] <= WIDTH
    assert box["y"] + box["height"] <= HEIGHT
    assert locator.evaluate("element => element.scrollWidth <= element.clientWidth || element.clientWidth == 0")
    assert locator.evaluate(
        """element => {
            const box = element.getBoundingClientRect();
            const top = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
            return element.contains(top) || top.contains(element);
        }"""
    )


def scroll_to(page, locator):
    """Turn the wheel over the charts until a card is there: MLflow draws those near the window alone."""
    page.get_by_text("What moves accuracy").last.wait_for()
    page.mouse.move(500, 600)
    for _ in range(40):
        if locator.count():
            return locator.scroll_into_view_if_needed()
        page.mouse.wheel(0, 200)
        page.wait_for_timeout(300)
    raise AssertionError(f"{locator} is not on the page")


@pytest.mark.slow
def test_printed_address_shows_verdict_and_first_chart_at_once(study, page):
    open_page(page, study[2])
    assert_readable(page.get_by_text(re.compile("^[A-Z]+: Max pooling beats L2 pooling$")).first)
    assert_readable(page.get_by_text("stride vs. mean_test_accuracy", exact=True))
    assert_readable(page.get_by_text("What moves accuracy", exact=False).last)
    points = page.locator(".scatterlayer .point")
    points.first.wait_for()
    bottoms = points.evaluate_all("points => points.map(point => point.getBoundingClientRect().bottom)")
    assert (
        sum(0 < bottom < HEIGHT - 32 for bottom in bottoms) >= 8
    )  # the best cells; the others are a turn of the wheel below
    assert "Detect Issues" not in page.inner_text("body")


@pytest.mark.slow
def test_charts_have_color_for_each_network_and_whole_titles(study, page):
    open_page(page, study[2])
    for axis in ("stride", "pooling", "dropout"):
        title = page.get_by_text(f"{axis} vs. mean_test_accuracy", exact=True)
        scroll_to(page, title)
        assert_readable(title)
        plot = page.locator(".js-plotly-plot", has=page.locator(".xtitle", has_text=re.compile(f"^{axis}$")))
        plot.locator(".scatterlayer .point").nth(31).wait_for()
        shown = plot.locator(".scatterlayer .point").evaluate_all(
            "points => points.map(point => [getComputedStyle(point).fill, point.getAttribute('transform')])"
        )
        colors = {tuple(int(color[at : at + 2], 16) for at in (1, 3, 5)) for color in COLORS[:2]}
        assert {tuple(map(int, re.findall(r"\d+", fill)))[:3] for fill, _ in shown} == colors
        assert len({tuple(each) for each in shown}) == 16  # the two seeds of a cell lie on their mean
        if axis == "pooling":
            assert {"max", "l2"} <= set(plot.locator(".xtick text").all_text_contents())
    parallel = page.get_by_text("Parallel Coordinates", exact=True)
    scroll_to(page, parallel)
    assert page.locator(".contour, .barlayer .point").count() == 0


@pytest.mark.slow
def test_curves_are_averaged_under_names_that_start_with_axes(study, page):
    server, experiment, _ = study
    open_page(page, f"{server}/#/experiments/{experiment}/runs{charts.view_query('convzoo-cells')}")
    title = page.get_by_text("val_accuracy", exact=True).first
    assert_readable(title)
    page.locator(".scatterlayer .trace").nth(15).wait_for()
    assert "max · s1 · d0.5 · lenet" in page.inner_text("body")
    assert "seed" not in " ".join(page.locator(".js-plotly-plot").all_text_contents())


@pytest.mark.slow
def test_report_stands_first_and_answers_a_pointer(study, page):
    server, experiment, _ = study
    open_page(page, f"{server}/#/experiments/{experiment}/runs?workflowType=machine_learning")
    names = page.locator("[role=row] [col-id*='run_name'] a, [role=row] a[href*='/runs/']")
    names.nth(3).wait_for()
    assert names.first.inner_text() == "report"
    open_page(page, study[2])
    page.get_by_text("Max pooling beats L2 pooling").first.click()
    open_page(page, f"{server}/{page.get_by_role('link', name='interactive report').get_attribute('href')}")
    frame = page.frame_locator("iframe")
    assert_readable(frame.get_by_text("lenet, stride 1"))
    assert frame.locator("figcaption").all_inner_texts() == [
        f"{model}, stride {stride}" for model in SWEEP["model"] for stride in SWEEP["stride"]
    ]
    frame.locator(".mean").first.hover()
    tip = frame.locator("#tip")
    assert tip.is_visible()
    assert f"mean {mean_text('lenet', 1, 'l2', 0)}%" in tip.inner_text()
    line = frame.locator("g[data-line='1']").first
    assert line.is_visible()
    frame.get_by_role("button", name="dropout 0.5").click()
    assert not line.is_visible()
