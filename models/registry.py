"""Networks by name: compose their configs, plan them, build them."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
from omegaconf import DictConfig, OmegaConf

from .. import UserError
from ..settings import composition, untrusted_yaml
from ..settings.hydra_internals import CONFIGS_FOLDER
from ..settings.text import did_you_mean, find_near_words
from . import allowlist, axes, objective, planning
from .builder import apply_shared, assemble, make_model, run_symbolically
from .spec import parse_model, read_whole_numbers, rename_axis_keys, warn_of_axis_keys

if TYPE_CHECKING:
    from .weights import NamedWeights

KEYS = ("name", "paper", "recipe", "shared", "layers", "loss", "heads")
# By argument of `keras.applications`, the one of `build` with the same meaning.
_SYNONYMS = {"input_shape": "image_shape", "num_classes": "classes"}


def names(config_dir: str | Path | None = None) -> tuple[str, ...]:
    """Return the names of all networks, in alphabetical order.

    Args:
        config_dir: a folder of your own configs, whose `model/NAME.yaml` are networks too.
    """
    return _config_names("model", config_dir)


def paper(name: str) -> dict[str, Any]:
    """Return what a network's file has about its paper: `title`, `arxiv`, `year`, `params`, `error`, …"""
    return _to_dict(compose_network(name).model.paper)


def recipe_name(name: str) -> str | None:
    """Return the name of the recipe that a network's paper states, or None: it is the file in `configs/recipe/`."""
    recipe = compose_network(name).model.get("recipe")
    return None if recipe is None else str(recipe.name)


def pooling_kinds(config_dir: str | Path | None = None) -> dict[str, dict[str, Any]]:
    """Return a mapping from each pooling kind to the row that fills a site with it, "paper" left out.

    Args:
        config_dir: a folder of your own configs, whose `pooling/KIND.yaml` are kinds too.

    Raises:
        UserError: a file there is not that of a pooling kind.
    """
    kinds: dict[str, dict[str, Any]] = {}
    for folder in _folders(config_dir):
        for path in sorted((folder / "pooling").glob("*.yaml")):
            config = untrusted_yaml.read(path)
            if not isinstance(config, dict) or not {"kind", "row"} <= config.keys():
                raise UserError(f"{path} must have the keys `kind` and `row`")
            if config["row"] is not None:
                kinds.setdefault(config["kind"], config["row"])
    return dict(sorted(kinds.items()))


def _config_names(group: str, config_dir: str | Path | None) -> tuple[str, ...]:
    return tuple(sorted({path.stem for folder in _folders(config_dir) for path in (folder / group).glob("*.yaml")}))


def _folders(config_dir: str | Path | None) -> list[Path]:
    if config_dir is None:
        return [CONFIGS_FOLDER]
    if not Path(config_dir).is_dir():
        raise UserError(f"`config_dir` must be a folder. Received: {str(config_dir)!r}")
    return [CONFIGS_FOLDER, Path(config_dir)]


@dataclass(frozen=True)
class ResolvedNetwork:
    """The network of a composed config, with `shared` and the axes applied.

    Attributes:
        name: of the network.
        rows: mapping from name to row.
        loss: a row of a Keras loss, or None.
        heads: mapping from name to head, as `models.objective` reads them.
        axes: the axes' values, as `axes.describe` returns them.
        image_shape: (height, width, channels).
        classes: number of class scores.
    """

    name: str
    rows: dict[str, Any]
    loss: dict[str, Any] | None
    heads: dict[str, Any]
    axes: dict[str, Any]
    image_shape: tuple[Any, ...]
    classes: int

    @property
    def definition(self) -> dict[str, Any]:
        """The `rows`, `loss` and `heads`."""
        return {"rows": self.rows, "loss": self.loss, "heads": self.heads}

    def plan(self) -> planning.Plan:
        """Return the `Plan`, in the precision in force.

        Raises:
            UserError: a map shrinks to nothing.
        """
        return plan_rows(self.rows, self.image_shape, self.classes, self.name)


def resolve(config: DictConfig) -> ResolvedNetwork:
    """Resolve the network of a composed config.

    Args:
        config: what `configs/network.yaml` composes, with `data.classes`.

    Raises:
        UserError: the model's file does not describe a network, a head's row has the name of another, or an axis cannot
            have its value.
    """
    plain = read_whole_numbers(OmegaConf.to_container(config, resolve=True))
    model, pooling = parse_model(plain["model"]), rename_axis_keys(plain["pooling"])
    _check_keys(config.model)
    name = model.get("name")
    if not allowlist.is_name(name) or name.startswith("_"):
        raise UserError(f"`model.name` must {allowlist.NAME_RULE}, and not begin with `_`. Received: {name!r}")
    if pooling["row"] is not None:
        allowlist.check_rows({pooling["kind"]: pooling["row"]}, "pooling")
    if (pooling["row"] is None) != (pooling["kind"] == axes.PAPER):
        raise UserError(f"`pooling.row` must be null for the kind paper, and for no other. Received: {pooling}")

    def apply_settings(layers: Any) -> dict[str, Any]:
        shared_rows = apply_shared(layers, model.get("shared") or {})
        values = {axis: plain[axis] for axis in axes.NAMES if axis != "pooling"}
        return axes.apply(shared_rows, pooling=pooling, **values, network=name)

    own = model.get("layers")
    network_rows = apply_settings(own)
    loss, heads = model.get("loss"), model.get("heads") or {}
    objective.check_objective(loss, heads, own)
    used_names = set(own)
    for head_name, head in heads.items():
        if both := used_names.intersection(head["layers"]):
            raise UserError(f"`model.heads.{head_name}.layers.{both.pop()}`: another row has that name")
        used_names.update(head["layers"])
        with_head = apply_settings({**own, **head["layers"]})
        heads[head_name] = {**head, "layers": {key: row for key, row in with_head.items() if key not in network_rows}}
    described = axes.describe(network_rows, pooling_kinds(), pooling["kind"])
    image_shape, classes = config.data.image_shape, config.data.classes
    return ResolvedNetwork(name, network_rows, loss, heads, described, tuple(image_shape or ()), classes)


def rows(config: DictConfig) -> dict[str, Any]:
    """Return the rows of a composed config; arguments and errors are those of `resolve`."""
    return resolve(config).rows


def loss_and_heads(config: DictConfig) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Return the loss and the heads of a composed config; arguments and errors are those of `resolve`."""
    network = resolve(config)
    return network.loss, network.heads


def describe(config: DictConfig) -> dict[str, Any]:
    """Return the axes' values of a composed config; arguments and errors are those of `resolve`."""
    return resolve(config).axes


def network(config: DictConfig) -> tuple[dict[str, Any], planning.Plan]:
    """Return the `rows`, `loss` and `heads` of a composed config, and its `Plan`.

    Arguments and errors are those of `resolve`; a map that shrinks to nothing is an error too.
    """
    warn_of_axis_keys(OmegaConf.to_container(config.model))
    resolved = resolve(config)
    return resolved.definition, resolved.plan()


def use_paper_image_size(config: DictConfig) -> str | None:
    """Plan a network on images of its paper's size: set `data.image_shape` and `data.classes` to the paper's.

    Nothing changes if the paper's images have the height and width of the config's, or the file names no size.

    Args:
        config: a composed config whose `data` is the default.

    Returns:
        A line about the new size, or None.
    """
    plain: Any = OmegaConf.to_container(config.model)
    paper = plain.get("paper") if isinstance(plain, dict) else None
    if not isinstance(paper, dict):
        return None
    shape = paper.get("image_shape")
    if not isinstance(shape, list) or shape[:2] == list(config.data.image_shape)[:2]:
        return None
    data = f"`data={config.data.name}` plans {'×'.join(map(str, config.data.image_shape))}"
    config.data.image_shape = shape
    config.data.classes = paper.get("classes", config.data.classes)
    _image_shape_and_classes(config)
    return f"planned at the paper's {'×'.join(map(str, shape))}, {config.data.classes} classes; {data}"


def _check_keys(model: DictConfig) -> None:
    """Refuse a key of a model's file that changes nothing: other keys exist for rows to refer to."""
    written = OmegaConf.to_yaml(model, resolve=False)
    for key in map(str, model):
        if key not in KEYS and f"${{model.{key}}}" not in written:
            raise UserError(f"`model.{key}`: unknown key, and no row refers to it; valid keys: {', '.join(KEYS)}")


def build(
    name: str,
    image_shape: tuple[int | None, int | None, int] | None = None,
    classes: int | None = None,
    *,
    include_top: bool = True,
    classifier_activation: str | None = None,
    weights: "str | Path | NamedWeights | None" = None,
    config_dir: str | Path | None = None,
    **settings: object,
) -> keras.Model:
    """Build a network of the zoo, with fresh weights or those of a source.

    Args:
        name: one of `names()`.
        image_shape: (height, width, channels), also accepted as `input_shape`; None is that of the weights if they say,
            else the paper's. Height and width may be None where no layer depends on them.
        classes: number of class scores, also accepted as `num_classes`; None is that of the weights if they say, else
            the paper's.
        include_top: False leaves out the classifier: the first row whose output is not a feature map, or that depends
            on the number of classes, and all rows after it. Dropout directly before the classifier goes with it.
        classifier_activation: activation appended to the class scores, such as "softmax"; None returns logits.
        weights: the path of a file; `run:ID`, the model of a recorded run; "imagenet", the published weights; or what
            `convzoo.models.weights.read_source` returned. None leaves the weights fresh. The rows that the weights need
            are changed, and the layers by which their images were scaled come first: images then have values from 0 to
            255. docs/weights.md has the details.
        config_dir: a folder of your own configs, as `--config-dir` of train.py: its `model/NAME.yaml` are networks and
            its `pooling/KIND.yaml` kinds too.
        **settings: the axes: `stride`, `pooling` (a kind's name), `dropout`, `input_dropout`; each "paper" if absent.

    Returns:
        A `keras.Model` from float images, shape `(batch, height, width, channels)`, to class scores (logits, no
        softmax), shape `(batch, classes)`, float32. Without the classifier, to the last feature map. Images are taken
        as they are: scale them first, as by `keras.layers.Rescaling(1 / 255)`.

    Raises:
        UserError: unknown name or setting, a value out of range, a map that shrinks to nothing, or weights of another
            network.
    """
    from .weights import NamedWeights, apply_changes, load_weights, read_source  # which need this file

    config = _compose_for_call(name, image_shape, classes, settings, config_dir)
    source = weights if weights is None or isinstance(weights, NamedWeights) else read_source(weights, name)
    preprocessing = []
    if source is not None:
        apply_changes(config, source.changes)
        if source.image_shape is not None and image_shape is None and "input_shape" not in settings:
            config.data.image_shape = list(source.image_shape)
        if source.classes is not None and classes is None and "num_classes" not in settings:
            config.data.classes = source.classes
        preprocessing = [allowlist.instantiate(key, row) for key, row in source.preprocessing.items()]
    shape, class_count = _image_shape_and_classes(config, sizes_may_be_none=True)
    network_rows, scores = (rows(config), class_count) if include_top else (rows_without_classifier(config), None)
    model = assemble(network_rows, shape, scores, config.model.name, preprocessing)
    if source is not None:
        for line in load_weights(model, source).lines:
            print(f"weights: {line}")
    if not include_top or classifier_activation is None:
        return model
    try:
        layer = keras.layers.Activation(classifier_activation, name="classifier_activation", dtype="float32")
    except ValueError as error:
        raise UserError(
            "`classifier_activation` must be None or the name of a Keras activation. "
            f"Received: classifier_activation={classifier_activation!r}"
        ) from error
    return make_model(model.input, layer(model.output), model.name)


def plan(
    name: str,
    image_shape: tuple[int, int, int] | None = None,
    classes: int | None = None,
    *,
    config_dir: str | Path | None = None,
    **settings: object,
) -> planning.Plan:
    """Compute the cost of the network that `build` with the same arguments builds; no weight is allocated.

    Args:
        name, image_shape, classes, config_dir, **settings: as for `build`, all sizes known.

    Raises:
        UserError: as `build`.
    """
    config = _compose_for_call(name, image_shape, classes, settings, config_dir)
    shape, class_count = _image_shape_and_classes(config)
    return plan_rows(rows(config), shape, class_count, config.model.name)


def plan_rows(network_rows: Mapping[str, Any], image_shape: Sequence[int], classes: int, name: str) -> planning.Plan:
    """Return the `Plan` of rows to which the axes are applied."""
    return run_symbolically(lambda: planning.plan_model(assemble(network_rows, image_shape, classes, name)))


def compose_network(
    name: str,
    image_shape: Sequence[int | None] | None = None,
    classes: int | None = None,
    settings: Mapping[str, Any] | None = None,
    config_dir: str | Path | None = None,
) -> DictConfig:
    """Compose the config that `build` with the same arguments takes; `settings` are the axes."""
    settings = dict(settings or {})
    _check_choice("network", name, names(config_dir))
    if unknown := set(settings) - set(axes.NAMES):
        _check_choice("setting", unknown.pop(), axes.NAMES)
    pooling = settings.pop("pooling", axes.PAPER)
    _check_choice("pooling", pooling, _config_names("pooling", config_dir))
    if config_dir is None:
        config = deepcopy(_compose_own(name, pooling))
    else:
        config = composition.compose_network(name, pooling, config_dir)
    for key, value in settings.items():
        config[key] = value
    if image_shape is not None:
        config.data.image_shape = image_shape
    if classes is not None:
        config.data.classes = classes
    return config


@cache
def _compose_own(name: str, pooling: str) -> DictConfig:
    return composition.compose_network(name, pooling)


def _to_dict(config: DictConfig) -> Any:
    return OmegaConf.to_container(config, resolve=True)


def _compose_for_call(
    name: str,
    image_shape: Sequence[int | None] | None,
    classes: int | None,
    settings: Mapping[str, Any],
    config_dir: str | Path | None,
) -> DictConfig:
    """Compose the config that arguments of `build` or `plan` name."""
    arguments: dict[str, Any] = {"image_shape": image_shape, "classes": classes}
    for synonym, argument in _SYNONYMS.items():
        if synonym in settings:
            if arguments[argument] is not None:
                raise UserError(f"`{synonym}` and `{argument}` are the same argument: give one of them")
            settings = dict(settings)
            arguments[argument] = settings.pop(synonym)
    if unknown := sorted(set(settings) - set(axes.NAMES)):
        valid = (*axes.NAMES, "image_shape", "classes", "include_top", "classifier_activation", "weights", "config_dir")
        hint = did_you_mean(find_near_words(unknown[0], valid, 0.6)) or f"valid: {', '.join(valid)}"
        raise UserError(f"`{unknown[0]}` is not an argument of a network; {hint}")
    return compose_network(name, **arguments, settings=settings, config_dir=config_dir)


def rows_without_classifier(config: DictConfig) -> dict[str, Any]:
    """Return the rows up to the last feature map, dropout after it left out.

    Raises:
        UserError: the network has no feature map before its classifier.
    """
    shape, classes = _image_shape_and_classes(config, sizes_may_be_none=True)
    if None in shape:
        shape = (*config.model.paper.image_shape[:2], shape[2])
    more_classes = deepcopy(config)
    more_classes.data.classes = classes + 1
    network_rows, other_rows = rows(config), rows(more_classes)

    def feature_map_names() -> set[str]:
        layers = assemble(network_rows, shape, classes, config.model.name).layers
        maps = takewhile(lambda layer: len(layer.output.shape) == 4 and not _is_global(layer), layers)
        return {layer.name for layer in maps}

    maps = run_symbolically(feature_map_names)
    features = dict(takewhile(lambda item: item[0] in maps and item[1] == other_rows[item[0]], network_rows.items()))
    while features and "Dropout" in features[list(features)[-1]]["_target_"]:
        features.popitem()
    if not features:
        raise UserError(f"`include_top=False`: {config.model.name} has no feature map before its classifier")
    return features


def _is_global(layer: keras.Layer) -> bool:
    return type(layer).__name__.startswith("Global")


def _image_shape_and_classes(config: DictConfig, sizes_may_be_none: bool = False) -> tuple[tuple[Any, ...], int]:
    shape, classes = config.data.image_shape, config.data.classes
    sizes = list(shape) if OmegaConf.is_list(shape) else []
    known = [n for n in sizes[:2] if not (sizes_may_be_none and n is None)] + sizes[2:]
    if len(sizes) != 3 or not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in known):
        none = "; height and width may be None" if sizes_may_be_none else ""
        raise UserError(f"`image_shape` must be (height, width, channels), positive integers{none}. Received: {shape}")
    if not isinstance(classes, int) or isinstance(classes, bool) or classes < 1:
        raise UserError(f"`classes` must be a positive integer. Received: {classes}")
    return tuple(shape), classes


def _check_choice(what: str, value: object, valid: Sequence[str]) -> None:
    if value not in valid:
        hint = did_you_mean(get_close_matches(str(value), valid, 3)) or f"valid: {', '.join(sorted(valid))}"
        raise UserError(f"there is no {what} {value!r}; {hint}")
