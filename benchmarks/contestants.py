"""Contestants of the speed table: `python -m convzoo.benchmarks.contestants NAME NETWORK` runs one in a process.

Each trains a network on the same noise of CIFAR-10's shape, with a tenth as many images for validation. After an epoch
it prints its images per second as JSON, for the whole epoch and for the training steps alone, and waits for a line. So
all take turns on a machine whose speed changes within minutes. The first epoch compiles and does not count. A
contestant exits when its input ends.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

import numpy as np

from . import loops

BATCH_SIZE = 128
STEPS = {"allconv": 12, "nin": 16, "lenet": 400}  # of an epoch, which takes some seconds
MAX_EPOCHS = 1_000_000
IMAGE_SHAPE = (32, 32, 3)
CLASSES = 10

Part = tuple[np.ndarray, np.ndarray]  # images and labels


class Lap:
    """Measures epochs: called after each, it prints the epoch's speed and waits for the next turn.

    Args:
        network: name of the network.
        output: file to print to.
    """

    def __init__(self, network: str, output: TextIO):
        self.images = STEPS[network] * BATCH_SIZE
        self.output = output
        self.first_step_seconds: float | None = None
        self.start = time.perf_counter()
        self.last_step: float | None = None

    def step(self) -> None:
        """Record the end of one or more steps; the first one's is the time that the contestant takes to start."""
        self.first_step_seconds = self.first_step_seconds or time.time() - float(os.environ["PROCESS_START"])
        self.last_step = time.perf_counter()

    def __call__(self, **extra: Any) -> None:
        """Print the speed of the epoch with `extra` values, and wait; exit if the input has ended."""
        end = time.perf_counter()
        seconds = {"rate": end - self.start, "steps": (self.last_step or end) - self.start}
        rates = {name: self.images / value for name, value in seconds.items()}
        print(json.dumps({**rates, "first": self.first_step_seconds, **extra}), file=self.output, flush=True)
        if not sys.stdin.readline():
            os._exit(0)
        self.start = time.perf_counter()
        self.last_step = None


def make_noise(network: str) -> tuple[Part, Part]:
    """Return the training and the validation part."""
    rng = np.random.default_rng(0)
    count = STEPS[network] * BATCH_SIZE

    def draw(n: int) -> Part:
        images = rng.integers(0, 256, (n, *IMAGE_SHAPE), dtype=np.uint8)
        return images, rng.integers(0, CLASSES, n).astype(np.int32)

    return draw(count), draw(count // 10)


def ours(network: str, lap: Lap, **_: Any) -> None:
    """Our `Trainer`, with augmentation, validation and checkpoints; without records in MLflow."""
    from ..training import backend

    backend.start("auto")
    import keras

    from ..data import Split
    from ..models import registry
    from ..training.checkpoint import Checkpoints
    from ..training.trainer import Trainer, TrainerCallbacks
    from .training_setup import TrainingSetup

    setup = TrainingSetup([f"model={network}", f"epochs={MAX_EPOCHS}", f"batch_size={BATCH_SIZE}"])
    backend.set_precision("auto", registry.rows(setup.config))
    train, validation = (Split(*part) for part in make_noise(network))
    names = {"precision": keras.config.dtype_policy().name, "backend": keras.backend.backend()}
    with Checkpoints("checkpoints") as checkpoints:

        def on_epoch(epoch: int, metrics: dict[str, float]) -> None:
            lap(**names, steps=metrics["images_per_second"])

        callbacks = TrainerCallbacks(on_step=lap.step, on_epoch=on_epoch, checkpoints=checkpoints)
        model, batches = setup.build_model(train, CLASSES), setup.make_batches(train)
        Trainer(model, batches, validation, setup.trainer_settings(), callbacks).fit()


def bare_loop(network: str, lap: Lap, precision: str = "float32") -> None:
    """The same network and optimizer in a loop over one batch: the difference is the cost of our harness."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras

    keras.config.set_dtype_policy(precision)
    from ..models import build
    from ..training.optimizers.l2sgd import L2SGD

    model = build(network, image_shape=IMAGE_SHAPE)
    optimizer = L2SGD(0.02, momentum=0.9, nesterov=True, l2=5e-4)
    optimizer.build(model.trainable_variables)
    (x, y), _ = make_noise(network)
    batch = [keras.ops.convert_to_tensor(values) for values in (x[:BATCH_SIZE].astype("float32") / 255, y[:BATCH_SIZE])]
    crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    train_on_batch = loops.make_step(model, optimizer, crossentropy)
    while True:
        for _ in range(STEPS[network]):
            float(train_on_batch(*batch))
            lap.step()
        lap()


def keras_fit(network: str, lap: Lap, precision: str = "float32", **_: Any) -> None:
    """Keras's `fit` with validation, but without augmentation, logging and weight decay.

    To drop an iterator of `tf.data` may take as long as the iterator has lived, a minute at most, because its tuner
    sleeps. An epoch of seconds may take twice as long as its steps, which are also measured by themselves. One call per
    epoch keeps no iterator during the turns of others.
    """
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras

    keras.config.set_dtype_policy(precision)
    from ..models import build

    (x, y), validation = make_noise(network)
    inputs = keras.Input(IMAGE_SHAPE)
    model = build(network, image_shape=IMAGE_SHAPE)
    model = keras.Model(inputs, model(keras.layers.Rescaling(1 / 255)(inputs)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.02, momentum=0.9, nesterov=True), loss, metrics=["accuracy"])
    on_step = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: lap.step())
    while True:
        model.fit(x, y, BATCH_SIZE, validation_data=validation, callbacks=[on_step], verbose=0)
        lap()


def keras_fit_bfloat16(network: str, lap: Lap, **_: Any) -> None:
    """`fit` with the dtype policy mixed_bfloat16."""
    keras_fit(network, lap, "mixed_bfloat16")


def pytorch(network: str, lap: Lap, fast: bool = False, compiled: bool = False, **_: Any) -> None:
    """A usual PyTorch script with augmentation and validation, in float32, on a GPU if there is one."""
    import torch

    from ..training.backend import processor_has_bfloat16
    from . import networks

    has_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if has_gpu else "cpu")
    generator = torch.Generator(device).manual_seed(0)
    model = getattr(networks, network)().to(device)
    train, validation = make_noise(network)
    x, val_x = (torch.from_numpy(part[0]).to(device).movedim(-1, 1).float() / 255 for part in (train, validation))
    y, val_y = (torch.from_numpy(part[1]).to(device).long() for part in (train, validation))
    if fast:
        model = model.to(memory_format=torch.channels_last)
        x, val_x = (images.contiguous(memory_format=torch.channels_last) for images in (x, val_x))
    if compiled:
        model = torch.compile(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.02, momentum=0.9, nesterov=True, weight_decay=5e-4)
    has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False) if has_gpu else processor_has_bfloat16()
    cast = torch.autocast(device.type, torch.bfloat16, enabled=fast and has_bfloat16)
    while True:
        model.train()
        for indices in torch.randperm(len(x), generator=generator, device=device).split(BATCH_SIZE):
            images = networks.augment(x[indices], generator)
            with cast:
                loss = torch.nn.functional.cross_entropy(model(images), y[indices])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            lap.step()
        model.eval()
        with torch.no_grad(), cast:
            for images, labels in zip(val_x.split(1000), val_y.split(1000), strict=True):
                (model(images).argmax(1) == labels).sum().item()
        lap()


def pytorch_fast(network: str, lap: Lap, **_: Any) -> None:
    """PyTorch in bfloat16 by autocast if the processor has it, with channels last and threads that do not spin."""
    pytorch(network, lap, fast=True)


def pytorch_compiled(network: str, lap: Lap, **_: Any) -> None:
    """`pytorch_fast` through `torch.compile`, which needs a C++ compiler."""
    pytorch(network, lap, fast=True, compiled=True)


def ceiling(network: str, lap: Lap, size: int = 4096, **_: Any) -> None:
    """Upper bound by the machine's best rate of a matrix product and the multiplications of a training step."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras

    from ..models import plan

    network_plan = plan(network, image_shape=IMAGE_SHAPE)
    first_macs = next(row.macs for row, _ in network_plan.walk() if row.macs)  # no gradient flows to the image
    work = 2 * (3 * network_plan.macs - first_macs)
    normal = keras.random.normal((size, size), seed=0)
    factors = {dtype: keras.ops.cast(normal, dtype) for dtype in ("bfloat16", "float32")}

    def rate_of(factor: Any, repeats: int) -> float:
        seconds = []
        for _repeat in range(repeats):
            start = time.perf_counter()
            float(keras.ops.matmul(factor, factor)[0, 0])
            seconds.append(time.perf_counter() - start)
        return 2 * len(factor) ** 3 / min(seconds)

    # A processor without bfloat16 may take minutes for a product in it, and a small one shows that.
    trials = {dtype: rate_of(factor[:512, :512], 2) for dtype, factor in factors.items()}
    factors = {dtype: factors[dtype] for dtype, trial in trials.items() if trial > max(trials.values()) / 4}
    while True:
        flops = {dtype: rate_of(factor, 5) for dtype, factor in factors.items()}
        rate = max(flops.values()) / work
        lap(rate=rate, steps=rate, flops=flops)


CONTESTANTS: tuple[Callable[..., None], ...] = (
    ours,
    bare_loop,
    keras_fit,
    keras_fit_bfloat16,
    pytorch,
    pytorch_fast,
    pytorch_compiled,
    ceiling,
)
NAMES = [contestant.__name__ for contestant in CONTESTANTS]
ENVIRONMENT = {name: {"OMP_WAIT_POLICY": "passive"} for name in ("pytorch_fast", "pytorch_compiled")}
# All contestants wait on one GPU.
SHARED_ENVIRONMENT = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def main() -> None:
    """Run the contestant of the command line."""
    name, network, *words = sys.argv[1:]
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the prints of libraries are no results
    settings = dict(word.split("=") for word in words)
    STEPS[network] = int(settings.pop("steps", STEPS[network]))
    CONTESTANTS[NAMES.index(name)](network, Lap(network, output), **settings)


if __name__ == "__main__":
    main()
