"""Residual blocks: counted against the networks of their papers, and compared with rows that a table has for them."""

from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from keras.layers import Dense, GlobalAveragePooling2D, ReLU

from convzoo.layers import BasicBlock, BatchNormalization, Bottleneck, Conv2D, MaxPooling2D, Residual
from convzoo.models.allowlist import instantiate
from convzoo.settings.rows import expand_block


def stem():
    return [
        Conv2D(64, 7, 2, "half", use_bias=False),
        BatchNormalization(),
        ReLU(),
        MaxPooling2D(3, 2, "half"),
    ]


def count_parameters(layers, classes=1000):
    def count():
        # Weights get no values in this scope, which is never left: it ends with its thread.
        keras.StatelessScope().__enter__()
        model = keras.Sequential([keras.Input((224, 224, 3)), *layers, GlobalAveragePooling2D(), Dense(classes)])
        return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(count).result()


@pytest.mark.parametrize(
    ("block", "times", "parameters"),
    [
        (BasicBlock, (2, 2, 2, 2), 11_689_512),
        (BasicBlock, (3, 4, 6, 3), 21_797_672),
        (Bottleneck, (3, 4, 6, 3), 25_557_032),
    ],
)
def test_imagenet_resnet_has_the_parameters_of_torchvision(block, times, parameters):
    layers = stem()
    for stage, count in enumerate(times):
        strides = 1 if stage == 0 else 2
        shortcut_type = "identity" if stage == 0 and block is BasicBlock else "projection"
        layers.append(block(64 * 2**stage, strides, shortcut_type))
        layers += [block(64 * 2**stage) for _ in range(count - 1)]
    assert count_parameters(layers) == parameters


@pytest.mark.parametrize("preactivation", [None, "inside", "outside"])
@pytest.mark.parametrize("shortcut_type", ["identity", "pad", "projection"])
@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_block_computes_what_its_rows_compute(block, shortcut_type, preactivation):
    arguments = {"shortcut_type": shortcut_type, "preactivation": preactivation, "dropout": 0.1}
    arguments["strides"] = 1 if shortcut_type == "identity" else 2
    channels = 8 if block is Bottleneck and shortcut_type == "identity" else 2
    images = np.random.default_rng(0).normal(size=(2, 6, 6, channels)).astype("float32")
    layer = block(2, **arguments, name="block")
    row = expand_block({"_target_": f"convzoo.layers.{block.__name__}", "filters": 2, **arguments}, {})
    residual = instantiate("block", row)
    assert type(residual) is Residual
    layer(images), residual(images)
    assert [weight.path for weight in layer.weights] == [weight.path for weight in residual.weights]
    residual.set_weights(layer.get_weights())
    outputs = [keras.ops.convert_to_numpy(each(images)) for each in (layer, residual)]
    np.testing.assert_array_equal(*outputs)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BasicBlock(0), "`filters` must be a positive integer. Received: filters=0"),
        (lambda: BasicBlock(4, (2, 2)), r"`strides` must be a positive integer. Received: strides=\(2, 2\)"),
        (lambda: Bottleneck(4, shortcut_type="B"), "`shortcut_type` must be one of .*Received: shortcut_type='B'"),
        (lambda: Bottleneck(4, preactivation=True), "`preactivation` must be one of .*Received: preactivation=True"),
        (lambda: BasicBlock(4, dropout=2), "`dropout` must be None or a rate.*Received: dropout=2"),
        (lambda: BasicBlock(4)(np.ones((1, 4, 4, 3), "float32")), "shape"),
    ],
)
def test_block_refuses_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
