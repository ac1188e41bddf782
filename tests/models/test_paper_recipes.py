"""The papers' recipes: every network has one or a reason, every file its source, and the numbers are the papers'."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest
from omegaconf import OmegaConf

import convzoo
from convzoo.data.augmentation.rows import check_augmentation
from convzoo.models.registry import compose_network
from convzoo.training.optimizers import check_optimizer
from convzoo.training.schedules import check_schedule

CONFIGS = Path(convzoo.__file__).parent / "configs"
RECIPES = sorted(path.stem for path in (CONFIGS / "recipe").glob("*.yaml"))
NETWORKS = sorted(path.stem for path in (CONFIGS / "model").glob("*.yaml"))
GROUPS = {"fast", "paper", "finetune", "linear_probe"}  # no paper's
WITHOUT_ARXIV = {"krizhevsky2011_11pct", "krizhevsky2011_18pct", "krizhevsky2012", "page2018"}
SOURCES = "section|sections|table|appendix|release|released|solver|solvers"


class Recipe(NamedTuple):
    """What a paper, or its authors' release, states; None is nothing."""

    epochs: int | None
    batch_size: int | None
    optimizer: str
    learning_rate: float
    momentum: float | None
    decay: float | None
    schedule: dict


def steps(*boundaries, **factor):
    return {"_target_": "convzoo.training.Steps", "boundaries": list(boundaries), **factor}


def every(epochs, factor):
    return {"_target_": "convzoo.training.Exponential", "factor": factor, "epochs": epochs}


def plateau(**metric):
    return {"_target_": "convzoo.training.Plateau", "factor": 0.1, **metric}


def line(**warmup):
    return {"_target_": "convzoo.training.Linear", **warmup}


# At 400, 32,000 and 48,000 steps: Keras's boundaries are the last steps of a rate.
WARM = {
    "_target_": "keras.optimizers.schedules.PiecewiseConstantDecay",
    "boundaries": [399, 31_999, 47_999],
    "values": [0.01, 0.1, 0.01, 0.001],
}
IMAGENET = 1_281_167
# Typed from the papers and their releases. Where those count steps, epochs are steps × batch / images.
PAPERS = {
    "lenet": Recipe(
        round(10_000 * 64 / 60_000),
        *(64, "L2SGD", 0.01, 0.9, 5e-4),
        {"_target_": "convzoo.training.Inverse", "gamma": 1e-4, "power": 0.75},
    ),
    "caffe_quick": Recipe(round(5000 * 100 / 50_000), 100, "L2SGD", 0.001, 0.9, 0.004, steps(8)),
    "cuda_convnet_18pct": Recipe(140, 128, "L2SGD", 0.001, 0.9, 0.004, steps(120, 130)),
    "cuda_convnet_11pct": Recipe(300 + 150 + 10 + 10, 128, "L2SGD", 0.001, 0.9, 0.004, steps(450, 460)),
    "alexnet": Recipe(90, 128, "L2SGD", 0.01, 0.9, 0.0005, plateau()),
    "zfnet": Recipe(70, 128, "L2SGD", 0.01, 0.9, None, plateau()),
    "overfeat_fast": Recipe(None, 128, "L2SGD", 0.05, 0.6, 1e-5, steps(30, 50, 60, 70, 80, factor=0.5)),
    "maxout": Recipe(
        785,
        *(128, "SGD", 0.17, 0.6, None),
        {
            "_target_": "keras.optimizers.schedules.PolynomialDecay",
            "decay_steps": 500 * 391,
            "end_learning_rate": round(0.17 * 0.01, 6),
        },
    ),
    "nin": Recipe(None, 128, "L2SGD", 0.1, 0.9, 1e-5, plateau(metric="train_accuracy")),
    "nin_caffe": Recipe(round(120_000 * 128 / 50_000), 128, "L2SGD", 0.1, 0.9, 1e-4, steps(256)),
    "vgg19": Recipe(74, 256, "L2SGD", 0.01, 0.9, 5e-4, plateau()),
    "googlenet": Recipe(None, None, "L2SGD", 0.0015, 0.9, None, every(8, 0.96)),
    "allconv": Recipe(350, None, "L2SGD", 0.05, 0.9, 0.001, steps(200, 250, 300)),
    "inception_v3": Recipe(100, 32, "RMSprop", 0.045, 0.9, 4e-5, every(2, 0.94)),
    "inception_v4": Recipe(None, None, "RMSprop", 0.045, 0.9, 4e-5, every(2, 0.94)),
    "resnet20": Recipe(round(64_000 * 128 / 50_000), 128, "L2SGD", 0.1, 0.9, 1e-4, steps(82, 123)),
    "resnet110": Recipe(round(64_000 * 128 / 50_000), 128, "L2SGD", 0.1, 0.9, 1e-4, WARM),
    "preact_resnet164": Recipe(round(64_000 * 128 / 50_000), 128, "L2SGD", 0.1, 0.9, 1e-4, WARM),
    "resnet50": Recipe(round(600_000 * 256 / IMAGENET), 256, "L2SGD", 0.1, 0.9, 1e-4, plateau()),
    "stochastic_depth_110": Recipe(500, 128, "L2SGD", 0.1, 0.9, 1e-4, steps(250, 375)),
    "wrn_16_4": Recipe(200, 128, "L2SGD", 0.1, 0.9, 5e-4, steps(60, 120, 160, factor=0.2)),
    "fractalnet": Recipe(400, 100, "L2SGD", 0.02, 0.9, None, steps(200, 300, 350, 375)),
    "densenet_40_12": Recipe(300, 64, "L2SGD", 0.1, 0.9, 1e-4, steps(150, 225)),
    "densenet121": Recipe(90, 256, "L2SGD", 0.1, 0.9, 1e-4, steps(30, 60)),
    "squeezenet_1_1": Recipe(round(170_000 * 512 / IMAGENET), 512, "L2SGD", 0.04, 0.9, 2e-4, line()),
    "enet": Recipe(300, 10, "Adam", 5e-4, None, 2e-4, steps(100, 200)),
    "xception": Recipe(None, None, "L2SGD", 0.045, 0.9, 1e-5, every(2, 0.94)),
    "mobilenet_v1": Recipe(None, 64, "RMSprop", 0.045, 0.9, 4e-5, every(2.5, 0.94)),
    "mobilenet_v2": Recipe(round(700_000 * 8 * 96 / IMAGENET), 96, "RMSprop", 0.045, 0.9, 4e-5, every(1, 0.98)),
    "shufflenet_g3": Recipe(round(300_000 * 1024 / IMAGENET), 1024, "L2SGD", 0.5, 0.9, 4e-5, line()),
    "capsnet": Recipe(
        None,
        *(128, "Adam", 0.001, None, None),
        {"_target_": "keras.optimizers.schedules.ExponentialDecay", "decay_steps": 2000, "decay_rate": 0.96},
    ),
    "ciresan": Recipe(None, 1, "SGD", 0.001, None, None, every(1, 0.993)),
    "resnet9": Recipe(24, 512, "L2SGD", 0.4, 0.9, 5e-4, line(warmup=round(5 / 24, 6))),
    "convmixer_256_8": Recipe(200, 512, "AdamW", 0.01, None, 0.01, line(warmup=2 / 5)),
}


@pytest.mark.parametrize("name", PAPERS)
def test_recipe_has_the_numbers_of_its_paper(name):
    expected = PAPERS[name]
    actual = OmegaConf.to_container(compose_network(name).model.recipe, resolve=False)
    optimizer = actual["optimizer"]
    assert expected.epochs in (None, actual["epochs"])
    assert expected.batch_size in (None, actual["batch_size"])
    assert optimizer["_target_"].rpartition(".")[2] == expected.optimizer
    assert optimizer["learning_rate"] == expected.learning_rate
    assert optimizer.get("momentum") == expected.momentum
    assert optimizer.get("l2", optimizer.get("weight_decay")) == expected.decay
    assert actual["schedule"] == expected.schedule


@pytest.mark.parametrize(
    ("name", "factors"),
    [
        ("nin_caffe", {"conv1/kernel": 1, "conv1/bias": 2, "cccp6/kernel": 0.1, "cccp6/bias": 0.1}),
        ("caffe_quick", {"conv1/kernel": 1, "ip2/bias": 2}),
        ("maxout", {"h0/kernel": 0.05, "h2/bias": 0.05, "h3/kernel": 1, "y/bias": 1}),
    ],
)
def test_rate_factors_multiply_to_those_of_the_release(name, factors):
    parts = compose_network(name).model.recipe.rate_factors
    for path, expected in factors.items():
        factor = 1.0
        for part in parts:
            factor *= parts[part] if part in path else 1
        assert factor == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "decayed", "others"),
    [
        ("mobilenet_v1", ["conv0/conv/kernel", "conv1_pw/conv/kernel", "score/kernel"], ["conv1_dw/kernel"]),
        ("mobilenet_v2", ["bottleneck1/project/conv/kernel"], ["bottleneck1/depthwise/kernel", "conv1/norm/gamma"]),
        ("cuda_convnet_11pct", ["local3/kernel", "fc10/kernel"], ["conv1/kernel", "local3/bias"]),
        ("wrn_28_10", ["conv1/kernel", "conv2_bn/gamma", "conv2_bn/beta", "score/bias"], []),
    ],
)
def test_decay_touches_the_variables_of_the_release(name, decayed, others):
    parts = compose_network(name).model.recipe.decay_variables
    assert [path for path in [*decayed, *others] if any(part in path for part in parts)] == decayed


def find_recipe(network: str) -> str | None:
    """Return the recipe that a network's file or one that it includes names; "" for a reason, None for neither."""
    text = (CONFIGS / "model" / f"{network}.yaml").read_text()
    if re.search(r"# No recipe: \w", text):
        return ""
    if named := re.findall(r"^  - /recipe/(\w+)@recipe$", text, re.MULTILINE):
        return named[-1]
    included = [name for name in re.findall(r"^  - (\w+)$", text, re.MULTILINE) if name != "_self_"]
    return find_recipe(included[-1]) if included else None


@pytest.mark.parametrize("network", NETWORKS)
def test_network_has_a_recipe_or_says_why_not(network):
    assert find_recipe(network) in {"", *RECIPES} - GROUPS


@pytest.mark.parametrize("network", ["alexnet_cifar", "vgg11_cifar", "lenet5"])
def test_network_that_says_why_not_has_no_recipe(network):
    assert compose_network(network).model.get("recipe") is None


def test_recipe_file_is_used_by_a_network():
    used = {find_recipe(network) for network in NETWORKS}
    assert {name for name in RECIPES if name not in used} == GROUPS


@pytest.mark.parametrize("name", sorted(set(RECIPES) - GROUPS))
def test_recipe_file_cites_its_source(name):
    comment = re.match(r"(?:#.*\n)+", (CONFIGS / "recipe" / f"{name}.yaml").read_text())[0]
    assert re.search(r"\b(19|20)\d\d\b", comment)
    assert re.search(rf"\b({SOURCES})\b", comment)
    assert bool(re.search(r"arXiv \d{4}\.\d{4,5}\b", comment)) == (name not in WITHOUT_ARXIV)


@pytest.mark.parametrize("name", sorted(set(RECIPES) - GROUPS))
def test_recipe_rows_fit_the_network_and_its_images(name):
    network = next(network for network in NETWORKS if find_recipe(network) == name)
    model = compose_network(network).model
    recipe = OmegaConf.to_container(model.recipe, resolve=False)
    check_optimizer(recipe)
    check_schedule(recipe["schedule"])
    check_augmentation(recipe["augmentation"], tuple(model.paper.image_shape))
