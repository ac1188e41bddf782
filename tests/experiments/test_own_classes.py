"""Optimizers, schedules, augmentations and metrics of the user's own, as the page on recipes shows them."""

import importlib
import re
import sys
from pathlib import Path

import mlflow
import pytest
from matplotlib.image import imread

from convzoo import UserError, compose_settings, run_training
from convzoo.experiments.recipe_checks import allow_own_classes, resolve_augmentation

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"
BASE = dict(model="lenet", data="digits", epochs=1, tracking__artifacts="light")
DARK = {"_target_": "mine.parts.Darken", "most": 0.3}


@pytest.fixture(autouse=True)
def parts(tmp_path, monkeypatch):
    """The example of the page, as a module, in the current folder."""
    [code] = re.findall(r"```python\n(# mine/parts\.py\n.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "parts.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("mine.parts", "mine"):
        sys.modules.pop(name, None)


@pytest.mark.integration
def test_own_augmentation_is_used():
    run_training(**BASE, show_batch="plain.png", **{"recipe.augmentation": {}})
    word = {"recipe.augmentation": {"dark": DARK}}
    run_training(**BASE, allow=["mine.parts.Darken"], show_batch="dark.png", **word)
    assert imread("dark.png").mean() < imread("plain.png").mean() - 0.01


@pytest.mark.parametrize(("data", "rows"), [("digits", []), ("cifar10", ["dark"])])
def test_own_augmentation_needs_the_permission_that_it_names(monkeypatch, data, rows):
    allow = {"recipe.augmentation": {"dark": DARK}, "allow": ["mine.parts.Darken"]}
    monkeypatch.setattr(importlib.import_module("mine.parts").Darken, "permission", "flip")
    settings = compose_settings(**BASE | {"data": data}, **allow)
    allow_own_classes(settings.allow, ["allow=[mine.parts.Darken]"])
    resolve_augmentation(settings)
    assert list(settings.recipe.augmentation) == rows


@pytest.mark.integration
def test_own_optimizer_trains():
    words = {"recipe.optimizer": {"_target_": "mine.parts.SignSGD", "learning_rate": 0.001}}
    result = run_training(**BASE, allow=["mine.parts.SignSGD"], **words)
    assert result.metrics["test_accuracy"] > 0.3


def test_own_class_that_is_not_allowed_is_refused():
    row = {"_target_": "mine.parts.Lighten"}  # a class that is allowed stays so for the rest of the process
    with pytest.raises(UserError, match=r"`recipe\.augmentation\.dark\._target_=mine\.parts\.Lighten`"):
        run_training(**BASE, show_batch="batch.png", **{"recipe.augmentation": {"dark": row}})


def test_own_class_with_a_wrong_argument_is_refused():
    words = {"recipe.augmentation": {"dark": {**DARK, "moust": 1}}}
    with pytest.raises(UserError, match=r"`recipe\.augmentation\.dark\.moust`.*did you mean most"):
        run_training(**BASE, allow=["mine.parts.Darken"], show_batch="batch.png", **words)


def test_own_function_is_no_class():
    with pytest.raises(
        UserError, match="must be a subclass of Layer, Optimizer, LearningRateSchedule, Augmentation, Metric"
    ):
        run_training(**BASE, allow=["mine.parts.np"], show_batch="batch.png")


@pytest.mark.integration
def test_own_metric_is_recorded_beside_those_of_keras():
    rows = {
        "balanced": {"_target_": "mine.parts.BalancedAccuracy"},
        "top10": {"_target_": "keras.metrics.SparseTopKCategoricalAccuracy", "k": 10},
        "top1": {"_target_": "keras.metrics.SparseTopKCategoricalAccuracy", "k": 1},
    }
    result = run_training(**BASE, metrics=rows, allow=["mine.parts.BalancedAccuracy"])
    for part in ("val", "test"):
        values = [result.metrics[f"{part}_{name}"] for name in ("balanced", "top10", "top1")]
        assert values == pytest.approx([result.metrics[f"{part}_accuracy"], 1, values[2]], abs=0.03)
        assert values[2] == pytest.approx(result.metrics[f"{part}_accuracy"], abs=1e-6)
    assert "val_balanced" in result.history[0]
    recorded = mlflow.MlflowClient(result.tracking_uri).get_run(result.run_id)
    assert recorded.data.metrics["test_balanced"] == result.metrics["test_balanced"]


@pytest.mark.integration
@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"top2": {"_target_": "keras.metrics.SparseTopKCategoricalAccuracy", "kk": 2}},
            r"`metrics\.top2\.kk`.*n k",
        ),
        ({"loss": {"_target_": "keras.metrics.SparseCategoricalAccuracy"}}, r"`metrics\.loss`: the name of a metric"),
        ({"x": {"_target_": "keras.metrics.Mean"}}, r"`metrics\.x\._target_=keras\.metrics\.Mean`: there is no such"),
        ({"x": 3}, r"`metrics\.x`.* must be a mapping"),
    ],
)
def test_wrong_metric_is_refused(row, message):
    with pytest.raises(UserError, match=message):
        run_training(**BASE, metrics=row)
