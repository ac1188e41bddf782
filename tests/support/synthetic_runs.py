"""Runs of a study as a store would give them, with typed numbers."""

import itertools
from types import SimpleNamespace


def make_run(settings, seed, accuracy, macs=1_000_000, **more):
    """A finished run. `settings` maps each varied setting to its value, both words."""
    model = settings.get("model", "lenet")
    words = " ".join(f"{key}={value}" for key, value in settings.items() if key != "model")
    params = {"model": model, "data": "cifar10", "epochs": "5", **settings}
    return SimpleNamespace(
        **{
            "params": {**params, "seed": str(seed), "macs": str(macs), "parameters": "60000"},
            "metrics": {"test_accuracy": accuracy},
            "cell": repr(sorted(settings.items())),
            "seconds": 10.0,
            "status": "FINISHED",
            "name": " ".join(part for part in (model, words, f"seed={seed}") if part),
            "failure": None,
            "pictures": "typed numbers",
            **more,
        }
    )


def make_grid(axes, seeds=(0, 1, 2), macs=lambda settings: 1_000_000):
    """A run of each combination of the axes' values; accuracies lie between 0.5 and 0.8 and differ."""
    runs = []
    for number, values in enumerate(itertools.product(*axes.values())):
        settings = dict(zip(axes, values, strict=True))
        for seed in seeds:
            accuracy = 0.5 + 0.29 * ((7 * number + 3 * seed) % 31) / 31 + 0.001 * seed
            runs.append(make_run(settings, seed, accuracy, macs(settings)))
    return runs


def make_grid_of_100():
    """100 cells of four axes, from 0.2 to 500 million multiplications."""
    axes = {
        "model": ["lenet", "lenet5", "nin", "allconv", "resnet20"],
        "stride": ["1", "2"],
        "pooling": ["max", "average", "strided", "l2", "blur"],
        "dropout": ["0", "0.3"],
    }
    macs = {"lenet": 700_000, "lenet5": 416_520, "nin": 222_000_000, "allconv": 280_000_000, "resnet20": 40_600_000}
    return make_grid(axes, macs=lambda settings: macs[settings["model"]] // int(settings["stride"]))
