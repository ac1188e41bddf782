"""The page of a study: means of its cells, colours of its networks, its report, and one writer at a time."""

import json
import threading
import time

import mlflow
import pytest
from matplotlib.figure import Figure

from convzoo.settings.colors import COLORS
from convzoo.tracking import charts, study_page, study_runs
from convzoo.tracking.run import Run, RunSpec


@pytest.fixture
def uri(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return f"sqlite:///{tmp_path}/mlflow.db"


def record(uri, model, seed, accuracy):
    params, tags = {"model": model, "seed": seed}, {"identity": f"{model}{seed}", "cell": model}
    with Run.start(RunSpec(uri, "mine", f"{model} · seed {seed}", params, tags)) as run:
        run.log_metrics({"test_accuracy": accuracy})
    return run.id


def mark(uri):
    with study_page.lock_page(uri, "mine") as page:
        page.mark_runs(page.read_results())
    client = mlflow.MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("mine").experiment_id])
    return {
        run.info.run_name: (run.data.metrics.get(charts.MEAN), run.data.tags.get("mlflow.runColor")) for run in runs
    }


def test_page_gives_cells_their_mean_and_networks_their_color(uri):
    record(uri, "nin", 0, 0.5)
    record(uri, "lenet", 0, 0.25)
    assert mark(uri) == {"nin · seed 0": (0.5, COLORS[0]), "lenet · seed 0": (0.25, COLORS[1])}
    record(uri, "nin", 1, 1.0)
    record(uri, "allconv", 0, float("nan"))
    assert mark(uri) == {
        "nin · seed 0": (0.75, COLORS[0]),
        "nin · seed 1": (0.75, COLORS[0]),
        "lenet · seed 0": (0.25, COLORS[1]),  # as before, whatever came in
        "allconv · seed 0": (None, None),
    }


def test_report_stands_first_once_and_is_no_result(uri):
    run = record(uri, "nin", 0, 0.5)
    for text in ("old", "new"):
        with study_page.lock_page(uri, "mine") as page:
            report = page.log_report({"report.html": text}, "**answer**")
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("mine").experiment_id
    listed = client.search_runs([experiment], order_by=["attributes.start_time DESC"])
    assert [each.info.run_id for each in listed] == [report.id, run]
    assert listed[0].data.tags["mlflow.note.content"] == "**answer**"
    assert (
        page.report_address("accuracy.html") == f"#/experiments/{experiment}/runs/{report.id}/artifacts/accuracy.html"
    )
    assert [each.id for each in study_runs.find_results(uri, "mine")] == [run]


def test_report_with_figures_stays_until_another_has_some(uri):
    """Each step logs a report, with figures or not; then these reports are there, the newest first."""
    record(uri, "nin", 0, 0.5)
    ids = []
    for has_figure, kept in [(False, [0]), (True, [1]), (False, [2, 1]), (False, [3, 1]), (True, [4])]:
        files = {"report.html": "text"} | ({"accuracy.png": Figure()} if has_figure else {})
        with study_page.lock_page(uri, "mine") as page:
            ids.append(page.log_report(files, "**answer**").id)
            assert page._report_ids() == [ids[number] for number in kept]


def test_page_of_unknown_study_is_not_claimed(uri):
    record(uri, "nin", 0, 0.5)
    with study_page.lock_page(uri, "other") as page:
        assert page is None


def test_page_written_just_now_is_not_due(uri):
    record(uri, "nin", 0, 0.5)
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("mine").experiment_id
    with study_page.lock_page(uri, "mine", only_if_due=True) as page:
        assert page is not None
    client.set_experiment_tag(experiment, "convzoo.page", json.dumps({"at": time.time(), "seconds": 60.0}))
    with study_page.lock_page(uri, "mine", only_if_due=True) as page:
        assert page is None


@pytest.mark.parametrize(("age", "is_due"), [(199, False), (201, True), (-201, True)])
def test_page_takes_five_percent_of_the_time(monkeypatch, age, is_due):
    update = json.dumps({"at": 1_000_000.0, "seconds": 10.0})
    monkeypatch.setattr(study_page.time, "time", lambda: 1_000_000.0 + age)
    assert study_page._is_due({"convzoo.page": update}) == is_due
    assert study_page._is_due({})
    assert study_page._is_due({"convzoo.page": "strange"})


def test_page_has_one_writer_at_a_time(uri):
    record(uri, "nin", 0, 0.5)
    events = []

    def write(name):
        with study_page.lock_page(uri, "mine") as page:
            events.append(f"{name} in")
            page.describe(name)
            events.append(f"{name} out")

    threads = [threading.Thread(target=write, args=(f"writer {number}",)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(events) == 6
    assert all(events[at].removesuffix(" in") == events[at + 1].removesuffix(" out") for at in (0, 2, 4))
    tags = mlflow.MlflowClient(uri).get_experiment_by_name("mine").tags
    assert tags["mlflow.note.content"] == events[-1].removesuffix(" out")
    assert not [key for key in tags if key.startswith("convzoo.claim")]


def test_page_refuses_description_that_mlflow_would(uri):
    record(uri, "nin", 0, 0.5)
    with pytest.raises(ValueError, match="20000"), study_page.lock_page(uri, "mine") as page:
        page.describe("x" * 20_001)
