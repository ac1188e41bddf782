"""Starting the backend: noise is held back, warnings are not; precision follows the hardware."""

import ast
import os
import subprocess
import sys
import types

import keras
import pytest

from convzoo import UserError
from convzoo.models import registry
from convzoo.training import backend


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_start_sets_policy_when_precision_is_named(precision):
    assert backend.start(precision) == keras.config.dtype_policy().name == precision


@pytest.mark.parametrize(("flags", "chosen"), [({"sse4_2", "avx512_bf16"}, "mixed_bfloat16"), ({"avx2"}, "float32")])
def test_start_auto_follows_processor_when_no_gpu(monkeypatch, flags, chosen):
    monkeypatch.setattr(backend, "find_gpu_capability", lambda backend: None)
    monkeypatch.setattr(backend, "read_processor_flags", lambda: flags)
    assert backend.start("auto") == chosen


@pytest.mark.parametrize(("capability", "chosen"), [(7, "float32"), (8, "mixed_bfloat16"), (9, "mixed_bfloat16")])
def test_start_auto_follows_gpu_when_present(monkeypatch, capability, chosen):
    monkeypatch.setattr(backend, "find_gpu_capability", lambda backend: capability)
    assert backend.start("auto") == chosen


@pytest.mark.parametrize(
    ("details", "capability"), [({"compute_capability": (9, 0)}, 9), ({"device_name": "another maker's"}, 0)]
)
def test_find_gpu_capability_on_tensorflow_is_parsed(monkeypatch, details, capability):
    import tensorflow

    monkeypatch.setattr(tensorflow.config, "list_physical_devices", lambda kind: ["a GPU"])
    monkeypatch.setattr(tensorflow.config.experimental, "get_device_details", lambda gpu: details)
    assert backend.find_gpu_capability("tensorflow") == capability


@pytest.mark.parametrize(
    ("platform", "said", "capability"), [("gpu", "9.0", 9), ("gpu", "gfx942", 0), ("cpu", "", None)]
)
def test_find_gpu_capability_on_jax_is_parsed(monkeypatch, platform, said, capability):
    jax = pytest.importorskip("jax")
    device = types.SimpleNamespace(platform=platform, compute_capability=said)
    monkeypatch.setattr(jax, "devices", lambda: [device])
    assert backend.find_gpu_capability("jax") == capability


@pytest.mark.parametrize(
    ("name", "capability", "chosen"),
    [
        ("mobilenet_v2_cifar", None, "float32"),  # InvertedResidual, in rows of rows
        ("mobilenet_v1_cifar", None, "float32"),
        ("mobilenet_v2_cifar", 8, "mixed_bfloat16"),
        ("allconv", None, "mixed_bfloat16"),
        ("resnet20", None, "mixed_bfloat16"),
    ],
)
def test_set_precision_auto_depends_on_network(monkeypatch, name, capability, chosen):
    """Depthwise convolutions are slow in bfloat16 on a processor, not on a GPU."""
    monkeypatch.setattr(backend, "find_gpu_capability", lambda backend: capability)
    monkeypatch.setattr(backend, "read_processor_flags", lambda: {"avx512_bf16"})
    rows = registry.rows(registry.compose_network(name))
    assert backend.set_precision("auto", rows) == keras.config.dtype_policy().name == chosen
    assert backend.set_precision("mixed_bfloat16", rows) == "mixed_bfloat16"


def test_start_refuses_unknown_precision():
    with pytest.raises(UserError, match="'float8'"):
        backend.start("float8")


def test_filter_noise_prints_warnings_only():
    code = (
        "import os\n"
        "from convzoo.training import backend\n"
        "with backend.filter_error_stream():\n"
        "    os.write(2, b'I0000 port.cc:153] oneDNN custom operations are on. You may see\\n')\n"
        "    os.write(2, b'W0000 the disk is on fire\\n')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "W0000 the disk is on fire\n"


@pytest.mark.integration
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_start_keeps_a_later_bfloat16_product_quiet(precision):
    code = (
        "import os\n"
        "from convzoo.training import backend\n"
        f"backend.start({precision!r})\n"
        "import keras\n"
        "ones = keras.ops.ones((8, 8), 'bfloat16')\n"
        "keras.ops.matmul(ones, ones)\n"
        "print(os.environ['TF_ENABLE_ONEDNN_OPTS'])\n"
    )
    unset = ("TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS")
    environment = {key: value for key, value in os.environ.items() if key not in unset}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert (done.stdout, done.stderr) == ("1\n", "")


@pytest.mark.integration
@pytest.mark.parametrize(("given", "threads"), [({}, "3"), ({"OMP_NUM_THREADS": "5"}, "5")])
def test_start_limits_threads_unless_environment_does(given, threads):
    code = "import os; from convzoo.training import backend; backend.start('float32', 3); print(dict(os.environ))"
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "NPROC")
    environment = {key: value for key, value in os.environ.items() if key not in names} | given
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    told = ast.literal_eval(done.stdout)
    assert [told[name] for name in names] == ["3", "3", threads, "3"]


@pytest.mark.integration
def test_start_limits_threads_of_tensorflow():
    pytest.importorskip("tensorflow")
    code = (
        "import sys, pathlib\n"
        "from convzoo.training import backend\n"
        "backend.start('float32', int(sys.argv[1]))\n"
        "import tensorflow as tf\n"
        "tf.reduce_sum(tf.linalg.matmul(tf.ones((400, 400)), tf.ones((400, 400))))\n"
        "print(len(list(pathlib.Path('/proc/self/task').iterdir())))\n"
    )
    environment = {"KERAS_BACKEND": "tensorflow"} | {k: v for k, v in os.environ.items() if "NUM_THREADS" not in k}
    few, many = (
        int(
            subprocess.run(
                [sys.executable, "-c", code, cores], capture_output=True, text=True, check=True, env=environment
            ).stdout
        )
        for cores in ("1", "9")
    )
    assert many - few >= 8
