import copy

import keras

from ..checks import check_number, check_positive_int
from .composite import Composite, chain, clone_numbered, serialize_unshared

LAYERS = 10_000  # more take minutes to make, and a file asks for them in a line


@keras.saving.register_keras_serializable(package="convzoo")
class Repeat(Composite):
    """The same layers several times over, one copy after another, each with weights of its own.

    Args:
        body: a layer, a list of layers or a mapping whose values are layers: the template of the copies, not itself
            in use. Copies are called by the layer's name, or `body` for several, and a number from 1: `block_1`.
        times: int, number of copies; at most 10,000 layers in all, those inside others counted.
        vary: what differs from copy to copy: a mapping from the name of a layer, the body's or one inside it, to a
            mapping from its argument to (first, last), numbers between which the copies take even steps:
            `{"drop": {"rate": (0.0, 0.5)}}`. None: nothing.

    Input shape:
        What the body takes.

    Output shape:
        What `times` bodies leave of it.

    Raises:
        ValueError: for an argument outside of the above, or an input that a copy refuses.
    """

    def __init__(self, body, times, vary=None, **kwargs):
        super().__init__(**kwargs)
        self.times = check_positive_int("times", times)
        body = serialize_unshared(chain("body", body, unwrap_single=True))
        if (count := self.times * _count_layers(body)) > LAYERS:
            raise ValueError(f"`times` must give at most {LAYERS:,} layers. Received: times={times}, {count:,} layers")
        vary = _check_vary(vary, body)
        # Before they become attributes, in which Keras tracks every dict: copies of those take most of the time.
        self.copies = [clone_numbered(_interpolate(body, vary, i / max(times - 1, 1)), i + 1) for i in range(times)]
        self.body, self.vary = body, vary

    def connect(self, x, apply):
        for layer in self.copies:
            x = apply(layer, x)
        return x

    def get_config(self):
        return {**super().get_config(), "body": self.body, "times": self.times, "vary": self.vary}


def _check_vary(vary, body):
    try:
        vary = {
            name: {
                argument: (check_number("first", first), check_number("last", last))
                for argument, (first, last) in each.items()
            }
            for name, each in (vary or {}).items()
        }
    except (AttributeError, TypeError, ValueError):
        raise ValueError(
            "`vary` must be None or a mapping from names of layers to mappings from arguments to (first, last), two "
            f"numbers. Received: vary={vary!r}"
        ) from None
    named = {each["name"]: each for each in _iter_configs(body)}
    for name, each in vary.items():
        if name not in named or set(each) - set(named[name]):
            raise ValueError(f"`vary` must name layers of `body` and their arguments. Received: {name!r}: {each!r}")
    return vary


def _iter_configs(value):
    """The `config` of every layer in a serialized one."""
    if isinstance(value, dict):
        if isinstance(value.get("config"), dict) and "name" in value["config"]:
            yield value["config"]
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _iter_configs(inner)


def _count_layers(value):
    """Count the layers of a serialized layer, with all repetitions."""
    if isinstance(value, list):
        return sum(map(_count_layers, value))
    if not isinstance(value, dict):
        return 0
    inner = sum(map(_count_layers, value.values()))
    is_layer = isinstance(config := value.get("config"), dict) and "trainable" in config
    return is_layer + inner * (config["times"] if is_layer and {"body", "times"} <= config.keys() else 1)


def _interpolate(body, vary, fraction):
    body = copy.deepcopy(body)
    for config in _iter_configs(body):
        for argument, (first, last) in vary.get(config["name"], {}).items():
            config[argument] = first + fraction * (last - first)
    return body
