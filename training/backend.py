"""Start of the backend: without noise, with a limit of threads, and in a precision that suits processor and network."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np

PRECISIONS = ("auto", "float32", "mixed_bfloat16")
# Layers with depthwise convolutions, which a processor computes faster in float32. On two cores with avx512_bf16, a
# Zen 5, TensorFlow trains MobileNet-v2 1.9, MobileNet-v1 1.2 and ShuffleNet 1.1 times as fast in float32. In bfloat16
# LeNet is 1.2, Xception (mostly pointwise products) 1.3, ResNet-20 1.5, All-CNN-C 1.6 and NiN 2.1 times as fast.
_FLOAT32_LAYERS = {"DepthwiseConv2D", "InvertedResidual", "ShuffleUnit"}
_THREADS_VARIABLES = {"tensorflow": "TF_NUM_INTRAOP_THREADS", "jax": "NPROC", "torch": "OMP_NUM_THREADS"}
_AMPERE = 8  # compute capability of NVIDIA's first GPUs that multiply bfloat16
_NOISE = re.compile(
    "oneDNN custom operations|Could not find cuda drivers|optimized to use available CPU instructions|"
    "To enable the following instructions|All log messages before absl::InitializeLog|failed call to cuInit|"
    "oneDNN supports DT_BFLOAT16 only|Created TensorFlow Lite XNNPACK delegate|"
    "^\\s*$"
)


def start(precision: str, cores: int | None = None) -> str:
    """Import Keras with its backend and set the dtype policy; `set_precision` refines it for a network.

    Args:
        precision: "float32", "mixed_bfloat16", or "auto": bfloat16 if the processor multiplies it in hardware.
        cores: number of threads, unless the backend has started or the environment says otherwise; default None is
            all cores.

    Returns:
        The name of the active dtype policy.

    Raises:
        UserError: unknown precision.
    """
    check_precision(precision)
    if cores:
        _limit_threads(cores)
    # TensorFlow leaves oneDNN off on processors without AVX-512. Then it has no convolution with channels first, nor a
    # depthwise one of unequal strides, and is slower.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    has_keras = "keras" in sys.modules
    with filter_error_stream():
        import keras

        if keras.backend.backend() == "tensorflow":
            import tensorflow

            tensorflow.config.list_physical_devices("GPU")  # reports missing drivers here, once
            # Each run of a sweep traces a network of its own, which TensorFlow takes for a mistake.
            tensorflow.get_logger().addFilter(_is_not_about_retracing)
            if "avx512f" not in read_processor_flags():
                # oneDNN reports here, once, that it has no bfloat16: a model from a file may compute in it later.
                ones = tensorflow.ones((2, 2), tensorflow.bfloat16)
                tensorflow.matmul(ones, ones)
    if has_keras:
        keras.utils.clear_session()  # the runs of one process share no graph and no names; this resets the policy too
    else:
        gc.freeze()  # a collection need not go through the half million objects of the modules
    return set_precision(precision)


def check_precision(precision: object) -> None:
    """Raise UserError, naming the key, if `precision` is not one of `PRECISIONS`."""
    if precision not in PRECISIONS:
        raise UserError(f"`precision` must be one of {', '.join(PRECISIONS)}. Received: {precision!r}")


def describe_loading() -> str:
    """Return what to print before `start`: that the backend is loading, which takes seconds; "" if it is loaded."""
    names = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
    return f": loading {names.get(_read_backend_name(), 'Keras')} …" if "keras" not in sys.modules else ""


def _read_backend_name() -> str:
    """Return the name of the backend that Keras will import; it looks in the same places as Keras."""
    if name := os.environ.get("KERAS_BACKEND"):
        return name
    try:
        folder = Path(os.environ.get("KERAS_HOME") or Path("~/.keras").expanduser())
        return json.loads((folder / "keras.json").read_text())["backend"]
    except (OSError, RuntimeError, ValueError, KeyError, TypeError):
        return "tensorflow"


def set_precision(precision: str, rows: Mapping[str, Any] | None = None) -> str:
    """Set the dtype policy for a network.

    Args:
        precision: as for `start`; "auto" is also float32 for networks that a processor trains faster in it.
        rows: rows of the network; default None.

    Returns:
        The name of the active dtype policy.
    """
    import keras

    policy = precision
    if precision == "auto":
        is_slow = find_gpu_capability(keras.backend.backend()) is None and _FLOAT32_LAYERS & set(
            list_layer_classes(rows)
        )
        policy = "mixed_bfloat16" if has_bfloat16() and not is_slow else "float32"
    keras.config.set_dtype_policy(policy)
    return policy


def list_layer_classes(rows: object) -> Iterator[str]:
    """Yield the class names of rows, inner rows included, without their modules.

    Example:
        >>> list(list_layer_classes({"conv": {"_target_": "keras.layers.Conv2D", "filters": 8}}))
        ['Conv2D']
    """
    if isinstance(rows, dict):
        if isinstance(rows.get("_target_"), str):
            yield rows["_target_"].rpartition(".")[2]
        rows = rows.values()
    elif not isinstance(rows, list | tuple):
        return
    for row in rows:
        yield from list_layer_classes(row)


def _limit_threads(cores: int) -> None:
    """Limit the threads of all libraries: each takes all cores by default, and such workers wait for one another."""
    # TensorFlow's two pools; OpenMP, which torch and oneDNN use; XLA, which JAX uses.
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "NPROC"):
        os.environ.setdefault(name, str(cores))


def get_random_states() -> list[np.ndarray]:
    """Return the states of the backend's own generators, which Keras does not keep: torch's dropout draws from one."""
    import keras

    if keras.backend.backend() != "torch":
        return []
    import torch

    states = [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else ())]
    return [state.numpy() for state in states]


def set_random_states(states: list[np.ndarray]) -> None:
    """Set the states that `get_random_states` returned."""
    if not states:
        return
    import torch

    first, *others = (torch.from_numpy(state) for state in states)
    torch.set_rng_state(first)
    if others:
        torch.cuda.set_rng_state_all(others)


def _is_not_about_retracing(record: logging.LogRecord) -> bool:
    return "triggered tf.function retracing" not in record.getMessage()


def has_bfloat16() -> bool:
    """Return whether the device that Keras uses multiplies bfloat16 in hardware."""
    import keras

    capability = find_gpu_capability(keras.backend.backend())
    return capability >= _AMPERE if capability is not None else processor_has_bfloat16()


def processor_has_bfloat16() -> bool:
    """Return whether the processor multiplies bfloat16 in hardware."""
    return bool({"amx_bf16", "avx512_bf16"} & read_processor_flags())


def find_gpu_capability(backend: str) -> int | None:
    """Return the major compute capability of the first GPU; None without a GPU."""
    if backend == "torch":
        import torch

        return torch.cuda.get_device_capability()[0] if torch.cuda.is_available() else None
    if backend == "jax":
        import jax

        device = jax.devices()[0]
        return _major_version(getattr(device, "compute_capability", "")) if device.platform == "gpu" else None
    import tensorflow

    gpus = tensorflow.config.list_physical_devices("GPU")
    details = tensorflow.config.experimental.get_device_details
    return details(gpus[0]).get("compute_capability", [0])[0] if gpus else None


def describe_device() -> dict[str, str]:
    """Return tags of a run that name the device; the last digits of its weights depend on them.

    Returns:
        A mapping with `device`, "cpu" or the name of a GPU. For "cpu" it also has `threads`, their number.
    """
    import keras

    name = keras.backend.backend()
    if find_gpu_capability(name) is not None:
        return {"device": _gpu_name(name)}
    return {"device": "cpu", "threads": str(_count_threads(name))}


def format_threads_setting(number: str) -> str:
    """Return the environment variable, with its value, that limits the backend to `number` threads."""
    import keras

    return f"{_THREADS_VARIABLES.get(keras.backend.backend(), 'OMP_NUM_THREADS')}={number}"


def _count_threads(backend: str) -> int:
    if backend == "torch":
        import torch

        return torch.get_num_threads()
    if backend == "tensorflow":
        import tensorflow

        if number := tensorflow.config.threading.get_intra_op_parallelism_threads():
            return number
    limit = os.environ.get(_THREADS_VARIABLES.get(backend, ""), "")
    if limit.isdecimal() and int(limit):
        return int(limit)
    return count_cores()


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gpu_name(backend: str) -> str:
    if backend == "torch":
        import torch

        return torch.cuda.get_device_name(0)
    if backend == "jax":
        import jax

        return str(jax.devices()[0].device_kind)
    import tensorflow

    gpu = tensorflow.config.list_physical_devices("GPU")[0]
    return tensorflow.config.experimental.get_device_details(gpu).get("device_name", "gpu")


def _major_version(capability: object) -> int:
    number = str(capability).partition(".")[0]
    return int(number) if number.isdecimal() else 0  # a GPU of another maker


def read_processor_flags() -> set[str]:
    """Return the features that the processor reports; an empty set if it does not."""
    try:
        flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        flags = None
    return set(flags[1].split()) if flags else set()


@contextlib.contextmanager
def filter_error_stream() -> Iterator[None]:
    """Capture the error stream, native code included, and print it at the end without the lines of known noise."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")  # no INFO
    sys.stderr.flush()
    error_stream = os.dup(2)
    with tempfile.TemporaryFile() as capture:
        os.dup2(capture.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(error_stream, 2)
            os.close(error_stream)
            capture.seek(0)
            lines = capture.read().decode(errors="replace").splitlines()
            for line in lines:
                if not _NOISE.search(line):
                    print(line, file=sys.stderr)
