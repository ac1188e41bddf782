"""Which runs of a grid are missing, and which settings its study's file does not have."""

import pytest
from synthetic_runs import make_grid, make_run

from convzoo.reporting.grid import Grid, describe_grid, find_departures, find_missing_runs, format_missing_runs

SWEEP = {"pooling": ["max", "l2"], "seed": [0, 1, 2]}


def never_begun(runs, sweep=None, *grids):
    missing, total = find_missing_runs(runs, sweep, [Grid(settings=settings) for settings in grids])
    return {" ".join(f"{key}={text}" for key, text in each.items()) for each in missing}, total


def test_grid_of_file_lacks_runs_never_begun():
    runs = make_grid({"pooling": ["max", "l2"]})[:4]
    assert never_begun(runs, SWEEP) == ({"pooling=l2 seed=1", "pooling=l2 seed=2"}, 6)
    assert never_begun(make_grid({"pooling": ["max", "l2"]}), SWEEP) == (set(), 6)


@pytest.mark.parametrize("status", ["FAILED", "RUNNING", "KILLED"])
def test_run_that_was_begun_is_not_missing_whatever_its_status(status):
    runs = make_grid({"pooling": ["max", "l2"]})
    runs[5].status, runs[5].metrics = status, {}
    assert never_begun(runs, SWEEP)[0] == set()


def test_grid_of_typed_sweep_lacks_runs_never_begun():
    runs = make_grid({"model": ["lenet"], "dropout": ["0", "0.5"]}, seeds=(0,))
    asked = {"model": ["lenet"], "dropout": ["0", "0.5"], "seed": ["0"], "epochs": ["5"]}
    assert never_begun(runs, None, asked) == (set(), 2)
    assert never_begun(runs, None, asked, {**asked, "model": ["nin"]}) == (
        {"model=nin dropout=0", "model=nin dropout=0.5"},
        4,
    )


@pytest.mark.parametrize(
    ("asked", "recorded"),
    [("1", "1.0"), ("study/lenet_depth_max", "lenet_depth_max"), ("true", "True"), ("null", "None"), ("1e-1", "0.1")],
)
def test_grid_knows_value_in_another_form(asked, recorded):
    key = "model" if "lenet" in asked else "data.augment"
    runs = [make_run({key: recorded}, 0, 0.5), make_run({key: "nin"}, 0, 0.5)]
    for run in runs:
        run.name = "a run"
    assert never_begun(runs, {key: [asked, "nin"]})[0] == set()


def test_grid_finds_resolved_value_by_name_of_run():
    run = make_run({"pooling": "paper"}, 0, 0.5)
    run.params["pooling"] = "max"  # what the paper has
    assert never_begun([run], {"pooling": ["paper", "max"]})[0] == {"pooling=max"}


def test_grid_of_too_many_runs_is_left_alone():
    assert find_missing_runs([], {f"data.{n}": list(range(10)) for n in range(30)}) == ([], 0)


def test_never_begun_is_told_by_cell_and_not_without_end():
    missing, total = find_missing_runs([], {"dropout": [0, 1], "seed": [0, 1]})
    assert format_missing_runs(missing, total) == [
        "NEVER BEGUN: 4 of 4 runs of the grid",
        "- dropout=0 seed=0,1",
        "- dropout=1 seed=0,1",
    ]
    assert format_missing_runs(*find_missing_runs([], {"seed": list(range(50))}))[1] == "- seed=0,1,2,…,49"
    many = format_missing_runs(*find_missing_runs([], {"dropout": list(range(1000))}))
    assert len(many) == 22
    assert many[-1] == "- and 980 more cells"
    assert format_missing_runs([], 4) == []


def test_describe_grid_has_settings_that_decide_results():
    choices = {
        "study": ["study=mine"],
        "+data.x": ["+data.x=1", "+data.x=2"],
        "tracking.uri": ["tracking.uri=x"],
        "launcher": ["launcher=slurm"],
        "data.directory": ["data.directory=/x"],
        "seed": ["seed=0", "seed=1"],
    }
    assert describe_grid(choices) == {"settings": {"data.x": ["1", "2"], "seed": ["0", "1"]}}


def departures(runs, sweep=SWEEP, **fixed):
    return find_departures(runs, sweep, {key.replace("__", "."): value for key, value in fixed.items()})


def test_departures_are_empty_when_runs_follow_file():
    runs = make_grid({"pooling": ["max", "l2"], "data.fraction": ["0.20"]})
    assert departures(runs, data="cifar10", epochs=5, data__fraction=0.2) == []


def test_departures_name_data_epochs_fraction_and_seeds():
    runs = make_grid({"pooling": ["max", "l2"], "data.fraction": ["0.5"]}, seeds=(0, 1))
    for run in runs:
        run.params |= {"data": "digits", "epochs": "3"}
    assert departures(runs, data="cifar10", epochs=5, data__fraction=0.2) == [
        "seed=0,1 (0,1,2)",
        "data=digits (cifar10)",
        "epochs=3 (5)",
        "data.fraction=0.5 (0.2)",
    ]


def test_departures_name_setting_that_one_side_lacks():
    runs = make_grid({"pooling": ["max", "l2"]})
    for run in runs:
        run.name += " learning_rate=0.5"
        run.params["recipe.optimizer.weight_decay"] = "0.1"
    assert departures(runs, data__fraction=0.2) == [
        "data.fraction=not set (0.2)",
        "recipe.optimizer.weight_decay=0.1 (not in the file)",
        "learning_rate=0.5 (not in the file)",
    ]


def test_departures_ignore_values_recorded_in_another_form():
    runs = make_grid({"pooling": ["max", "l2"]})
    for run in runs:
        run.params |= {"dropout": "0.5", "precision": "float32"}
    assert departures(runs, dropout="paper", precision="auto", learning_rate=None) == []
    assert departures(runs, {"pooling": ["max", "l2"], "seed": "range(3)"}) == []
    assert departures(runs, {"pooling": ["max", "l2"], "+data.p": [1, 2]}) == []


def test_grid_finds_resolved_value_by_recorded_words():
    run = make_run({"pooling": "paper"}, 0, 0.5, overrides={"pooling": "paper"})
    run.params["pooling"], run.name = "max", "pooling=paper · lenet · seed 0"
    assert never_begun([run], {"pooling": ["paper", "max"]})[0] == {"pooling=max"}


def test_departures_ignore_the_recipe_s_own_arguments():
    params = {"recipe.optimizer.weight_decay": "0.1", "recipe.schedule.warmup": "0.2"}
    runs = [make_run({"dropout": "0", **params}, 0, 0.5, overrides={"recipe.schedule.warmup": "0.2"})]
    assert find_departures(runs, {"dropout": ["0"], "seed": [0]}, {}) == [
        "recipe.schedule.warmup=0.2 (not in the file)"
    ]
