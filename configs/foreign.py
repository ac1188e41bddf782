"""Files that are not convzoo's own, of `--config-dir` for one: read within bounds, and they run nothing.

What stands under `hydra` is made by Hydra before a run begins: callbacks, launchers, loggers, a job's environment. So
it is typed, as is what says where a run writes to.
"""

import copy
import io
import re
from pathlib import Path

import hydra._internal.hydra as hydra_itself
import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra.core.object_type import ObjectType
from omegaconf import OmegaConf

from .. import UserError

OWN = Path(__file__).resolve().parent
TYPED = ("allow", "checkpoints", "hydra", "plan", "tracking")
BYTES, NODES, DEPTH = 1_000_000, 100_000, 50
_REFERENCE = re.compile(r"\$\{[\w.\[\]/ -]*\}")


def read(path):
    """What a YAML file says, as plain containers, nothing resolved.

    Raises:
        UserError: it is no YAML, or too large, or would be with its aliases written out.
        OSError: it cannot be read.
    """
    with Path(path).open("rb") as file:
        data = file.read(BYTES + 1)
    if len(data) > BYTES:
        raise UserError(f"{path} must be no larger than {BYTES:,} bytes")
    try:
        _measure(yaml.compose(data.decode(), yaml.SafeLoader), path)
        return OmegaConf.to_container(OmegaConf.load(io.StringIO(data.decode())))
    except UserError:
        raise
    except Exception as error:  # OmegaConf hands on what its YAML reader raises
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}") from error


def _measure(root, path):
    """Counts the nodes of a file as if each alias were written out: nine lines of aliases are a billion."""
    known = {}

    def size(node, above):
        if id(node) in above or len(above) > DEPTH:
            raise UserError(f"{path} must not nest deeper than {DEPTH} levels")
        if id(node) not in known:
            above = above | {id(node)}
            inner = node.value if isinstance(node.value, list) else []
            parts = [part for each in inner for part in (each if isinstance(each, tuple) else (each,))]
            known[id(node)] = 1 + sum(size(part, above) for part in parts)
        return known[id(node)]

    if root is not None and (nodes := size(root, frozenset())) > NODES:
        raise UserError(f"{path} must hold fewer than {NODES:,} values, aliases written out. Received: {nodes:,}")


def check(said, where):
    """Refuses what a file may not say.

    Args:
        said: plain containers.
        where: the file, for the message.

    Raises:
        UserError: it sets what is to be typed, or calls a resolver, as `oc.env`, which reads the environment.
    """
    for key in TYPED:
        if isinstance(said, dict) and key in said:
            raise UserError(_typed(key, where))
    _check_text(said, where)


def _typed(key, where):
    return f"`{key}` counts on the command line alone, not in {where}"


def _check_text(value, where):
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


class _Repository(ConfigRepository):
    def load_config(self, config_path):
        source = self._find_object_source(config_path, ObjectType.CONFIG)
        if source is None:
            return super().load_config(config_path)
        path = Path(source.path) / source._normalize_file_name(config_path)
        stat = path.stat() if source.scheme() == "file" else None
        key = source.scheme(), str(path), stat and (stat.st_size, stat.st_mtime_ns)
        if key not in _loaded:
            if not _is_own(source.path, source.scheme()):
                check(read(path), path)
            _loaded[key] = super().load_config(config_path)
        return copy.deepcopy(_loaded[key])


_loaded = {}  # what files say, for the next run of a sweep: reading YAML takes half of the time to compose


class Loader(ConfigLoaderImpl):
    """Hydra's loader, that reads other people's files with care."""

    def __init__(self, config_search_path):
        super().__init__(config_search_path)
        self.repository = _Repository(config_search_path)

    def _load_single_config(self, default, repo):
        loaded = super()._load_single_config(default, repo)
        scheme, _, path = (loaded.path or "").partition("://")
        if not loaded.is_schema_source and not _is_own(path, scheme):
            for key in TYPED:  # where its package puts it
                if key in loaded.config:
                    raise UserError(_typed(key, f"{path}/{default.config_path}.yaml"))
        return loaded


def _is_own(path, scheme):
    if scheme == "file":
        return Path(path).resolve() == OWN
    return scheme == "structured" or path.partition(".")[0].partition("/")[0] in ("convzoo", "hydra", "hydra_plugins")


def guard():
    """Has Hydra load its configs so, in this process and in those that it sends its loader to."""
    hydra_itself.ConfigLoaderImpl = Loader
