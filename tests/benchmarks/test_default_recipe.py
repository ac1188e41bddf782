"""The default recipe trains every network: the tool that measures it, and a sample of networks."""

import json

import pytest
from sampling import DAY

from convzoo.benchmarks import default_recipe
from convzoo.benchmarks.default_recipe import (
    FirstSteps,
    list_fitting_networks,
    list_kinds,
    sample_cells,
    summarize,
    train_first_steps,
)

CHEAP_MACS = 20e6


def row(trains, seed=0, network="lenet"):
    names = dict(network=network, pooling="paper", data="digits", cell="older", code="", machine="", date="")
    numbers = dict(seed=seed, steps=1, loss=1.0, threshold=1.0, seconds=1.0, images_per_second=1.0)
    return FirstSteps(**names, **numbers, trains=trains, error=None)


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [([True, True], True), ([True, False, True], True), ([False, False], False), ([True, False], None), ([True], None)],
)
def test_summarize_follows_two_of_three_seeds(outcomes, verdict):
    rows = [row(trains, seed) for seed, trains in enumerate(outcomes)]
    assert summarize(rows) == {("lenet", "paper", "digits"): verdict}


def test_summarize_takes_last_row_of_a_seed():
    assert summarize([row(False), row(False, 1), row(True), row(True, 1)]) == {("lenet", "paper", "digits"): True}


def test_draw_is_the_same_all_day_and_differs_between_days():
    cells = [(f"net{n}", "paper") for n in range(100)]
    assert (
        sample_cells(cells, 3, "2026-11-30")
        == sample_cells(cells, 3, "2026-11-30")
        != sample_cells(cells, 3, "2026-12-01")
    )
    assert len(set(sample_cells(cells, 200, "2026-11-30"))) == 100


def test_fitting_networks_leave_out_larger_images():
    networks = list_fitting_networks((32, 32, 3))
    assert {"lenet", "allconv", "vgg16_cifar"} < set(networks)
    assert not {"vgg16", "googlenet"} & set(networks)


def test_kinds_of_network_without_sites_is_paper_alone():
    assert list_kinds("capsnet", (32, 32, 3), 10) == ["paper"]
    assert {"paper", "max", "strided"} < set(list_kinds("lenet", (32, 32, 3), 10))


def test_first_steps_end_when_loss_falls_below_threshold():
    outcome = train_first_steps(("lenet", "paper", "digits"), seed=0, stop_early=True)
    assert outcome.trains
    assert default_recipe.WINDOW <= outcome.steps < 300
    assert outcome.loss < outcome.threshold == pytest.approx(0.8 * 2.302585, abs=1e-4)


def test_first_steps_do_not_train_when_steps_are_too_few():
    outcome = train_first_steps(("lenet", "paper", "digits"), seed=0, steps=1)
    assert (outcome.steps, outcome.trains) == (1, False)


@pytest.mark.integration
def test_main_extends_file_and_skips_measured_runs(tmp_path, monkeypatch, capsys):
    output = tmp_path / "rows.json"
    monkeypatch.setattr(default_recipe, "SEEDS", (0, 1))
    words = [
        "default_recipe",
        "lenet",
        "--stop-early",
        "--pooling",
        "paper",
        "--seeds",
        "0",
        "1",
        "--output",
        str(output),
    ]
    monkeypatch.setattr("sys.argv", words)
    default_recipe.main()
    rows = json.loads(output.read_text())
    assert [(each["network"], each["seed"], each["trains"]) for each in rows] == [
        ("lenet", 0, True),
        ("lenet", 1, True),
    ]
    assert capsys.readouterr().out.count("trains") == 2
    default_recipe.main()
    assert json.loads(output.read_text()) == rows
    assert capsys.readouterr().out == ""


def test_measure_replaces_rows_of_an_older_recipe():
    rows = [row(True, seed) for seed in (0, 1)] + [row(True, network="nin")]
    default_recipe.measure(
        [("lenet", "paper", "digits")], (0,), rows, lambda rows: None, lambda training: training.run(1, False)
    )
    assert [(each.network, each.seed, each.trains) for each in rows] == [("nin", 0, True), ("lenet", 0, False)]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["lennet"], "lennet"),
        (["--data", "nothing"], "--data must be a config of configs/data. Received: nothing"),
        (["lenet", "--pooling", "paper", "--output", "rows.json"], "rows.json: `network` is missing"),
        (["--steps", "0"], "must be a whole number, at least 1. Received: 0"),
    ],
)
def test_main_refuses_bad_input_in_one_line(words, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.json").write_text('[{"seed": 0}]')
    monkeypatch.setattr("sys.argv", ["default_recipe", *words])
    with pytest.raises(SystemExit) as ended:
        default_recipe.main()
    assert ended.value.code == 2
    assert line in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow
def test_default_recipe_trains_a_sample_drawn_by_date(capsys):
    """The matrix of results/default_recipe.json is measured by hand; here some of its cheap cells, others each day."""
    from convzoo.models import registry

    shape = (32, 32, 1)
    networks = [name for name in list_fitting_networks(shape) if registry.plan(name, shape, 10).macs <= CHEAP_MACS]
    cells = sample_cells([(name, kind) for name in networks for kind in list_kinds(name, shape, 10)], 2, DAY)
    with capsys.disabled():
        print(f"\nthe draw of {DAY}: {', '.join(f'{name} pooling={kind}' for name, kind in cells)}")
    rows = []
    cells = [(name, kind, "digits") for name, kind in cells]
    default_recipe.measure(
        cells, (0, 1, 2), rows, lambda rows: None, lambda training: training.run(default_recipe.STEPS, True)
    )
    assert [cell for cell, trains in summarize(rows).items() if trains is not True] == []
