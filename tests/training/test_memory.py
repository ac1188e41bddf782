"""The memory of a training: bounds by hand, the choice of a batch size, and what networks take."""

import re
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from convzoo import UserError
from convzoo.models.registry import plan_rows
from convzoo.training import memory
from convzoo.training.memory import TrainingMemory, batch_sizes

ROWS = {
    "conv": {"_target_": "keras.layers.Conv2D", "filters": 8, "kernel_size": 3, "padding": "same", "use_bias": False},
    "mean": {"_target_": "keras.layers.GlobalAveragePooling2D"},
}
SGD = {"_target_": "convzoo.training.L2SGD", "momentum": 0.9}
ADAM = {"_target_": "keras.optimizers.Adam"}


def settings(optimizer=SGD, freeze=(), finetuning=None):
    return {"recipe": {"optimizer": optimizer, "finetuning": finetuning}, "freeze": list(freeze)}


def estimate(**changes):
    return TrainingMemory.from_plan(plan_rows(ROWS, (16, 16, 3), 8, "net"), settings(**changes))


@pytest.mark.parametrize(("optimizer", "slots"), [(SGD, 1), (ADAM, 2), ({**ADAM, "amsgrad": True}, 3)])
def test_bounds_count_weights_gradients_and_slots(optimizer, slots):
    """The kernel has 3·3·3·8 = 216 weights of four bytes. Its gradient reads the image; the mean leaves 8 values."""
    found = estimate(optimizer=optimizer)
    assert found.weight_bytes == pytest.approx(864 * (1 + slots), rel=0.01)
    assert found.gradient_bytes == 864
    assert found.image_bytes == (16 * 16 * 3 + 8) * 4
    assert found.largest_bytes == 16 * 16 * 8 * 4
    assert found.least_bytes(10) == found.weight_bytes + 10 * 8192  # the largest map is more than what stays


def test_least_bytes_take_gradients_or_maps():
    found = TrainingMemory("net", 100, 50, 10, 4)
    assert (found.least_bytes(4), found.least_bytes(7)) == (150, 170)


def test_frozen_layers_leave_no_maps():
    found = estimate(freeze=["conv"])
    assert found.least_bytes(10) == 864 + 10 * 8192
    assert estimate(finetuning={"head_epochs": 1}).weight_bytes == 864


def test_batch_sizes_are_the_limit_and_powers_of_two_below():
    assert list(batch_sizes(20)) == [20, 16, 8, 4, 2, 1]
    assert list(batch_sizes(16)) == [16, 8, 4, 2, 1]
    assert list(batch_sizes(1)) == [1]


def test_chosen_batch_size_is_the_largest_that_fits(monkeypatch):
    monkeypatch.setattr(memory, "_MAPS_FACTOR", 1)
    monkeypatch.setattr(memory, "_GRADIENTS_FACTOR", 1)
    monkeypatch.setattr(memory, "_OVERHEAD_BYTES", 0)
    found = TrainingMemory("net", 100, 50, 10, 4)  # 150 bytes, and 14 an image
    assert found.choose_batch_size(100, 150 + 1400) == 100
    assert found.choose_batch_size(100, 150 + 1399) == 64
    assert found.choose_batch_size(100, 150 + 14) == 1
    assert found.choose_batch_size(100, 155) == 4  # by the lower bound
    assert found.choose_batch_size(100, 149) is None


def test_batch_size_that_does_not_fit_is_refused_in_one_line():
    found = TrainingMemory("net", 10**9, 10**9, 10**8, 0)
    found.check_fits(40, 5 * 10**9)
    with pytest.raises(UserError) as refused:
        found.check_fits(128, 5 * 10**9)
    assert str(refused.value) == (
        "training net on 128 images at a time takes at least 13.8 GB of memory, and 5.0 GB are free here. "
        "Use batch_size=2, which fits, or batch_size=auto"
    )
    with pytest.raises(UserError, match=r"and 1\.5 GB are free here\. No batch size fits"):
        found.check_fits(128, 15 * 10**8)


def test_memory_that_this_process_took_counts_as_free(monkeypatch):
    """The next run of a sweep takes the place of the one before."""
    held = iter([500, 500, 800, 400])
    monkeypatch.setattr(memory, "process_memory", lambda: next(held))
    monkeypatch.setattr(memory, "free_memory", lambda: 1000)
    memory._process_memory_at_first_check.cache_clear()
    try:
        assert [memory.find_free_memory() for _ in range(3)] == [1000, 1300, 1000]
    finally:
        memory._process_memory_at_first_check.cache_clear()


def test_memory_of_a_gpu_is_not_checked(monkeypatch):
    monkeypatch.setattr(memory.backend, "find_gpu_capability", lambda name: 9)
    assert memory.find_free_memory() is None


# In a process of its own, whose peak nothing else has raised: what training takes beside the libraries.
MEASURE = """
import json, re, sys
from pathlib import Path
import numpy as np
from convzoo.models import build, objective, plan
from convzoo.training import backend
from convzoo.training.memory import TrainingMemory
from convzoo.training.optimizers import make_optimizer
from convzoo.training.steps import make_train_step

name, optimizer, *sizes = sys.argv[1:]
backend.start("float32")

def status(key):
    return int(re.search(key + r":\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

before = status("VmRSS")
recipe = {"optimizer": {"_target_": f"convzoo.training.{optimizer}"}, "finetuning": None}
memory = TrainingMemory.from_plan(plan(name), {"recipe": recipe, "freeze": []})
model = build(name)
step = make_train_step(model, objective.make_objective(model), make_optimizer(recipe, 0.001))
for size in map(int, sizes):
    for _ in range(3):
        step.train_on_batch(np.zeros((size, *model.input_shape[1:]), "float32"), np.zeros(size, "int32"))
    print(json.dumps([memory.least_bytes(size), status("VmHWM") - before, memory.most_bytes(size)]))
"""


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="measured on TensorFlow")
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="read from Linux")
@pytest.mark.parametrize(
    ("name", "optimizer"), [("resnet20", "Muon"), ("vgg16_cifar", "L2SGD"), ("mobilenet_v2_cifar", "L2SGD")]
)
def test_training_takes_between_the_two_bounds(name, optimizer):
    command = [sys.executable, "-c", MEASURE, name, optimizer, "8", "32"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(lines) == 2
    for line in lines:
        least, taken, most = map(int, re.findall(r"\d+", line))
        assert least <= taken <= most
