"""The tables beside independent implementations, with the same random weights: equal scores.

Weights are copied in the order of execution: each of our layers takes the first unused unit of the reference that has
its kind and shape. `pip install 'convzoo[reference]'` brings what is not there with Keras; no weights are downloaded.
`pytest -m slow tests/models/test_reference.py` compares with keras.applications, and with KERAS_BACKEND=torch with
torchvision, timm and pytorchcv.
"""

from dataclasses import dataclass, field

import keras
import numpy as np
import pytest
from omegaconf import OmegaConf

from convzoo.layers import Residual
from convzoo.layers.blocks.composite import Composite, output_shape
from convzoo.models import registry
from convzoo.models.builder import assemble

pytestmark = pytest.mark.slow
TOLERANCE = 1e-5  # of the largest score


@dataclass
class Unit:
    """A layer of the reference, its weights in Keras's layout."""

    kind: str
    weights: dict = field(default_factory=dict)
    epsilon: float = 0.0


# Ours


def units_of(model, shortcut_first):
    """Our layers with weights and the shapes that they get, in the order of execution."""
    units = []

    def walk(layer, shape):
        if isinstance(layer, Residual) and not shortcut_first:
            after = walk(layer.body, shape)
            if layer.shortcut is not None:
                walk(layer.shortcut, shape)
            return after
        if isinstance(layer, Composite):
            return layer.connect(shape, walk)
        if layer.weights:
            units.append((layer, shape))
        return output_shape(layer, shape)

    shape = model.input_shape
    for layer in model.layers[1:]:
        shape = walk(layer, shape)
    return units


def kind_of(layer):
    if isinstance(layer, keras.layers.BatchNormalization):
        return "norm"
    if isinstance(layer, keras.layers.Dense):
        return "dense"
    return type(layer).__name__.lower()


def weights_of(layer):
    return {weight.name: weight for weight in layer.weights if "seed" not in weight.name}


def fits(layer, unit):
    """Whether a unit's kernels, or its statistics, have the shapes of the layer's."""
    mine, kind = weights_of(layer), kind_of(layer)
    if kind == "dense" and unit.kind == "conv2d":
        return (1, 1, *mine["kernel"].shape) == unit.weights["kernel"].shape
    names = ["moving_mean"] if kind == "norm" else [name for name in mine if "kernel" in name]
    return kind == unit.kind and all(tuple(mine[name].shape) == unit.weights[name].shape for name in names)


def copy_weights(model, reference, shortcut_first):
    """Gives each of our layers the weights of its unit; asserts that none is left on either side."""
    unused, bias = list(reference), 0.0
    for layer, shape in units_of(model, shortcut_first):
        unit = next((unit for unit in unused if fits(layer, unit)), None)
        assert unit is not None, f"no unit of the reference is left for {layer.name}"
        unused.remove(unit)
        given = dict(unit.weights)
        if (
            unit.kind == "norm"
        ):  # what differs in epsilon is a factor of gamma, and a bias before it a shift of the mean
            variance = given["moving_variance"]
            if "gamma" in given:
                given["gamma"] = given["gamma"] * np.sqrt((variance + layer.epsilon) / (variance + unit.epsilon))
            given["moving_mean"] = given["moving_mean"] - bias
            bias = 0.0
        elif "bias" in given and not layer.use_bias:
            bias = given.pop("bias")
        if unit.kind == "dense" and len(shape) == 4 and unit.weights.get("channels_first") is not None:
            height, width, channels = shape[1:]
            kernel = given["kernel"].reshape(channels, height, width, -1)
            given["kernel"] = kernel.transpose(1, 2, 0, 3).reshape(height * width * channels, -1)
        given.pop("channels_first", None)
        mine = weights_of(layer)
        assert set(mine) == set(given), f"{layer.name} has {sorted(mine)}, the reference {sorted(given)}"
        for name, weight in mine.items():
            weight.assign(given[name].reshape(weight.shape))
    assert not unused, f"{len(unused)} units of the reference are left"


def ours(name, image_shape, changes):
    config = registry.compose_network(name, image_shape)
    for key, value in changes.items():
        OmegaConf.update(config, key, value, force_add=True)
    return assemble(registry.rows(config), image_shape, config.data.classes, name)


def check_equal(name, image_shape, reference, scores, shortcut_first, changes):
    """Holds our scores of random images against `scores(images)`, the reference's."""
    model = ours(name, image_shape, changes)
    copy_weights(model, reference, shortcut_first)
    images = np.random.default_rng(1).normal(size=(2, *image_shape)).astype("float32")
    actual, wanted = keras.ops.convert_to_numpy(model(images)), scores(images)
    assert actual.shape == wanted.shape
    error = np.abs(actual - wanted).max() / np.abs(wanted).max()
    print(f"{name}: {error:.1e}")
    assert error < TOLERANCE


def random_weight(rng, name, shape):
    """A weight that keeps activations in range: small where it is added, near 1 where it is multiplied."""
    if "gamma" in name or "variance" in name:
        return rng.uniform(0.5, 1.5, shape).astype("float32")
    if "kernel" in name:
        outputs = shape[-1] if "depthwise" not in name else shape[-2] * shape[-1]
        return (rng.normal(size=shape) * np.sqrt(2 * outputs / np.prod(shape))).astype("float32")
    return (0.1 * rng.normal(size=shape)).astype("float32")


# Keras


def keras_model(name, image_shape):
    """A network of keras.applications and its layers in the order in which they are called."""
    called, call = [], keras.layers.Layer.__call__

    def recorded(layer, *args, **kwargs):
        called.append(layer)
        return call(layer, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.layers.Layer, "__call__", recorded)
        options = dict(weights=None, input_shape=image_shape, classifier_activation=None)
        model = getattr(keras.applications, name)(**options)
    return model, [layer for layer in called if layer.weights and layer is not model]


def keras_units(layers, rng):
    """The reference's layers, made random."""
    for layer in layers:
        weights = {}
        for weight in layer.weights:
            weights[weight.name] = random_weight(rng, weight.name, tuple(weight.shape))
            weight.assign(weights[weight.name])
        yield Unit(kind_of(layer), weights, getattr(layer, "epsilon", 0.0))


RELU6 = {"model.shared.ConvNormActivation.activation": "relu6", "model.shared.ReLU.max_value": 6}  # as released


@pytest.mark.parametrize(
    ("table", "reference", "image_shape", "changes"),
    [
        ("vgg16", "VGG16", (64, 96, 3), {}),
        ("vgg19", "VGG19", (64, 96, 3), {}),
        ("densenet121", "DenseNet121", (101, 85, 3), {}),
        ("inception_v3", "InceptionV3", (139, 107, 3), {}),
        ("xception", "Xception", (107, 90, 3), {}),
        ("mobilenet_v1", "MobileNet", (96, 64, 3), RELU6),
        ("mobilenet_v2", "MobileNetV2", (96, 85, 3), {}),
        ("resnet50", "ResNet50", (101, 85, 3), {}),
    ],
)
def test_scores_are_those_of_keras_applications(table, reference, image_shape, changes):
    model, layers = keras_model(reference, image_shape)
    units = list(keras_units(layers, np.random.default_rng(0)))
    check_equal(table, image_shape, units, lambda images: keras.ops.convert_to_numpy(model(images)), True, changes)


# PyTorch


def torch_units(model, images, rng):
    """The reference's layers with weights in the order in which they are called, made random."""
    import torch

    units, hooks = [], []

    def enter(module, _):
        if isinstance(module, torch.nn.Conv2d):
            units.append(convolution_unit(module))
        elif isinstance(module, torch.nn.Linear):
            units.append(Unit("dense", {"kernel": numpy(module.weight).T, "channels_first": True}))
            add_bias(units[-1], module)
        elif isinstance(module, torch.nn.BatchNorm2d):
            names = (
                ("weight", "gamma"),
                ("bias", "beta"),
                ("running_mean", "moving_mean"),
                ("running_var", "moving_variance"),
            )
            weights = {ours: numpy(getattr(module, theirs)) for theirs, ours in names}
            units.append(Unit("norm", weights, module.eps))

    with torch.no_grad():
        for module in model.modules():
            own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
            for name, value in own:
                if value.dtype == torch.float32:
                    value.copy_(torch.from_numpy(random_torch_weight(rng, module, name, tuple(value.shape))))
            if own:
                hooks.append(module.register_forward_pre_hook(enter))
        model.eval()
        model(images)
    for hook in hooks:
        hook.remove()
    return units


def random_torch_weight(rng, module, name, shape):
    if "running_var" in name or (name == "weight" and len(shape) == 1):
        return random_weight(rng, "gamma", shape)
    if name == "weight":
        fan_in = np.prod(shape[1:])
        return (rng.normal(size=shape) * np.sqrt(2 / fan_in)).astype("float32")
    return random_weight(rng, "bias", shape)


def convolution_unit(module):
    kernel = numpy(module.weight)
    if module.groups == module.in_channels > 1:
        multiplier = module.out_channels // module.in_channels
        kernel = kernel.transpose(2, 3, 0, 1).reshape(*module.kernel_size, module.in_channels, multiplier)
        unit = Unit("depthwiseconv2d", {"kernel": kernel})
    else:
        unit = Unit("conv2d", {"kernel": kernel.transpose(2, 3, 1, 0)})
    add_bias(unit, module)
    return unit


def add_bias(unit, module):
    if module.bias is not None:
        unit.weights["bias"] = numpy(module.bias)


def numpy(tensor):
    return tensor.detach().numpy().copy()


def torchvision_model(name):
    return getattr(pytest.importorskip("torchvision").models, name)(weights=None)


def resnet50_v1(name):
    """torchvision's with the strides where the paper has them."""
    model = torchvision_model(name)
    for block in model.modules():
        if type(block).__name__ == "Bottleneck":
            block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride
    return model


def timm_model(name):
    return pytest.importorskip("timm").create_model(name, pretrained=False)


def pytorchcv_model(name):
    from_name = pytest.importorskip("pytorchcv.model_provider").get_model
    return from_name(name, pretrained=False)


def nin_with_pools(kinds):
    """pytorchcv's with the windows of Caffe and cuda-convnet, which pad at the end alone, and these kinds of pools."""

    def make(name):
        import torch

        model = pytorchcv_model(name)
        pools = iter(kinds)
        for parent in list(model.modules()):
            for child, module in list(parent.named_children()):
                if isinstance(module, torch.nn.MaxPool2d | torch.nn.AvgPool2d) and module.kernel_size in (3, (3, 3)):
                    setattr(parent, child, getattr(torch.nn, next(pools))(3, 2, ceil_mode=True))
        assert not list(pools)
        return model

    return make


def preresnet_v1(name):
    """pytorchcv's with the strides where the authors' code has them, at the first 1×1 convolution."""
    model = pytorchcv_model(name)
    for block in model.modules():
        if type(block).__name__ == "PreResBottleneck":
            first, second = block.conv1.conv, block.conv2.conv
            first.stride, second.stride = second.stride, first.stride
    return model


@pytest.mark.parametrize(
    ("table", "make", "reference", "image_shape", "shortcut_first"),
    [
        ("vgg11", torchvision_model, "vgg11", (224, 224, 3), False),
        ("vgg13", torchvision_model, "vgg13", (224, 224, 3), False),
        ("vgg16", torchvision_model, "vgg16", (224, 224, 3), False),
        ("vgg19", torchvision_model, "vgg19", (224, 224, 3), False),
        ("resnet18", torchvision_model, "resnet18", (101, 85, 3), False),
        ("resnet34", torchvision_model, "resnet34", (101, 85, 3), False),
        ("resnet50", resnet50_v1, "resnet50", (101, 85, 3), False),
        ("densenet121", torchvision_model, "densenet121", (101, 85, 3), False),
        ("squeezenet_1_0", torchvision_model, "squeezenet1_0", (101, 85, 3), False),
        ("squeezenet_1_1", torchvision_model, "squeezenet1_1", (101, 85, 3), False),
        ("inception_v4", timm_model, "inception_v4", (107, 139, 3), False),
        ("resnet20_b", pytorchcv_model, "resnet20_cifar10", (32, 32, 3), True),
        ("resnet56_b", pytorchcv_model, "resnet56_cifar10", (32, 32, 3), True),
        ("resnet110_b", pytorchcv_model, "resnet110_cifar10", (32, 32, 3), True),
        ("preact_resnet164", preresnet_v1, "preresnet164bn_cifar10", (32, 32, 3), False),
        ("wrn_28_10", pytorchcv_model, "wrn28_10_cifar10", (32, 32, 3), False),
        ("densenet_bc_100_12", pytorchcv_model, "densenet100_k12_bc_cifar10", (32, 32, 3), False),
        ("fractalnet", pytorchcv_model, "fractalnet_cifar10", (32, 32, 3), False),
        ("nin", nin_with_pools(["MaxPool2d", "MaxPool2d"]), "nin_cifar10", (32, 32, 3), False),
        ("nin_caffe", nin_with_pools(["MaxPool2d", "AvgPool2d"]), "nin_cifar10", (32, 32, 3), False),
    ],
)
def test_scores_are_those_of_a_network_in_torch(table, make, reference, image_shape, shortcut_first):
    if keras.backend.backend() != "torch":
        pytest.skip("beside TensorFlow some builds of torch crash: KERAS_BACKEND=torch runs this")
    torch = pytest.importorskip("torch")
    model = make(reference)
    units = torch_units(model, torch.zeros(2, 3, *image_shape[:2]), np.random.default_rng(0))

    def scores(images):
        with torch.no_grad():
            return model(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()

    check_equal(table, image_shape, units, scores, shortcut_first, {})
