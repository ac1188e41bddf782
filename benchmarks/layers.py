"""Time of our layers and of the nearest operation of Keras or the backend, on the same input in one process.

Ours and theirs take turns; a ratio is the median over the turns, with its quartiles. A step is the forward pass and the
gradients of input and weights.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers as theirs
from keras import ops

from .. import layers as ours
from ..layers import backend_ops
from . import command
from .peers import DenseLocal, LoopLocal, SparseLocal, chain, local_response_normalization, mean_of

MAPS = (64, 32, 32, 64)
SMALL_MAPS = (64, 12, 12, 32)
IMAGES = (256, 32, 32, 3)

Row = tuple[str, tuple[int, ...], theirs.Layer, theirs.Layer | None]  # name, input shape, our layer, its peer


def average_of(*window: Any, function: Callable[[Any], Any] = ops.square) -> keras.Sequential:
    """Return average pooling after an elementwise function."""
    return chain(function, theirs.AveragePooling2D(*window))


def conv(strides: int = 1, **arguments: Any) -> theirs.Layer:
    return theirs.Conv2D(64, 3, strides, "same", **arguments)


def padded_conv(mode: str) -> theirs.Layer:
    return ours.Conv2D(64, 3, padding=1, padding_mode=mode)


def make_rows() -> Iterator[Row]:
    """Yield the rows of the table; a peer is None if the backend has none."""
    yield "Conv2D padding=1", MAPS, padded_conv("zeros"), conv()
    yield "Conv2D padding=1 strides=2", MAPS, ours.Conv2D(64, 3, 2, 1), conv(2)
    yield "Conv2D reflect", MAPS, padded_conv("reflect"), conv()
    yield "Conv2D circular", MAPS, padded_conv("circular"), conv()
    yield "Conv2D replicate", MAPS, padded_conv("replicate"), conv()
    yield "StridedConv2D 3/2 same", MAPS, ours.StridedConv2D(3, 2, "same"), conv(2, activation="relu")
    stack = chain(conv(activation="relu"), theirs.Conv2D(64, 1, activation="relu"))
    yield "MLPConv2D", MAPS, ours.MLPConv2D([64, 64], 3, padding="same"), stack
    for window in [(2,), (3, 2, "same"), (3, 2, 1)]:
        their_window = (3, 2, "same") if len(window) == 3 else window
        name = "/".join(map(str, window))
        yield f"MaxPooling2D {name}", MAPS, ours.MaxPooling2D(*window), theirs.MaxPooling2D(*their_window)
        yield (
            f"AveragePooling2D {name}",
            MAPS,
            ours.AveragePooling2D(*window),
            theirs.AveragePooling2D(*their_window),
        )
        yield f"L2Pooling2D {name}", MAPS, ours.L2Pooling2D(*window), average_of(*their_window)
    cubes = average_of(2, function=lambda x: ops.power(ops.abs(x), 3.0))
    yield "LpPooling2D 2 p=3", MAPS, ours.LpPooling2D(2, p=3), cubes
    for window in [(3, 2), (3, 2, "same")]:
        name = "/".join(map(str, window))
        yield (
            f"WeightedAveragePooling2D {name}",
            MAPS,
            ours.WeightedAveragePooling2D(*window),
            average_of(*window),
        )
        yield f"BlurPooling2D {name}", MAPS, ours.BlurPooling2D(*window), average_of(*window)
    yield "BlurPooling2D 3/2/half", MAPS, ours.BlurPooling2D(3, 2, "half"), average_of(3, 2, "same")
    largest, blurred = theirs.MaxPooling2D(2, 1), theirs.AveragePooling2D(3, 2, "same")
    yield "MaxBlurPooling2D 2", MAPS, ours.MaxBlurPooling2D(2), chain(largest, blurred)
    polyphase = ours.AdaptivePolyphasePooling2D(2)
    yield (
        "AdaptivePolyphasePooling2D 2",
        MAPS,
        polyphase,
        chain(largest, theirs.MaxPooling2D(2, padding="same")),
    )
    dropped = chain(theirs.Dropout(0.5), theirs.MaxPooling2D(2))
    yield "StochasticPooling2D 2", MAPS, ours.StochasticPooling2D(2), dropped
    average = mean_of(MAPS, theirs.MaxPooling2D(2), theirs.AveragePooling2D(2))
    yield "MixedPooling2D 2", MAPS, ours.MixedPooling2D(2), average
    yield "TrainableSubsampling2D 2", MAPS, ours.TrainableSubsampling2D(2), average_of(2)
    yield "FractionalMaxPooling2D 2", MAPS, ours.FractionalMaxPooling2D(2), theirs.MaxPooling2D(2)
    yield "ChannelPooling2D 2", MAPS, ours.ChannelPooling2D(2), theirs.MaxPooling2D((1, 2))
    yield "Maxout 2", MAPS, ours.Maxout(2), theirs.MaxPooling2D((1, 2))
    yield "LocalResponseNormalization", MAPS, ours.LocalResponseNormalization(), local_response_normalization()
    yield "BatchNormalization", MAPS, ours.BatchNormalization(), theirs.BatchNormalization()
    known = dict(mean=[125.3, 123.0, 113.9], variance=[3969.0, 3844.0, 4469.0])
    yield "Normalization", IMAGES, ours.Normalization(**known), theirs.Normalization(**known)
    yield "GELU", MAPS, ours.GELU(), theirs.Activation("gelu")
    yield "ScaledTanh", MAPS, ours.ScaledTanh(), theirs.Activation("tanh")
    yield "Squash", MAPS, ours.Squash(), theirs.UnitNormalization()
    yield "Dropout", MAPS, ours.Dropout(0.5), theirs.Dropout(0.5)
    row = theirs.Dropout(0.5, noise_shape=(None, 1, 1, 1))
    yield "StochasticDepth", MAPS, ours.StochasticDepth(0.5, "row"), row
    local = ours.LocallyConnected2D
    yield "LocallyConnected2D, Keras 2's 1", SMALL_MAPS, local(32, 3), LoopLocal(32, 3)
    yield "LocallyConnected2D, Keras 2's 2", SMALL_MAPS, local(32, 3), DenseLocal(32, 3)
    if keras.backend.backend() == "tensorflow":
        yield "LocallyConnected2D, Keras 2's 3", SMALL_MAPS, local(32, 3), SparseLocal(32, 3)
    table = [[c for c in range(32) if (c + f) % 4] for f in range(32)]
    yield "PartiallyConnected2D", SMALL_MAPS, ours.PartiallyConnected2D(table, 3), theirs.Conv2D(32, 3)
    yield "FullyConnected", SMALL_MAPS, ours.FullyConnected(64), chain(theirs.Flatten(), theirs.Dense(64))


def compile_call(model: keras.Model, images: Any, training: bool) -> Callable[[], Any]:
    """Return a function that runs `model`, in training with the gradients of the sum of its outputs."""
    weights = [variable.value for variable in model.trainable_variables]
    slopes = ops.ones_like(model(images))
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        @tf.function(jit_compile=False)
        def run() -> Any:
            with tf.GradientTape() as tape:
                tape.watch(images)
                outputs = model(images, training=training)
            return (outputs, tape.gradient(outputs, [images, *weights], slopes)) if training else outputs

        return run
    if keras.backend.backend() == "jax":
        import jax

        others = [variable.value for variable in model.non_trainable_variables]

        def forward(weights: Any, images: Any) -> Any:
            return model.stateless_call(weights, others, images, training=training)[0]

        @jax.jit
        def step(weights: Any, images: Any) -> Any:
            outputs, pull_back = jax.vjp(forward, weights, images)
            return outputs, pull_back(slopes) if training else None

        return lambda: jax.block_until_ready(step(weights, images))
    import torch

    def run_torch() -> None:
        with torch.set_grad_enabled(training):
            leaf = images.detach().requires_grad_(training)
            outputs = model(leaf, training=training)
            if training:
                torch.autograd.grad(outputs, [leaf, *weights], slopes)
        if outputs.is_cuda:
            torch.cuda.synchronize()

    return run_torch


def compare(calls: Sequence[Callable[[], Any]], turns: int) -> dict[str, Any]:
    """Time two calls in turns; return the median ratio of their times, its quartiles, and both median milliseconds."""
    times = np.empty((turns + 3, 2))
    for turn in times:
        for i, call in enumerate(calls):
            start = time.perf_counter()
            call()
            turn[i] = (time.perf_counter() - start) * 1e3
    times = times[3:]
    low, ratio, high = np.quantile(times[:, 0] / times[:, 1], (0.25, 0.5, 0.75)).round(3)
    return {"ratio": ratio, "quartiles": [low, high], "ms": np.median(times, axis=0).round(2).tolist()}


def main() -> None:
    """Run the benchmark of the command line."""
    parser = command.make_parser(".layers", __doc__, turns=30)
    parser.add_argument("names", nargs="*", default=[""], help="beginnings of names of rows (default: all rows)")
    parser.add_argument("--dtype", default="float32", help="dtype policy, such as mixed_bfloat16 (default: float32)")
    arguments = parser.parse_args()
    names = [name for name, *_ in make_rows()]
    if unknown := [each for each in arguments.names if not any(name.startswith(each) for name in names)]:
        parser.error(f"no row has a name that starts with: {', '.join(unknown)}")
    try:
        keras.config.set_dtype_policy(arguments.dtype)
        dtype = keras.config.dtype_policy().compute_dtype
    except ValueError:
        dtype = None
    if dtype not in ("bfloat16", "float16", "float32", "float64"):
        parser.error(f"--dtype must be the name of a policy that computes with floats. Received: {arguments.dtype}")
    if keras.backend.backend() == "tensorflow" and backend_ops.has_gpu("tensorflow"):
        parser.error("TensorFlow's calls return before a GPU has finished: hide the GPU with CUDA_VISIBLE_DEVICES=")
    rows = []
    print(f"{'ours / theirs':34} step  (quartiles)       ms          forward")
    for name, shape, *pair in make_rows():
        if pair[1] is None or not name.startswith(tuple(arguments.names)):
            continue
        images = ops.cast(keras.random.normal(shape, seed=0), dtype)
        models = [keras.Sequential([keras.Input(batch_shape=shape), layer]) for layer in pair]
        row: dict[str, Any] = {"name": name, "shape": shape}
        for call in ("step", "forward"):
            row[call] = compare([compile_call(model, images, call == "step") for model in models], arguments.turns)
        rows.append(row)
        text = "{ratio:5.2f} ({quartiles[0]:.2f}-{quartiles[1]:.2f}) {ms[0]:7.2f} /{ms[1]:7.2f}"
        print(f"{name:34}", text.format(**row["step"]), " ", text.format(**row["forward"]), flush=True)
    command.write_results(arguments.output, backend=keras.backend.backend(), dtype=arguments.dtype, rows=rows)


if __name__ == "__main__":
    main()
