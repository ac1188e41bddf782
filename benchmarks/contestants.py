"""What the speed table compares, each in a process of its own: `python -m convzoo.benchmarks.contestants NAME NETWORK`.

Each trains a network on the same noise of CIFAR-10's shape, holds a tenth as many images out, and after every epoch
says how many images a second it learned, as JSON, in all and by its training steps alone, and waits for a line: so all
take turns on a machine whose rate changes within minutes. The first epoch compiles and does not count. When its input
ends it is gone.
"""

import json
import os
import sys
import time

import numpy as np

from . import loops

BATCH = 128
STEPS = {"allconv": 12, "nin": 16, "lenet": 400}  # an epoch: some seconds
MANY = 1_000_000  # epochs


class Lap:
    """Told that an epoch is done, it says how fast that was and waits for the next turn.

    Args:
        network: its name.
        out: file to say it in.
    """

    def __init__(self, network, out):
        self.images, self.out, self.first = STEPS[network] * BATCH, out, None
        self.begun, self.last = time.perf_counter(), None

    def step(self):
        """Called after a step or some: the first tells what the start takes, an epoch's last where its steps end."""
        self.first = self.first or time.time() - float(os.environ["BEGUN"])
        self.last = time.perf_counter()

    def __call__(self, **more):
        end = time.perf_counter()
        rates = {"rate": end - self.begun, "steps": (self.last or end) - self.begun}
        rates = {what: self.images / seconds for what, seconds in rates.items()}
        print(json.dumps({**rates, "first": self.first, **more}), file=self.out, flush=True)
        if not sys.stdin.readline():
            os._exit(0)
        self.begun, self.last = time.perf_counter(), None


def noise(network):
    """Training and validation pictures and labels."""
    rng, count = np.random.default_rng(0), STEPS[network] * BATCH
    sizes = count, count // 10
    return [
        (rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8), rng.integers(0, 10, n).astype(np.int32)) for n in sizes
    ]


def ours(network, lap, **_):
    """`train.py` as it is, with augmentation, validation, checkpoints and MLflow; the pictures alone are noise."""
    from convzoo import data

    (x, y), (held_x, held_y) = noise(network)
    parts = [data.Split(x, y), data.Split(held_x, held_y), data.Split(held_x, held_y)]
    data.look = lambda config: None
    data.load = lambda config: data.Dataset("noise", tuple(config["class_names"]), *parts, source="noise")
    sys.argv[1:] = [f"model={network}", f"epochs={MANY}", f"batch_size={BATCH}"]
    import keras

    from convzoo import train
    from convzoo.tracking.run import Run
    from convzoo.training.progress import Progress

    step, epoch = Progress.step, Run.epoch

    def stepped(*args):
        lap.step()
        step(*args)

    def recorded(run, number, metrics):
        epoch(run, number, metrics)
        lap(precision=keras.config.dtype_policy().name, backend=keras.backend.backend())

    Progress.step, Run.epoch = stepped, recorded
    train.main()


def bare(network, lap, precision="float32"):
    """The same network and optimizer in a loop over one batch, and nothing else: what our harness costs."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras

    keras.config.set_dtype_policy(precision)
    from convzoo.models import build
    from convzoo.training.optimizer import L2SGD

    model = build(network, image_shape=(32, 32, 3))
    optimizer = L2SGD(0.02, momentum=0.9, nesterov=True, l2=5e-4)
    optimizer.build(model.trainable_variables)
    (x, y), _ = noise(network)
    batch = [keras.ops.convert_to_tensor(values) for values in (x[:BATCH].astype("float32") / 255, y[:BATCH])]
    crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    step = loops.BACKENDS[keras.backend.backend()](model, optimizer, crossentropy)
    while True:
        for _ in range(STEPS[network]):
            float(step(*batch))
            lap.step()
        lap()


def keras_fit(network, lap, precision="float32", **_):
    """Keras's `fit` as it comes, with validation; it is spared augmentation, logging and the weights' decay.

    Who drops an iterator of `tf.data` may wait for its tuner, which sleeps up to as long as the iterator has lived, a
    minute at most: so an epoch of seconds may take twice as long as its steps, which are told by themselves, and one of
    minutes little longer. A call an epoch, so that none is kept while others have their turn.
    """
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras

    keras.config.set_dtype_policy(precision)
    from convzoo.models import build

    (x, y), held = noise(network)
    inputs = keras.Input((32, 32, 3))
    model = build(network, image_shape=(32, 32, 3))
    model = keras.Model(inputs, model(keras.layers.Rescaling(1 / 255)(inputs)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.02, momentum=0.9, nesterov=True), loss, metrics=["accuracy"])
    stepped = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: lap.step())
    while True:
        model.fit(x, y, BATCH, validation_data=held, callbacks=[stepped], verbose=0)
        lap()


def keras_fit_bfloat16(network, lap, **_):
    """`fit` with one line more."""
    keras_fit(network, lap, "mixed_bfloat16")


def pytorch(network, lap, fast=False, compiled=False, **_):
    """A script as one writes it, with augmentation and validation: float32, contiguous; on a GPU if there is one."""
    import torch

    from convzoo.training.backend import processor_has_bfloat16

    from . import networks

    gpu = torch.cuda.is_available()
    device = torch.device("cuda" if gpu else "cpu")
    generator = torch.Generator(device).manual_seed(0)
    model = getattr(networks, network)().to(device)
    (x, y), (held_x, held_y) = noise(network)
    x, held_x = (torch.from_numpy(images).to(device).movedim(-1, 1).float() / 255 for images in (x, held_x))
    y, held_y = (torch.from_numpy(labels).to(device).long() for labels in (y, held_y))
    if fast:
        model = model.to(memory_format=torch.channels_last)
        x, held_x = (images.contiguous(memory_format=torch.channels_last) for images in (x, held_x))
    if compiled:
        model = torch.compile(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.02, momentum=0.9, nesterov=True, weight_decay=5e-4)
    halves = torch.cuda.is_bf16_supported(including_emulation=False) if gpu else processor_has_bfloat16()
    cast = torch.autocast(device.type, torch.bfloat16, enabled=fast and halves)
    while True:
        model.train()
        for indices in torch.randperm(len(x), generator=generator, device=device).split(BATCH):
            images = networks.augmented(x[indices], generator)
            with cast:
                loss = torch.nn.functional.cross_entropy(model(images), y[indices])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            lap.step()
        model.eval()
        with torch.no_grad(), cast:
            for images, labels in zip(held_x.split(1000), held_y.split(1000), strict=True):
                (model(images).argmax(1) == labels).sum().item()
        lap()


def pytorch_fast(network, lap, **_):
    """bfloat16 by autocast where the processor has it, channels last, threads that do not spin."""
    pytorch(network, lap, fast=True)


def pytorch_compiled(network, lap, **_):
    """The same through `torch.compile`, which wants a C++ compiler."""
    pytorch(network, lap, fast=True, compiled=True)


def ceiling(network, lap, size=4096, **_):
    """What the machine could do: its best rate of a matrix product, by the multiplications of a training step."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras

    from convzoo.models import plan

    found = plan(network, image_shape=(32, 32, 3))
    first = next(row.macs for row, _ in found.walk() if row.macs)  # no gradient goes on to the image
    work = 2 * (3 * found.macs - first)
    normal = keras.random.normal((size, size), seed=0)
    factors = {dtype: keras.ops.cast(normal, dtype) for dtype in ("bfloat16", "float32")}
    while True:
        flops = {}
        for dtype, a in factors.items():
            seconds = []
            for _ in range(5):
                begun = time.perf_counter()
                float(keras.ops.matmul(a, a)[0, 0])
                seconds.append(time.perf_counter() - begun)
            flops[dtype] = 2 * size**3 / min(seconds)
        rate = max(flops.values()) / work
        lap(rate=rate, steps=rate, flops=flops)


CONTESTANTS = (ours, bare, keras_fit, keras_fit_bfloat16, pytorch, pytorch_fast, pytorch_compiled, ceiling)
ENVIRONMENT = {name: {"OMP_WAIT_POLICY": "passive"} for name in ("pytorch_fast", "pytorch_compiled")}
SHARED = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # all wait on one GPU

if __name__ == "__main__":
    name, network, *rest = sys.argv[1:]
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is not an answer
    run, settings = {each.__name__: each for each in CONTESTANTS}[name], dict(word.split("=") for word in rest)
    STEPS[network] = int(settings.pop("steps", STEPS[network]))
    run(network, Lap(network, out), **settings)
