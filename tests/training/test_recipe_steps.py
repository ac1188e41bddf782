"""One step of every recipe's optimizer against its published formula, written out."""

from pathlib import Path

import keras
import numpy as np
import pytest
from omegaconf import OmegaConf

from convzoo.settings.composition import compose_run
from convzoo.settings.schema import parse_settings
from convzoo.settings.training import TrainSettings
from convzoo.training.optimizers import make_optimizer

RECIPES = sorted(path.stem for path in (Path(__file__).parents[2] / "configs" / "recipe").glob("*.yaml"))
RATE = 0.03
GRADIENTS = {
    "conv/kernel": [0.01, -0.02, 0.003],
    "wide/kernel": 0.01 * np.random.default_rng(0).normal(size=(2, 2, 2, 3)),
    "conv/bias": [0.004, -0.001],
    "norm/beta": [0.002],
    "norm/gamma": [0.01],
}
WEIGHTS = {
    name: np.linspace(0.5, 1.5, np.size(gradient)).reshape(np.shape(gradient)) for name, gradient in GRADIENTS.items()
}


def l2sgd(w, g, rate, row, decays):
    """Sutskever et al. 2013; the penalty l2/2·w² adds l2·w to the gradient."""
    g = g + row.get("l2", 0) * w * decays
    velocity = -rate * g
    return w + (row.get("momentum", 0) * velocity - rate * g if row.get("nesterov") else velocity)


def rmsprop(w, g, rate, row, decays):
    """Hinton 2012, slide 29; the decay is decoupled."""
    w = w - RATE * row.get("weight_decay", 0) * w * decays
    mean_square = (1 - row.get("rho", 0.9)) * g**2
    return w - rate * g / np.sqrt(mean_square + row.get("epsilon", 1e-7))


def adam(w, g, rate, row, decays):
    """Kingma & Ba 2014, end of section 2; Loshchilov & Hutter 2017, algorithm 2, for the decay."""
    w = w - RATE * row.get("weight_decay", 0) * w * decays
    b1, b2 = row.get("beta_1", 0.9), row.get("beta_2", 0.999)
    step = rate * np.sqrt(1 - b2) / (1 - b1)
    return w - step * (1 - b1) * g / (np.sqrt((1 - b2) * g**2) + row.get("epsilon", 1e-7))


def muon(w, g, rate, row, decays):
    """Jordan 2024: the matrix of the filters, its momentum orthogonalized by five steps of his quintic iteration."""
    if np.ndim(g) < 4:
        return adam(w, g, rate * row["others_rate"], row, decays)
    w = w - RATE * row["weight_decay"] * w * decays
    x = ((1 + row.get("momentum", 0.95)) * g).reshape(-1, g.shape[-1])
    x = x / np.linalg.norm(x)
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return w - rate * x.reshape(g.shape)


FORMULAS = {"Muon": muon, "L2SGD": l2sgd, "SGD": l2sgd, "RMSprop": rmsprop, "Adam": adam, "AdamW": adam}


def recipe_of(name):
    words = ["model=nin", f"recipe={name}", "data=cifar10"]
    words += ["weights=run:latest"] if name in ("finetune", "linear_probe") else []
    composed = OmegaConf.to_container(compose_run(words).config, resolve=True)
    return parse_settings(TrainSettings, composed).model_dump()["recipe"]


@pytest.mark.parametrize("name", RECIPES)
def test_first_step_of_recipe_is_its_formula(name):
    recipe = recipe_of(name)
    row = recipe["optimizer"]
    formula = FORMULAS[row["_target_"].rpartition(".")[2]]
    variables = []
    for path, values in WEIGHTS.items():
        layer, _, variable_name = path.partition("/")
        with keras.name_scope(layer):
            variables.append(keras.Variable(values.astype("float32"), name=variable_name))
    optimizer = make_optimizer(recipe, RATE)
    optimizer.build(variables)
    optimizer.apply([keras.ops.convert_to_tensor(np.float32(gradient)) for gradient in GRADIENTS.values()])
    for variable, (path, gradient) in zip(variables, GRADIENTS.items(), strict=True):
        assert variable.path.endswith(path)
        decays = any(part in path for part in recipe["decay_variables"])
        factor = np.prod([value for part, value in recipe["rate_factors"].items() if part in path])
        expected = formula(WEIGHTS[path], np.array(gradient), RATE * factor, row, decays)
        tolerance = 1e-4 if formula is muon else 2e-6  # the iteration is computed in float32
        np.testing.assert_allclose(keras.ops.convert_to_numpy(variable), expected, rtol=tolerance, err_msg=path)
