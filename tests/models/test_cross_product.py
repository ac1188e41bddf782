"""Every network with every value of an axis on every kind of data: planned, or refused for a reason typed here."""

import pytest
from distinct_networks import distinct
from plans import plan
from sampling import sample

from convzoo import UserError
from convzoo.models import names, registry

KINDS = registry.pooling_kinds()
WITH_WEIGHTS = {"strided", "mixed", "trainable"}
SETTINGS = [*(("pooling", kind) for kind in KINDS), ("stride", 1), ("stride", 3), ("dropout", 0), ("dropout", 0.3)]
DATA = {"cifar10": ((32, 32, 3), 10), "cifar100": ((32, 32, 3), 100), "mnist": ((28, 28, 1), 10)}
NO_SITE = {"capsnet", "convmixer_256_8"}
NO_STRIDE = {"convmixer_256_8"}
SHRINKS_TO_NOTHING = {"ciresan", "fractalnet", "lenet5"} | {f"vgg{depth}_cifar" for depth in (11, 13, 16, 19)}  # by 3


def planned(config, setting=None, data=None):
    """The plan of a composed config with one setting more, on its own kind of picture or on another."""
    config = config.copy()
    if setting:
        key, value = setting
        config[key] = {"kind": value, "row": KINDS[value]} if key == "pooling" else value
    if data:
        config.data.image_shape, config.data.classes = list(DATA[data][0]), DATA[data][1]
    actual = registry.plan_rows(
        registry.rows(config), tuple(config.data.image_shape), config.data.classes, config.model.name
    )
    assert actual.rows[-1].output_shape == (config.data.classes,)
    return actual


def plan_or_reason(config, setting=None, data=None):
    try:
        return planned(config, setting, data), None
    except UserError as error:
        return None, str(error)


def check(config, setting, as_it_is):
    key, value = setting
    name = config.model.name
    actual, refused = plan_or_reason(config, setting)
    if refused:
        if f"`{key}={value}`: no row of {name} refers to this axis" in refused:
            assert name in {"pooling": NO_SITE, "stride": NO_STRIDE}.get(key, {name})
        else:
            assert setting == ("stride", 3)
            assert name in SHRINKS_TO_NOTHING
            assert "window does not fit the" in refused
        return
    if key == "dropout":
        assert (actual.params, actual.macs) == (as_it_is.params, as_it_is.macs)
    elif setting == ("stride", 1):
        assert actual.macs >= as_it_is.macs
    elif key == "pooling" and value not in WITH_WEIGHTS:
        assert actual.params <= as_it_is.params


@pytest.mark.parametrize(("number", "name"), sample(list(enumerate(distinct(names())))))
def test_a_sample(number, name):
    """A setting a network, so that each meets half a dozen networks."""
    config = registry.compose_network(name)
    check(config, SETTINGS[number % len(SETTINGS)], plan(name))


@pytest.mark.slow
@pytest.mark.parametrize(("number", "name"), enumerate(names()))
def test_every_setting(number, name):
    """If not all are wanted, every sixth, others of the next network."""
    config = registry.compose_network(name)
    as_it_is = plan(name)
    for setting in sample(SETTINGS[number % 6 :] + SETTINGS[: number % 6], 6):
        check(config, setting, as_it_is)


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_every_kind_of_data(name):
    config = registry.compose_network(name)
    fits = tuple(config.data.image_shape) == DATA["cifar10"][0]
    for data in DATA:
        _, refused = plan_or_reason(config, data=data)
        if data != "mnist" and fits:
            assert refused is None
        if refused:  # the row, and what is wrong with it
            assert "`" in refused
            assert any(
                reason in refused
                for reason in ("does not fit the", "at least as large as the window", f"{name} must end in")
            ), refused
