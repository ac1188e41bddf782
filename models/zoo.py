"""The networks by name: their configs composed, planned, built."""

from difflib import get_close_matches
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from .. import UserError
from . import axes, objective, planning, targets
from .assemble import assemble, expand, symbolically

KEYS = ("name", "paper", "recipe", "shared", "layers", "loss", "heads")
CONFIGS = Path(__file__).parents[1] / "configs"


def names():
    """Names of all networks, in alphabetical order."""
    return tuple(sorted(path.stem for path in (CONFIGS / "model").glob("*.yaml")))


def paper(name):
    """What a network's file says of its paper: `title`, `arxiv`, `year`, `params`, `error`, … as a dict."""
    return OmegaConf.to_container(composed(name).model.paper, resolve=True)


def kinds():
    """Mapping from each pooling kind to the row that fills a site with it, "paper" left out."""
    configs = [OmegaConf.load(path) for path in sorted((CONFIGS / "pooling").glob("*.yaml"))]
    return {config.kind: OmegaConf.to_container(config.row) for config in configs if config.row is not None}


def rows(config):
    """The rows of a composed config, shared settings and axes applied.

    Args:
        config: what `configs/network.yaml` composes, with `data.classes`.

    Raises:
        UserError: what the model's file says is no network, or an axis cannot be set so.
    """
    plain = _plain(config)
    model, pooling = plain["model"], plain["pooling"]
    _check_keys(config.model)
    if not isinstance(model.get("name"), str):
        raise UserError(f"`model.name` must be a word. Received: {model.get('name')!r}")
    if pooling["row"] is not None:
        targets.check({pooling["kind"]: pooling["row"]}, "pooling")
    if (pooling["row"] is None) != (pooling["kind"] == axes.PAPER):
        raise UserError(f"`pooling.row` must be null for the kind paper, and for no other. Received: {pooling}")
    return _reached(plain, model.get("layers"))


def loss_and_heads(config):
    """The `loss` and the `heads` of a composed config, as `models.objective` takes them, axes applied to the heads.

    Raises:
        UserError: they are none, or a head's row has the name of another.
    """
    plain = _plain(config)
    model = plain["model"]
    own, heads = model["layers"], model.get("heads") or {}
    objective.check(model.get("loss"), heads, own)
    names, network = set(own), set(rows(config))
    for name, head in heads.items():
        if both := names.intersection(head["layers"]):
            raise UserError(f"`model.heads.{name}.layers.{both.pop()}`: another row has that name")
        names.update(head["layers"])
        reached = _reached(plain, {**own, **head["layers"]})
        heads[name] = {**head, "layers": {key: row for key, row in reached.items() if key not in network}}
    return model.get("loss"), heads


def network(config):
    """What a run's config makes of its network: its `rows`, `loss` and `heads`, as a dict, and its `Plan`.

    Args and errors as those of `rows` and `loss_and_heads`; a map that shrinks to nothing is an error too.
    """
    found, (loss, heads) = rows(config), loss_and_heads(config)
    planned = plan_rows(found, tuple(config.data.image_shape), config.data.classes, config.model.name)
    return {"rows": found, "loss": loss, "heads": heads}, planned


def _plain(config):
    """A composed config as plain containers, without rows that are null: so a file leaves out what it inherits."""
    plain = OmegaConf.to_container(config, resolve=True)
    return {**plain, "model": _without_null_rows(plain["model"])}


def _without_null_rows(value):
    if not isinstance(value, dict):
        return value
    rows = "_target_" not in value and any(isinstance(v, dict) and "_target_" in v for v in value.values())
    return {key: _without_null_rows(inner) for key, inner in value.items() if inner is not None or not rows}


def _check_keys(model):
    """Refuses a key of a model's file that changes nothing: numbers of its own are for its rows to refer to."""
    written = OmegaConf.to_yaml(model, resolve=False)
    for key in model:
        if key not in KEYS and f"${{model.{key}}}" not in written:
            raise UserError(
                f"`model.{key}`: there is no such key, and no row refers to it; there are: {', '.join(KEYS)}"
            )


def _reached(plain, layers):
    """Rows with what the rest of the config does to them."""
    return axes.apply(
        expand(layers, plain["model"].get("shared") or {}),
        stride=plain["stride"],
        pooling=plain["pooling"],
        dropout=plain["dropout"],
        input_dropout=plain["input_dropout"],
        network=plain["model"]["name"],
    )


def describe(config):
    """The axes' values of a composed config, as `axes.describe` gives them."""
    return axes.describe(rows(config), kinds(), config.pooling.kind)


def build(name, image_shape=None, classes=None, **settings):
    """Builds a network of the zoo, with fresh weights.

    Args:
        name: one of `names()`.
        image_shape: (height, width, channels); None is the paper's.
        classes: number of class scores; None is the paper's.
        **settings: the axes: `stride`, `pooling` (a kind's name), `dropout`, `input_dropout`; each "paper" if absent.

    Returns:
        A `keras.Model` from float images, shape `(batch, height, width, channels)`, to class scores (no softmax),
        shape `(batch, classes)`, float32.

    Raises:
        UserError: unknown name or setting, a value out of range, or a map that shrinks to nothing.
    """
    config = composed(name, image_shape, classes, settings)
    return assemble(rows(config), *_ends(config), config.model.name)


def plan(name, image_shape=None, classes=None, **settings):
    """What `build` with the same arguments would build, as a `Plan`; no weight is allocated."""
    config = composed(name, image_shape, classes, settings)
    return plan_rows(rows(config), *_ends(config), config.model.name)


def plan_rows(network_rows, image_shape, classes, name):
    """The `Plan` of rows whose axes have been applied."""
    return symbolically(lambda: planning.of(assemble(network_rows, image_shape, classes, name)))


def composed(name, image_shape=None, classes=None, settings=None):
    """The config that `build` with the same arguments would take; `settings` are the axes."""
    settings = dict(settings or {})
    _one_of("network", name, names())
    if unknown := set(settings) - set(axes.NAMES):
        _one_of("setting", unknown.pop(), axes.NAMES)
    pooling = settings.pop("pooling", axes.PAPER)
    _one_of("pooling", pooling, [axes.PAPER, *kinds()])
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose("network", [f"model={name}", f"pooling={pooling}"])
    for key, value in settings.items():
        config[key] = value
    if image_shape is not None:
        config.data.image_shape = image_shape
    if classes is not None:
        config.data.classes = classes
    return config


def _ends(config):
    shape, classes = config.data.image_shape, config.data.classes
    if not OmegaConf.is_list(shape) or len(shape) != 3 or not all(isinstance(n, int) and n > 0 for n in shape):
        raise UserError(f"`image_shape` must be (height, width, channels), positive integers. Received: {shape}")
    if not isinstance(classes, int) or classes < 1:
        raise UserError(f"`classes` must be a positive integer. Received: {classes}")
    return tuple(shape), classes


def _one_of(what, value, valid):
    if value not in valid:
        near = get_close_matches(str(value), valid, 3) or sorted(valid)
        raise UserError(f"there is no {what} {value!r}; near it: {', '.join(near)}")
