"""A run that starts from the weights of another one."""

import mlflow
import numpy as np
import pytest

from convzoo import UserError, compose_settings, run_training
from convzoo.experiments.run_result import Status
from convzoo.models import load, weights
from convzoo.models.weights.published import TORCH

TINY = {"model": "lenet", "data": "digits", "data__fraction": 0.1, "epochs": 1, "study": "mine"}


@pytest.mark.slow
def test_run_from_weights_of_a_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    first = run_training(**TINY)
    first.load_model().save(tmp_path / "first.keras")
    capsys.readouterr()
    tuned = run_training(**TINY, weights=f"run:{first.run_id}", freeze=["conv*"], recipe="linear_probe", new_head=True)
    out = capsys.readouterr().out
    assert tuned.status == Status.FINISHED
    models = [load(tmp_path / "first.keras"), tuned.load_model()]
    *body, head = [layer.name for layer in models[0].layers if layer.weights]
    for name in body:
        for one, other in zip(*(model.get_layer(name).weights for model in models), strict=True):
            np.testing.assert_array_equal(np.array(one), np.array(other), err_msg=one.path)
    assert f"weights: {head}: a new head for 10 classes, with fresh weights" in out
    kernels = [np.array(model.get_layer(head).weights[0]) for model in models]
    assert not np.allclose(*kernels)
    params = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").get_run(tuned.run_id).data.params
    assert params["freeze"] == "conv*"
    assert params["recipe.finetuning.head_epochs"] == "1"
    assert len(params["weights"]) == 64  # of the file, not its place

    again = run_training(**TINY, weights="run:latest", freeze=["conv*"], recipe="linear_probe", new_head=True)
    assert again.run_id != tuned.run_id  # the latest is the tuned one: other weights, another run
    same = run_training(**TINY, weights=f"run:{first.run_id}", freeze=["conv*"], recipe="linear_probe", new_head=True)
    assert (same.status, same.run_id) == (Status.REUSED, tuned.run_id)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"recipe": "finetune"}, "`recipe.finetuning` needs weights to start from: `weights=FILE` or `weights=run:ID`"),
        ({"freeze": ["conv*"]}, "`freeze` needs weights"),
        ({"new_head": True}, "`new_head` needs weights"),
        (
            {"weights": "x.keras", "recipe": "finetune", "recipe__finetuning__head_epochs": 3, "epochs": 2},
            "`recipe.finetuning.head_epochs` must be at most `epochs`, which is 2. "
            "Received: recipe.finetuning.head_epochs=3",
        ),
        ({"weights": "x.keras", "recipe": "finetune", "recipe__finetuning__body_rate": -1}, "must be at least 0"),
        ({"weights": "x.keras", "freeze": "conv*"}, "`freeze` must be a list such as"),
    ],
)
def test_settings_of_a_fine_tuning_are_checked(overrides, message):
    with pytest.raises(UserError) as error:
        compose_settings(**{"model": "lenet", "data": "digits", **overrides})
    assert message in str(error.value)


def test_linear_probe_trains_the_head_in_all_epochs():
    settings = compose_settings(model="lenet", data="digits", recipe="linear_probe", weights="x.keras", epochs=7)
    assert settings.recipe.finetuning.head_epochs == 7


@pytest.mark.integration
@pytest.mark.parametrize(("network", "row"), [("mobilenet_v2", "bottleneck2_1"), ("inception_v3", "mixed_5b")])
def test_rows_that_weights_replace_leave_nothing(network, row, monkeypatch, capsys):
    source = weights.NamedWeights("x.pth", {}, changes=TORCH[network].changes)
    monkeypatch.setattr(weights, "read_source", lambda *_: source)
    assert run_training(model=network, weights="x.pth", plan=True).status == Status.PLANNED
    assert row in capsys.readouterr().out
