"""`build` and `plan` in other people's programs: their Hydra, threads, random state and Keras settings."""

import random
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.core.singleton import Singleton
from hydra.version import VersionBase
from omegaconf import OmegaConf
from omegaconf.basecontainer import BaseContainer

from convzoo import UserError
from convzoo.models import build, names, plan, registry

LENET_PARAMS = 61_706


@pytest.fixture
def image_data_format():
    configured = keras.config.image_data_format()
    yield keras.config.set_image_data_format
    keras.config.set_image_data_format(configured)


def test_plan_works_within_a_hydra_program(tmp_path):
    (tmp_path / "mine.yaml").write_text("a: 1\n")
    with initialize_config_dir(str(tmp_path), version_base=None):
        mine = GlobalHydra.instance().hydra
        assert plan("lenet").params == LENET_PARAMS
        assert build("lenet", pooling="l2").count_params() == LENET_PARAMS
        assert GlobalHydra.instance().hydra is mine
        assert compose("mine") == {"a": 1}
    assert not GlobalHydra.instance().is_initialized()


def test_build_changes_no_state_of_hydra():
    build("lenet")  # Hydra finds its plug-ins once a process
    singletons, resolvers = dict(Singleton._instances), dict(BaseContainer._resolvers)
    base = VersionBase.instance().getbase()
    registry._compose_own.cache_clear()
    build("lenet")
    assert dict(Singleton._instances) == singletons
    assert VersionBase.instance().getbase() is base
    assert BaseContainer._resolvers == resolvers


def as_hydra_composes(*words):
    """What Hydra's own loader composes: ours, which fills a recipe's defaults, may be installed in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hydra._internal.hydra.ConfigLoaderImpl", ConfigLoaderImpl)
        with initialize_config_dir(str(registry.CONFIGS_FOLDER), version_base="1.3"):
            return without_recipe(compose("network", list(words)))


def without_recipe(config):
    config = OmegaConf.to_container(config)
    return config | {"model": {key: value for key, value in config["model"].items() if key != "recipe"}}


def test_composed_config_is_the_one_that_hydra_composes():
    for name in ("allconv", "stochastic_depth_110", "nin", "vgg11_cifar"):
        composed = registry.compose_network(name, settings={"pooling": "l2"})
        assert without_recipe(composed) == as_hydra_composes(f"model={name}", "pooling=l2")


@pytest.mark.slow
def test_every_composed_config_is_the_one_that_hydra_composes():
    for name in names():
        assert without_recipe(registry.compose_network(name)) == as_hydra_composes(f"model={name}"), name


MINE = """
defaults: [lenet, _self_]
name: mine
layers: {conv1: {filters: 30}}
"""


@pytest.fixture
def config_dir(tmp_path):
    for group, name, text in (
        ("model", "mine", MINE),
        ("pooling", "wide", "kind: wide\nrow: {_target_: convzoo.layers.LpPooling2D, p: 3}\n"),
    ):
        (tmp_path / group).mkdir()
        (tmp_path / group / f"{name}.yaml").write_text(text)
    return tmp_path


def test_build_and_plan_read_configs_of_a_users_folder(config_dir):
    model = build("mine", pooling="wide", config_dir=config_dir)
    assert model.get_layer("conv1").filters == 30
    assert {layer.p for layer in model.layers if type(layer).__name__ == "LpPooling2D"} == {3}
    assert plan("mine", config_dir=str(config_dir)).params == model.count_params()
    assert build("lenet", pooling="wide", config_dir=config_dir).count_params() == LENET_PARAMS
    assert set(names(config_dir)) == {*names(), "mine"}


def test_build_refuses_a_users_file_as_the_command_line_does(config_dir):
    (config_dir / "model" / "mine.yaml").write_text(MINE + "hydra: {verbose: true}\n")
    with pytest.raises(UserError, match="`hydra` can only be set on the command line"):
        build("mine", config_dir=config_dir)
    (config_dir / "model" / "mine.yaml").write_text("defaults: [lenot, _self_]\nname: mine\n")
    with pytest.raises(UserError, match="Could not load 'model/lenot'"):
        build("mine", config_dir=config_dir)
    with pytest.raises(UserError, match="`config_dir` must be a folder"):
        build("mine", config_dir=config_dir / "none")
    with pytest.raises(UserError, match="there is no network 'mine'"):
        build("mine")


def test_build_and_plan_work_in_threads():
    def count(number):
        return plan("lenet").params if number % 2 else build("lenet").count_params()

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(count, range(8))) == {LENET_PARAMS}


def test_plan_moves_no_random_state():
    def weights():
        return [np.array(weight) for weight in build("lenet").get_weights()]

    keras.utils.set_random_seed(0)
    expected, drawn = weights(), (random.random(), np.random.rand())
    keras.utils.set_random_seed(0)
    plan("nin")
    plan("fractalnet")
    actual = weights()
    assert (random.random(), np.random.rand()) == drawn
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", ["lenet", "resnet20", "googlenet_cifar", "shufflenet_cifar", "capsnet", "airbench"])
def test_plan_is_the_same_when_keras_is_channels_first(name, image_data_format):
    expected = plan(name)
    image_data_format("channels_first")
    assert plan(name) == expected


def test_network_of_a_channels_first_program_trains_and_saves(image_data_format, tmp_path):
    image_data_format("channels_first")
    model = build("resnet20", image_shape=(8, 8, 1))
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype("float32")
    model.save(tmp_path / "model.keras")
    image_data_format("channels_last")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(np.array(loaded(images)), np.array(model(images)), rtol=1e-5, atol=1e-5)
    formats = {layer.data_format for layer in model._flatten_layers() if hasattr(layer, "data_format")}
    assert formats == {"channels_last"}


def test_build_accepts_the_arguments_of_keras_applications():
    model = build("lenet", input_shape=(28, 28, 1), num_classes=5, include_top=True, weights=None)
    assert (model.input_shape, model.output_shape) == ((None, 28, 28, 1), (None, 5))
    assert plan("lenet", input_shape=(28, 28, 1), num_classes=5).params == model.count_params()


def test_build_appends_the_classifier_activation():
    logits, softmax = build("lenet"), build("lenet", classifier_activation="softmax")
    softmax.set_weights(logits.get_weights())
    images = np.random.default_rng(0).normal(size=(2, *logits.input_shape[1:])).astype("float32")
    np.testing.assert_allclose(np.array(softmax(images)), np.array(keras.ops.softmax(logits(images))), rtol=1e-5)
    with pytest.raises(UserError, match=r"`classifier_activation` must be .* Received: classifier_activation='sofmax'"):
        build("lenet", classifier_activation="sofmax")


@pytest.mark.parametrize(
    ("name", "last", "shape"),
    [
        ("lenet", "pool2", (5, 5, 16)),
        ("allconv", "conv6", (6, 6, 192)),
        ("nin", "cccp5", (8, 8, 192)),
        ("resnet20", "conv4_x", (8, 8, 64)),
        ("squeezenet_cifar", "fire9", (4, 4, 512)),
        ("capsnet", "conv1", (20, 20, 256)),
    ],
)
def test_build_without_top_ends_in_the_last_feature_map(name, last, shape):
    model = build(name, include_top=False)
    assert model.layers[-1].name == last
    assert model.output_shape == (None, *shape)


def test_fully_convolutional_network_takes_images_of_any_size():
    model = build("allconv", image_shape=(None, None, 3))
    assert model.input_shape == (None, None, None, 3)
    assert model(np.zeros((1, 40, 36, 3), "float32")).shape == (1, 10)
    with pytest.raises(UserError, match="row `fc1` of lenet cannot be built: All sizes but the batch must be known"):
        build("lenet", image_shape=(None, None, 3))
    assert build("lenet", image_shape=(None, None, 3), include_top=False).output_shape == (None, None, None, 16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights": "gone.keras"}, "`weights=gone.keras`: there is no such file"),
        ({"clases": 5}, "`clases` is not an argument of a network; did you mean classes?"),
        ({"input_tensor": 1}, "`input_tensor` is not an argument of a network; valid: .*image_shape, classes"),
        ({"input_shape": (8, 8, 3), "image_shape": (8, 8, 3)}, "`input_shape` and `image_shape` are the same argument"),
        ({"image_shape": (None, 32)}, r"`image_shape` must be \(height, width, channels\)"),
        ({"image_shape": (32, 32, None)}, r"`image_shape` must be \(height, width, channels\)"),
        ({"num_classes": 0}, "`classes` must be a positive integer. Received: 0"),
    ],
)
def test_build_names_the_right_argument_when_one_is_wrong(arguments, message):
    with pytest.raises(UserError, match=message) as error:
        build("lenet", **arguments)
    assert "\n" not in str(error.value)


def test_plan_refuses_unknown_sizes():
    with pytest.raises(UserError, match=r"`image_shape` must be \(height, width, channels\), positive integers"):
        plan("allconv", image_shape=(None, None, 3))
