"""Starting the backend: noise is held back, warnings are not; precision follows the hardware."""

import ast
import os
import subprocess
import sys
import types

import keras
import pytest

from convzoo import UserError
from convzoo.models import zoo
from convzoo.training import backend


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_a_precision_asked_for_is_the_policy(precision):
    assert backend.start(precision) == keras.config.dtype_policy().name == precision


@pytest.mark.parametrize(("flags", "chosen"), [({"sse4_2", "avx512_bf16"}, "mixed_bfloat16"), ({"avx2"}, "float32")])
def test_auto_takes_bfloat16_where_the_processor_has_it(monkeypatch, flags, chosen):
    monkeypatch.setattr(backend, "_gpu_capability", lambda backend: None)
    monkeypatch.setattr(backend, "_processor_flags", lambda: flags)
    assert backend.start("auto") == chosen


@pytest.mark.parametrize(("capability", "chosen"), [(7, "float32"), (8, "mixed_bfloat16"), (9, "mixed_bfloat16")])
def test_auto_asks_a_gpu_where_there_is_one(monkeypatch, capability, chosen):
    monkeypatch.setattr(backend, "_gpu_capability", lambda backend: capability)
    assert backend.start("auto") == chosen


@pytest.mark.parametrize(
    ("details", "capability"), [({"compute_capability": (9, 0)}, 9), ({"device_name": "another maker's"}, 0)]
)
def test_what_tensorflow_says_of_a_gpu(monkeypatch, details, capability):
    import tensorflow

    monkeypatch.setattr(tensorflow.config, "list_physical_devices", lambda kind: ["a GPU"])
    monkeypatch.setattr(tensorflow.config.experimental, "get_device_details", lambda gpu: details)
    assert backend._gpu_capability("tensorflow") == capability


@pytest.mark.parametrize(
    ("platform", "said", "capability"), [("gpu", "9.0", 9), ("gpu", "gfx942", 0), ("cpu", "", None)]
)
def test_what_jax_says_of_a_gpu(monkeypatch, platform, said, capability):
    jax = pytest.importorskip("jax")
    device = types.SimpleNamespace(platform=platform, compute_capability=said)
    monkeypatch.setattr(jax, "devices", lambda: [device])
    assert backend._gpu_capability("jax") == capability


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
def test_auto_looks_at_the_network(monkeypatch, name, capability, chosen):
    """Depthwise convolutions are slow in bfloat16 on a processor, not on a GPU."""
    monkeypatch.setattr(backend, "_gpu_capability", lambda backend: capability)
    monkeypatch.setattr(backend, "_processor_flags", lambda: {"avx512_bf16"})
    rows = zoo.rows(zoo.composed(name))
    assert backend.choose("auto", rows) == keras.config.dtype_policy().name == chosen
    assert backend.choose("mixed_bfloat16", rows) == "mixed_bfloat16"


def test_an_unknown_precision_is_refused():
    with pytest.raises(UserError, match="'float8'"):
        backend.start("float8")


def test_noise_is_held_back_and_warnings_are_not():
    code = (
        "import os\n"
        "from convzoo.training import backend\n"
        "with backend._without_noise():\n"
        "    os.write(2, b'I0000 port.cc:153] oneDNN custom operations are on. You may see\\n')\n"
        "    os.write(2, b'W0000 the disk is on fire\\n')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "W0000 the disk is on fire\n"


def test_starting_says_nothing_where_all_is_well():
    code = "from convzoo.training import backend; backend.start('float32')"
    environment = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stderr == ""


@pytest.mark.parametrize(("given", "threads"), [({}, "3"), ({"OMP_NUM_THREADS": "5"}, "5")])
def test_cores_are_threads_unless_the_environment_says_otherwise(given, threads):
    code = "import os; from convzoo.training import backend; backend.start('float32', 3); print(dict(os.environ))"
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "NPROC")
    environment = {key: value for key, value in os.environ.items() if key not in names} | given
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    told = ast.literal_eval(done.stdout)
    assert [told[name] for name in names] == ["3", "3", threads, "3"]


def test_tensorflow_takes_no_more_threads_than_it_has_cores():
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
