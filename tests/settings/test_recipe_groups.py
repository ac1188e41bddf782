"""Recipes as rows: which part of which file is in force, and what the command line may change."""

import pytest
from omegaconf import OmegaConf

from convzoo import UserError
from convzoo.settings.composition import compose_run
from convzoo.settings.schema import parse_settings
from convzoo.settings.training import TrainSettings

ADAMW = {
    "_target_": "keras.optimizers.AdamW",
    "learning_rate": 0.001,
    "weight_decay": 0.05,
    "global_clipnorm": 1.0,
}
MUON = {
    "_target_": "convzoo.training.Muon",
    "learning_rate": 0.02,
    "others": "adamw",
    "others_rate": 0.1,
    "weight_decay": 0.05,
}
SPRINGENBERG = {"_target_": "convzoo.training.L2SGD", "learning_rate": 0.05, "momentum": 0.9, "l2": 0.001}


def settings_of(*words):
    return parse_settings(TrainSettings, OmegaConf.to_container(compose_run(words).config, resolve=True)).model_dump()


def recipe_of(*words):
    return settings_of(*words)["recipe"]


def test_default_recipe_is_its_file():
    recipe = recipe_of()
    assert recipe["optimizer"] == MUON
    assert list(recipe["augmentation"]) == ["flip", "translate"]


def test_paper_is_the_recipe_that_the_network_names():
    recipe = recipe_of("model=allconv", "recipe=paper")
    assert (recipe["name"], recipe["epochs"], recipe["optimizer"]) == ("paper", 350, SPRINGENBERG)
    assert recipe["augmentation"] == {}
    assert list(recipe["preprocessing"]) == ["gcn", "zca"]


@pytest.mark.parametrize("words", [("optimizer=adamw", "recipe=paper"), ("recipe=paper", "optimizer=adamw")])
def test_group_wins_over_recipe_in_any_order(words):
    recipe = recipe_of("model=allconv", *words)
    assert recipe["optimizer"] == ADAMW
    assert recipe["schedule"]["boundaries"] == [200, 250, 300]


def test_augmentation_group_replaces_all_augmentations():
    assert recipe_of("augmentation=none")["augmentation"] == {}
    assert list(recipe_of("model=airbench", "recipe=paper", "augmentation=cutout")["augmentation"]) == [
        "flip",
        "translate",
        "cutout",
    ]
    assert "mode" not in recipe_of("model=airbench", "recipe=paper", "augmentation=cutout")["augmentation"]["flip"]


@pytest.mark.parametrize("words", [("recipe=paper",), ("optimizer=sgd",), ()])
def test_learning_rate_is_the_optimizers_in_any_recipe(words):
    settings = settings_of("model=allconv", *words, "learning_rate=0.3")
    assert settings["learning_rate"] == settings["recipe"]["optimizer"]["learning_rate"] == 0.3
    settings = settings_of("model=allconv", *words, "recipe.optimizer.learning_rate=0.2")
    assert settings["learning_rate"] == 0.2


def test_argument_that_a_row_leaves_out_needs_no_plus():
    assert recipe_of("recipe.optimizer.beta_1=0.8")["optimizer"]["beta_1"] == 0.8
    assert recipe_of("recipe.augmentation.flip.mode=alternate")["augmentation"]["flip"]["mode"] == "alternate"
    assert recipe_of("recipe.rate_factors.beta=64")["rate_factors"] == {"beta": 64.0}
    assert recipe_of("recipe.lookahead.rate=0.5")["lookahead"] == {"rate": 0.5, "period": 5}


def test_row_or_table_that_is_typed_replaces_the_former_one():
    sgd = {"_target_": "keras.optimizers.SGD", "learning_rate": 0.1}
    assert recipe_of("recipe.optimizer={_target_:keras.optimizers.SGD,learning_rate:0.1}")["optimizer"] == sgd
    cut = {"cut": {"_target_": "convzoo.data.Cutout", "size": 8}}
    assert recipe_of("recipe.augmentation={cut:{_target_:convzoo.data.Cutout,size:8}}")["augmentation"] == cut
    for sign in ("", "+"):
        recipe = recipe_of(f"{sign}recipe.augmentation.cut={{_target_:convzoo.data.Cutout,size:8}}")
        assert list(recipe["augmentation"]) == ["flip", "translate", "cut"]


@pytest.mark.parametrize("word", ["recipe.augmentation.flip=null", "~recipe.augmentation.flip"])
def test_augmentation_that_is_null_or_deleted_is_left_out(word):
    assert list(recipe_of(word)["augmentation"]) == ["translate"]


def test_row_of_an_own_recipe_replaces_the_inherited_row(tmp_path):
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "mine.yaml").write_text(
        "defaults: [fast, _self_]\n"
        "name: mine\n"
        "optimizer: {_target_: keras.optimizers.SGD, learning_rate: 0.1}\n"
        "augmentation: {translate: {pixels: 5}}\n"
    )
    recipe = recipe_of(f"hydra.searchpath=[file://{tmp_path}]", "recipe=mine")
    assert recipe["optimizer"] == {"_target_": "keras.optimizers.SGD", "learning_rate": 0.1}
    assert recipe["augmentation"]["translate"]["pixels"] == 5
    assert recipe["augmentation"]["translate"]["fill_mode"] == "reflect"
    assert recipe["schedule"] == recipe_of()["schedule"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("recipe.momentum=0.9", "recipe.optimizer.momentum"),
        ("recipe.learning_rate=0.1", "it is learning_rate now"),
        ("recipe.sizes=[1]", "it is recipe.image_scales now"),
        ("recipe.flip=false", "recipe.augmentation.flip"),
        ("recipe.preprocess.normalization.axis=0", "recipe.preprocessing.normalization.axis"),
        ("recipe.optimizer=adam", "optimizer=adam chooses"),
        ("recipe.schedule=cosine", "schedule=cosine chooses"),
        ("model.recipe.epochs=3", "set `recipe.epochs`"),
        ("optimizer=adm", "did you mean adam"),
        ("recipe.optimizer._target_=3", "`recipe.optimizer` must be a row"),
        ("recipe.augmentation=3", "`recipe.augmentation` must be a mapping"),
        ("+recipe.augmentation.cutout.size=8", "`recipe.augmentation.cutout` must be a row"),
        ("recipe.rate_factors.beta=-1", "`recipe.rate_factors` must be a mapping"),
        ("recipe.lookahead.rate=1", "`recipe.lookahead.rate` must be below 1"),
        ("recipe.early_stopping.patience=0", "`recipe.early_stopping.patience` must be at least 1"),
        ("~recipe.optimizer.learning_rate", "`recipe.optimizer.learning_rate` is missing"),
    ],
)
def test_mistake_in_a_recipe_is_explained(word, message):
    with pytest.raises(UserError) as caught:
        recipe_from_python(word)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def recipe_from_python(word):
    """Compose as `run_training` does, which explains what cannot be resolved."""
    from convzoo.experiments.runner import check_settings

    return check_settings(compose_run([word]))


def test_early_stopping_needs_validation_images():
    with pytest.raises(UserError, match=r"`recipe\.early_stopping` needs validation images"):
        settings_of("recipe.early_stopping.patience=2", "data.validation=0")
