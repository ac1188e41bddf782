"""Params of runs that former versions recorded, under today's names."""

import pytest

from convzoo.tracking.recipe_params import describe_recipe, former_recipe, rename_params

FORMER = {
    "name": "fast",
    "learning_rate": "0.001",
    "schedule": "cosine",
    "warmup": "0.02",
    "momentum": "0.9",
    "nesterov": "False",
    "weight_decay": "0.05",
    "clipnorm": "1",
    "bias_rate": "1",
    "label_smoothing": "0",
    "lookahead": "0",
    "flip": "True",
    "shift": "2",
    "fill": "reflect",
}
ROWS = {
    "flip": {"_target_": "convzoo.data.RandomFlip"},
    "translate": {"_target_": "convzoo.data.RandomTranslation", "pixels": 2, "fill_mode": "reflect"},
}


def recipe(optimizer, schedule, rows=ROWS, **others):
    return {"optimizer": optimizer, "schedule": schedule, "augmentation": rows, **others}


NOW = recipe(
    {"_target_": "keras.optimizers.AdamW", "learning_rate": 0.001, "weight_decay": 0.05, "global_clipnorm": 1},
    {"_target_": "convzoo.training.WarmupCosine", "warmup": 0.02},
)
SGD = {"_target_": "convzoo.training.L2SGD", "learning_rate": 0.001, "momentum": 0.9, "nesterov": True, "l2": 0.05}


@pytest.mark.parametrize(
    ("former", "now"),
    [
        ({"optimizer": "adamw"}, NOW),
        (  # before there was a choice of optimizers
            {"nesterov": "True", "clipnorm": "None"},
            recipe(SGD, {"_target_": "convzoo.training.WarmupCosine", "warmup": 0.02}),
        ),
        (
            {"optimizer": "adamw", "schedule": "constant", "warmup": "0", "flip": "False", "shift": "0"},
            recipe(NOW["optimizer"], {"_target_": "convzoo.training.Constant"}, {}),
        ),
        (
            {"optimizer": "adamw", "flip": "alternate", "bias_rate": "64", "lookahead": "0.774"},
            recipe(
                NOW["optimizer"],
                NOW["schedule"],
                {"flip": {**ROWS["flip"], "mode": "alternate"}, "translate": ROWS["translate"]},
                rate_factors={"beta": 64},
                lookahead={"rate": 0.774},
            ),
        ),
    ],
)
def test_renamed_params_are_those_of_the_same_recipe(former, now):
    renamed = rename_params({**FORMER, **former})
    expected = {key: str(value) for key, value in describe_recipe(now).items()}
    kept = {key: FORMER[key] for key in ("name", "learning_rate", "label_smoothing")}
    assert renamed == expected | kept


def test_params_of_today_stay():
    params = {"model": "lenet", "augmentation": "none", "momentum": "mine"}
    assert rename_params(params) == params
    assert rename_params({"model": "lenet"}) == {"model": "lenet"}


def test_recipe_that_was_flat_is_known_by_its_former_keys():
    full = {
        "rate_factors": {},
        "decay_variables": ["kernel"],
        "lookahead": None,
        "early_stopping": None,
        "label_smoothing": 0.0,
        "image_scales": [1],
    }
    former = former_recipe(NOW | full)
    assert (former["optimizer"], former["schedule"], former["warmup"]) == ("adamw", "cosine", 0.02)
    assert (former["flip"], former["shift"], former["fill"]) == (True, 2, "reflect")
    others = [
        {"optimizer": {"_target_": "keras.optimizers.Lion"}},
        {"optimizer": {**NOW["optimizer"], "beta_2": 0.99}},
        {"schedule": {**NOW["schedule"], "restarts": 3}},
        {"augmentation": {"a": {"_target_": "x.Cutout"}}},
        {"decay_variables": ["kernel", "bias"]},
        {"lookahead": {"rate": 0.5, "period": 6}},
        {"rate_factors": {"bias": 2}},
    ]
    assert [former_recipe(NOW | full | other) for other in others] == [None] * len(others)
