"""Every config of every group: it is composed and passes the checks that a command would make."""

from functools import cache
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from sampling import ALL, sample

from convzoo import UserError, data
from convzoo.data.augmentation.rows import check_augmentation
from convzoo.experiments import launchers
from convzoo.models import registry
from convzoo.settings import study_file, training
from convzoo.settings.composition import compose_run
from convzoo.settings.schema import parse_settings
from convzoo.training import preprocess
from convzoo.training.optimizers import check_optimizer
from convzoo.training.schedules import check_schedule

CONFIGS = Path(registry.__file__).parents[1] / "configs"
GROUPS = {
    folder: sorted(
        str(path.relative_to(CONFIGS / folder).with_suffix("")) for path in (CONFIGS / folder).rglob("*.yaml")
    )
    for folder in ("augmentation", "data", "launcher", "model", "optimizer", "pooling", "recipe", "schedule", "studies")
}
DATA = [name for name in GROUPS["data"] if name not in ("files", "tfds")]
PLUGINS = {"parallel": "joblib_launcher", "slurm": "submitit_launcher", "ray": "ray_launcher"}
TOO_SMALL = ("does not fit the", "at least as large as the window")  # what a network says of images too small for it


def composed(*words, whole=False):
    if not whole:
        return compose_run(words).config
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose("train", list(words), return_hydra_config=True)


def checked(*words):
    """A config composed of these words, after the checks of `train.py` that read no data."""
    config = composed(*words)
    settings = OmegaConf.to_container(config, resolve=True)
    data.check_config(settings["data"])
    recipe = parse_settings(training.TrainSettings, settings).model_dump()["recipe"]
    check_augmentation(recipe["augmentation"], tuple(settings["data"]["image_shape"]))
    check_optimizer(recipe)
    check_schedule(recipe["schedule"])
    loss, heads = registry.loss_and_heads(config)
    preprocess.check(recipe, {"rows": registry.rows(config), "loss": loss, "heads": heads})
    return config


@cache
def images(name):
    config = OmegaConf.load(CONFIGS / "data" / f"{name}.yaml")
    return tuple(config.image_shape), config.classes


def test_every_folder_of_configs_is_a_group_that_is_tested_here():
    folders = {path.name for path in CONFIGS.iterdir() if path.is_dir() and list(path.glob("*.yaml"))}
    assert folders == set(GROUPS)
    assert all(GROUPS.values())


@pytest.mark.parametrize("name", DATA)
def test_every_data_config_passes_its_check(name):
    config = checked("model=lenet", f"data={name}")
    assert len(set(config.data.class_names)) == config.data.classes


def test_the_config_of_files_passes_its_check_with_their_classes():
    checked("model=lenet", "data=files", "data.directory=x", "data.classes=2", "data.class_names=[a,b c]")


@pytest.mark.parametrize("name", ["a/b", "a\\b", ".", "..", " .. "])
def test_class_name_outside_its_folder_is_refused_for_files_only(name):
    config = OmegaConf.to_container(OmegaConf.load(CONFIGS / "data" / "digits.yaml"))
    config["class_names"][0] = name
    data.check_config(config)
    with pytest.raises(UserError, match=r"`data\.class_names` must be 10 different names"):
        data.check_config({**config, "source": "files"})


@pytest.mark.parametrize("name", ["", "  ", "1", "a\x1b[2J", "a\nb", 3, None])
def test_a_class_name_that_is_none_is_refused_for_every_source(name):
    config = OmegaConf.to_container(OmegaConf.load(CONFIGS / "data" / "digits.yaml"))
    config["class_names"][0] = name
    for source in ("digits", "tfds", "files"):
        with pytest.raises(UserError, match=r"`data\.class_names` must be 10 different names"):
            data.check_config({**config, "source": source})


@pytest.mark.parametrize("part", ["optimizer", "schedule", "augmentation"])
def test_every_part_of_a_recipe_passes_its_check(part):
    for name in GROUPS[part]:
        for recipe in ("fast", "paper"):
            checked("model=nin", f"recipe={recipe}", f"{part}={name}")


@pytest.mark.parametrize("name", GROUPS["recipe"])
def test_every_recipe_passes_its_check(name):
    words = ["model=nin", f"recipe={name}"]
    if name in ("finetune", "linear_probe"):
        with pytest.raises(UserError, match=r"`recipe\.finetuning` needs weights"):
            checked(*words)
        words.append("weights=run:latest")
    checked(*words)


@pytest.mark.parametrize("name", GROUPS["pooling"])
def test_every_pooling_kind_fills_a_site(name):
    config = checked("model=nin", f"pooling={name}")
    assert config.pooling.kind == name
    assert registry.describe(config)["pooling"] == (
        name if name != "paper" else registry.describe(composed("model=nin"))["pooling"]
    )


@pytest.mark.parametrize("name", GROUPS["launcher"])
def test_every_launcher_passes_its_check(name):
    if name in PLUGINS:
        pytest.importorskip(f"hydra_plugins.hydra_{PLUGINS[name]}")
    launchers.check(composed(f"launcher={name}", whole=True).launcher)


@pytest.mark.parametrize("name", GROUPS["studies"])
def test_every_study_passes_its_reader(name):
    study = study_file.load_study(name)
    assert study["question"]
    assert study["sweep"]
    assert study_file.overrides_by_key(word for word in study_file.expand_overrides([f"study={name}"]) if word != "-m")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in GROUPS["studies"] if ALL or not name.endswith("_full")])
def test_every_value_that_a_study_sweeps_is_one_of_a_run(name):
    words = study_file.overrides_by_key(word for word in study_file.expand_overrides([f"study={name}"]) if word != "-m")
    for key, values in words.items():
        for value in values:
            first = [others[0] for other, others in words.items() if other != key]
            checked(*first, value)


@pytest.mark.slow
@pytest.mark.parametrize("name", sample(GROUPS["model"], 5))
def test_every_network_plans_every_data_set_it_fits(name):
    for shape, classes in dict.fromkeys(map(images, DATA)):
        config = composed(f"model={name}")
        OmegaConf.update(config, "data.image_shape", list(shape))
        OmegaConf.update(config, "data.classes", classes)
        refused = None
        try:
            assert registry.network(config)[1].rows[-1].output_shape == (classes,)
        except UserError as error:
            refused = str(error)
        only_ten_digits = name == "lenet5" and classes != 10
        assert refused is None or only_ten_digits or any(reason in refused for reason in TOO_SMALL), refused
