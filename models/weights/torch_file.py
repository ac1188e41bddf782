"""State dicts of torch: `.safetensors` by a reader of its own, `.pth` by torch, if it is there."""

import json
import re
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ... import UserError
from ...settings.text import printable
from ..allowlist import first_line
from .convert import ForeignWeights
from .probe import Probe
from .published import TORCH, UNKNOWN_FORM
from .units import CONV, DENSE, NORM, OTHER, Unit

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
_HEADER_BYTES = 2**25
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4"}
_NORM_NAMES = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
# safetensors sorts the names of its tensors. By these words they come back into the order in which torchvision and timm
# make their layers; other parts of a name are ordered as text with numbers in it.
_ORDER = """
features norm1 conv1 bn1 norm2 conv2 bn2 conv3 bn3 downsample
conv0 norm0 denseblock1 transition1 denseblock2 transition2 denseblock3 transition3 denseblock4 norm5
norm conv bn squeeze expand1x1 expand3x3 layer1 layer2 layer3 layer4
branch1x1 branch3x3 branch5x5_1 branch5x5_2 branch3x3_1 branch3x3_2 branch3x3_2a branch3x3_2b
branch7x7_1 branch7x7_2 branch7x7_3
branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3 branch3x3dbl_3a branch3x3dbl_3b
branch7x7dbl_1 branch7x7dbl_2 branch7x7dbl_3 branch7x7dbl_4 branch7x7dbl_5
branch7x7x3_1 branch7x7x3_2 branch7x7x3_3 branch7x7x3_4 branch_pool
""".split()
_LAST = ("classifier", "fc", "last_linear")
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8})\.pth$")  # as torch's hub names its files


def read_torch_file(path: Path, network: str, digest: str, probe: Probe | None) -> ForeignWeights:
    """Read a state dict whose entries stand in the order of its network's layers.

    Args:
        path: of the file.
        network: name of the network of the zoo.
        digest: SHA-256 of the file.
        probe: that of the file, or None.

    Raises:
        UserError: the file is damaged, would run code, or holds something else than a state dict.
    """
    label = printable(path.name)
    if (claimed := _HASH_IN_NAME.search(path.name)) and not digest.startswith(claimed[1]):
        raise UserError(f"{label} is damaged: its SHA-256 begins with {digest[:8]}, and not as its name says")
    state = read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    form = TORCH.get(network, UNKNOWN_FORM)
    units = units_of_state(state, form.epsilon, form.left_out)
    if path.suffix == ".safetensors" and network not in TORCH and probe is None:
        _check_order(units, label)
    return ForeignWeights(label, network, units, form, probe, digest=digest)


def _check_order(units: Sequence[Unit], label: str) -> None:
    """Refuse units that could change places: the file sorts them by name, and not as its network runs.

    Raises:
        UserError: naming the first two.
    """
    names: dict[tuple[str, tuple[int, ...]], str] = {}
    for unit in units:
        other = names.setdefault((unit.kind, unit.shape), unit.name)
        if other != unit.name:
            raise UserError(
                f"{label} sorts its layers by name, and {printable(other)} and {printable(unit.name)} have one shape: "
                "put a probe beside it, as docs/weights.md describes, or bring a .pth, which keeps their order"
            )


def units_of_state(state: Mapping[str, np.ndarray], epsilon: float, left_out: tuple[str, ...] = ()) -> list[Unit]:
    """Return the units of a state dict in the order of its entries.

    Args:
        state: mapping from name to array, in torch's layout.
        epsilon: of its normalizations.
        left_out: beginnings of names that are left out.
    """
    modules: dict[str, dict[str, np.ndarray]] = {}
    for name, value in state.items():
        module, _, key = name.rpartition(".")
        if not name.startswith(left_out or ("\0",)) and key != "num_batches_tracked":
            modules.setdefault(module, {})[key] = value
    return [_make_unit(name, weights, epsilon) for name, weights in modules.items()]


def _make_unit(name: str, weights: dict[str, np.ndarray], epsilon: float) -> Unit:
    if "running_mean" in weights and weights.keys() <= _NORM_NAMES.keys():
        return Unit(name, NORM, {_NORM_NAMES[key]: value for key, value in weights.items()}, epsilon)
    kernel = weights.get("weight")
    if kernel is None or kernel.ndim not in (2, 4) or not weights.keys() <= {"weight", "bias"}:
        return Unit(name, OTHER, weights)
    others = {key: value for key, value in weights.items() if key == "bias"}
    if kernel.ndim == 4:
        return Unit(name, CONV, {"kernel": kernel.transpose(2, 3, 1, 0), **others})
    return Unit(name, DENSE, {"kernel": kernel.T, **others}, is_channels_first=True)


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Read a `.safetensors` file: a length, a header in JSON, and the bytes of the tensors. It runs no code.

    Raises:
        UserError: the header is not as the format has it, or a tensor lies outside of the file.
    """
    content = path.read_bytes()
    try:
        length = int.from_bytes(content[:8], "little")
        if len(content) < 8 or length > min(_HEADER_BYTES, len(content) - 8):
            raise ValueError("it is truncated")
        header = json.loads(content[8 : 8 + length])
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        body = memoryview(content)[8 + length :]
        if sum(_count_bytes(entry) for entry in tensors.values()) > len(body):
            raise ValueError("tensors lie in each other, or outside of it")
        return {name: _read_tensor(tensors[name], body) for name in sorted(tensors, key=_order_of)}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{printable(path.name)} is no whole file of safetensors: {first_line(error)}") from error


def _order_of(name: str) -> list[tuple[int, list[tuple[str, int]]]]:
    """Return a key by which names sort into the order of the layers."""
    return [(_rank_of(part), _as_text_with_numbers(part)) for part in name.split(".")]


def _rank_of(part: str) -> int:
    return len(_ORDER) + 1 if part in _LAST else _ORDER.index(part) if part in _ORDER else len(_ORDER)


def _as_text_with_numbers(part: str) -> list[tuple[str, int]]:
    return [(text, int(digits or 0)) for text, digits in re.findall(r"(\D*)(\d*)", part)]


def _count_bytes(entry: Mapping[str, Any]) -> int:
    start, end = entry["data_offsets"]
    return max(0, end - start)


def _read_tensor(entry: Mapping[str, Any], content: memoryview) -> np.ndarray:
    start, end = entry["data_offsets"]
    shape = tuple(entry["shape"])
    dtype = np.dtype(_DTYPES[entry["dtype"]])
    if not 0 <= start <= end <= len(content) or prod(shape) * dtype.itemsize != end - start:
        raise ValueError("it is truncated, or a tensor has another size than it states")
    values = np.frombuffer(content, dtype, prod(shape), start).reshape(shape)
    if entry["dtype"] == "BF16":
        return (values.astype("<u4") << 16).view("<f4")
    return values.astype("float32") if values.dtype.kind == "f" else values


def _read_pickle(path: Path) -> dict[str, np.ndarray]:
    label = printable(path.name)
    try:
        import torch
    except ImportError as error:
        raise UserError(
            f"{label} is a pickle, which torch alone reads safely: pip install torch, or save the state dict as "
            "safetensors"
        ) from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(
            f"{label} is damaged, or holds more than tensors, and nothing of it was run: {first_line(error)}"
        ) from error
    for key in ("state_dict", "model"):  # of a training's checkpoint
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(f"{label} holds no state dict: a mapping from names to tensors")
    size = path.stat().st_size
    if (count := sum(value.nelement() for value in state.values())) > size:  # a value takes a byte at least
        raise UserError(f"{label} is damaged: it states {count:,} values in {size:,} bytes")
    try:
        return {str(name): value.detach().float().numpy() for name, value in state.items()}
    except Exception as error:  # of sparse, quantized and meta tensors
        raise UserError(f"{label} holds a tensor that is no plain array: {first_line(error)}") from error
