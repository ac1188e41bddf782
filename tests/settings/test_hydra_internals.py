"""The one file that touches Hydra's private classes, on the version that is installed."""

import ast
from pathlib import Path

import hydra
import pytest
from omegaconf import OmegaConf

from convzoo import UserError
from convzoo.settings import hydra_internals
from convzoo.settings.composition import compose_run
from convzoo.settings.schema import parse_settings
from convzoo.settings.training import TrainSettings

ROOT = Path(__file__).parents[2]


def test_installed_hydra_is_a_known_version():
    assert ".".join(hydra.__version__.split(".")[:2]) in hydra_internals.KNOWN_VERSIONS


def test_parse_word_tells_text_in_quotes_from_a_sweep():
    assert hydra_internals.parse_word("a='1,2'") == hydra_internals.ParsedWord("1,2", True, False)
    assert hydra_internals.parse_word("a=1,2").is_simple_sweep
    assert hydra_internals.parse_word("a=[1") is None


def test_load_configuration_leaves_hydra_uninitialized():
    config = hydra_internals.load_configuration("train", ["model=lenet", "seed=3"])
    assert (config.model.name, config.seed) == ("lenet", 3)
    assert not hydra.core.global_hydra.GlobalHydra.instance().is_initialized()


def test_load_configuration_restores_the_version_base():
    base = hydra.version.VersionBase.instance()
    former, base.version_base = base.version_base, None
    hydra_internals.load_configuration("train", ["model=lenet"])
    assert base.version_base is None
    base.version_base = former


MODEL = """
defaults: [airbench, /recipe/{recipe}@recipe, _self_]
name: mine
"""


SGD = "optimizer: {_target_: convzoo.training.L2SGD, learning_rate: 0.1}\n"


@pytest.mark.parametrize("recipe", ["he2015", "mine"])
def test_recipe_of_a_network_replaces_an_inherited_one(recipe, tmp_path):
    for folder in ("model", "recipe"):
        (tmp_path / folder).mkdir()
    (tmp_path / "model" / "mine.yaml").write_text(MODEL.format(recipe=recipe))
    (tmp_path / "recipe" / "mine.yaml").write_text("name: 2024\nepochs: 2\nbatch_size: 8\n" + SGD)
    words = [f"hydra.searchpath=[file://{tmp_path}]", "model=mine", "recipe=paper"]
    config = compose_run(words).config
    assert "nesterov" not in config.recipe.optimizer
    assert config.recipe.rate_factors == {}
    assert config.recipe.label_smoothing == 0
    settings = parse_settings(TrainSettings, OmegaConf.to_container(config, resolve=True)).model_dump()
    assert ("flip" in settings["recipe"]["augmentation"]) == (recipe == "he2015")


def test_unknown_key_of_a_networks_own_recipe_is_refused():
    config = OmegaConf.to_container(compose_run(["model=resnet20"]).config, resolve=True)
    config["model"]["recipe"]["label_smothing"] = 0.1
    with pytest.raises(UserError, match=r"`model\.recipe\.label_smothing`: unknown key; did you mean .*smoothing"):
        parse_settings(TrainSettings, config)


def private_imports(path):
    """Modules of Hydra with a leading underscore in their name that a file imports."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    modules = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    modules += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return [name for name in modules if name.startswith("hydra.") and "._" in f".{name}"]


@pytest.mark.parametrize("room", ["cli", "experiments", "settings", "models", "data", "benchmarks", "tracking"])
def test_no_other_file_imports_private_modules_of_hydra(room):
    files = [path for path in (ROOT / room).rglob("*.py") if path.name != "hydra_internals.py"]
    assert {path.name: private_imports(path) for path in files if private_imports(path)} == {}


def test_private_imports_finds_one(tmp_path):
    (tmp_path / "a.py").write_text("import hydra._internal.hydra\nfrom hydra.errors import X\n")
    assert private_imports(tmp_path / "a.py") == ["hydra._internal.hydra"]
