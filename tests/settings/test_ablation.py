"""The parts of recipes as a reader of their files finds them, and recipes without one."""

from functools import cache

import pytest

from convzoo import UserError
from convzoo.experiments.ablation import choose_parts
from convzoo.experiments.runner import check_settings
from convzoo.settings import study_file
from convzoo.settings.ablation import NOTHING, leave_out, list_parts
from convzoo.settings.composition import compose_run

# As read off configs/recipe/NAME.yaml: what is stated beyond one rate, plain SGD and images as they are.
PARTS = {
    "fast": """
        optimizer.weight_decay schedule schedule.warmup augmentation.flip augmentation.translate
        preprocessing.normalization
    """,
    "jordan2024": """
        optimizer.l2 optimizer.momentum optimizer.nesterov schedule schedule.warmup augmentation.flip
        augmentation.translate preprocessing.normalization label_smoothing rate_factors lookahead
    """,
    "sandler2018": """
        optimizer.weight_decay optimizer.momentum optimizer.use_ema schedule augmentation.crop augmentation.flip
        augmentation.color preprocessing.scale label_smoothing decay_variables
    """,
}
# What a user would type to leave parts out, in three commands.
TYPED = (
    {
        "optimizer.l2": "recipe.optimizer.l2=0",
        "schedule": "schedule=constant",
        "augmentation.flip": "recipe.augmentation.flip=null",
        "label_smoothing": "recipe.label_smoothing=0",
        "rate_factors": "recipe.rate_factors={}",
    },
    {
        "optimizer.momentum": "recipe.optimizer.momentum=0",
        "schedule.warmup": "recipe.schedule.warmup=0",
        "augmentation.translate": "recipe.augmentation.translate=null",
        "preprocessing.normalization": "recipe.preprocessing.normalization=null",
        "lookahead": "recipe.lookahead=null",
    },
    {"optimizer.nesterov": "recipe.optimizer.nesterov=false"},
)


@cache
def recipe_of(*words):
    return check_settings(compose_run(["model=lenet", "data=cifar10", *words])).recipe


@pytest.mark.parametrize("name", PARTS)
def test_parts_are_those_that_the_recipe_file_states(name):
    assert sorted(list_parts(recipe_of(f"recipe={name}"))) == sorted(PARTS[name].split())


def test_recipe_without_parts_is_what_a_user_would_type():
    assert sorted(part for words in TYPED for part in words) == sorted(PARTS["jordan2024"].split())
    for words in TYPED:
        recipe = recipe_of("recipe=jordan2024")
        for part in words:
            whole, recipe = recipe, leave_out(recipe, part)
            assert recipe != whole, part
        assert recipe == recipe_of("recipe=jordan2024", *words.values())


def test_setting_leaves_a_part_out():
    assert recipe_of("ablate=recipe.schedule") == leave_out(recipe_of("recipe=fast"), "schedule")
    assert leave_out(recipe_of("recipe=fast"), NOTHING) == recipe_of("recipe=fast")


@pytest.mark.parametrize("part", ["augmentation.cutout", "optimizer.momentum", "epochs", "learning_rate", "optimizer"])
def test_part_that_cannot_be_left_out_is_refused_in_one_line(part):
    with pytest.raises(UserError, match=rf"^`ablate` must be nothing or a part .*flip.* Received: ablate={part}$"):
        leave_out(recipe_of("recipe=fast"), part)


def test_part_that_the_data_set_forbids_is_refused():
    with pytest.raises(UserError, match=r"the data set allows: (?!.*flip, ).* Received: ablate=augmentation\.flip"):
        recipe_of("data=digits", "ablate=augmentation.flip")


def expand(tmp_path, text, *words):
    (tmp_path / "studies").mkdir(exist_ok=True)
    (tmp_path / "studies" / "mine.yaml").write_text(f"{text}\nset: {{model: lenet, data: digits}}\n")
    return study_file.expand_overrides([f"--config-dir={tmp_path}", "study=mine", *words], choose_parts)


def test_study_leaves_out_each_part_of_its_recipe(tmp_path):
    words = expand(tmp_path, "ablate: recipe\nsweep: {seed: [0, 1]}")
    parts = "optimizer.weight_decay,schedule,schedule.warmup,augmentation.translate,preprocessing.normalization"
    assert words[3:5] == [f"ablate=nothing,{parts}", "seed=0,1"]  # digits are never mirrored
    typed = "optimizer.l2,optimizer.momentum,optimizer.nesterov"  # of configs/optimizer/sgd.yaml
    words = expand(tmp_path, "ablate: recipe", "optimizer=sgd")
    assert parts.replace("optimizer.weight_decay", typed) in words[4]


def test_study_leaves_out_the_named_parts(tmp_path):
    text = "ablate: [recipe.augmentation.translate, schedule]\nsweep: {seed: [0, 1]}"
    words = expand(tmp_path, text)
    assert "ablate=nothing,augmentation.translate,schedule" in words
    assert "ablate=nothing,schedule" in expand(tmp_path, text, "ablate=nothing,schedule")
    file = study_file.find_study(words)
    assert file["sweep"] == {"ablate": ["nothing", "augmentation.translate", "schedule"], "seed": [0, 1]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ablate: flip", r"must be recipe, or a list of its parts.* Received: 'flip'"),
        ("ablate: []", r"must be recipe, or a list"),
        ("ablate: [schedule, recipe.schedule]", r"must be recipe, or a list"),
        ("ablate: [nothing]", r"must be recipe, or a list"),
        ("ablate: recipe\nsweep: {ablate: [nothing, schedule]}", r"`ablate` as a key and as a setting"),
        ("ablate: [augmentation.flip]", r"the data set allows: .* Received: ablate=augmentation\.flip$"),
        (
            "ablate: recipe\nsweep: {recipe: [fast, jia2014]}",
            r"is a part of only one of recipe=fast and recipe=jia2014",
        ),
        ("ablate: [schedule]\nsweep: {schedule: [cosine, constant]}", r"`ablate` with schedule=constant must be"),
        (
            "ablate: [schedule]\nclaims: [{says: x, better: {ablate: nothing}, than: {ablate: flip}, by: 0.01}]",
            r"a claim may be of `ablate` nothing, schedule\. Received: ablate=flip",
        ),
    ],
)
def test_study_that_cannot_leave_its_parts_out_is_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=rf"^`study=mine`.*{message}"):
        expand(tmp_path, text)


def test_study_until_decided_may_leave_parts_out(tmp_path):
    claim = "{says: x, better: {ablate: nothing}, than: {ablate: schedule}, by: 0.01}"
    text = f"ablate: [schedule]\nuntil: decided\nclaims: [{claim}]"
    words = expand(tmp_path, text)
    assert {"ablate=nothing,schedule", "seed=0,1,2"} <= {*words}
    assert study_file.find_study(words)["sweep"] == {"ablate": ["nothing", "schedule"]}
    with pytest.raises(UserError, match=r"`ablate` cannot be typed, because the file has `until: decided`"):
        expand(tmp_path, text, "ablate=nothing,schedule")


def test_ablation_crosses_parts_with_other_settings(tmp_path):
    words = expand(tmp_path, "ablate: [schedule]\nsweep: {dropout: [0, 0.5], data.fraction: [0.5, 1], seed: [0, 1]}")
    assert "ablate=nothing,schedule" in words
