"""What the speed table compares, each in a process of its own: `python -m convzoo.benchmarks.contestants NAME NETWORK`.

Each trains a network on the same noise of CIFAR-10's shape, holds a tenth as many images out, and prints as JSON how
many images a second it learned from the end of its first epoch, which compiles, to the end of its last.
"""

import json
import os
import sys
import tempfile
import time

import numpy as np

BATCH = 128
STEPS = {"allconv": 24, "nin": 32, "lenet": 1200}  # an epoch: ten seconds or so
EPOCHS = 3


def noise(network):
    """Training and validation pictures and labels."""
    rng, count = np.random.default_rng(0), STEPS[network] * BATCH
    sizes = count, count // 10
    return [
        (rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8), rng.integers(0, 10, n).astype(np.int32)) for n in sizes
    ]


def rate(network, ends):
    """Images a second between the ends of the first and the last epoch."""
    return STEPS[network] * BATCH * (len(ends) - 1) / (ends[-1] - ends[0])


def since_begun():
    """Seconds since the process was asked for: imports, building and the first step."""
    return time.time() - float(os.environ["BEGUN"])


def ours(network, **_):
    """`train.py` as it is, with augmentation, validation, checkpoints and MLflow; the pictures alone are noise."""
    from convzoo import data

    (x, y), (held_x, held_y) = noise(network)
    parts = [data.Split(x, y), data.Split(held_x, held_y), data.Split(held_x, held_y)]
    data.look = lambda config: None
    data.load = lambda config: data.Dataset("noise", tuple(config["class_names"]), *parts, source="noise")
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    sys.argv[1:] = [f"model={network}", f"epochs={EPOCHS}", f"batch_size={BATCH}"]
    from mlflow import MlflowClient

    from convzoo import train
    from convzoo.training.progress import Progress

    first, step = [], Progress.step

    def seen(*args):
        first.append(since_begun())
        Progress.step = step
        step(*args)

    Progress.step = seen
    sys.stdout = sys.stderr
    train.main()
    sys.stdout = sys.__stdout__
    client = MlflowClient("sqlite:///mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("convzoo").experiment_id])

    def values(name):
        return sorted((each.step, each) for each in client.get_metric_history(run.info.run_id, name))

    ends = [each.timestamp / 1000 for _, each in values("train_loss")]
    steps = [each.value for _, each in values("images_per_second")][1:]
    return {
        "rate": rate(network, ends),
        "steps": float(np.median(steps)),
        "precision": run.data.params["precision"],
        "first": first[0],
    }


def bare(network, precision="mixed_bfloat16"):
    """The same network and optimizer in a loop over one batch, and nothing else: what our harness costs."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras
    import tensorflow as tf

    keras.config.set_dtype_policy(precision)
    from convzoo.models import build
    from convzoo.training.optimizer import L2SGD

    model = build(network, image_shape=(32, 32, 3))
    optimizer = L2SGD(0.02, momentum=0.9, nesterov=True, l2=5e-4)
    optimizer.build(model.trainable_variables)
    (x, y), _ = noise(network)
    x, y = tf.constant(x[:BATCH], tf.float32) / 255, tf.constant(y[:BATCH])

    @tf.function(jit_compile=False)
    def step(x, y):
        with tf.GradientTape() as tape:
            scores = model(x, training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, tf.cast(scores, tf.float32))
            loss = tf.reduce_mean(losses)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    ends = []
    for _ in range(EPOCHS):
        for _ in range(STEPS[network]):
            float(step(x, y))
        ends.append(time.perf_counter())
    return {"rate": rate(network, ends)}


def keras_fit(network, precision="float32", **_):
    """Keras's `fit` as it comes, with validation; it is spared augmentation and logging."""
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
    ends, steps = [], []
    ended = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: ends.append(time.perf_counter()),
        on_train_batch_end=lambda batch, logs: steps or steps.append(since_begun()),
    )
    model.fit(x, y, BATCH, EPOCHS, validation_data=held, callbacks=[ended], verbose=0)
    return {"rate": rate(network, ends), "first": steps[0]}


def keras_fit_bfloat16(network, **_):
    """`fit` with one line more."""
    return keras_fit(network, "mixed_bfloat16")


def pytorch(network, fast=False, compiled=False, **_):
    """A script as one writes it, with augmentation and validation: float32, contiguous."""
    import torch

    from convzoo.training.backend import processor_has_bfloat16

    from . import networks

    generator = torch.Generator().manual_seed(0)
    model = getattr(networks, network)()
    (x, y), (held_x, held_y) = noise(network)
    x, held_x = (torch.from_numpy(images).movedim(-1, 1).float() / 255 for images in (x, held_x))
    y, held_y = torch.from_numpy(y).long(), torch.from_numpy(held_y).long()
    if fast:
        model = model.to(memory_format=torch.channels_last)
        x, held_x = (images.contiguous(memory_format=torch.channels_last) for images in (x, held_x))
    if compiled:
        model = torch.compile(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.02, momentum=0.9, nesterov=True, weight_decay=5e-4)
    cast = torch.autocast("cpu", torch.bfloat16, enabled=fast and processor_has_bfloat16())
    ends = []
    for _ in range(EPOCHS):
        model.train()
        for indices in torch.randperm(len(x), generator=generator).split(BATCH):
            images = networks.augmented(x[indices], generator)
            with cast:
                loss = torch.nn.functional.cross_entropy(model(images), y[indices])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad(), cast:
            right = sum(
                (model(images).argmax(1) == labels).sum().item()
                for images, labels in zip(held_x.split(1000), held_y.split(1000), strict=True)
            )
        ends.append(time.perf_counter())
    return {"rate": rate(network, ends), "right": right}


def pytorch_fast(network, **_):
    """bfloat16 by autocast where the processor has it, channels last, threads that do not spin."""
    return pytorch(network, fast=True)


def pytorch_compiled(network, **_):
    """The same through `torch.compile`, which wants a C++ compiler."""
    return pytorch(network, fast=True, compiled=True)


def ceiling(network, size=4096, **_):
    """What the processor could do: its best rate of a matrix product, by the multiplications of a training step."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    from convzoo.models import plan

    rates = {}
    for dtype in ("bfloat16", "float32"):
        a = tf.cast(tf.random.normal((size, size)), dtype)
        product = tf.function(tf.matmul)
        product(a, a)
        seconds = []
        for _ in range(5):
            begun = time.perf_counter()
            product(a, a)[0, 0].numpy()
            seconds.append(time.perf_counter() - begun)
        rates[dtype] = 2 * size**3 / min(seconds)
    found = plan(network, image_shape=(32, 32, 3))
    first = next(row.macs for row, _ in found.walk() if row.macs)  # no gradient goes on to the image
    work = 2 * (3 * found.macs - first)
    return {"rate": rates["bfloat16"] / work, "float32": rates["float32"] / work, "flops": rates}


CONTESTANTS = (ours, bare, keras_fit, keras_fit_bfloat16, pytorch, pytorch_fast, pytorch_compiled, ceiling)
ENVIRONMENT = {name: {"OMP_WAIT_POLICY": "passive"} for name in ("pytorch_fast", "pytorch_compiled")}

if __name__ == "__main__":
    name, network, *rest = sys.argv[1:]
    run = {each.__name__: each for each in CONTESTANTS}[name]
    print(json.dumps(run(network, **dict(word.split("=") for word in rest))))
