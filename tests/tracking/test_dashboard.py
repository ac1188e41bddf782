"""A study's page as a person sees it: a real MLflow server, a real browser."""

import shutil

import mlflow
import pytest

from convzoo.tracking import dashboard, study
from convzoo.tracking.run import Run

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ACCURACY = {("max", "0"): 0.61, ("max", "0.5"): 0.66, ("l2", "0"): 0.52, ("l2", "0.5"): 0.57}
SECONDS = 120


@pytest.fixture(scope="module")
def address(tmp_path_factory, serving):
    """The address of a study of eight runs, on a server of its own."""
    folder = tmp_path_factory.mktemp("server")
    uri = f"sqlite:///{folder}/mlflow.db"
    study.begin(uri, "grid", ["pooling", "dropout", "seed"])
    for (pooling, dropout), accuracy in ACCURACY.items():
        for seed in (0, 1):
            params = {"stride": 2, "pooling": pooling, "dropout": dropout, "seed": seed, "macs": 416_520}
            with Run(uri, "grid", f"net pooling={pooling} dropout={dropout} seed={seed}", params, {}) as run:
                for epoch in (1, 2, 3):
                    run.metrics({"val_accuracy": accuracy * epoch / 3, "train_loss": 1 / epoch}, epoch)
                run.metrics({"test_accuracy": accuracy + seed / 1000}, 3)
    with serving(folder, "server", f"--backend-store-uri={uri}") as server:
        experiment = mlflow.MlflowClient(uri).get_experiment_by_name("grid").experiment_id
        yield f"{server}/#/experiments/{experiment}/runs"


@pytest.fixture(scope="module")
def page():
    playwright = pytest.importorskip("playwright.sync_api")
    if BROWSER is None:
        pytest.skip("there is no Chromium")
    with playwright.sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1800, "height": 3000})
        page.set_default_timeout(SECONDS * 1000)
        yield page
        browser.close()


@pytest.mark.slow
def test_each_run_is_in_the_charts(address, page):
    page.goto(address + dashboard.query("convzoo-runs"))
    page.locator(".barlayer .point").nth(7).wait_for()
    page.locator(".parcoords").wait_for()
    text = page.inner_text("body")
    assert "8 matching runs" in text
    assert text.index("What moves accuracy") < text.index("Learning curves") < text.index("What it costs")
    assert page.locator(".barlayer .point").count() == 8
    assert page.locator(".contour").count() == 1
    drawn = [svg.text_content() for svg in page.locator("svg").all()]
    (parallel,) = (words for words in drawn if "test_accuracy" in words and "stride" in words)
    assert all(word in parallel for word in ("pooling", "max", "l2", "dropout"))
    for axis in ("pooling", "dropout", "macs"):
        assert sum(words.startswith(axis) and words.endswith("test_accuracy") for words in drawn) == 1, axis


@pytest.mark.slow
def test_seeds_are_averaged_within_a_cell(address, page):
    page.goto(address + dashboard.query("convzoo-cells"))
    page.get_by_text("Learning curves").wait_for()
    page.locator(".barlayer .point").nth(3).wait_for()
    text = page.inner_text("body")
    for pooling, dropout in ACCURACY:
        assert f"Group: pooling: {pooling}, dropout: {dropout}" in text
    assert page.locator(".barlayer .point").count() == 4
