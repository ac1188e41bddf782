"""Overrides of what the rows of a model have without stating it."""

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from convzoo.settings.implied_keys import add_implied_keys

MODEL = """
shared: {Conv2D: {activation: relu}}
width: 4
layers:
  conv1: {_target_: convzoo.layers.Conv2D, filters: "${model.width}"}
  unit: {_target_: convzoo.layers.BasicBlock, filters: "${model.width}", strides: 2, shortcut_type: pad}
  units: {_target_: convzoo.layers.Repeat, times: 2, body: {unit: {_target_: convzoo.layers.BasicBlock, filters: 4}}}
"""


def compose(*words):
    config = OmegaConf.create({"model": OmegaConf.create(MODEL)})
    OmegaConf.set_struct(config, True)
    overrides = OverridesParser.create().parse_overrides(list(words))
    add_implied_keys(overrides, config)
    ConfigLoaderImpl._apply_overrides_to_config(overrides, config)
    return config.model.layers


def test_argument_that_shared_gives_is_set_as_typed():
    assert compose("model.layers.conv1.activation=elu").conv1.activation == "elu"


@pytest.mark.parametrize("path", ["unit.body.conv1", "unit.shortcut.subsample", "units.body.unit.body.conv2"])
def test_row_inside_a_block_is_set_as_typed(path):
    layers = compose(f"model.layers.{path}._target_=keras.layers.ReLU")
    assert OmegaConf.select(layers, f"{path}._target_") == "keras.layers.ReLU"


def test_row_inside_a_block_is_deleted_as_typed():
    assert compose("~model.layers.unit.body.bn1").unit.body == {"bn1": None}


def test_changed_row_inside_a_block_is_deleted_as_typed():
    words = ("+model.layers.unit.body.bn1.momentum=0.5", "~model.layers.unit.body.bn1")
    assert compose(*words).unit.body == {"bn1": None}


@pytest.mark.parametrize(
    "word",
    [
        "model.layers.conv1.dilation_rate=2",
        "model.layers.conv2.filters=2",
        "model.layers.unit.body.conv3.filters=2",
        "model.layers.unit.body.conv1.dilation_rate=2",
        "~model.layers.conv1.activation",
        "~model.layers.unit.body.conv3",
        "model.width.more=2",
    ],
)
def test_key_that_no_row_has_is_refused(word):
    with pytest.raises(ConfigCompositionException):
        compose(word)
