"""Read YAML files that others wrote: within bounds, and without running anything.

Hydra itself instantiates what stands under `hydra` before a run begins: callbacks, launchers, loggers. So that key, and
those that decide where a run writes to, can only be set on the command line.
"""

import re
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf._utils import get_yaml_loader

from .. import UserError
from .text import without_interpolations

CLI_ONLY_KEYS = ("allow", "checkpoints", "hydra", "plan", "tracking")
MAX_BYTES, MAX_NODES, MAX_DEPTH = 1_000_000, 100_000, 50
_REFERENCE = re.compile(r"\$\{[\w.\[\]/ -]*\}")


def read(path: str | Path) -> Any:
    """Read a YAML file as plain containers, without resolving interpolations.

    Raises:
        UserError: the file is no YAML, or too large, counted with its aliases written out.
        OSError: the file cannot be read.
    """
    with Path(path).open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise UserError(f"{path} must be no larger than {MAX_BYTES:,} bytes")
    try:
        _check_size(yaml.compose(data.decode(), yaml.SafeLoader), path)
        content: Any = yaml.load(data.decode(), get_yaml_loader())  # as OmegaConf.load, which refuses text such as "${"
        content = {} if content is None else without_interpolations(content)
        return OmegaConf.to_container(OmegaConf.create(content), resolve=True)
    except UserError:
        raise
    except Exception as error:  # OmegaConf hands on what its YAML reader raises
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}") from error


def _check_size(root: yaml.Node | None, path: str | Path) -> None:
    """Count the nodes of a file as if each alias were written out: nine lines of aliases can be a billion nodes."""
    known: dict[int, int] = {}

    def size(node: yaml.Node, above: frozenset[int]) -> int:
        if id(node) in above or len(above) > MAX_DEPTH:
            raise UserError(f"{path} must not nest deeper than {MAX_DEPTH} levels")
        if id(node) not in known:
            above = above | {id(node)}
            inner = node.value if isinstance(node.value, list) else []
            parts = [part for each in inner for part in (each if isinstance(each, tuple) else (each,))]
            known[id(node)] = 1 + sum(size(part, above) for part in parts)
        return known[id(node)]

    if root is not None and (nodes := size(root, frozenset())) > MAX_NODES:
        raise UserError(f"{path} must hold fewer than {MAX_NODES:,} values, aliases written out. Received: {nodes:,}")


def check(content: object, where: object) -> None:
    """Refuse what a config file may not contain.

    Args:
        content: plain containers.
        where: the file, for the message.

    Raises:
        UserError: it sets what only the command line may set, or calls a resolver such as `oc.env`.
    """
    for key in CLI_ONLY_KEYS:
        if isinstance(content, dict) and key in content:
            raise UserError(explain_command_line_only(key, where))
    _check_text(content, where)


def explain_command_line_only(key: str, where: object) -> str:
    """Say that a key of a file can only be set on the command line."""
    return f"`{key}` can only be set on the command line, not in {where}"


def _check_text(value: object, where: object) -> None:
    if isinstance(value, dict):
        for item in value.items():
            _check_text(item, where)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_text(inner, where)
    elif isinstance(value, str) and "${" in value:
        rest = value
        while (shorter := _REFERENCE.sub("", rest)) != rest:
            rest = shorter
        if "${" in rest:
            raise UserError(f"{where} may refer to keys, as ${{data.classes}}, and call nothing. Received: {value}")
