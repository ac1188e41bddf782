"""Time of our layers beside the nearest operation of Keras or of the backend, on the same input in one process.

Ours and theirs take turns; a ratio is the median over the turns, between its quartiles. A step is forward and back to
input and weights.
"""

import time

import keras
import numpy as np
from keras import layers as theirs
from keras import ops

from .. import layers as ours
from ..layers import fused
from . import command
from .peers import DenseLocal, LoopLocal, SparseLocal, chain, local_response_normalization, mean_of

IMAGES, MAPS, PICTURES = (64, 32, 32, 64), (64, 12, 12, 32), (256, 32, 32, 3)


def averages(*window, of=ops.square):
    """Average pooling plus one elementwise pass."""
    return chain(of, theirs.AveragePooling2D(*window))


def conv(strides=1, **arguments):
    return theirs.Conv2D(64, 3, strides, "same", **arguments)


def bordered(mode):
    return ours.Conv2D(64, 3, padding=1, padding_mode=mode)


def pairs():
    """Name, input shape, our layer, and its peer or None where the backend has none."""
    yield "Conv2D padding=1", IMAGES, bordered("zeros"), conv()
    yield "Conv2D padding=1 strides=2", IMAGES, ours.Conv2D(64, 3, 2, 1), conv(2)
    yield "Conv2D reflect", IMAGES, bordered("reflect"), conv()
    yield "Conv2D circular", IMAGES, bordered("circular"), conv()
    yield "Conv2D replicate", IMAGES, bordered("replicate"), conv()
    yield "StridedConv2D 3/2 same", IMAGES, ours.StridedConv2D(3, 2, "same"), conv(2, activation="relu")
    stack = chain(conv(activation="relu"), theirs.Conv2D(64, 1, activation="relu"))
    yield "MLPConv2D", IMAGES, ours.MLPConv2D([64, 64], 3, padding="same"), stack
    for window in [(2,), (3, 2, "same"), (3, 2, 1)]:
        their_window = (3, 2, "same") if len(window) == 3 else window
        name = "/".join(map(str, window))
        yield f"MaxPooling2D {name}", IMAGES, ours.MaxPooling2D(*window), theirs.MaxPooling2D(*their_window)
        yield f"AveragePooling2D {name}", IMAGES, ours.AveragePooling2D(*window), theirs.AveragePooling2D(*their_window)
        yield f"L2Pooling2D {name}", IMAGES, ours.L2Pooling2D(*window), averages(*their_window)
    cubes = averages(2, of=lambda x: ops.power(ops.abs(x), 3.0))
    yield "LpPooling2D 2 p=3", IMAGES, ours.LpPooling2D(2, p=3), cubes
    for window in [(3, 2), (3, 2, "same")]:
        name = "/".join(map(str, window))
        yield f"WeightedAveragePooling2D {name}", IMAGES, ours.WeightedAveragePooling2D(*window), averages(*window)
        yield f"BlurPooling2D {name}", IMAGES, ours.BlurPooling2D(*window), averages(*window)
    yield "BlurPooling2D 3/2/half", IMAGES, ours.BlurPooling2D(3, 2, "half"), averages(3, 2, "same")
    largest, blurred = theirs.MaxPooling2D(2, 1), theirs.AveragePooling2D(3, 2, "same")
    yield "MaxBlurPooling2D 2", IMAGES, ours.MaxBlurPooling2D(2), chain(largest, blurred)
    polyphase = ours.AdaptivePolyphasePooling2D(2)
    yield "AdaptivePolyphasePooling2D 2", IMAGES, polyphase, chain(largest, theirs.MaxPooling2D(2, padding="same"))
    dropped = chain(theirs.Dropout(0.5), theirs.MaxPooling2D(2))
    yield "StochasticPooling2D 2", IMAGES, ours.StochasticPooling2D(2), dropped
    both = mean_of(IMAGES, theirs.MaxPooling2D(2), theirs.AveragePooling2D(2))
    yield "MixedPooling2D 2", IMAGES, ours.MixedPooling2D(2), both
    yield "TrainableSubsampling2D 2", IMAGES, ours.TrainableSubsampling2D(2), averages(2)
    yield "FractionalMaxPooling2D 2", IMAGES, ours.FractionalMaxPooling2D(2), theirs.MaxPooling2D(2)
    yield "ChannelPooling2D 2", IMAGES, ours.ChannelPooling2D(2), theirs.MaxPooling2D((1, 2))
    yield "Maxout 2", IMAGES, ours.Maxout(2), theirs.MaxPooling2D((1, 2))
    yield "LocalResponseNormalization", IMAGES, ours.LocalResponseNormalization(), local_response_normalization()
    yield "BatchNormalization", IMAGES, ours.BatchNormalization(), theirs.BatchNormalization()
    known = dict(mean=[125.3, 123.0, 113.9], variance=[3969.0, 3844.0, 4469.0])
    yield "Normalization", PICTURES, ours.Normalization(**known), theirs.Normalization(**known)
    yield "GELU", IMAGES, ours.GELU(), theirs.Activation("gelu")
    yield "ScaledTanh", IMAGES, ours.ScaledTanh(), theirs.Activation("tanh")
    yield "Squash", IMAGES, ours.Squash(), theirs.UnitNormalization()
    yield "Dropout", IMAGES, ours.Dropout(0.5), theirs.Dropout(0.5)
    row = theirs.Dropout(0.5, noise_shape=(None, 1, 1, 1))
    yield "StochasticDepth", IMAGES, ours.StochasticDepth(0.5, "row"), row
    local = ours.LocallyConnected2D
    yield "LocallyConnected2D, Keras 2's 1", MAPS, local(32, 3), LoopLocal(32, 3)
    yield "LocallyConnected2D, Keras 2's 2", MAPS, local(32, 3), DenseLocal(32, 3)
    if keras.backend.backend() == "tensorflow":
        yield "LocallyConnected2D, Keras 2's 3", MAPS, local(32, 3), SparseLocal(32, 3)
    table = [[c for c in range(32) if (c + f) % 4] for f in range(32)]
    yield "PartiallyConnected2D", MAPS, ours.PartiallyConnected2D(table, 3), theirs.Conv2D(32, 3)
    yield "FullyConnected", MAPS, ours.FullyConnected(64), chain(theirs.Flatten(), theirs.Dense(64))


def compiled(model, images, training):
    """A call that runs `model` to its end, in training with the slopes of a sum over the outputs."""
    weights = [variable.value for variable in model.trainable_variables]
    slopes = ops.ones_like(model(images))
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        @tf.function(jit_compile=False)
        def run():
            with tf.GradientTape() as tape:
                tape.watch(images)
                outputs = model(images, training=training)
            return (outputs, tape.gradient(outputs, [images, *weights], slopes)) if training else outputs

        return run
    if keras.backend.backend() == "jax":
        import jax

        others = [variable.value for variable in model.non_trainable_variables]

        def forward(weights, images):
            return model.stateless_call(weights, others, images, training=training)[0]

        @jax.jit
        def step(weights, images):
            outputs, back = jax.vjp(forward, weights, images)
            return outputs, back(slopes) if training else None

        return lambda: jax.block_until_ready(step(weights, images))
    import torch

    def run():
        with torch.set_grad_enabled(training):
            leaf = images.detach().requires_grad_(training)
            outputs = model(leaf, training=training)
            if training:
                torch.autograd.grad(outputs, [leaf, *weights], slopes)
        if outputs.is_cuda:
            torch.cuda.synchronize()

    return run


def compare(calls, turns):
    """Median ratio of the first call's time to the second's, its quartiles, and the median milliseconds of both."""
    times = np.empty((turns + 3, 2))
    for turn in times:
        for i, call in enumerate(calls):
            start = time.perf_counter()
            call()
            turn[i] = (time.perf_counter() - start) * 1e3
    times = times[3:]
    low, ratio, high = np.quantile(times[:, 0] / times[:, 1], (0.25, 0.5, 0.75)).round(3)
    return {"ratio": ratio, "quartiles": [low, high], "ms": np.median(times, axis=0).round(2).tolist()}


def main():
    parser = command.parser(".layers", __doc__, turns=30)
    parser.add_argument("names", nargs="*", default=[""], help="only the rows that start so")
    parser.add_argument("--dtype", default="float32", help='policy, such as "mixed_bfloat16"')
    arguments = parser.parse_args()
    names = [name for name, *_ in pairs()]
    if unknown := [each for each in arguments.names if not any(name.startswith(each) for name in names)]:
        parser.error(f"no row starts so: {', '.join(unknown)}")
    try:
        keras.config.set_dtype_policy(arguments.dtype)
        numbers = keras.config.dtype_policy().compute_dtype
    except ValueError:
        numbers = None
    if numbers not in ("bfloat16", "float16", "float32", "float64"):
        parser.error(f"--dtype must be the name of a policy that computes with floats. Received: {arguments.dtype}")
    if keras.backend.backend() == "tensorflow" and fused.has_gpu("tensorflow"):
        parser.error("on a GPU TensorFlow's calls return before they end: hide it, CUDA_VISIBLE_DEVICES= in front")
    rows = []
    print(f"{'ours / theirs':34} step  (quartiles)       ms          forward")
    for name, shape, *pair in pairs():
        if pair[1] is None or not name.startswith(tuple(arguments.names)):
            continue
        images = ops.cast(keras.random.normal(shape, seed=0), numbers)
        models = [keras.Sequential([keras.Input(batch_shape=shape), layer]) for layer in pair]
        row = {"name": name, "shape": shape}
        for what in ("step", "forward"):
            row[what] = compare([compiled(model, images, what == "step") for model in models], arguments.turns)
        rows.append(row)
        text = "{ratio:5.2f} ({quartiles[0]:.2f}-{quartiles[1]:.2f}) {ms[0]:7.2f} /{ms[1]:7.2f}"
        print(f"{name:34}", text.format(**row["step"]), " ", text.format(**row["forward"]), flush=True)
    command.write(arguments.output, backend=keras.backend.backend(), dtype=arguments.dtype, rows=rows)


if __name__ == "__main__":
    main()
