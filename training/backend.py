"""Starting the backend: quietly, and in the precision that the processor and the network are good at."""

import contextlib
import gc
import os
import re
import sys
import tempfile
from pathlib import Path

from .. import UserError

PRECISIONS = ("auto", "float32", "mixed_bfloat16")
# Depthwise convolutions, which a processor computes sooner in float32. On two cores with avx512_bf16 (Zen 5) TensorFlow
# trains MobileNet-v2 1.9, MobileNet-v1 1.2 and ShuffleNet 1.1 times as fast in float32, and in bfloat16 LeNet 1.2,
# Xception, whose pointwise products are most of its work, 1.3, ResNet-20 1.5, All-CNN-C 1.6 and NiN 2.1 times.
_SOONER_IN_FLOAT32 = {"DepthwiseConv2D", "InvertedResidual", "ShuffleUnit"}
_NOISE = re.compile(
    "oneDNN custom operations|Could not find cuda drivers|optimized to use available CPU instructions|"
    "To enable the following instructions|All log messages before absl::InitializeLog|failed call to cuInit|"
    "^\\s*$"
)


def start(precision, cores=None):
    """Imports Keras with its backend and sets the dtype policy, which `choose` may better once the network is known.

    Args:
        precision: "float32", "mixed_bfloat16", or "auto": bfloat16 where the processor multiplies it in hardware.
        cores: how many it may use, if it has not begun and the environment does not say; None is all.

    Returns:
        The name of the dtype policy in force.

    Raises:
        UserError: unknown precision.
    """
    if precision not in PRECISIONS:
        raise UserError(f"`precision` must be one of {', '.join(PRECISIONS)}. Received: {precision!r}")
    if cores:
        _share(cores)
    begun = "keras" in sys.modules
    with _without_noise():
        import keras

        if keras.backend.backend() == "tensorflow":
            import tensorflow

            tensorflow.config.list_physical_devices("GPU")  # says here, once, what it has to say of missing drivers
            # Each run of a sweep traces a network of its own, which TensorFlow takes for a mistake.
            tensorflow.get_logger().addFilter(_no_retracing)
    if begun:
        keras.utils.clear_session()  # runs of one process share no graph and no names; it forgets the policy too
    else:
        gc.freeze()  # its collection need not go through the half million objects of the modules
    return choose(precision)


def choose(precision, rows=None):
    """Sets the dtype policy for a network.

    Args:
        precision: as for `start`; "auto" is float32 also for networks that a processor trains sooner so.
        rows: the network's.

    Returns:
        The name of the dtype policy in force.
    """
    import keras

    policy = precision
    if precision == "auto":
        slow = _gpu_capability(keras.backend.backend()) is None and _SOONER_IN_FLOAT32 & set(classes(rows))
        policy = "mixed_bfloat16" if has_bfloat16() and not slow else "float32"
    keras.config.set_dtype_policy(policy)
    return policy


def classes(rows):
    """Names of the classes of rows, inner ones included, without their modules."""
    if isinstance(rows, dict):
        if isinstance(rows.get("_target_"), str):
            yield rows["_target_"].rpartition(".")[2]
        rows = rows.values()
    elif not isinstance(rows, list | tuple):
        return
    for row in rows:
        yield from classes(row)


def _share(cores):
    """Threads for so many cores: each library takes all by itself, and workers that do so wait for one another."""
    # TensorFlow's two pools; OpenMP, so torch and oneDNN; XLA, so JAX.
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "NPROC"):
        os.environ.setdefault(name, str(cores))


def random_states():
    """States of the generators that the backend draws from beside Keras's own, as arrays: torch's dropout has one."""
    import keras

    if keras.backend.backend() != "torch":
        return []
    import torch

    states = [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else ())]
    return [state.numpy() for state in states]


def set_random_states(states):
    """Sets what `random_states` gave."""
    if not states:
        return
    import torch

    first, *others = (torch.from_numpy(state) for state in states)
    torch.set_rng_state(first)
    if others:
        torch.cuda.set_rng_state_all(others)


def _no_retracing(record):
    return "triggered tf.function retracing" not in record.getMessage()


def has_bfloat16():
    """Whether the device that Keras computes on multiplies bfloat16 in hardware."""
    import keras

    capability = _gpu_capability(keras.backend.backend())
    if capability is not None:
        return capability >= 8  # NVIDIA's Ampere was the first
    return processor_has_bfloat16()


def processor_has_bfloat16():
    """Whether the processor multiplies bfloat16 in hardware."""
    return bool({"amx_bf16", "avx512_bf16"} & _processor_flags())


def _gpu_capability(backend):
    """The first GPU's compute capability, its whole number; None without a GPU."""
    if backend == "torch":
        import torch

        return torch.cuda.get_device_capability()[0] if torch.cuda.is_available() else None
    if backend == "jax":
        import jax

        device = jax.devices()[0]
        return _whole(getattr(device, "compute_capability", "")) if device.platform == "gpu" else None
    import tensorflow

    gpus = tensorflow.config.list_physical_devices("GPU")
    details = tensorflow.config.experimental.get_device_details
    return details(gpus[0]).get("compute_capability", [0])[0] if gpus else None


def _whole(capability):
    number = str(capability).partition(".")[0]
    return int(number) if number.isdecimal() else 0  # another maker's


def _processor_flags():
    try:
        flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        flags = None
    return set(flags[1].split()) if flags else set()


@contextlib.contextmanager
def _without_noise():
    """Holds back what is written to the error stream, native code included, and passes on all but known noise."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")  # no INFO
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            lines = held.read().decode(errors="replace").splitlines()
            for line in lines:
                if not _NOISE.search(line):
                    print(line, file=sys.stderr)
