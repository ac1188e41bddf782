"""What goes on inside networks of different build: a chain, branches, residuals."""

import keras
import numpy as np
import pytest

from convzoo.evaluation import activations
from convzoo.models import planning
from convzoo.training.predictor import Predictor

NETWORKS = ["lenet", "resnet20", "squeezenet_cifar"]


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("lenet", "conv1 pool1 conv2 pool2"),
        ("resnet20", "conv1 conv2_x conv3_1 conv3_x conv4_1 conv4_x"),  # their normalization and ReLU go with them
        ("nin", "conv1 cccp1 cccp2 pool1 conv2 cccp3 cccp4 pool2 conv3 cccp5 cccp6"),
    ],
)
def test_stages(network, name, names):
    _, plan = network(name)
    found = activations.find_stages(plan)
    assert [stage.name for stage in found] == names.split()
    assert all(len(stage.row.output_shape) == 3 for stage in found)
    few = [stage.name for stage in activations.find_stages(plan, 3)]
    assert len(few) == 3
    assert (few[0], few[-1]) == (names.split()[0], names.split()[-1])


def test_a_stage_is_what_leaves_its_last_layer(network):
    _, plan = network("resnet20")
    assert activations.find_stages(plan)[0].row.name == "relu1"


@pytest.mark.parametrize("name", NETWORKS)
def test_the_way_through_the_layers_is_the_models(network, noise, name):
    model, plan = network(name)
    images = noise(5, model.input.shape[1:])
    (scores,) = activations.compute_outputs(model, plan, images, [plan.rows[-1]])
    np.testing.assert_allclose(scores, Predictor(model)(images), rtol=1e-4, atol=1e-5)


def test_inner_layers_give_the_same_output_as_alone(network, noise):
    model, plan = network("resnet20")
    images = noise(2, (32, 32, 3))
    stage = plan.rows[4]
    assert (stage.name, stage.inside[0].name) == ("conv2_x", "block_1")
    before, block = activations.compute_outputs(model, plan, images, [plan.rows[3], stage.inside[0]])
    expected = keras.ops.convert_to_numpy(model.get_layer("conv2_x").copies[0](before))
    np.testing.assert_allclose(block, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_no_pixel_outside_of_the_receptive_field_reaches_a_unit(network, noise, name):
    """The box is read off the plan; what reaches the unit is measured."""
    model, plan = network(name)
    image = noise(1, model.input.shape[1:])[0]
    rows = [stage.row for stage in activations.find_stages(plan, 4)]
    for row, unit in zip(rows, activations.find_strongest_units(model, plan, image, rows), strict=True):
        top, left, height, width = unit.box
        assert (height, width) == row.receptive_field
        outside = unit.influence.copy()
        outside[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = 0
        assert outside.max() < 1e-5 * unit.influence.max(), row.name  # nothing but rounding


def test_fields_by_hand(network):
    """LeNet: 5×5, a pool with stride 2, 5×5, a pool with stride 2, nothing padded. Its second convolution sees
    5 + 1 + 4 · 2 = 14 pixels, and its neighbours lie 2 apart. ResNet's first is 3×3 with one zero around."""
    rows = {stage.name: stage.row for stage in activations.find_stages(network("lenet")[1])}
    assert activations.receptive_field_box(rows["conv2"], (0, 0)) == (0, 0, 14, 14)
    assert activations.receptive_field_box(rows["conv2"], (1, 3)) == (2, 6, 14, 14)
    assert activations.receptive_field_box(rows["pool2"], (4, 4)) == (16, 16, 16, 16)
    assert activations.receptive_field_box(activations.find_stages(network("resnet20")[1])[0].row, (0, 31)) == (
        -1,
        30,
        3,
        3,
    )


def test_influence_by_hand():
    """A 1×2 convolution that adds the left pixel twice and the right one once, over a picture that is black but for
    100 at (1, 2): its mean is 100 / 16, rounded 6. The strongest value is 200, at (1, 2): greying its left pixel takes
    2 · 94, its right one adds 6, no other does anything."""
    image = np.zeros((4, 4, 1), np.uint8)
    image[1, 2] = 100
    layer = keras.layers.Conv2D(1, (1, 2), use_bias=False, dtype="float32")
    inputs = keras.Input((4, 4, 1), dtype="uint8")
    model = keras.Model(inputs, layer(keras.layers.Rescaling(1.0, dtype="float32")(inputs)))
    layer.set_weights([np.array([2.0, 1.0]).reshape(1, 2, 1, 1)])
    plan = planning.plan_model(model)
    (unit,) = activations.find_strongest_units(model, plan, image, [plan.rows[-1]])
    assert (unit.position, unit.channel, unit.value, unit.box) == ((1, 2), 0, 200.0, (1, 2, 1, 2))
    expected = np.zeros((4, 4))
    expected[1, 2:] = 188, 6
    np.testing.assert_allclose(unit.influence, expected, atol=1e-4)


@pytest.mark.parametrize(("name", "shape"), [("lenet", (5, 5, 1, 6)), ("resnet20", (3, 3, 3, 16))])
def test_the_first_kernel(network, name, shape):
    model, _ = network(name)
    kernel = activations.get_first_kernel(model)
    assert kernel.shape == shape
    np.testing.assert_array_equal(kernel, model.get_layer("conv1").get_weights()[0])


def test_first_kernel_is_found_inside_a_composite_layer():
    from convzoo.layers import Branches

    convolutions = [keras.layers.Conv2D(4, size, padding="same") for size in (1, 3)]
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, Branches(convolutions)(inputs))
    np.testing.assert_array_equal(activations.get_first_kernel(model), convolutions[0].get_weights()[0])


def test_a_network_without_a_convolution_has_no_kernel():
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.Dense(4)(keras.layers.Flatten()(inputs)))
    assert activations.get_first_kernel(model) is None
    assert activations.find_stages(planning.plan_model(model)) == []
